"""scikit-learn estimators: the same recipes and the same training, behind `fit` and `transform`.

They are for pipelines, grids and cross-validation; `diabolo.fit` says more and can do more.
"""

from .autoencoder import Autoencoder
from .imputer import Imputer
from .oversampler import Oversampler

__all__ = ["Autoencoder", "Imputer", "Oversampler"]

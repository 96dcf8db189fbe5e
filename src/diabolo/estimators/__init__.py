"""scikit-learn estimators: the same recipes and the same training, behind `fit` and `transform`.

They are for pipelines, grids and cross-validation; `diabolo.fit` says more and can do more.
"""

from .anomaly_detector import AnomalyDetector
from .autoencoder import Autoencoder
from .imputer import Imputer
from .oversampler import Oversampler

__all__ = ["AnomalyDetector", "Autoencoder", "Imputer", "Oversampler"]

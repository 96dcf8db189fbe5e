"""Ways to hold a latent: each answers infer (forward), sample and assemble."""

from .amortized import Amortized
from .discrete import Discrete
from .labelled import Labelled
from .modelled import Modelled
from .nested import Nested
from .top_down import Step, TopDown
from .unknown import Unknown

__all__ = ["Amortized", "Discrete", "Labelled", "Modelled", "Nested", "Step", "TopDown", "Unknown"]

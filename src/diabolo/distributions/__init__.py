"""Densities with nothing attached. The folder is the registry of likelihoods.

A file holds a density (`Normal`) and, where it can serve as a likelihood, its family
(`NormalFamily`), which `family("Normal(scale=shared)")` finds.
"""

from __future__ import annotations

from ._named import DEFAULTS, default_column, default_family, families, family
from .base import Distribution, Family, draw, total
from .bernoulli import Bernoulli
from .beta_binomial import BetaBinomial
from .categorical import Categorical
from .continuous_bernoulli import ContinuousBernoulli
from .dirac import Dirac
from .discretized_logistic import DiscretizedLogistic
from .discretized_logistic_mixture import DiscretizedLogisticMixture
from .exposure import Exposed
from .flowed import Couplings, Flowed
from .kl import kl_divergence, kl_elements
from .laplace import Laplace
from .log_normal import LogNormal
from .logistic import Logistic
from .mixture import Mixture
from .multivariate_normal import MultivariateNormal
from .negative_binomial import NegativeBinomial
from .normal import Normal
from .ordinal import Ordinal
from .poisson import Poisson
from .product import Product, ProductFamily
from .spaces import REALS, SPHERE, Space, space_of
from .standardized import Standardized, StandardizedFamily
from .student_t import StudentT
from .von_mises_fisher import VonMisesFisher
from .zero_inflated_negative_binomial import ZeroInflatedNegativeBinomial

__all__ = [
    "DEFAULTS",
    "REALS",
    "SPHERE",
    "Bernoulli",
    "BetaBinomial",
    "Categorical",
    "ContinuousBernoulli",
    "Couplings",
    "Dirac",
    "DiscretizedLogistic",
    "DiscretizedLogisticMixture",
    "Distribution",
    "Exposed",
    "Family",
    "Flowed",
    "Laplace",
    "LogNormal",
    "Logistic",
    "Mixture",
    "MultivariateNormal",
    "NegativeBinomial",
    "Normal",
    "Ordinal",
    "Poisson",
    "Product",
    "ProductFamily",
    "Space",
    "Standardized",
    "StandardizedFamily",
    "StudentT",
    "VonMisesFisher",
    "ZeroInflatedNegativeBinomial",
    "default_column",
    "default_family",
    "draw",
    "families",
    "family",
    "kl_divergence",
    "kl_elements",
    "space_of",
    "total",
]

r"""Samplers of tables without a network, beside which a model has to stand.

Independent columns keep each marginal and no dependence. A Gaussian copula keeps the marginals
and the correlations of normal scores:

.. math:: z \sim \mathcal{N}(0, R), \qquad x_j = F_j^{-1}(\Phi(z_j))

Shapes: n rows, D columns.

References:
    | The Synthetic Data Vault (Patki, Wedge & Veeramachaneni, 2016), section III
    | https://doi.org/10.1109/DSAA.2016.49
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from .coded import Array, Coded

__all__ = ["BASELINES", "copula", "independent"]

Sampler = Callable[[int, np.random.Generator], Coded]


def independent(train: Coded) -> Sampler:
    """Returns a sampler that draws each column by itself from its values in the training data."""

    def sample(n: int, generator: np.random.Generator) -> Coded:
        columns = [generator.choice(_seen(v), n) for v in train.x.T]
        return replace(train, x=np.stack(columns, axis=1))

    return sample


def copula(train: Coded, seed: int = 0) -> Sampler:
    """Returns a sampler of a Gaussian copula with the marginals of the training data.

    Correlations are of rows in which both columns are seen, brought to the nearest matrix that is
    one by cutting negative eigenvalues. Ties, and codes, are spread at random.

    Arguments:
        train: The training data.
        seed: Draws how ties are spread.
    """
    generator = np.random.default_rng(seed)
    z = np.stack([_scores(v, generator) for v in train.x.T], axis=1)
    root = _root(_correlation(z))

    def sample(n: int, generator: np.random.Generator) -> Coded:
        u = ndtr(generator.normal(size=(n, len(root))) @ root.T)
        return replace(
            train, x=np.stack([_quantile(v, p) for v, p in zip(train.x.T, u.T, strict=True)], 1)
        )

    return sample


BASELINES: dict[str, Callable[[Coded], Sampler]] = {
    "Gaussian copula": copula,
    "independent columns": independent,
}


def _seen(values: Array) -> Array:
    return values[~np.isnan(values)]


def _scores(values: Array, generator: np.random.Generator) -> Array:
    """Returns normal scores (n,), NaN where a value is missing."""
    seen = ~np.isnan(values)
    order = np.lexsort((generator.random(seen.sum()), values[seen]))
    rank = np.empty(len(order))
    rank[order] = np.arange(len(order))
    out = np.full(len(values), np.nan)
    out[seen] = ndtri((rank + 0.5) / max(len(order), 1))
    return out


def _correlation(z: Array) -> Array:
    seen = ~np.isnan(z)
    filled = np.where(seen, z, 0.0)
    both = seen.T.astype(np.float64) @ seen
    product = filled.T @ filled
    power = np.square(filled).T @ seen  # of column i over the rows in which j is seen
    with np.errstate(invalid="ignore", divide="ignore"):
        found = product / np.sqrt(power * power.T)
    found = np.where((both > 1) & np.isfinite(found), found, 0.0)
    np.fill_diagonal(found, 1.0)
    return found


def _root(matrix: Array) -> Array:
    """Returns A with A A' the nearest correlation matrix by cut eigenvalues, (D, D)."""
    values, vectors = np.linalg.eigh(matrix)
    root = vectors * np.sqrt(values.clip(min=0))
    return root / np.linalg.norm(root, axis=1, keepdims=True).clip(min=1e-12)


def _quantile(values: Array, u: NDArray[np.float64]) -> Array:
    seen = np.sort(_seen(values))
    tied = len(np.unique(seen)) < len(seen) / 2
    return np.quantile(seen, u, method="inverted_cdf" if tied else "linear")

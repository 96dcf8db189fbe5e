"""Models whose log p(x) is known, built as a user would, and the laws of bounds on them.

The linear-Gaussian model is z ~ N(0, I), x ~ N(W z + m, s^2 I), and q(z | x) = N(A (x - m) + a,
diag(d)^2) from a user's own linear encoder. Its ELBO is an expectation of a quadratic, which a few
equally weighted points take exactly, so that nothing here is sampled unless it says so.

Shapes: K posterior samples, B batch, D latents, E data.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from diabolo.model import Recipe, Trace
from diabolo.noise import KeyedNoise, Noise
from diabolo.recipes import build
from diabolo.spec import Spec

FLOOR = 1e-3  # what the normal family adds to a learned standard deviation


class Linear(nn.Module):
    """A user's network: an affine map of the input and of the condition, in whatever shape."""

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        condition: Tensor | None = None,
        constant: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)
        self.condition = None if condition is None else nn.Parameter(condition)
        self.constant = None if constant is None else nn.Parameter(constant)

    def forward(self, h: Tensor, c: Tensor | None = None) -> Tensor:
        out = h.flatten(1) @ self.weight.T + self.bias
        if self.condition is not None and c is not None:
            out = out + c @ self.condition.T
        if self.constant is None:
            return out
        return torch.cat([out, self.constant.expand_as(out)], dim=1)


def raw_scale(scale: Tensor) -> Tensor:
    """The raw number that the normal family reads as this standard deviation."""
    return torch.log(scale - FLOOR)


class Points(Noise):
    """Numbers that were chosen: the noise of all posterior samples, (K, B, D)."""

    def __init__(self, values: Tensor) -> None:
        self.values = values

    def normal(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        return self.values.to(like.dtype).expand(shape)


def cubature(d: int) -> tuple[int, Points]:
    """K = 2 D points whose plain mean takes expectations of quadratics under N(0, I) exactly."""
    eye = torch.eye(d, dtype=torch.float64) * math.sqrt(d)
    return 2 * d, Points(torch.cat([eye, -eye])[:, None])


def gauss_hermite(n: int, k: int) -> tuple[Points, Tensor]:
    """Noise for K scalar samples: one datum of the batch for each node of the product rule.

    Returns:
        The noise (K, n^K, 1) and the weight of each datum, (n^K,), which sum to one.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(n)
    grid = torch.cartesian_prod(*[torch.from_numpy(nodes)] * k).reshape(-1, k)
    mass = torch.cartesian_prod(*[torch.from_numpy(weights / weights.sum())] * k).reshape(-1, k)
    return Points(grid.T[..., None]), mass.prod(1)


def linear_gaussian(
    weight: Tensor,
    mean: Tensor,
    scale: float | str,
    encoder: nn.Module,
    *,
    name: str = "vae",
    condition: Tensor | None = None,
    **options: object,
) -> Recipe:
    """A recipe whose networks are the user's: x ~ N(weight z + condition c + mean, scale^2)."""
    spec = Spec(
        event=(len(mean),), support="real", condition=0 if condition is None else condition.shape[1]
    )
    recipe = build(
        name,
        spec,
        latent=weight.shape[1],
        net=encoder,
        decoder=Linear(weight, mean, condition),
        likelihood=f"Normal(scale={scale})",
        **options,
    )
    recipe.model.double().eval()
    return recipe


def posterior(weight: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """The gain A (D, E) and covariance (D, D) of p(z | x)."""
    d = weight.shape[1]
    precision = torch.eye(d, dtype=weight.dtype) + weight.T @ weight / scale**2
    covariance = torch.linalg.inv(precision)
    return covariance @ weight.T / scale**2, covariance


def encoder(weight: Tensor, mean: Tensor, scale: float, variance: Tensor) -> Linear:
    """The encoder with the true posterior's mean and this variance of each latent."""
    gain, _ = posterior(weight, scale)
    return Linear(gain, -gain @ mean, constant=raw_scale(variance.sqrt()))


def rotated(weight: Tensor) -> tuple[Tensor, Tensor]:
    """The same p(x) with latents turned so that their posterior is diagonal, and the rotation."""
    _, turn = torch.linalg.eigh(weight.T @ weight)
    return weight @ turn, turn


def log_marginal(x: Tensor, weight: Tensor, mean: Tensor, scale: float) -> Tensor:
    """log p(x) of each row, from torch's density of the joint normal."""
    covariance = weight @ weight.T + scale**2 * torch.eye(len(mean), dtype=weight.dtype)
    return torch.distributions.MultivariateNormal(mean, covariance).log_prob(x)


def toy(name: str = "vae", *, loc: float = 0.0, scale: float = 1.0, slope: float = 0.0) -> Recipe:
    """z ~ N(0, 1), x | z ~ N(z, 1), with q(z | x) = N(slope x + loc, scale^2)."""
    one = torch.ones(1, 1, dtype=torch.float64)
    net = Linear(
        slope * one,
        torch.full((1,), loc, dtype=torch.float64),
        constant=raw_scale(torch.full((1,), scale, dtype=torch.float64)),
    )
    return linear_gaussian(one, torch.zeros(1, dtype=torch.float64), 1.0, net, name=name)


def toy_trace(recipe: Recipe, k: int, noise: Noise, n: int, x: float = 1.0) -> Trace:
    """The trace of n copies of one datum."""
    data = torch.full((n, 1), x, dtype=torch.float64)
    return recipe.model(data, k=k, noise=noise)


def encoder_gradients(
    objective: Callable[[Trace], Tensor],
    k: int,
    n: int,
    noise: Noise | None = None,
    *,
    loc: float = 0.2,
    scale: float = 0.8,
) -> tuple[Tensor, Tensor, Tensor]:
    """What an objective gives each of n data with a posterior N(loc, scale^2) of its own.

    Returns:
        Its value (n,), the gradient to the mean and the raw scale (n, 2), and to the decoder.
    """

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            ends = torch.tensor([loc, scale], dtype=torch.float64)
            raw = torch.stack([ends[0], raw_scale(ends[1])])
            self.raw = nn.Parameter(raw.repeat(n, 1))

        def forward(self, h: Tensor, c: Tensor | None = None) -> Tensor:
            return self.raw

    net = Own()
    one = torch.ones(1, 1, dtype=torch.float64)
    recipe = linear_gaussian(one, one[0] * 0, 1.0, net)
    t = toy_trace(recipe, k, noise or KeyedNoise(3, torch.arange(n)), n)
    value = objective(t)
    value.sum().backward()
    return value.detach(), net.raw.grad, recipe.model.likelihood.net.weight.grad


def bounds_rise_to_the_truth(means: list[tuple[float, float]], truth: float) -> None:
    """ELBO <= IWAE_k <= IWAE_2k <= log p(x), each strictly where q is not the posterior.

    Arguments:
        means: The bound's mean and its standard error for growing k.
        truth: log p(x).
    """
    for (low, low_error), (high, high_error) in pairwise(means):
        assert high - low > 4 * math.hypot(low_error, high_error)
    for value, error in means:
        assert value < truth + 4 * error

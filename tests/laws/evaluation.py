"""Models whose likelihood is known exactly, and what evaluation owes to any model.

Shapes: K posterior samples, B batch, N data, E event, D latent, C condition width.
"""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from diabolo.data import Data
from diabolo.distributions import Dirac, Normal, family
from diabolo.evaluate import Estimate, bound, log_likelihood
from diabolo.latents import Amortized
from diabolo.model import Conditional, LatentModel
from diabolo.priors import PRIORS
from diabolo.spec import Spec
from diabolo.views import View

F64 = torch.float64


def tensor(values: object) -> Tensor:
    """A float64 tensor."""
    return torch.as_tensor(values, dtype=F64)


class Affine(nn.Module):
    """A network h, c -> W h + V c + b."""

    def __init__(self, weight: Tensor, bias: Tensor, condition: Tensor | None = None) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)
        self.condition = None if condition is None else nn.Parameter(condition)

    def forward(self, h: Tensor, c: Tensor | None = None) -> Tensor:
        h = F.linear(h, self.weight, self.bias)
        return h if c is None or self.condition is None else h + F.linear(c, self.condition)


class Posterior(nn.Module):
    """q(z | x, c) = N(A x + a + V c, scale^2), or the point A x + a where the scale is 0."""

    def __init__(self, mean: Affine, scale: Tensor) -> None:
        super().__init__()
        self.mean = mean
        self.register_buffer("scale", scale)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Normal | Dirac:
        loc = self.mean(x.flatten(1), c)
        if bool((self.scale == 0).all()):
            return Dirac(loc)
        return Normal(loc, self.scale.log().expand_as(loc))


class Gaussian(nn.Module):
    """p(z) = N(0, scale^2)."""

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale)

    def forward(self, c: Tensor | None = None) -> Normal:
        return Normal(torch.zeros_like(self.scale), self.scale.log())


class Linear:
    """z ~ N(0, 1), x = W z + V c + mu + sigma e: the model whose every number is known.

    Arguments:
        weight: W (E, D).
        mu: (E,).
        variance: sigma^2.
        condition: V (E, C), or None.
    """

    def __init__(
        self, weight: Tensor, mu: Tensor, variance: float, condition: Tensor | None = None
    ) -> None:
        self.weight, self.mu, self.variance, self.condition = weight, mu, variance, condition
        size = weight.shape[1]
        precision = torch.eye(size, dtype=F64) + weight.T @ weight / variance
        self.covariance = torch.linalg.inv(precision)  # of the posterior
        self.gain = self.covariance @ weight.T / variance  # posterior mean = gain (x - mu - V c)

    def rotated(self) -> Linear:
        """The same p(x) with latents turned so that the posterior is diagonal."""
        turn = torch.linalg.eigh(self.covariance).eigenvectors
        return Linear(self.weight @ turn, self.mu, self.variance, self.condition)

    def log_prob(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """The exact log p(x | c), (N,)."""
        covariance = self.weight @ self.weight.T
        covariance = covariance + self.variance * torch.eye(len(self.mu), dtype=F64)
        loc = self.mu if c is None or self.condition is None else self.mu + c @ self.condition.T
        return MultivariateNormal(loc, covariance).log_prob(x)

    def draw(self, n: int, seed: int = 0, c: Tensor | None = None) -> Tensor:
        """n data of the model, (n, E)."""
        g = torch.Generator().manual_seed(seed)
        z = torch.randn(n, self.weight.shape[1], generator=g, dtype=F64)
        e = torch.randn(n, len(self.mu), generator=g, dtype=F64)
        x = z @ self.weight.T + self.mu + math.sqrt(self.variance) * e
        return x if c is None or self.condition is None else x + c @ self.condition.T

    def model(
        self,
        *,
        gain: Tensor | None = None,
        offset: Tensor | None = None,
        scale: Tensor | None = None,
        prior: Tensor | None = None,
        deterministic: bool = False,
    ) -> LatentModel:
        """The model with a normal posterior: by default the best diagonal one.

        Arguments:
            gain: The posterior's mean is gain x + offset (- gain V c).
            offset: See `gain`.
            scale: The posterior's scale, (D,).
            prior: Scales of the prior, (D,), other than 1.
            deterministic: Whether the code is the posterior's mean.
        """
        size = self.weight.shape[1]
        gain = self.gain if gain is None else gain
        offset = -gain @ self.mu if offset is None else offset
        best = torch.diagonal(torch.linalg.inv(self.covariance)) ** -0.5
        scale = best if scale is None else scale
        if deterministic:
            scale = torch.zeros_like(best)
        shift = None if self.condition is None else -gain @ self.condition
        q = Posterior(Affine(gain, offset, shift), scale)
        event = tuple(self.mu.shape)
        spec = Spec(event=event)
        if deterministic:
            p = None
        elif prior is None:
            p = PRIORS.build("normal", size, posterior=q, spec=spec).double()
        else:
            p = Gaussian(prior)
        px = Conditional(
            Affine(self.weight, self.mu, self.condition),
            family(f"Normal(scale={math.sqrt(self.variance)!r})"),
            event,
        )
        width = 0 if self.condition is None else self.condition.shape[1]
        latent = Amortized(q, p, size)
        return LatentModel(View(event).double(), latent, px, condition=width).eval()


def textbook() -> Linear:
    """The example of the oracles: three data dimensions, two latents."""
    return Linear(tensor([[2, 0], [1, 1], [0, 0.5]]), tensor([0.5, -0.5, 0]), 0.25)


def estimates_agree(a: Estimate, b: Estimate, tolerance: float) -> None:
    """Two estimates are the same for each datum, in value and in error."""
    assert a.n == b.n
    torch.testing.assert_close(a.per_datum, b.per_datum, atol=tolerance, rtol=0)
    if a.per_datum_stderr is not None and b.per_datum_stderr is not None:
        torch.testing.assert_close(
            a.per_datum_stderr, b.per_datum_stderr, atol=10 * tolerance, rtol=0.01
        )


def batch_and_chunk_change_nothing(model: LatentModel, data: Data, tolerance: float) -> None:
    """Bounds and likelihoods of a datum do not depend on how the work was cut."""
    whole = log_likelihood(model, data, k=23, seed=1, batch=len(data), chunk=10**6)
    for batch, chunk in ((1, None), (3, 5), (len(data), 7), (None, 1)):
        cut = log_likelihood(model, data, k=23, seed=1, batch=batch, chunk=chunk)
        estimates_agree(whole, cut, tolerance)
    one, many = (bound(model, data, seed=1, batch=b, samples=3) for b in (len(data), 2))
    estimates_agree(one.elbo, many.elbo, tolerance)
    estimates_agree(one.distortion, many.distortion, tolerance)
    for a, b in zip(one.rate, many.rate, strict=True):
        estimates_agree(a, b, tolerance)


def order_changes_nothing(model: LatentModel, data: Data, tolerance: float) -> None:
    """Permuted data have permuted estimates: noise belongs to rows, not to positions."""
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(2))
    for estimate in (
        lambda d: log_likelihood(model, d, k=5),
        lambda d: bound(model, d).elbo,
    ):
        straight, turned = estimate(data), estimate(data.take(order))
        torch.testing.assert_close(
            straight.per_datum[order], turned.per_datum, atol=tolerance, rtol=0
        )


def bounds_are_ordered(model: LatentModel, data: Data) -> None:
    """ELBO <= log-likelihood at k <= at a larger k, on average, within their errors."""
    ks = (1, 4, 32, 256)
    found = [bound(model, data, samples=16).elbo, *(log_likelihood(model, data, k=k) for k in ks)]
    for low, high in itertools.pairwise(found):
        # The same seed shares samples, so paired differences are steadier than either number;
        # four standard errors of their mean leave a chance of 3e-5.
        difference = high.per_datum - low.per_datum
        slack = 4 * float(difference.std()) / math.sqrt(len(difference)) + 1e-6
        assert float(difference.mean()) > -slack


def parts_make_the_bound(model: LatentModel, data: Data) -> None:
    """ELBO = -distortion - sum of rates for each datum, and rates of elements sum to the rate."""
    found = bound(model, data, samples=4)
    total = -found.distortion.per_datum
    for rate in found.rate:
        total = total - rate.per_datum
    # float32 sums of a few hundred nats
    torch.testing.assert_close(found.elbo.per_datum, total, atol=1e-3, rtol=0)
    whole = -found.distortion.per_datum - found.total_rate.per_datum
    torch.testing.assert_close(whole, total, atol=1e-9, rtol=0)
    for rate, elements in zip(found.rate, found.rate_elements, strict=True):
        if elements is not None:
            assert math.isclose(rate.value, float(elements.sum()), rel_tol=1e-4, abs_tol=1e-5)

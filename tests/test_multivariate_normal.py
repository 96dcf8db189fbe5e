"""The normal density with a full covariance, its divergences, and the posterior that has it.

Shapes: K posterior samples, B batch, D latents, S samples.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from diabolo.data import Data
from diabolo.distributions import (
    Laplace,
    Mixture,
    MultivariateNormal,
    Normal,
    kl_divergence,
    kl_elements,
)
from diabolo.errors import DiaboloError
from diabolo.evaluate import bound
from diabolo.latents import Amortized
from diabolo.model import LatentModel
from diabolo.noise import KeyedNoise
from diabolo.objectives import elbo
from diabolo.posteriors import POSTERIORS
from diabolo.recipes import build
from diabolo.spec import Spec
from laws.bounds import cubature
from laws.evaluation import tensor, textbook

D = 3


@pytest.fixture(autouse=True)
def _double() -> None:
    torch.set_default_dtype(torch.float64)


def factor(*lead: int, size: int = D) -> Tensor:
    """A random Cholesky factor (*lead, D, D)."""
    return torch.randn(*lead, size, size).tril(-1) + torch.diag_embed(torch.rand(*lead, size) + 0.3)


def joint(*lead: int) -> MultivariateNormal:
    return MultivariateNormal(torch.randn(*lead, D), factor(*lead))


def diagonal(*lead: int) -> Normal:
    return Normal(torch.randn(*lead, D), 0.3 * torch.randn(*lead, D))


def theirs(p: MultivariateNormal | Normal) -> torch.distributions.MultivariateNormal:
    tril = (
        p.scale_tril if isinstance(p, MultivariateNormal) else torch.diag_embed(p.log_scale.exp())
    )
    return torch.distributions.MultivariateNormal(p.loc, scale_tril=tril)


@pytest.mark.parametrize("batch", [(), (4,), (2, 4)])
def test_density_moments_and_samples_are_those_of_torch(batch: tuple[int, ...]) -> None:
    p = joint(*batch)
    reference = theirs(p)
    assert p.batch_shape == batch
    x = torch.randn(5, *batch, D)
    torch.testing.assert_close(p.log_prob(x), reference.log_prob(x), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(p.mean, reference.mean)
    torch.testing.assert_close(p.variance, reference.variance)
    torch.testing.assert_close(p.covariance, reference.covariance_matrix)
    x, log_p = p.rsample_and_log_prob((7,))
    assert x.shape == (7, *batch, D)
    torch.testing.assert_close(log_p, reference.log_prob(x), rtol=1e-9, atol=1e-9)
    drawn = p.sample((40_000,), KeyedNoise(0, torch.arange(40_000), lead=1))
    away = drawn - p.mean
    found = (away[..., :, None] * away[..., None, :]).mean(0)
    # An entry of the covariance has a standard error of at most sqrt(2 / n) times the scales.
    error = 5 * math.sqrt(2 / 40_000) * p.variance.max()
    assert float((found - reference.covariance_matrix).abs().max()) < error


def test_one_point_is_scored_by_every_density_and_many_by_one() -> None:
    p = joint(4)
    x = torch.randn(D)
    torch.testing.assert_close(p.log_prob(x), theirs(p).log_prob(x))
    mixed = MultivariateNormal(torch.randn(D), factor(2, 4))  # the mean is shared
    torch.testing.assert_close(mixed.log_prob(x), theirs(mixed).log_prob(x))
    assert mixed.batch_shape == (2, 4)
    assert mixed.sample((5,)).shape == (5, 2, 4, D)
    components = Mixture(torch.randn(4), p)
    x = torch.randn(6, 5, D)
    each = p.log_prob(x[:, :, None]) + components.logits.log_softmax(-1)
    torch.testing.assert_close(components.log_prob(x), each.logsumexp(-1))


def test_densities_are_selected_along_the_batch() -> None:
    """Parameters of one axis and of two, side by side."""
    p = joint(2, 4)
    x = p.sample()
    index = torch.tensor([[2, 0], [1, 3], [3, 3]])  # (S, 2)
    rows = torch.arange(2)
    torch.testing.assert_close(p.select(index).log_prob(x[rows, index]), p.log_prob(x)[rows, index])
    torch.testing.assert_close(p.narrow(1, 3).log_prob(x[:, 1:3]), p.log_prob(x)[:, 1:3])


def test_a_density_of_whole_vectors_refuses_a_mask() -> None:
    with pytest.raises(DiaboloError, match="whole vectors"):
        joint(4).log_prob(torch.randn(4, D), torch.ones(4, D, dtype=torch.bool))


KINDS = {"full": joint, "diagonal": diagonal}


@pytest.mark.parametrize("left", KINDS)
@pytest.mark.parametrize("right", KINDS)
@pytest.mark.parametrize(("one", "other"), [((4,), (4,)), ((4,), ()), ((), (4,)), ((2, 4), (4,))])
def test_divergence_is_that_of_torch(
    left: str, right: str, one: tuple[int, ...], other: tuple[int, ...]
) -> None:
    q, p = KINDS[left](*one), KINDS[right](*other)
    found = kl_divergence(q, p)
    assert found is not None
    expected = torch.distributions.kl_divergence(theirs(q), theirs(p))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    splits = left == right == "diagonal"
    assert (kl_elements(q, p) is not None) == splits


@pytest.mark.oracle(1)
def test_divergence_has_its_known_values() -> None:
    """Of N([1, -1], [[2, .5], [.5, 1]]) and N(0, I), both ways, and of one and itself."""
    covariance = tensor([[2.0, 0.5], [0.5, 1.0]])
    q = MultivariateNormal(tensor([1.0, -1.0]), torch.linalg.cholesky(covariance))
    p = Normal(torch.zeros(2), torch.zeros(2))
    assert float(kl_divergence(q, p)) == pytest.approx(1.2201921060, abs=1e-9)
    assert float(kl_divergence(p, q)) == pytest.approx(1.2798078940, abs=1e-9)
    assert float(kl_divergence(q, q)) == pytest.approx(0.0, abs=1e-14)


def test_divergence_of_near_densities_keeps_its_digits_in_float32() -> None:
    """Half the sum of squared steps, of 1e-4 here: below one rounding of what must cancel."""
    step = 1e-4
    q = MultivariateNormal(torch.zeros(D), (1 + step) * torch.eye(D))
    p = Normal(torch.zeros(D), torch.zeros(D))
    exact = float(kl_divergence(q, p))
    assert exact == pytest.approx(D * step**2, rel=1e-3)
    single = MultivariateNormal(q.loc.float(), q.scale_tril.float())
    found = kl_divergence(single, Normal(p.loc.float(), p.log_scale.float()))
    assert float(found) == pytest.approx(exact, rel=0.02)  # the step itself has four digits


def test_codes_of_another_precision_are_scored() -> None:
    p = joint(4)
    single = MultivariateNormal(p.loc.float(), p.scale_tril.float())
    x = torch.randn(5, 4, D)
    torch.testing.assert_close(single.log_prob(x).double(), p.log_prob(x), rtol=1e-4, atol=1e-4)
    assert bool(single.log_prob(x.bfloat16()).isfinite().all())


def test_divergence_is_the_mean_of_its_samples() -> None:
    q, p = joint(), diagonal()
    n = 40_000
    for a, b in ((q, p), (p, q)):
        x = a.sample((n,), KeyedNoise(0, torch.arange(n), lead=1))
        ratio = a.log_prob(x) - b.log_prob(x)
        error = float(ratio.std()) / n**0.5
        assert abs(float(ratio.mean()) - float(kl_divergence(a, b))) < 4 * error


def test_no_divergence_is_made_up() -> None:
    q, p = joint(), Laplace(torch.zeros(D), torch.zeros(D))
    foreign = torch.distributions.Normal(0.0, 1.0)
    for a, b in ((q, p), (p, q), (q, foreign), (foreign, q)):
        assert kl_divergence(a, b) is None  # type: ignore[arg-type]


# -- the posterior -------------------------------------------------------------------------------

X = tensor([[1.0, 0.0, 1.0]])
LOG_P = (
    -4.3912506045
)  # of the textbook model, whose best diagonal posterior lies 0.0679007706 below


class Constant(nn.Module):
    """A network that says the same of every datum."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.zeros(count))

    def forward(self, h: Tensor, c: Tensor | None = None) -> Tensor:
        return self.raw.expand(len(h), -1)


@pytest.mark.parametrize(("kind", "gap"), [("full", 0.0), ("normal", 0.0679007706)])
def test_full_covariance_closes_the_gap_that_a_diagonal_one_leaves(kind: str, gap: float) -> None:
    """Fitted to one datum by its exact ELBO; log p(x|z) is quadratic, so a few points take it."""
    model = textbook().model()
    count = {"full": 5, "normal": 4}[kind]
    q = POSTERIORS.build(kind, (3,), 2, net=Constant(count)).double()
    model = LatentModel(model.view, Amortized(q, model.latent.prior, 2), model.likelihood)
    k, points = cubature(2)
    steps = torch.optim.LBFGS(
        q.parameters(), max_iter=200, tolerance_grad=1e-12, tolerance_change=0
    )

    def loss() -> Tensor:
        steps.zero_grad()
        value = -elbo(model(X, k=k, noise=points)).sum()
        value.backward()
        return value

    for _ in range(3):
        steps.step(loss)
    value = -float(loss().detach())
    assert value == pytest.approx(LOG_P - gap, abs=1e-8)
    if kind == "full":
        made = q(X)
        found = (made.scale_tril @ made.scale_tril.mT)[0]
        torch.testing.assert_close(found, textbook().covariance, rtol=0, atol=1e-5)
        measured = bound(model, Data(X), samples=500)
        assert measured.rate[0].kind.endswith("closed form")
        assert measured.rate_elements == (None,)
        assert abs(measured.elbo.value - LOG_P) < 4 * measured.elbo.mc_stderr


@pytest.mark.parametrize("size", [1, 2, 5])
def test_every_number_of_the_network_has_one_place(size: int) -> None:
    count = 2 * size + size * (size - 1) // 2
    net = Constant(count)
    q = POSTERIORS.build("full", (3,), size, net=net)
    with torch.no_grad():
        net.raw.copy_(torch.arange(count) / 10 + 0.1)
    p = q(torch.zeros(2, 3))
    assert p.scale_tril.shape == (2, size, size)
    assert bool((p.scale_tril.triu(1) == 0).all())
    rows = p.scale_tril[0][*torch.tril_indices(size, size, -1)]
    torch.testing.assert_close(rows, net.raw[2 * size :])
    torch.testing.assert_close(p.scale_tril[0].diagonal(), net.raw[size : 2 * size].exp() + 1e-3)
    torch.testing.assert_close(p.loc[0], net.raw[:size])
    (p.log_prob(torch.randn(2, size)).sum()).backward()
    assert bool((net.raw.grad != 0).all())


def test_free_bits_are_counted_by_group_where_a_rate_does_not_split() -> None:
    x = torch.rand(6, 4)
    spec = Spec(event=(4,), support="unit", mean=x.mean(0))
    recipe = build("beta_vae", spec, latent=2, posterior="full", free_bits=0.1)
    with pytest.raises(DiaboloError, match="per='group'"):
        recipe.objective(recipe.model(x))
    recipe = build("beta_vae", spec, latent=2, posterior="full", free_bits=0.1, per="group")
    assert recipe.objective(recipe.model(x)).shape == (6,)


def test_a_users_network_of_another_width_is_refused() -> None:
    q = POSTERIORS.build("full", (3,), 2, net=Constant(6))
    with pytest.raises(DiaboloError, match=r"needs 5 outputs a datum, but has \(6,\)"):
        q(torch.zeros(1, 3))

"""Densities: laws over every family of the folder, known values, and wrappers."""

from __future__ import annotations

import dataclasses
import importlib
import math
import pkgutil
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor, nn

import diabolo.distributions as room
from diabolo.distributions import (
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    Couplings,
    Dirac,
    DiscretizedLogistic,
    Distribution,
    Exposed,
    Flowed,
    Laplace,
    Logistic,
    LogNormal,
    Mixture,
    MultivariateNormal,
    Normal,
    Poisson,
    Product,
    Standardized,
    StandardizedFamily,
    StudentT,
    VonMisesFisher,
    default_family,
    families,
    family,
    kl_divergence,
    kl_elements,
)
from diabolo.distributions._solve import where_rising
from diabolo.distributions.normal import NormalFamily, OptimalNormal
from diabolo.errors import DiaboloError
from diabolo.noise import MEAN, KeyedNoise
from diabolo.spec import SUPPORTS
from laws import densities as laws
from laws.densities import Even

CASES = laws.cases()
every_case = pytest.mark.parametrize("case", CASES, ids=str)


@pytest.fixture(autouse=True)
def _double() -> None:
    torch.set_default_dtype(torch.float64)


@every_case
@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
def test_density_keeps_law(law: object, case: laws.Case) -> None:
    law(case)  # type: ignore[operator]


@pytest.mark.parametrize("name", list(families()))
def test_density_compiles_into_one_graph(name: str) -> None:
    laws.one_graph(next(c for c in CASES if c.name.startswith(name)))


@pytest.mark.parametrize("case", [c for c in CASES if "exposure=total" in c.name], ids=str)
def test_density_given_a_total_compiles_into_one_graph(case: laws.Case) -> None:
    laws.one_graph(case)


def densities() -> set[type[Distribution]]:
    """Every density of the folder."""
    found = set()
    for module in pkgutil.iter_modules(room.__path__):
        members = vars(importlib.import_module(f"{room.__name__}.{module.name}")).values()
        found |= {m for m in members if isinstance(m, type) and issubclass(m, Distribution)}
    return {m for m in found if dataclasses.is_dataclass(m)}  # the others are abstract


def test_every_density_is_under_the_laws() -> None:
    covered = {type(c.density()) for c in CASES}
    covered |= {Dirac, OptimalNormal, Mixture, Flowed}  # by tests of their own, below
    covered |= {MultivariateNormal, VonMisesFisher, Exposed}  # and in files of their own
    assert densities() == covered


def test_conditional_laws_meet_the_densities_that_they_are_about() -> None:
    """The laws of divergences and paths pass over densities without; these must have them."""
    pathwise, closed = set(), set()
    for case in CASES:
        p = case.density()
        if kl_divergence(p, p) is not None:
            closed.add(type(p))
        try:
            p.rsample()
            pathwise.add(type(p))
        except DiaboloError:
            pass
    assert pathwise == {
        Normal,
        Laplace,
        LogNormal,
        ContinuousBernoulli,
        Logistic,
        StudentT,
        Standardized,
    }
    own = {Normal, Laplace, LogNormal, Bernoulli, ContinuousBernoulli, Categorical, Poisson}
    assert closed == {*own, Product}


def torch_counterparts() -> list[tuple[Distribution, torch.distributions.Distribution]]:
    t = torch.distributions
    a, b = torch.randn(5), torch.randn(5)
    rows = torch.randn(7, 5)  # levels first, as a network gives them
    return [
        (Bernoulli(a), t.Bernoulli(logits=a)),
        (ContinuousBernoulli(a), t.ContinuousBernoulli(logits=a)),
        (Normal(a, b), t.Normal(a, b.exp())),
        (Laplace(a, b), t.Laplace(a, b.exp())),
        (LogNormal(a, b), t.LogNormal(a, b.exp())),
        (Poisson(a), t.Poisson(a.exp())),
        (Categorical(rows), t.Categorical(logits=rows.T)),
    ]


@pytest.mark.parametrize("pair", range(7))
def test_density_equals_that_of_torch(pair: int) -> None:
    ours, theirs = torch_counterparts()[pair]
    x = theirs.sample((50,))
    # torch's continuous Bernoulli switches to a shorter series near lambda = 0.
    torch.testing.assert_close(ours.log_prob_elements(x), theirs.log_prob(x), rtol=1e-6, atol=1e-6)
    if not isinstance(ours, Categorical):  # torch has no mean of codes
        torch.testing.assert_close(ours.mean, theirs.mean, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(ours.variance, theirs.variance, rtol=1e-5, atol=1e-5)
    ours_too, theirs_too = torch_counterparts()[pair]
    expected = torch.distributions.kl_divergence(theirs, theirs_too)
    closed = kl_elements(ours, ours_too)
    assert closed is not None
    torch.testing.assert_close(closed, expected, rtol=1e-5, atol=1e-5)


def test_logistic_equals_that_of_scipy() -> None:
    """Far tails included; its entropy is 2 nats and the log of the scale."""
    loc, scale = 0.3, 0.08
    p = Logistic(torch.full((1,), loc), torch.full((1,), math.log(scale)))
    reference = scipy.stats.logistic(loc, scale)
    x = torch.cat([torch.linspace(-2, 2, 41), torch.tensor([-80.0, 80.0])])
    found = p.log_prob_elements(x)
    torch.testing.assert_close(found, torch.from_numpy(reference.logpdf(x.numpy())))
    assert float(p.variance) == pytest.approx(reference.var(), rel=1e-12)
    q = torch.linspace(0.01, 0.99, 99)
    drawn = p.rsample((99,), Even(q)).flatten()
    torch.testing.assert_close(drawn, torch.from_numpy(reference.ppf(q.numpy())))
    n = 40_000
    value = -p.log_prob(p.sample((n,), KeyedNoise(0, torch.arange(n), lead=1)))
    exact = 2 + math.log(scale)
    assert abs(float(value.mean()) - exact) < 4 * float(value.std()) / n**0.5
    assert kl_divergence(p, p) is None  # where scales differ there is no closed form


def test_discretized_logistic_equals_differences_of_scipy() -> None:
    levels, loc, scale = 17, 0.3, 0.08
    x = torch.arange(levels) / (levels - 1)
    edges = np.concatenate([[-np.inf], (np.arange(levels - 1) + 0.5) / (levels - 1), [np.inf]])
    expected = np.diff(scipy.stats.logistic.cdf(edges, loc, scale))
    p = DiscretizedLogistic(torch.full((levels,), loc), torch.tensor(math.log(scale)), levels)
    # The difference of scipy's cdf cancels in the tails: 1e-16 of probabilities of 1e-6.
    np.testing.assert_allclose(p.log_prob_elements(x).exp().numpy(), expected, rtol=1e-9)


@pytest.mark.oracle(12)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("log_scale", [-12.0, -5.0, 0.0, 5.0, 20.0])
@pytest.mark.parametrize("loc", [-3.0, 0.0, 0.1234, 1.0, 9.0])
def test_discretized_logistic_sums_to_one(loc: float, log_scale: float, dtype: torch.dtype) -> None:
    x = (torch.arange(256) / 255).to(dtype)[:, None]
    p = DiscretizedLogistic(
        torch.tensor([loc], dtype=dtype), torch.tensor([log_scale], dtype=dtype), 256
    )
    mass = p.log_prob_elements(x).exp().sum()
    # 256 terms, each of an argument rounded to float32: the bound that is published is 1e-6,
    # which float32 keeps up to scales where its arguments have hundreds of thousands of units.
    assert float((mass - 1).abs()) < (1e-6 if dtype == torch.float64 else 2e-5)


@pytest.mark.oracle(1)
def test_kl_of_normals_known_value() -> None:
    q = Normal(torch.tensor([1.0]), torch.tensor([math.log(2)]))
    p = Normal(torch.zeros(1), torch.zeros(1))
    assert float(kl_divergence(q, p)) == pytest.approx(1.3068528194, abs=1e-10)
    wide = Normal(q.loc.expand(3), q.log_scale)
    assert float(kl_divergence(wide, Normal(torch.zeros(3), torch.zeros(())))) == pytest.approx(
        3 * 1.3068528194, abs=1e-9
    )  # divergences of independent elements add up


@pytest.mark.oracle(1)
def test_kl_of_normals_equals_monte_carlo() -> None:
    q, p = Normal(torch.randn(6), 0.3 * torch.randn(6)), Normal(torch.zeros(6), torch.zeros(6))
    n = 40_000
    x = q.sample((n,), KeyedNoise(0, torch.arange(n), lead=1))
    ratio = q.log_prob(x) - p.log_prob(x)
    error = float(ratio.std()) / n**0.5
    assert abs(float(ratio.mean() - kl_divergence(q, p))) < 4 * error


@pytest.mark.oracle(2)
def test_kl_known_values() -> None:
    zero = torch.zeros(1)
    laplace = kl_divergence(Laplace(zero, zero), Laplace(zero, torch.full((1,), math.log(2))))
    assert float(laplace) == pytest.approx(0.1931471806, abs=1e-10)
    # |x| is exponential: this is KL(Exp(2) || Exp(1)) too.
    narrow = kl_divergence(Laplace(zero, torch.full((1,), -math.log(2))), Laplace(zero, zero))
    assert float(narrow) == pytest.approx(0.1931471806, abs=1e-10)
    logits = torch.randn(6, 1)
    p = logits.softmax(0)
    entropy = -(p * p.log()).sum()
    uniform = kl_divergence(Categorical(logits), Categorical(torch.zeros(6, 1)))
    assert float(uniform) == pytest.approx(math.log(6) - float(entropy), abs=1e-12)
    a, b = 0.3, 0.8
    bits = kl_divergence(
        Bernoulli(torch.logit(torch.tensor([a]))), Bernoulli(torch.logit(torch.tensor([b])))
    )
    expected = a * math.log(a / b) + (1 - a) * math.log((1 - a) / (1 - b))
    assert float(bits) == pytest.approx(expected, abs=1e-12)
    assert kl_divergence(Laplace(zero, zero), Normal(zero, zero)) is None  # no closed form here


@pytest.mark.oracle(11)
@pytest.mark.parametrize(
    ("mean", "log_c"),
    [(0.1, 1.0103385595), (0.3, 0.7505877509), (0.49, 0.6932805370), (0.5, math.log(2))],
)
def test_continuous_bernoulli_known_normaliser(mean: float, log_c: float) -> None:
    # log C(p) is the log-density at x = 0 less log(1 - p).
    p = ContinuousBernoulli(torch.logit(torch.tensor([mean])))
    found = float(p.log_prob(torch.zeros(1))) - math.log(1 - mean)
    assert found == pytest.approx(log_c, abs=1e-9)  # the published value has ten digits


@pytest.mark.oracle(11)
@pytest.mark.parametrize(("p", "mean"), [(0.1, 0.3301196133), (0.3, 0.4302225011)])
def test_continuous_bernoulli_known_mean(p: float, mean: float) -> None:
    found = ContinuousBernoulli(torch.logit(torch.tensor([p]))).mean
    assert float(found) == pytest.approx(mean, abs=1e-9)


@pytest.mark.oracle(11)
@pytest.mark.parametrize("edge", [0.0, 0.5, -0.5])
def test_continuous_bernoulli_is_smooth_across_its_series(edge: float) -> None:
    """Value, mean (slope) and variance (curve) do not jump where the series takes over."""
    step = 1e-9
    left, right = (ContinuousBernoulli(torch.tensor([edge + s])) for s in (-step, step))
    x = torch.tensor([0.3])
    assert float((left.log_prob(x) - right.log_prob(x)).abs()) < 3 * step
    assert float((left.mean - right.mean).abs()) < 1e-9
    assert float((left.variance - right.variance).abs()) < 1e-9


@pytest.mark.oracle(11)
@pytest.mark.parametrize("logit", [-30.0, -2.2, -0.6, -1e-3, 0.0, 0.04, 5.0])
def test_continuous_bernoulli_integrates_to_one(logit: float) -> None:
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(60))
    x = (nodes + 1)[:, None] / 2
    density = ContinuousBernoulli(torch.tensor([logit])).log_prob(x).exp()
    # 60 nodes are exact for an exponential function of this slope, to rounding.
    assert float(density @ weights / 2) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_continuous_bernoulli_gradient_at_zero(dtype: torch.dtype) -> None:
    """At lambda = 0 the density is uniform: d log p / d lambda = x - 1/2, d2 = -1/12."""
    logits = torch.zeros(3, dtype=dtype, requires_grad=True)
    x = torch.tensor([0.0, 0.3, 1.0], dtype=dtype)
    p = ContinuousBernoulli(logits)
    value = p.log_prob_elements(x)
    assert bool((value == 0).all())
    (slope,) = torch.autograd.grad(value.sum(), logits, create_graph=True)
    torch.testing.assert_close(slope, x - 0.5)
    (curve,) = torch.autograd.grad(slope.sum(), logits)
    torch.testing.assert_close(curve, torch.full_like(x, -1 / 12))
    (path,) = torch.autograd.grad(p.rsample((), MEAN).sum(), logits)
    torch.testing.assert_close(path, torch.full_like(x, 1 / 8))  # u (1 - u) / 2 at u = 1/2


@pytest.mark.parametrize("kind", ["Normal", "Laplace", "LogNormal", "DiscretizedLogistic"])
def test_shared_scale_has_no_batch_axis_and_learns(kind: str) -> None:
    made = family(f"{kind}(scale=shared)", levels=17)
    raw = torch.rand(2, 3, 1, 4)
    p = made.from_raw(raw, 1)
    assert p.log_scale.shape == ()
    assert p.batch_shape == (2, 3)
    p.log_prob(torch.full((3, 4), 0.5)).sum().backward()
    (shared,) = made.parameters()
    assert shared.shape == ()
    assert float(shared.grad.abs()) > 0


@pytest.mark.parametrize("kind", ["Normal", "Laplace", "LogNormal", "DiscretizedLogistic"])
def test_floor_holds_and_lets_gradients_through(kind: str) -> None:
    made = family(f"{kind}(scale=element, floor=0.01)", levels=17)
    raw = torch.full((2, 4), -6.0, requires_grad=True)  # e^-6 is a quarter of the floor
    p = made.from_raw(raw, 1)
    torch.testing.assert_close(p.log_scale.exp(), torch.full((4,), 0.01 + math.exp(-6)))
    p.log_scale.sum().backward()
    assert float(raw.grad[1].min()) > 0.1  # a hard clamp would have 0: it could never recover


@pytest.mark.parametrize("scale", ["element", "column", "shared", "optimal"])
@pytest.mark.parametrize("kind", ["Normal", "Laplace"])
def test_no_scale_learns_below_the_steps_of_the_data(kind: str, scale: str) -> None:
    """The floor is the standard deviation of a uniform density over a step, and 1e-3 without."""
    if scale == "optimal" and kind == "Laplace":
        return
    made = family(f"{kind}(scale={scale})").eval()
    made.prepare((2,), torch.tensor([2.0, 0.0]))
    with torch.no_grad():
        for p in made.parameters():
            p.fill_(-30.0)
    raw = torch.full((3, made.width((2,)), 2), -90.0)
    if scale == "optimal":
        made.train()
        made.from_raw(raw, 1).log_prob(torch.full((3, 2), -90.0))  # a perfect fit
        made.eval()
    least = made.from_raw(raw, 1).log_scale.exp().expand(3, 2)
    floor = torch.tensor([2 / math.sqrt(12), 1e-3]).expand(3, 2)
    torch.testing.assert_close(least, floor)  # e^-90 is nothing in float32
    assert made.stepped.tolist() == [True, False]


def test_a_narrow_density_gains_nothing_from_a_grid() -> None:
    """On whole numbers no density of the floor's width beats the probability 1 of a sure value.

    With the floor of 1e-3 it would gain 6 nats a column. At h / sqrt(12) the peak of a normal
    density is sqrt(12 / 2 pi) / h = 1.38 / h, hence at most 0.33 nats.
    """
    x = torch.arange(5.0)[:, None]
    for kind, most in (("Normal", 0.33), ("Laplace", math.log(math.sqrt(12) / 2))):
        made = family(f"{kind}(scale=element)")
        made.prepare((1,), torch.ones(1))
        raw = torch.stack([x, torch.full_like(x, -30.0)], 1)
        assert float(made.from_raw(raw, 1).log_prob(x).max()) <= most + 1e-3


def test_the_floor_of_a_log_normal_follows_the_size_of_x() -> None:
    made = family("LogNormal(scale=element)")
    made.prepare((1,), torch.ones(1))
    raw = torch.stack([torch.tensor([[10.0], [1000.0]]).log(), torch.full((2, 1), -30.0)], 1)
    found = made.from_raw(raw, 1).variance.sqrt().flatten()
    # To first order in the floor: sd(x) = x sd(log x); of the second, 0.03^2.
    torch.testing.assert_close(found[0], torch.tensor(1 / math.sqrt(12)), rtol=2e-3, atol=0)
    torch.testing.assert_close(found[1], torch.tensor(1.0), rtol=2e-3, atol=0)  # 1e-3 of 1000


def test_the_users_floor_wins_over_the_steps() -> None:
    made = family("Normal(scale=element, floor=0.01)")
    made.prepare((1,), torch.ones(1))
    found = made.from_raw(torch.full((2, 1), -30.0), 1)
    assert float(found.log_scale.exp()) == pytest.approx(0.01)
    assert made.stepped is None


def test_a_standardised_family_takes_steps_in_units_of_the_data() -> None:
    made = StandardizedFamily(family("Normal"), torch.zeros(2), torch.tensor([1.0, 100.0]))
    made.prepare((2,), torch.tensor([1.0, 1.0]))
    found = made.from_raw(torch.full((2, 2), -30.0), 1).variance.sqrt()
    torch.testing.assert_close(found, torch.full((2,), 1 / math.sqrt(12)))


@pytest.mark.parametrize("kind", ["Normal", "Laplace", "LogNormal", "DiscretizedLogistic"])
def test_scale_by_column_has_no_batch_axis_and_learns(kind: str) -> None:
    made = family(f"{kind}(scale=column)", levels=17)
    raw = torch.rand(2, 3, 1, 4)
    with pytest.raises(DiaboloError, match="a number for each element of the data"):
        made.from_raw(raw, 1)
    made.prepare((4,))
    p = made.from_raw(raw, 1)
    assert p.log_scale.shape == (4,)
    assert p.batch_shape == (2, 3)
    p.log_prob(torch.full((3, 4), 0.5)).sum().backward()
    (own,) = made.parameters()
    assert float(own.grad.abs().min()) > 0
    with pytest.raises(DiaboloError, match=r"made for data of shape \(4,\)"):
        made.prepare((5,))


def test_optimal_scale_has_its_closed_form() -> None:
    """max over sigma of log p(x) = -D/2 (log(2 pi MSE) + 1), summed over the batch."""
    made = NormalFamily(scale="optimal")
    loc, x = torch.randn(1, 6, 1, 5), torch.randn(6, 5)
    p = made.from_raw(loc, 1)
    assert isinstance(p, OptimalNormal)
    mse = float((x - loc[0, :, 0]).square().mean())
    found = float(p.log_prob(x).sum())
    assert found == pytest.approx(-0.5 * 30 * (math.log(2 * math.pi * mse) + 1), abs=1e-10)
    for wrong in (0.9, 1.1):
        other = Normal(loc[:, :, 0], torch.tensor(0.5 * math.log(mse * wrong)))
        assert float(other.log_prob(x).sum()) < found
    mask = torch.rand(6, 5) < 0.6
    seen = float((x - loc[0, :, 0]).square()[mask].mean())
    masked = p.log_prob(torch.where(mask, x, torch.nan), mask)
    count = int(mask.sum())
    assert float(masked.sum()) == pytest.approx(
        -0.5 * count * (math.log(2 * math.pi * seen) + 1), abs=1e-10
    )


def test_optimal_scale_is_frozen_after_training_and_saved() -> None:
    made = NormalFamily(scale="optimal")
    assert made.batch_level
    assert not NormalFamily(scale="shared").batch_level
    loc = torch.zeros(1, 200, 1, 50)
    for _ in range(5):
        made.from_raw(loc, 1).log_prob(0.3 * torch.randn(200, 50))
    before = made.running.clone()
    with torch.no_grad():  # looking at data changes nothing
        made.from_raw(loc, 1).log_prob(torch.randn(200, 50))
    assert torch.equal(before, made.running)
    copy = NormalFamily(scale="optimal")
    copy.load_state_dict(made.state_dict())
    p = copy.eval().from_raw(loc, 1)
    assert isinstance(p, Normal)
    # 50,000 squares: a standard error of 0.3 % of sigma.
    assert float(p.log_scale.exp()) == pytest.approx(0.3, rel=0.02)
    assert float(NormalFamily(scale="optimal").eval().from_raw(loc, 1).log_scale) == 0
    x = torch.randn(200, 50)
    one = p.log_prob(x)[:, :1]
    torch.testing.assert_close(copy.from_raw(loc[:, :1], 1).log_prob(x[:1]), one)  # no batch


def test_optimal_scale_refuses_several_samples() -> None:
    made = NormalFamily(scale="optimal")
    with pytest.raises(DiaboloError, match="k=3: use k=1"):
        made.from_raw(torch.zeros(3, 6, 1, 5), 1).log_prob(torch.zeros(6, 5))
    made.eval().from_raw(torch.zeros(3, 6, 1, 5), 1).log_prob(torch.zeros(6, 5))


def mixed(name: str, count: int = 3) -> tuple[Mixture, laws.Case]:
    """A mixture of densities of one family, batch shape (K,), and the case of its family."""
    case = next(c for c in CASES if c.name.startswith(name))
    made = case.family()
    raw = case.raw(made, laws.K, count)
    return Mixture(torch.randn(laws.K, count), made.from_raw(raw, 1)), case


@pytest.mark.parametrize("name", list(families()))
def test_mixture_is_the_weighted_sum(name: str) -> None:
    p, _ = mixed(name)
    x = p.sample((4,))
    assert x.shape == (4, laws.K, *laws.EVENT)
    assert p.batch_shape == (laws.K,)
    each = p.components.log_prob(x.unsqueeze(-2)).exp()
    expected = (p.logits.softmax(-1) * each).sum(-1).log()
    torch.testing.assert_close(p.log_prob(x), expected, rtol=1e-12, atol=1e-12)
    mask = torch.rand(laws.EVENT) < 0.5
    seen = p.components.log_prob_elements(x.unsqueeze(-2))[..., mask].sum(-1)
    expected = (p.logits.log_softmax(-1) + seen).logsumexp(-1)
    found = p.log_prob(torch.where(mask, x, torch.nan), mask.expand_as(x))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", list(families()))
def test_mixture_samples_have_its_moments(name: str) -> None:
    p, _ = mixed(name)
    n = 20_000
    x = p.sample((n,), KeyedNoise(2, torch.arange(n), lead=1))
    error = 5 * (p.variance / n).sqrt()
    assert bool(((x.mean(0) - p.mean).abs() < error).all())
    if name != "LogNormal":  # its fourth moment is too heavy for 20,000
        away = (x - p.mean).square()
        assert bool(((away.mean(0) - p.variance).abs() < 5 * away.std(0) / n**0.5).all())


def test_mixture_equals_that_of_torch() -> None:
    t = torch.distributions
    logits, loc, log_scale = torch.randn(4), torch.randn(4, 3), torch.randn(4, 3)
    ours = Mixture(logits, Normal(loc, log_scale))
    inner = t.Independent(t.Normal(loc, log_scale.exp()), 1)
    theirs = t.MixtureSameFamily(t.Categorical(logits=logits), inner)
    x = torch.randn(20, 3)
    torch.testing.assert_close(ours.log_prob(x), theirs.log_prob(x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ours.mean, theirs.mean)
    torch.testing.assert_close(ours.variance, theirs.variance)


def test_mixture_in_several_passes_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    p = Mixture(torch.randn(11), Normal(torch.randn(11, 3), torch.randn(11, 3)))
    x = torch.randn(2, 5, 3, requires_grad=True)
    whole = p.log_prob(x)
    monkeypatch.setattr("diabolo.distributions.mixture.CHUNK", 2 * 5 * 3 * 4)  # 4 at a time
    parts = p.log_prob(x)
    torch.testing.assert_close(parts, whole, rtol=1e-13, atol=1e-13)
    left, right = (torch.autograd.grad(v.sum(), x)[0] for v in (whole, parts))
    torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-12)


def test_mixture_has_no_path_and_no_elements() -> None:
    p = Mixture(torch.zeros(2), Normal(torch.zeros(2, 3), torch.zeros(3)))
    for ask in (p.rsample, lambda: p.log_prob_elements(torch.zeros(3))):
        with pytest.raises(DiaboloError, match="Mixture has no"):
            ask()


def couplings(size: int = 5, context: int = 0, transforms: int = 4) -> Couplings:
    """A flow whose couplings do much: last layers at their full size."""
    flow = Couplings(size, context, transforms=transforms, hidden=(16,)).double()
    with torch.no_grad():
        for step in flow.steps:
            step.net[-1].weight.mul_(10)
    return flow


@pytest.mark.oracle(24)
@pytest.mark.parametrize("size", [2, 3, 5, 8])
@pytest.mark.parametrize("context", [0, 3])
def test_couplings_invert_and_have_their_determinant(size: int, context: int) -> None:
    flow = couplings(size, context)
    x = torch.randn(2, 4, size)
    c = torch.randn(4, context) if context else None
    y, volume = flow(x, c)
    assert volume.shape == (2, 4)
    back, minus = flow(y, c, inverse=True)
    torch.testing.assert_close(back, x, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(minus, -volume, rtol=1e-9, atol=1e-9)
    jacobian = torch.autograd.functional.jacobian(
        lambda v: flow(v[None], None if c is None else c[:1])[0][0], x[0, 0]
    )
    torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], volume[0, 0])
    assert bool((jacobian.abs() > 1e-9).all() or size > 2)


@pytest.mark.oracle(24)
@pytest.mark.parametrize("size", [2, 5])
def test_a_linear_flow_of_a_normal_density_is_a_normal_density(size: int) -> None:
    """Couplings whose networks are linear, with scales that read nothing: x = A y + b."""
    flow = Couplings(size, transforms=6, hidden=()).double()
    with torch.no_grad():
        for step in flow.steps:
            last = step.net[-1]  # a shift and a scale for each moved element, side by side
            last.weight.mul_(10)
            last.weight[1::2] = 0
            last.bias.copy_(torch.randn_like(last.bias))
        b, *columns = flow(torch.cat([torch.zeros(1, size), torch.eye(size)]))[0]
        a = torch.stack(columns, 1) - b[:, None]
        p = Flowed(Normal(torch.zeros(size), torch.zeros(size)), flow)
        x, log_p = p.rsample_and_log_prob((20,))
    exact = torch.distributions.MultivariateNormal(b, a @ a.T)
    assert float((a @ a.T).tril(-1).abs().max()) > 0.1
    torch.testing.assert_close(p.log_prob(x), exact.log_prob(x), rtol=0, atol=1e-9)
    torch.testing.assert_close(log_p, exact.log_prob(x), rtol=0, atol=1e-9)


def test_couplings_let_every_element_meet_every_other() -> None:
    flow = couplings(8, transforms=8)
    jacobian = torch.autograd.functional.jacobian(lambda v: flow(v)[0], torch.randn(8))
    assert bool((jacobian != 0).all())


def test_couplings_are_those_of_zuko() -> None:
    from zuko.flows.coupling import GeneralCouplingTransform

    flow = couplings(6, 2, transforms=1)
    step = flow.steps[0]
    keep = torch.zeros(6, dtype=torch.bool)
    keep[step.order[: step.kept]] = True
    lazy = GeneralCouplingTransform(6, 2, mask=keep, hidden_features=(16,), activation=nn.SiLU)
    lazy.double().hyper.load_state_dict(step.net.state_dict())
    x, c = torch.randn(3, 6), torch.randn(3, 2)
    y, volume = lazy(c).call_and_ladj(x)
    found, ours = flow(x, c)
    torch.testing.assert_close(found, y)
    torch.testing.assert_close(ours, volume)


def test_zuko_leaves_the_checks_of_torch_on() -> None:
    code = (
        "import torch, warnings; warnings.simplefilter('error')\n"
        "from torch.distributions import Distribution, Normal\n"
        "before = Distribution._validate_args, Distribution.__dict__['arg_constraints']\n"
        "from diabolo.distributions import Couplings; Couplings(3)\n"
        "assert before == (Distribution._validate_args, Distribution.__dict__['arg_constraints'])\n"
        "import zuko; zuko.flows.NICE(3)().log_prob(torch.zeros(3))\n"  # zuko still works, silent
        "try: Normal(0.0, -1.0)\n"
        "except ValueError: print('checked')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("checked\n", 0), done.stderr


def over_the_plane(function: Callable[[Tensor], Tensor]) -> float:
    """The integral of a function of vectors (N, 2)."""
    t, step = torch.linspace(-16, 16, 401), 32 / 400
    with torch.no_grad():
        return float(function(torch.cartesian_prod(t, t)).sum() * step**2)


def test_flowed_integrates_to_one() -> None:
    p = Flowed(Normal(torch.zeros(2), torch.zeros(2)), couplings(2))
    # The trapezoid rule on a smooth density that is 0 at the edges is all but exact.
    assert over_the_plane(lambda x: p.log_prob(x).exp()) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("context", [0, 3])
def test_flowed_samples_know_their_density(context: int) -> None:
    c = torch.randn(4, context) if context else None
    base = Normal(torch.randn(4, 5), torch.randn(4, 5))
    p = Flowed(base, couplings(5, context), c)
    assert p.batch_shape == (4,)
    x, log_p = p.rsample_and_log_prob((3,), KeyedNoise(0, torch.arange(4)))
    assert x.shape == (3, 4, 5)
    torch.testing.assert_close(p.log_prob(x), log_p, rtol=1e-8, atol=1e-8)
    assert torch.equal(x, p.rsample((3,), KeyedNoise(0, torch.arange(4))))
    one = p.sample((3,), KeyedNoise(0, torch.arange(4)))[:, 1:2]
    c1 = None if c is None else c[1:2]
    part = Flowed(Normal(base.loc[1:2], base.log_scale[1:2]), p.flow, c1)
    # Matrix products of other sizes differ in their last digits.
    found = part.sample((3,), KeyedNoise(0, torch.arange(1, 2)))
    torch.testing.assert_close(found, one, rtol=1e-9, atol=1e-9)


def test_flowed_detaches_at_the_flow_too() -> None:
    flow = couplings(4, 2)
    c = torch.randn(3, 2, requires_grad=True)
    loc = torch.randn(3, 4, requires_grad=True)
    p = Flowed(Normal(loc, torch.zeros(4)), flow, c)
    z = torch.randn(3, 4, requires_grad=True)
    frozen = p.detach().log_prob(z)
    torch.testing.assert_close(frozen, p.log_prob(z))
    wrt = [z, loc, c, *flow.parameters()]
    grads = torch.autograd.grad(frozen.sum(), wrt, allow_unused=True)
    assert grads[0] is not None  # the path through z stays
    assert all(g is None for g in grads[1:])
    left = torch.autograd.grad(p.log_prob(z).sum(), z)[0]
    torch.testing.assert_close(left, grads[0])


def test_flowed_says_what_it_has_not() -> None:
    p = Flowed(Normal(torch.zeros(2), torch.zeros(2)), couplings(2))
    for ask in (lambda: p.mean, lambda: p.variance):
        with pytest.raises(DiaboloError, match="Flowed has no"):
            ask()
    with pytest.raises(DiaboloError, match="every element seen"):
        p.log_prob(torch.zeros(2), torch.ones(2, dtype=torch.bool))
    with pytest.raises(DiaboloError, match="at least 2 latent elements"):
        Couplings(1)
    with pytest.raises(DiaboloError, match="at least 1 transform"):
        Couplings(3, transforms=0)


def test_flow_runs_in_its_own_type_under_autocast() -> None:
    torch.set_default_dtype(torch.float32)
    flow = Couplings(4, 2, transforms=2, hidden=(8,))
    x, c = torch.randn(3, 4), torch.randn(3, 2)
    plain = flow(x, c)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, volume = flow(x, c)
        low = flow(x, c.bfloat16())[0]
    assert found.dtype == volume.dtype == low.dtype == torch.float32
    assert torch.equal(found, plain)


def test_standardized_counts_the_volume_of_seen_elements() -> None:
    loc, scale = torch.tensor([3.0, -1.0]), torch.tensor([10.0, 0.5])
    p = Standardized(Normal(torch.zeros(2), torch.zeros(2)), loc, scale)
    same = Normal(loc, scale.log())
    x = torch.randn(7, 2)
    torch.testing.assert_close(p.log_prob(x), same.log_prob(x))
    mask = torch.tensor([True, False]).expand(7, 2)
    torch.testing.assert_close(p.log_prob(x, mask), same.log_prob(x, mask))
    torch.testing.assert_close(p.mean, same.mean)
    torch.testing.assert_close(p.variance, same.variance)


def test_standardized_works_with_the_optimal_scale() -> None:
    loc, scale = torch.tensor([3.0, -1.0]), torch.tensor([10.0, 0.5])
    made = StandardizedFamily(NormalFamily(scale="optimal"), loc, scale)
    assert made.batch_level
    y = torch.randn(50, 2)
    found = made.from_raw(torch.zeros(1, 50, 1, 2), 1).log_prob(loc + scale * y)
    mse = float(y.square().mean())
    expected = -50 * (math.log(2 * math.pi * mse) + 1) - 50 * float(scale.log().sum())
    assert float(found.sum()) == pytest.approx(expected, abs=1e-9)


def test_standardized_refuses() -> None:
    one = torch.ones(2)
    with pytest.raises(DiaboloError, match="Bernoulli is no density"):
        StandardizedFamily(family("Bernoulli"), one, one)
    with pytest.raises(DiaboloError, match="constant columns"):
        StandardizedFamily(family("Normal"), one, torch.tensor([1.0, 0.0]))


def test_dirac_is_its_point() -> None:
    p = Dirac(torch.randn(3, 4))
    assert torch.equal(p.sample((2,))[1], p.loc)
    assert torch.equal(p.mean, p.loc)
    assert bool((p.variance == 0).all())
    x, log_p = p.rsample_and_log_prob((2,))
    assert x.shape == (2, 3, 4)
    assert bool((log_p == 0).all())
    assert p.detach().batch_shape == (3,)


def test_categorical_reads_grey_levels_and_codes_alike() -> None:
    raw = torch.randn(5, 3)
    codes = torch.tensor([0.0, 4.0, 2.0])
    as_codes = family("Categorical", levels=5, support="ordinal").from_raw(raw, 1)
    as_bytes = family("Categorical", levels=5, support="byte").from_raw(raw, 1)
    assert float(as_codes.log_prob(codes)) == float(as_bytes.log_prob(codes / 4))
    torch.testing.assert_close(as_codes.mean / 4, as_bytes.mean)
    assert torch.equal(as_codes.point, as_codes.mode)
    assert torch.equal(as_bytes.point, as_bytes.mean)
    assert set(as_bytes.sample((200,)).unique().tolist()) <= {0.0, 0.25, 0.5, 0.75, 1.0}


def test_categorical_reads_levels_that_float32_rounds() -> None:
    levels = torch.arange(256) / 255
    p = Categorical(torch.randn(256, 256), kind="byte")
    exact = p.log_prob_elements(levels)
    rounded = p.log_prob_elements(levels.float().double())
    assert torch.equal(exact, rounded)
    # bfloat16 cannot tell 256 levels apart: models read x in float32.
    assert torch.equal(exact.argsort(), rounded.argsort())


def test_poisson_samples_at_large_and_small_rates() -> None:
    rate = torch.tensor([1e-3, 1.0, 1e3, 1e6])
    n = 2000
    x = Poisson(rate.log()).sample((n,), KeyedNoise(0, torch.arange(n), lead=1))
    assert bool((x == x.round()).all())
    assert float(x.min()) >= 0
    assert bool(((x.mean(0) - rate).abs() < 5 * (rate / n).sqrt()).all())


@pytest.mark.parametrize("support", [s for s in SUPPORTS if s != "mixed"])
def test_every_support_has_a_likelihood(support: str) -> None:
    made = family(default_family(support), levels=5, support=support)
    assert support in made.supports


def test_mixed_support_has_no_default() -> None:
    with pytest.raises(DiaboloError, match="no default likelihood for 'mixed'"):
        default_family("mixed")


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ("Norml", "Unknown likelihood: 'Norml'. Did you mean 'Normal'"),
        ("Normal(scale=shred)", "Unknown scale of Normal: 'shred'. Did you mean 'shared'"),
        ("Normal(scale=-1.0)", "must be a positive number, but got -1.0"),
        ("Normal(floor=0)", "floor of Normal must be a positive number"),
        ("Normal(floor=low)", "floor of Normal must be a positive number, but got low"),
        ("Normal(scale=0.5, floor=0.1)", "fixed number 0.5, on which a floor has no effect"),
        ("Normal(scale=True)", "must be a positive number, but got True"),
        ("Normal(scale=(1, 2))", "must be a positive number, but got (1, 2)"),
        ("Categorical(levels=many)", "at least 2, but got many"),
        ("Normal(scal=shared)", "Did you mean 'scale'"),
        ("Laplace(scale=optimal)", "Unknown scale of Laplace: 'optimal'"),
        ("Dirac", "Unknown likelihood: 'Dirac'"),
        ("Categorical", "Categorical needs data with a number of levels"),
        ("DiscretizedLogistic(levels=1)", "at least 2, but got 1"),
    ],
)
def test_family_refuses(call: str, sentence: str) -> None:
    with pytest.raises(DiaboloError) as caught:
        family(call)
    assert sentence in str(caught.value)


def test_family_given_is_checked_against_the_data() -> None:
    made = family("Categorical", levels=5)
    assert family(made, levels=5, support="category") is made
    with pytest.raises(DiaboloError, match="made for levels=5, but these data have levels=6"):
        family(made, levels=6, support="category")
    with pytest.raises(DiaboloError, match="made for levels=5, but these data have levels=17"):
        family("DiscretizedLogistic(levels=5)", levels=17, support="byte")
    with pytest.raises(DiaboloError, match="made for support='category'"):
        family(made, levels=5, support="byte")
    with pytest.raises(DiaboloError, match="made for levels=3, but these data have no levels"):
        family("Normal(levels=3)", support="real")


def test_families_take_levels_and_support_and_say_their_support() -> None:
    for name, cls in families().items():
        assert cls.supports <= set(SUPPORTS), name
    for case in CASES:
        made = case.make()
        assert isinstance(made, nn.Module)
        assert not made.supports or case.support in made.supports


def test_samples_of_a_flow_follow_its_density() -> None:
    """The average of p(x) over samples is the integral of p^2, by quadrature."""
    p = Flowed(Normal(torch.zeros(2), torch.zeros(2)), couplings(2))
    n = 20_000
    with torch.no_grad():
        values = p.log_prob(p.sample((n,), KeyedNoise(4, torch.arange(n), lead=1))).exp()
    expected = over_the_plane(lambda x: (2 * p.log_prob(x)).exp())
    assert abs(float(values.mean()) - expected) < 5 * float(values.std()) / n**0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bisection_ends_where_no_number_lies_between(dtype: torch.dtype) -> None:
    goal = torch.linspace(0.02, 0.98, 8, dtype=dtype)  # none at 0, where numbers lie densest
    calls = list[torch.Tensor]()
    found = where_rising(lambda x: calls.append(x) or torch.sigmoid(x), goal, -20.0, 21.0, 100)
    assert len(calls) < 75  # of an interval of 41 to a spacing of 2^-56 or more
    torch.testing.assert_close(found, torch.logit(goal))

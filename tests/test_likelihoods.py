"""Known answers of likelihoods: counts, levels, heavy tails and columns of several kinds.

The laws of `laws/densities.py` run over all of them; here they are compared with scipy, torch and
many digits of mpmath (which torch brings), at ordinary numbers and at extreme ones.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from diabolo.distributions import (
    BetaBinomial,
    Categorical,
    DiscretizedLogistic,
    DiscretizedLogisticMixture,
    Distribution,
    Exposed,
    Logistic,
    NegativeBinomial,
    Normal,
    Ordinal,
    Poisson,
    Product,
    ProductFamily,
    StudentT,
    ZeroInflatedNegativeBinomial,
    default_family,
    family,
    kl_divergence,
)
from diabolo.errors import DiaboloError
from diabolo.noise import KeyedNoise
from diabolo.recipes import build
from diabolo.spec import Spec

WHOLE = torch.arange(40.0, dtype=torch.float64)


@pytest.fixture(autouse=True)
def _double() -> None:
    torch.set_default_dtype(torch.float64)


def log(value: float) -> Tensor:
    return torch.tensor([math.log(value)])


def scipy_counterparts() -> dict[str, tuple[Distribution, Any, Tensor]]:
    """Ours, scipy's, and values of x."""
    s, x = scipy.stats, torch.linspace(-30, 30, 61)
    return {
        "Normal": (Normal(torch.tensor([0.7]), log(1.3)), s.norm(0.7, 1.3), x),
        "Logistic": (Logistic(torch.tensor([0.7]), log(1.3)), s.logistic(0.7, 1.3), x),
        "StudentT": (StudentT(torch.tensor([0.7]), log(1.3), log(3.5)), s.t(3.5, 0.7, 1.3), x),
        "StudentT of 1.2": (StudentT(torch.zeros(1), log(2), log(1.2)), s.t(1.2, 0, 2), x),
        "NegativeBinomial": (
            NegativeBinomial(log(4.2), log(0.6)),
            s.nbinom(1 / 0.6, 1 / (1 + 0.6 * 4.2)),
            WHOLE,
        ),
        "BetaBinomial": (
            BetaBinomial(torch.logit(torch.tensor([0.3])), log(0.25), 40),
            s.betabinom(39, 0.3 / 0.25, 0.7 / 0.25),
            WHOLE,
        ),
    }


@pytest.mark.oracle(12)
@pytest.mark.parametrize("name", list(scipy_counterparts()))
def test_density_equals_that_of_scipy(name: str) -> None:
    ours, theirs, x = scipy_counterparts()[name]
    score = theirs.logpmf if hasattr(theirs, "logpmf") else theirs.logpdf
    expected = torch.from_numpy(score(x.numpy()))
    found = ours.log_prob_elements(x[:, None])[:, 0]
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)
    mean, variance = (float(m) for m in theirs.stats("mv"))
    assert float(ours.mean) == pytest.approx(mean, rel=1e-12)
    assert float(ours.variance) == pytest.approx(variance, rel=1e-12)


def test_density_equals_that_of_torch() -> None:
    t = torch.distributions
    size, logits = 1 / 0.6, math.log(0.6 * 4.2)  # of torch's parametrisation, from m and alpha
    theirs = t.NegativeBinomial(torch.tensor([size]), logits=torch.tensor([logits]))
    ours = NegativeBinomial(log(4.2), log(0.6))
    x = WHOLE[:, None]
    torch.testing.assert_close(ours.log_prob_elements(x), theirs.log_prob(x))
    torch.testing.assert_close(ours.variance, theirs.variance)
    wide = t.StudentT(torch.tensor([3.5]), torch.tensor([0.7]), torch.tensor([1.3]))
    torch.testing.assert_close(
        StudentT(torch.tensor([0.7]), log(1.3), log(3.5)).log_prob_elements(x), wide.log_prob(x)
    )


def exact_negative_binomial(x: int, m: float, alpha: float) -> Any:
    r, m, alpha = 1 / mp.mpf(alpha), mp.mpf(m), mp.mpf(alpha)
    ways = mp.loggamma(x + r) - mp.loggamma(r) - mp.loggamma(x + 1)
    return ways + x * mp.log(alpha * m / (1 + alpha * m)) - r * mp.log(1 + alpha * m)


@pytest.mark.parametrize("alpha", [1e-30, 1e-12, 1e-6, 1e-2, 1.0, 30.0, 1e6, 1e12])
@pytest.mark.parametrize("m", [1e-20, 1e-3, 1.0, 37.5, 1e6, 1e12])
@pytest.mark.parametrize("x", [0, 1, 37, 10_000, 10_000_000])
def test_negative_binomial_is_right_to_float64_at_the_extremes(
    x: int, m: float, alpha: float
) -> None:
    """A difference of log Gammas, as written in the books, loses all digits at alpha = 1e-12."""
    p = NegativeBinomial(log(m), log(alpha))
    with mp.workdps(80):
        # The very numbers that the density has: log and exp round once each.
        exact_m, exact_alpha = mp.e ** mp.mpf(math.log(m)), mp.e ** mp.mpf(math.log(alpha))
        expected = float(exact_negative_binomial(x, exact_m, exact_alpha))
        parts = (x * math.log(m), math.lgamma(x + 1), m)
    found = float(p.log_prob_elements(torch.tensor([float(x)])))
    # The value is a sum of terms of these sizes, each rounded to 1e-16 of itself; the argument x
    # plus 1 / alpha costs a few more.
    room = 2e-15 * (sum(map(abs, parts)) + abs(expected) + 100)
    assert abs(found - expected) < room


@pytest.mark.parametrize("delta", [1e-30, 1e-9, 1e-3, 1.0, 1e3, 1e9])
@pytest.mark.parametrize("logits", [-200.0, -40.0, -2.0, 0.0, 5.0, 60.0])
@pytest.mark.parametrize("j", [0, 1, 100, 254, 255])
def test_beta_binomial_is_right_to_float64_at_the_extremes(
    j: int, logits: float, delta: float
) -> None:
    n = 255
    p = BetaBinomial(torch.tensor([logits]), log(delta), n + 1)
    with mp.workdps(400):  # a beta function of 1 / delta = 1e30 and more cancels that many
        mu = 1 / (1 + mp.e ** (-mp.mpf(logits)))
        exact = mp.e ** mp.mpf(math.log(delta))
        a, b = mu / exact, (1 - mu) / exact
        lbeta = lambda u, v: mp.loggamma(u) + mp.loggamma(v) - mp.loggamma(u + v)  # noqa: E731
        expected = mp.log(mp.binomial(n, j)) + lbeta(j + a, n - j + b) - lbeta(a, b)
        expected = float(expected)
    found = float(p.log_prob_elements(torch.tensor([float(j)])))
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-11)


@pytest.mark.parametrize("df", [1.0001, 2.0, 30.0, 1e6, 1e12, 1e30])
@pytest.mark.parametrize("z", [0.0, 1e-9, 0.3, 40.0, 1e8, 1e100])
def test_student_t_is_right_to_float64_at_the_extremes(z: float, df: float) -> None:
    p = StudentT(torch.zeros(1), torch.zeros(1), log(df))
    with mp.workdps(120):
        nu = mp.e ** mp.mpf(math.log(df))
        expected = mp.loggamma((nu + 1) / 2) - mp.loggamma(nu / 2) - mp.log(nu * mp.pi) / 2
        expected -= (nu + 1) / 2 * mp.log(1 + mp.mpf(z) ** 2 / nu)
        expected = float(expected)
    found = float(p.log_prob_elements(torch.tensor([z])))
    assert found == pytest.approx(expected, rel=1e-13, abs=1e-13)


@pytest.mark.parametrize("log_tiny", [-50.0, math.log(1e-40), -800.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_limits_are_the_simpler_densities(dtype: torch.dtype, log_tiny: float) -> None:
    """Without dispersion: Poisson's, the binomial and the normal density."""
    tiny = torch.tensor([log_tiny], dtype=dtype)
    x = torch.arange(30, dtype=dtype)[:, None]
    rate = torch.tensor([1.7], dtype=dtype)
    same = {torch.float32: 2e-5, torch.float64: 1e-12}[dtype]
    plain = Poisson(rate).log_prob_elements(x)
    found = NegativeBinomial(rate, tiny).log_prob_elements(x)
    torch.testing.assert_close(found, plain, rtol=same, atol=same)
    few = torch.full_like(rate, -40.0)
    found = ZeroInflatedNegativeBinomial(rate, few, tiny).log_prob_elements(x)
    torch.testing.assert_close(found, plain, rtol=same, atol=same)
    odds = torch.tensor([0.4], dtype=dtype)
    binomial = torch.distributions.Binomial(29, logits=odds)
    found = BetaBinomial(odds, tiny, 30).log_prob_elements(x)
    torch.testing.assert_close(found, binomial.log_prob(x), rtol=same, atol=same)
    normal = Normal(odds, rate).log_prob_elements(x)
    t = StudentT(odds, rate, -tiny)
    torch.testing.assert_close(t.log_prob_elements(x), normal, rtol=same, atol=same)
    torch.testing.assert_close(t.variance, torch.exp(2 * rate), rtol=same, atol=same)


def test_counts_without_dispersion_are_drawn_as_poisson_ones() -> None:
    n = 20000
    p = NegativeBinomial(log(3.0).float(), torch.tensor([-800.0]))  # a dispersion that is no float
    x = p.sample((n,), KeyedNoise(0, torch.arange(n), lead=1)).double()
    assert float(x.mean()) == pytest.approx(3.0, abs=5 * math.sqrt(3 / n))
    assert float(x.var()) == pytest.approx(3.0, abs=5 * math.sqrt(21 / n))  # m + 2 m^2


def test_beta_binomial_of_equal_chances() -> None:
    """Where mu = delta = 1/2 the chance of a success is uniform, and so are the levels."""
    p = BetaBinomial(torch.zeros(1), log(0.5), 9)
    found = p.log_prob_elements(torch.arange(9.0)[:, None])
    torch.testing.assert_close(found, torch.full((9, 1), -math.log(9)))


def test_zero_inflation_only_moves_mass_to_zero() -> None:
    plain = NegativeBinomial(log(3.0), log(0.5))
    p = ZeroInflatedNegativeBinomial(log(3.0), torch.logit(torch.tensor([0.2])), log(0.5))
    x = WHOLE[:, None]
    extra, base = p.log_prob_elements(x).exp(), plain.log_prob_elements(x).exp()
    torch.testing.assert_close(extra[1:], 0.8 * base[1:])
    torch.testing.assert_close(extra[0], 0.2 + 0.8 * base[0])
    assert float(p.mean) == pytest.approx(0.8 * 3.0)
    second = 0.8 * (3.0 + 0.5 * 9.0 + 9.0)  # E[x^2]
    assert float(p.variance) == pytest.approx(second - 2.4**2)


LEVELLED: dict[str, Callable[[float, float], Distribution]] = {
    "DiscretizedLogisticMixture": lambda a, b: DiscretizedLogisticMixture(
        torch.tensor([[a], [0.5], [-a]]), torch.tensor([[0.0], [b], [9.0]]), torch.tensor([b]), 256
    ),
    "Categorical": lambda a, b: Categorical(a * b * torch.randn(256, 1), kind="byte"),
    "BetaBinomial": lambda a, b: BetaBinomial(
        torch.tensor([5 * a]), torch.tensor([b]), 256, kind="byte"
    ),
    "Ordinal": lambda a, b: Ordinal(
        torch.linspace(-math.exp(b), math.exp(b), 255)[:, None] - a, kind="byte"
    ),
}


@pytest.mark.oracle(12)
@pytest.mark.parametrize("name", list(LEVELLED))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("b", [-12.0, -5.0, 0.0, 5.0])
@pytest.mark.parametrize("a", [-9.0, 0.0, 0.1234, 1.0, 3.0])
def test_levels_sum_to_one(name: str, a: float, b: float, dtype: torch.dtype) -> None:
    """256 levels at extreme places and scales: 1e-6, and what float32 keeps of it."""
    torch.set_default_dtype(dtype)
    x = torch.arange(256)[:, None] / 255
    mass = LEVELLED[name](a, b).log_prob_elements(x).exp().sum()
    # A log-probability of 255 trials is a sum of terms of up to 3,000 nats, which float32 rounds to
    # 2e-4 of a nat each.
    assert float((mass - 1).abs()) < (1e-6 if dtype == torch.float64 else 5e-4)


def test_mixture_of_logistics_is_the_sum_of_its_components() -> None:
    loc, logits, scale = torch.randn(3, 2), torch.randn(3, 2), torch.randn(3, 2) - 2
    p = DiscretizedLogisticMixture(loc, logits, scale, 17)
    x = (torch.arange(17.0) / 16)[:, None].expand(17, 2)
    single = DiscretizedLogistic(loc, scale, 17).log_prob_elements(x[:, None])  # (17, 3, 2)
    expected = (logits.softmax(0) * single.exp()).sum(1).log()
    torch.testing.assert_close(p.log_prob_elements(x), expected)


def test_mixture_of_logistics_starts_with_components_apart() -> None:
    made = family("DiscretizedLogisticMixture(components=4)", levels=256)
    raw = made.start(torch.tensor([0.1, 0.5]))
    assert raw is not None
    p = made.from_raw(raw, 1)
    torch.testing.assert_close(p.mean, torch.tensor([0.1, 0.5]), rtol=1e-6, atol=1e-6)
    assert bool((p.loc.diff(dim=0) > 0.05).all())


def test_ordinal_is_the_proportional_odds_model() -> None:
    """P(x <= j) is the sigmoid of the cut point less the location (McCullagh, 1980)."""
    made = family("Ordinal", levels=5, support="ordinal")
    made.prepare((1,))
    p = made.from_raw(torch.tensor([[0.8]]), 1)
    mass = p.log_prob_elements(torch.arange(5.0)[:, None]).exp()[:, 0]
    even = torch.logit(torch.arange(1, 5) / 5)  # equal chances of the levels at the location 0
    torch.testing.assert_close(mass.cumsum(0)[:-1], torch.sigmoid(even - 0.8))
    at_zero = made.from_raw(torch.zeros(1, 1), 1)
    five = at_zero.log_prob_elements(torch.arange(5.0)[:, None]).exp()
    torch.testing.assert_close(five, torch.full((5, 1), 0.2))
    assert float(p.point) == 3.0  # the median: P(x <= 2) = 0.40, P(x <= 3) = 0.64


def test_ordinal_cut_points_stay_in_order() -> None:
    made = family("Ordinal(cuts=shared)", levels=5, support="ordinal")
    with torch.no_grad():
        next(made.parameters()).fill_(-40.0)
    edges = made.from_raw(torch.zeros(2, 1, 3), 1).edges
    assert bool((edges.diff(dim=-2) > 0).all())


def test_large_and_small_counts_are_drawn_rightly() -> None:
    m, alpha, n = torch.tensor([1e-3, 1.0, 1e3, 1e6]), torch.tensor([1e-3, 0.3, 1.0, 10.0]), 4000
    p = NegativeBinomial(m.log()[:, None].expand(4, 4), alpha.log())
    x = p.sample((n,), KeyedNoise(0, torch.arange(n), lead=1))
    assert bool((x == x.round()).all())
    assert float(x.min()) >= 0
    assert bool(((x.mean(0) - p.mean).abs() < 5 * (p.variance / n).sqrt()).all())
    # How often 0 comes, which the tails of rates of 1e6 do not reach.
    zero = p.log_prob_elements(torch.zeros(4, 4)).exp()
    error = 5 * (zero * (1 - zero) / n).sqrt() + 1e-12
    assert bool((((x == 0).double().mean(0) - zero).abs() < error).all())


COUNTS = {
    "Poisson": lambda log_rate: Poisson(log_rate),
    "NegativeBinomial": lambda log_rate: NegativeBinomial(log_rate, log(0.4)),
    "ZeroInflatedNegativeBinomial": lambda log_rate: ZeroInflatedNegativeBinomial(
        log_rate, torch.full_like(log_rate, -1.0), log(0.4)
    ),
}


@pytest.mark.parametrize("name", list(COUNTS))
def test_counts_given_their_total_have_it_as_their_mean(name: str) -> None:
    x = torch.tensor([[3.0, 0.0, 9.0, 1.0], [0.0, 0.0, 1.0, 0.0]])
    for factor in (0.0, 4.0):  # the rates' own size says nothing: only their shares count
        base = COUNTS[name](torch.randn(2, 4) + factor)
        p = Exposed.of(base, torch.tensor(7.0))
        torch.testing.assert_close(p.mean.sum(-1), torch.full((2,), 7.0))
        torch.testing.assert_close(p.given(x).mean.sum(-1), torch.tensor([13.0, 1.0]))
        shares = base.mean / base.mean.sum(-1, keepdim=True)
        torch.testing.assert_close(p.given(x).mean, x.sum(-1, keepdim=True) * shares)


def test_poisson_given_its_total_is_a_multinomial() -> None:
    """log p(x | total l) = log Multinomial(x; l, shares) + log Poisson(l; l)."""
    x = torch.tensor([3.0, 0.0, 9.0, 1.0])
    rates = torch.randn(4)
    p = Exposed.of(Poisson(rates), torch.tensor(1.0))
    multinomial = torch.distributions.Multinomial(13, logits=rates).log_prob(x)
    of_total = torch.distributions.Poisson(torch.tensor(13.0)).log_prob(torch.tensor(13.0))
    torch.testing.assert_close(p.log_prob(x), multinomial + of_total)
    # about -log(2 pi l) / 2, as the page says
    assert float(of_total) == pytest.approx(-0.5 * math.log(2 * math.pi * 13), abs=0.01)


@pytest.mark.parametrize("name", list(COUNTS))
def test_unseen_counts_have_no_part_in_the_total(name: str) -> None:
    log_rate = torch.randn(3, 4, requires_grad=True)
    p = Exposed.of(COUNTS[name](log_rate), torch.tensor(7.0))
    x = torch.tensor([[3.0, 0.0, 9.0, 1.0]]).expand(3, 4)
    mask = torch.tensor([[1, 1, 0, 1], [1, 1, 1, 1], [0, 0, 0, 0]]).bool()
    found = p.log_prob(torch.where(mask, x, torch.nan), mask)
    seen = [0, 1, 3]
    alone = Exposed.of(COUNTS[name](log_rate[0, seen]), torch.tensor(7.0)).log_prob(x[0, seen])
    whole = p.log_prob(x)[1]
    torch.testing.assert_close(found, torch.stack([alone, whole, torch.zeros(())]))
    (slope,) = torch.autograd.grad(found.sum(), log_rate)
    assert bool(torch.isfinite(slope).all())
    # What is not seen is expected at the exposure of what is.
    given = p.given(torch.where(mask, x, torch.nan), mask)
    torch.testing.assert_close(given.mean[0, seen].sum(), torch.tensor(4.0))


@pytest.mark.parametrize("name", list(COUNTS))
def test_a_datum_without_counts_has_a_density_given_its_total(name: str) -> None:
    log_rate = torch.randn(4, requires_grad=True)
    value = Exposed.of(COUNTS[name](log_rate), torch.tensor(7.0)).log_prob(torch.zeros(4))
    (slope,) = torch.autograd.grad(value, log_rate)
    assert -0.01 < float(value.detach()) < 0  # a thousandth of a count is expected
    assert bool(torch.isfinite(slope).all())


@pytest.mark.parametrize("name", list(COUNTS))
def test_an_exposed_density_is_one_like_all_others(name: str) -> None:
    p = Exposed.of(COUNTS[name](torch.randn(2, 3, 4)), torch.tensor(7.0))
    x = p.sample((), KeyedNoise(0, torch.arange(3)))
    assert p.batch_shape == (2, 3)
    assert torch.equal(p.log_prob(x), p.log_prob_elements(x).sum(-1))
    chosen = p.select(torch.tensor([2, 0]))
    torch.testing.assert_close(
        chosen.log_prob(x[[0, 1], [2, 0]]), p.log_prob(x)[[0, 1], [2, 0]], rtol=1e-13, atol=0
    )
    assert torch.equal(p.detach().log_prob(x), p.log_prob(x))


def test_exposure_needs_the_mean_datum_for_samples() -> None:
    with pytest.raises(DiaboloError, match="samples at the total of a mean datum"):
        family("Poisson(exposure=total)").from_raw(torch.zeros(1, 3), 1)
    made = family("NegativeBinomial(exposure=total)")
    made.prepare((3,), None, torch.tensor([1.0, 2.0, 3.0]))
    torch.testing.assert_close(
        made.from_raw(torch.randn(5, 1, 3), 1).mean.sum(-1), 6 * WHOLE[1:6] ** 0
    )


def columns(*calls: str) -> ProductFamily:
    made = family(f"Product(columns={calls})")
    assert isinstance(made, ProductFamily)
    return made


def test_product_is_the_sum_over_its_columns() -> None:
    made = columns("Normal", "Categorical(levels=3)", "Poisson", "Ordinal(levels=4)", "Bernoulli")
    assert made.kinds == ("real", "category:3", "count", "ordinal:4", "binary")
    made.prepare((5,))
    raw = torch.randn(7, made.width((5,)), 5)
    p = made.from_raw(raw, 1)
    assert isinstance(p, Product)
    x = p.sample()
    assert x.shape == (7, 5)
    assert bool(((x[:, 1] <= 2) & (x[:, 3] <= 3) & (x[:, 4] <= 1)).all())
    flat = raw.flatten(-2)  # numbers of the columns, end to end: 2, 3, 1, 1, 1, and 2 to spare
    assert flat.shape == (7, 10)
    expected = torch.distributions.Normal(flat[:, 0], p.columns[0].log_scale[:, 0].exp())
    torch.testing.assert_close(p.log_prob_elements(x)[:, 0], expected.log_prob(x[:, 0]))
    code = torch.distributions.Categorical(logits=flat[:, 2:5]).log_prob(x[:, 1])
    torch.testing.assert_close(p.log_prob_elements(x)[:, 1], code)
    rate = torch.distributions.Poisson(flat[:, 5].exp()).log_prob(x[:, 2])
    torch.testing.assert_close(p.log_prob_elements(x)[:, 2], rate)
    torch.testing.assert_close(p.log_prob(x), p.log_prob_elements(x).sum(-1))
    assert torch.equal(p.point[:, 1], flat[:, 2:5].argmax(-1).double())


ALIKE = (
    *("Normal", "Categorical(levels=3)", "Normal", "Poisson", "Categorical(levels=4)"),
    *("StudentT(scale=shared)", "Ordinal(levels=4)", "StudentT(scale=shared)", "Bernoulli"),
    *("Ordinal(levels=4, cuts=shared)", "LogNormal", "Ordinal(levels=4)", "Normal(scale=0.5)"),
    *("Ordinal(levels=4, cuts=shared)", "NegativeBinomial", "LogNormal", "NegativeBinomial"),
    *("Categorical(levels=9)", "Categorical(levels=3, support=ordinal)", "Normal(scale=optimal)"),
    *("Categorical(levels=4, support=ordinal)", "Bernoulli", "Normal(scale=optimal)"),
)


def alike(steps: bool = False) -> tuple[ProductFamily, list[Any], Tensor]:
    """A Product with columns of the same families, those families alone, and the mean."""
    d = len(ALIKE)
    mean, real = torch.linspace(0.6, 1.4, d), torch.arange(d) < 3
    step = torch.where(real, torch.linspace(0.1, 0.3, d), 0.0) if steps else None
    made, alone = columns(*ALIKE), [family(c) for c in ALIKE]
    made.prepare((d,), step, mean)
    for j, f in enumerate(alone):
        f.prepare((1,), None if step is None else step[j : j + 1], mean[j : j + 1])
    with torch.no_grad():
        for p in made.parameters():
            p.add_(torch.randn(p.shape))
    state = made.state_dict()
    for j, f in enumerate(alone):
        start = f"columns.{j}."
        own = {n.removeprefix(start): t for n, t in state.items() if n.startswith(start)}
        f.load_state_dict(own)  # names and shapes are those of the family alone
    return made.eval(), [f.eval() for f in alone], mean


@pytest.mark.parametrize("steps", [False, True])
def test_product_of_columns_alike_is_that_of_its_columns(steps: bool) -> None:
    made, alone, mean = alike(steps)
    assert len(made.blocks) == 14  # Normal, codes up to 4, counts, ...; the optimal ones are apart
    d = len(ALIKE)
    raw = torch.randn(2, 7, made.width((d,)), d)
    p = made.from_raw(raw, 1)
    parts = raw.flatten(-2)[..., : sum(made.widths)].split(made.widths, -1)
    each = [f.from_raw(r.unsqueeze(-1), 1) for f, r in zip(alone, parts, strict=True)]
    x = p.sample((), KeyedNoise(0, torch.arange(7)))
    tops = [f.levels for f in alone]
    assert all(float(x[..., j].max()) < n for j, n in enumerate(tops) if n)
    mask = torch.rand(7, d) < 0.6
    for name, of in {
        "elements": lambda q, v, m: q.log_prob_elements(v),
        "masked": lambda q, v, m: q.log_prob(v, m),
        "mean": lambda q, v, m: q.mean,
        "variance": lambda q, v, m: q.variance,
        "point": lambda q, v, m: q.point,
    }.items():
        apart = [of(q, x[..., j : j + 1], mask[:, j : j + 1]) for j, q in enumerate(each)]
        whole = of(p, x, mask)
        expected = torch.stack(apart, -1).sum(-1) if name == "masked" else torch.cat(apart, -1)
        torch.testing.assert_close(whole, expected, msg=lambda m, n=name: f"{n}: {m}")
    for j, (q, column) in enumerate(zip(each, p.columns, strict=True)):
        v = x[..., j : j + 1]
        torch.testing.assert_close(column.log_prob_elements(v), q.log_prob_elements(v))
    few = p.pick([4, 2, 11])
    kept = [2, 4, 11]
    torch.testing.assert_close(
        few.log_prob_elements(x[..., kept]), p.log_prob_elements(x)[..., kept]
    )
    assert made.stepped is None or made.stepped[:3].tolist() == [True, False, True]
    first = made.start(mean).flatten()[: sum(made.widths)].split(made.widths)
    for j, (f, rows) in enumerate(zip(alone, first, strict=True)):
        own = f.start(mean[j : j + 1])
        torch.testing.assert_close(rows, torch.zeros_like(rows) if own is None else own.flatten())


def test_product_of_columns_alike_has_the_divergence_of_its_columns() -> None:
    made = columns("Normal", "Categorical(levels=3)", "Categorical(levels=4)", "Normal")
    made.prepare((4,))
    p, q = (made.from_raw(torch.randn(5, made.width((4,)), 4), 1) for _ in range(2))
    kl = p.kl_elements(q)
    pairs = zip(p.columns, q.columns, strict=True)
    torch.testing.assert_close(kl, torch.cat([kl_divergence(a, b)[:, None] for a, b in pairs], -1))
    assert bool((kl > 0).all())


def test_product_of_columns_alike_is_restored_and_refused() -> None:
    made, _, _ = alike()
    again, _, _ = alike()
    state = {n: t.clone() for n, t in made.state_dict().items()}
    again.load_state_dict(state)
    for name, t in again.state_dict().items():
        torch.testing.assert_close(t, state[name], rtol=0, atol=0)
    del state["columns.7.scale.raw"]
    with pytest.raises(RuntimeError, match="Missing key"):
        again.load_state_dict(state)


def test_product_takes_the_best_scale_of_a_batch() -> None:
    made = columns("Normal(scale=optimal)", "Poisson")
    assert made.batch_level
    made.prepare((2,))
    x = torch.stack([torch.randn(50), torch.poisson(torch.ones(50))], -1)
    value = made.from_raw(torch.zeros(1, 50, 1, 2), 1).log_prob(x)
    mse = float(x[:, 0].square().mean())
    counts = float(Poisson(torch.zeros(50, 1)).log_prob(x[:, 1:]).sum())
    expected = -25 * (math.log(2 * math.pi * mse) + 1) + counts
    assert float(value.sum()) == pytest.approx(expected, abs=1e-9)


def test_product_standardises_its_real_columns() -> None:
    made = columns("Normal(scale=0.5)", "Poisson", "StudentT(scale=1.0, df=4.0)")
    loc, scale = torch.tensor([100.0, 3.0, -7.0]), torch.tensor([20.0, 1.0, 0.1])
    whole = made.standardized(loc, scale)
    assert whole.kinds == made.kinds
    p = whole.from_raw(torch.zeros(1, 3), 1)
    torch.testing.assert_close(p.mean, torch.tensor([100.0, 1.0, -7.0]))
    torch.testing.assert_close(p.variance, torch.tensor([100.0, 1.0, 0.02]))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ("Product", "needs the density of each column"),
        ("Product(columns=())", "needs the density of each column"),
        ("Product(columns=('Norml',))", "Did you mean 'Normal'"),
        ("Product(columns=('DiscretizedLogistic(levels=5)',))", "no density of a column by itself"),
        ("Product(columns=('Categorical',))", "needs data with a number of levels"),
        ("Product(columns=('Poisson(exposure=total)',))", "given its total says nothing"),
        ("Product(columns=(\"Product(columns=('Normal',))\",))", "no density of a column by"),
        ("Poisson(exposure=all)", "Unknown exposure of Poisson: 'all'"),
        ("NegativeBinomial(dispersion=shred)", "Unknown dispersion of NegativeBinomial: 'shred'"),
        ("NegativeBinomial(dispersion=0)", "dispersion of NegativeBinomial must be a positive"),
        ("StudentT(df=1.0)", "df of StudentT must be above 1"),
        ("StudentT(df=element)", "Unknown df of StudentT: 'element'"),
        ("Ordinal(levels=3, cuts=element)", "Unknown cuts of Ordinal: 'element'"),
        ("DiscretizedLogisticMixture(levels=9, components=0)", "at least 1, but got 0"),
    ],
)
def test_likelihood_refuses(call: str, sentence: str) -> None:
    with pytest.raises(DiaboloError) as caught:
        family(call)
    assert sentence in str(caught.value)


def test_product_is_checked_against_the_columns() -> None:
    spec = Spec(event=(2,), support="mixed", kinds=("real", "count"))
    build("vae", spec, likelihood="Product(columns=('Normal', 'NegativeBinomial'))", latent=2)
    for wrong, sentence in (
        ("'Normal', 'Normal'", "Column 1 has the density Normal, which is for 'real' values"),
        ("'Normal',", "densities of 1 columns, but one datum has the shape (2,)"),
    ):
        with pytest.raises(DiaboloError) as caught:
            build("vae", spec, likelihood=f"Product(columns=({wrong}))")
        assert sentence in str(caught.value)
    with pytest.raises(DiaboloError, match="need the kind of each column"):
        build("vae", Spec(event=(2,), support="mixed"), likelihood="Product(columns=('Normal',))")


@pytest.mark.parametrize(
    ("support", "call", "told"),
    [
        ("count", "Normal", "if that is what they are, say data.support='real'"),
        ("real", "NegativeBinomial", "if that is what they are, say data.support='count'"),
        ("unit", "Bernoulli", "or change the data (binarize, dequantize)"),
    ],
)
def test_a_wrong_support_is_told_with_what_helps(support: Any, call: str, told: str) -> None:
    with pytest.raises(DiaboloError, match=re.escape(told)):
        build("vae", Spec(event=(2,), support=support), likelihood=call)


def test_mixed_data_have_the_defaults_of_their_columns() -> None:
    call = default_family("mixed", ("real", "category:4", "ordinal:5", "count"))
    made = family(call, support="mixed")
    assert isinstance(made, ProductFamily)
    assert made.kinds == ("real", "category:4", "ordinal:5", "count")
    names = [type(f).__name__ for f in made.members]
    robust = ["StudentTFamily", "NegativeBinomialFamily"]  # outliers, and counts that vary more
    assert names == [robust[0], "CategoricalFamily", "CategoricalFamily", robust[1]]


def test_poisson_counts_of_float32_are_drawn_from_all_their_values() -> None:
    """A distribution function in float32 would draw a rate of 1e6 in steps of a few counts."""
    torch.set_default_dtype(torch.float32)
    n = 20_000
    p = Poisson(log(1e6).float())
    x = p.sample((n,), KeyedNoise(0, torch.arange(n), lead=1))
    assert x.dtype == torch.float32
    assert float(x.double().var()) == pytest.approx(1e6, rel=0.05)
    np.testing.assert_array_equal(x.numpy() % 1, 0)

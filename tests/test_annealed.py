"""Annealed importance sampling: moves that keep their density, weights without bias, two bounds."""

from __future__ import annotations

import copy
import importlib
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from diabolo.data import Data
from diabolo.errors import DiaboloError
from diabolo.evaluate import annealed, bidirectional, exact, log_likelihood
from diabolo.evaluate.hamiltonian import Path, leapfrog, move, schedule, tune, walk
from diabolo.model import LatentModel
from diabolo.noise import KeyedNoise
from diabolo.recipes import build
from laws.evaluation import F64, Linear, estimates_agree, tensor, textbook

ONE = torch.zeros(1, dtype=torch.int64)
STARTS = ("prior", "posterior")
PRIORS = ("normal", "mixture(components=3)", "vamp(count=4)", "flow(transforms=2, hidden=(8,))")


def gamma_path() -> Path:
    """z = log of a gamma number: skewed, and known for each beta.

    log f_b(z) = (1 + b) z - e^z, so that e^z ~ Gamma(1 + b).
    """
    return Path(lambda z: (z - z.exp()).sum(-1), lambda z: z.sum(-1))


def small(data: Data, seed: int = 0, **options: object) -> LatentModel:
    torch.manual_seed(seed)
    spec = replace(data, x=data.x.float()).spec()
    options = {"net": "mlp(hidden=(8,))", "latent": 2, **options}
    model = build("vae", spec, **options).model.double().eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.4 * torch.randn_like(p))
    return model


def bits(n: int, width: int = 8) -> Data:
    g = torch.Generator().manual_seed(0)
    return Data((torch.rand(n, width, generator=g) < 0.4).to(F64), support="binary")


# -- moves ---------------------------------------------------------------------------------------


def test_schedule_goes_from_0_to_1_and_is_densest_at_the_ends() -> None:
    """With delta = 4, Wu et al. (2017): sigma(4 (2 t / T - 1)), brought to 0 and 1."""
    betas = np.array(schedule(1000))
    assert (betas[0], betas[-1], len(betas)) == (0.0, 1.0, 1001)
    gaps = np.diff(betas)
    assert (gaps > 0).all()
    assert gaps[0] == pytest.approx(gaps[-1])
    # The slope of the logistic function at 4 is 0.0177, at 0 it is 1/4.
    assert gaps[500] / gaps[0] == pytest.approx(0.25 / 0.01766, rel=0.01)
    assert betas[250] == pytest.approx((0.1192029 - 0.0179862) / 0.9640276, abs=1e-6)
    assert schedule(1) == [0.0, 1.0]


def test_leapfrog_is_reversible_and_keeps_volume() -> None:
    path = gamma_path()
    z = torch.randn(3, 1, 2, dtype=F64)
    v, step = torch.randn(3, 1, 2, dtype=F64), tensor([[0.2]])
    end, w = leapfrog(path, path.point(z), v, 0.5, step, 10)
    back, u = leapfrog(path, end, -w, 0.5, step, 10)
    torch.testing.assert_close(back.z, z, atol=1e-12, rtol=0)
    torch.testing.assert_close(u, -v, atol=1e-12, rtol=0)

    def flow(state: Tensor) -> Tensor:
        end, w = leapfrog(path, path.point(state[None, None, :2]), state[2:], 0.5, step, 10)
        return torch.cat([end.z.flatten(), w.flatten()])

    state, h = torch.cat([z[0, 0], v[0, 0]]), 1e-6
    axes = torch.eye(4, dtype=F64)
    jacobian = torch.stack([(flow(state + h * a) - flow(state - h * a)) / (2 * h) for a in axes])
    assert float(torch.linalg.det(jacobian)) == pytest.approx(1, abs=1e-6)  # central differences


@pytest.mark.parametrize("beta", [0.2, 1.0])
@pytest.mark.parametrize("step", [0.1, 0.4, 0.8])
def test_moves_leave_the_density_as_it_is(step: float, beta: float) -> None:
    """From exact draws, after three moves, still exact draws: by Kolmogorov and Smirnov.

    Long steps are rejected half of the time; without that they would bias by far more.
    """
    path, n = gamma_path(), 20_000
    law = scipy.stats.loggamma(1 + beta)
    z = tensor(law.rvs((n, 1, 1), random_state=1))
    noise, point = KeyedNoise(0, ONE), path.point(z)
    accepted = []
    for _ in range(3):
        point, chance = move(path, point, beta, tensor([[step]]), noise, 3)
        accepted.append(float(chance.mean()))
    assert scipy.stats.kstest(point.z.flatten().numpy(), law.cdf).pvalue > 1e-3
    assert float((point.z != z).double().mean()) > 0.5
    assert np.mean(accepted) < (0.9999 if step < 0.4 else 0.995)


def test_moves_that_leave_for_infinity_are_rejected() -> None:
    path = gamma_path()
    start = path.point(torch.zeros(50, 1, 1, dtype=F64))
    end, chance = move(path, start, 1.0, tensor([[1e3]]), KeyedNoise(0, ONE), 10)
    assert float(chance.max()) == 0
    assert torch.equal(end.z, start.z)


@pytest.mark.parametrize("back", [False, True])
def test_walks_have_weights_without_bias(back: bool) -> None:
    """From Gamma(1) to Gamma(3) the integral doubles for each of two elements: 4, and back 1/4.

    At only twenty temperatures, where the weights vary: the mean over many chains tells.
    """
    path = Path(lambda z: (z - z.exp()).sum(-1), lambda z: 2 * z.sum(-1))
    n, betas = 20_000, schedule(20)
    pilot = KeyedNoise(1, ONE)
    first = path.point(pilot.normal((4, 1, 2), tensor(0.0)))
    steps = tune(path, first, betas, pilot, 5)
    law = scipy.stats.loggamma(3 if back else 1)
    z = tensor(law.rvs((n, 1, 2), random_state=2))
    if back:
        betas, steps = betas[::-1], steps[::-1]
    log_weight, chance = walk(path, path.point(z), betas, steps, KeyedNoise(0, ONE), 5)
    weight = log_weight.exp()
    error = float(weight.std()) / math.sqrt(n)
    assert float(weight.mean()) == pytest.approx(0.25 if back else 4.0, abs=4 * error)
    assert error < 0.05 * float(weight.mean())
    assert float(log_weight.std()) > 0.2
    assert abs(float(chance.mean()) - 0.8) < 0.12  # what the steps were tuned to


# -- against known likelihoods -------------------------------------------------------------------


@pytest.mark.oracle(21)
@pytest.mark.parametrize("start", STARTS)
def test_annealing_finds_the_closed_form(start: str) -> None:
    """Oracle 21: within its errors, with a q that is far too wide."""
    true = textbook()
    model, x = true.model(scale=tensor([1.5, 1.5])), true.draw(20)
    found = annealed(model, Data(x), k=8, temperatures=150, start=start)
    off = found.value - float(true.log_prob(x).mean())
    bias = float(found.per_datum_stderr.square().mean()) / 2  # half the variance of a datum's
    assert -4 * found.mc_stderr - bias < off < 4 * found.mc_stderr
    assert found.mc_stderr < 0.07
    assert found.kind == (
        "stochastic lower bound on log p(x) (annealed importance sampling, 8 chains of 150 "
        f"temperatures from the {start})"
    )
    z = (found.per_datum - true.log_prob(x)) / found.per_datum_stderr
    # 20 data know a standard deviation to 16 %, and 8 chains each error to 25 % and more.
    assert 0.5 < float(z.std()) < 2
    assert abs(float(found.acceptance.mean()) - 0.8) < 0.1
    assert 4 < float(found.ess.mean()) <= 8


@pytest.mark.oracle(21)
@pytest.mark.slow
def test_a_thousand_temperatures_are_within_two_hundredths() -> None:
    true = textbook()
    x = true.draw(100)
    found = annealed(true.model(), Data(x), k=16)
    assert found.mc_stderr < 0.01
    assert abs(found.value - float(true.log_prob(x).mean())) < 0.02


@pytest.mark.usefixtures("hardly_tuned")
def test_the_exact_posterior_has_weights_without_variance() -> None:
    """From q = p(z | x) all densities of the path are one, up to p(x): however few they are."""
    true = textbook().rotated()
    x = true.draw(10)
    found = annealed(true.model(), Data(x), k=3, temperatures=4, start="posterior")
    torch.testing.assert_close(found.per_datum, true.log_prob(x), atol=1e-9, rtol=0)
    assert found.mc_stderr < 1e-7  # the root of rounding


def test_one_temperature_is_importance_sampling() -> None:
    data = bits(6)
    model = small(data)
    found = annealed(model, data, k=5, temperatures=1, start="posterior", seed=3)
    estimates_agree(found, log_likelihood(model, data, k=5, seed=3), 1e-10)
    assert found.acceptance is None


@pytest.mark.oracle(20)
@pytest.mark.parametrize("prior", PRIORS)
def test_annealing_equals_quadrature_for_every_prior(prior: str) -> None:
    """Oracle 20, on a curved decoder with two latent elements."""
    data = bits(10)
    model = small(data, prior=prior)
    true = exact(model, data)
    for start in STARTS:
        found = annealed(model, data, k=8, temperatures=30, start=start)
        # Its bias is half the variance of a datum's estimate.
        bias = float(found.per_datum_stderr.square().mean()) / 2
        assert -4 * found.mc_stderr - bias < found.value - true.value < 4 * found.mc_stderr
        assert found.mc_stderr < 0.15


def test_masks_and_conditions_are_those_of_the_model() -> None:
    true = Linear(textbook().weight, textbook().mu, 0.25, tensor([[1.0], [-2.0], [0.5]]))
    c = torch.randn(10, 1, generator=torch.Generator().manual_seed(0), dtype=F64)
    x = true.draw(10, c=c)
    mask = torch.rand(10, 3, generator=torch.Generator().manual_seed(1)) < 0.7
    data = Data(torch.where(mask, x, torch.nan), c=c, mask=mask)
    found = annealed(true.model(), data, k=8, temperatures=60)
    assert found.kind.startswith("stochastic lower bound on log p(seen entries of x|c)")
    assert abs(found.value - exact(true.model(), data).value) < 4 * found.mc_stderr + 5e-3


# -- both bounds ---------------------------------------------------------------------------------


@pytest.mark.oracle(21)
@pytest.mark.parametrize("start", STARTS)
def test_the_sandwich_holds_and_closes(start: str) -> None:
    """Lower <= log p <= upper in expectation; with more temperatures the gap goes to 0."""
    true = textbook()
    model = true.model(scale=tensor([1.0, 1.0]))
    gaps = []
    for temperatures in (3, 100):
        found = bidirectional(model, 60, k=4, temperatures=temperatures, start=start)
        log_p = true.log_prob(found.data.x)
        for high, low in ((found.upper.per_datum, log_p), (log_p, found.lower.per_datum)):
            gap = high - low
            assert float(gap.mean()) > -4 * float(gap.std()) / math.sqrt(60)
        how = f"annealed importance sampling, 4 chains of {temperatures} temperatures"
        for side, bound in (("lower", found.lower), ("upper", found.upper)):
            way = {"lower": "from", "upper": "back to"}[side]
            expected = f"stochastic {side} bound on log p(x) ({how} {way} the {start})"
            assert bound.kind == str(bound.words) == expected
        assert found.gap.value == pytest.approx(found.upper.value - found.lower.value)
        assert found.gap.mc_stderr is found.upper.mc_stderr is None
        gaps.append(found.gap)
    coarse, fine = gaps
    assert coarse.value > 4 * coarse.data_stderr
    assert fine.value < coarse.value / 3
    assert abs(fine.value) < 4 * fine.data_stderr + 0.02


def test_simulated_data_are_draws_of_the_model() -> None:
    true = textbook()
    x = bidirectional(true.model(), 4000, k=1, temperatures=1).data.x
    covariance = true.weight @ true.weight.T + 0.25 * torch.eye(3, dtype=F64)
    # Mahalanobis lengths of a normal density are chi-squared.
    away = torch.linalg.solve(covariance, (x - true.mu).T).T
    lengths = ((x - true.mu) * away).sum(1)
    assert scipy.stats.kstest(lengths.numpy(), scipy.stats.chi2(3).cdf).pvalue > 1e-3


def test_sandwich_of_a_recipe_with_a_condition() -> None:
    g = torch.Generator().manual_seed(0)
    data = Data(torch.randn(10, 4, generator=g), c=torch.randn(10, 2, generator=g))
    for options in ({}, {"dropout": 0.5}):
        model = build("cvae", data.spec(), net="mlp(hidden=(8,))", latent=2, **options).model
        found = bidirectional(model, 10, data.c, k=2, temperatures=5)
        assert "log p(x|c)" in found.lower.kind
        assert found.upper.kind.startswith("stochastic upper bound on log p(x|c)")
        assert found.gap.kind == "gap of the stochastic bounds on log p(x|c), of simulated x"
        assert math.isfinite(found.gap.value)
    model = build("cvae", data.spec(), latent=2).model
    with pytest.raises(DiaboloError, match="conditional: it needs a condition"):
        bidirectional(model, 3, k=1, temperatures=2)


@pytest.mark.usefixtures("hardly_tuned")
def test_the_sandwich_of_what_is_scored_given_its_total_is_refused() -> None:
    """x drawn at the mean total and scored at its own has another posterior than its z is from."""
    data = Data(torch.poisson(torch.full((6, 4), 3.0, dtype=F64)), support="count")
    spec = replace(data.spec(), mean=data.x.mean(0).float())
    for likelihood in ("NegativeBinomial", "NegativeBinomial(exposure=total)"):
        model = build("vae", spec, net="mlp(hidden=(8,))", latent=2, likelihood=likelihood).model
        assert math.isfinite(annealed(model, data, k=2, temperatures=3).value)
        if model.likelihood.family.given:
            with pytest.raises(DiaboloError, match=r"given its total.*no upper bound"):
                bidirectional(model, 3, k=2, temperatures=3)
        else:
            assert math.isfinite(bidirectional(model, 3, k=2, temperatures=3).gap.value)


# -- invariances ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("hardly_tuned")
@pytest.mark.parametrize("start", STARTS)
def test_batch_order_and_parts_change_nothing(start: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bits(4)
    model = small(data)
    facts = {"k": 6, "temperatures": 12, "start": start, "seed": 1}
    whole = annealed(model, data, **facts, batch=4)
    # Rounding of products of other shapes, 1e-15, times what a hundred leapfrog steps make of it.
    for batch in (1, 3):
        estimates_agree(whole, annealed(model, data, **facts, batch=batch), 1e-9)
    order = torch.tensor([2, 0, 3, 1])
    turned = annealed(model, data.take(order), **facts)
    torch.testing.assert_close(turned.per_datum, whole.per_datum[order], atol=1e-9, rtol=0)
    module = importlib.import_module("diabolo.evaluate.annealed")
    monkeypatch.setattr(module, "decoder_rows", lambda *_: 16)
    estimates_agree(whole, annealed(model, data, **facts, batch=4), 1e-9)  # four chains, then two
    again = annealed(copy.deepcopy(model), data, **facts, batch=4)
    torch.testing.assert_close(again.acceptance, whole.acceptance, atol=1e-9, rtol=0)


@pytest.mark.usefixtures("hardly_tuned")
def test_more_chains_begin_with_the_fewer() -> None:
    data = bits(5)
    model = small(data)
    few, many = (annealed(model, data, k=k, temperatures=5) for k in (4, 5))
    added = many.per_datum + math.log(5) - (few.per_datum + math.log(4))
    assert bool((added > 0).all())


@pytest.mark.usefixtures("hardly_tuned")
def test_seeds_repeat_and_the_caller_is_left_alone() -> None:
    data = bits(5)
    model = small(data).train()
    state = torch.get_rng_state()
    a, b, other = (annealed(model, data, k=2, temperatures=5, seed=s) for s in (0, 0, 1))
    assert torch.equal(a.per_datum, b.per_datum)
    assert not torch.equal(a.per_datum, other.per_datum)
    assert torch.equal(state, torch.get_rng_state())
    assert model.training
    assert all(p.grad is None for p in model.parameters())


def test_types_agree() -> None:
    data = bits(6)
    model = small(data)
    double = annealed(model, data, k=64, temperatures=20)
    single = annealed(model.float(), data, k=64, temperatures=20)
    # Chains part ways where an acceptance falls on the other side: then they are other draws.
    assert abs(single.value - double.value) < 4 * math.hypot(single.mc_stderr, double.mc_stderr)
    assert single.per_datum.dtype is F64
    low = annealed(model, data, k=64, temperatures=20, precision="bf16")
    assert low.kind.endswith("networks in bf16")
    assert abs(low.value - double.value) < 0.1


# -- words and refusals --------------------------------------------------------------------------


def test_an_estimate_tells_its_acceptance() -> None:
    data = bits(5)
    found = annealed(small(data), data, k=3, temperatures=10)
    told = json.loads(json.dumps(found.to_json()))
    assert 0 <= told["acceptance_min"] <= told["acceptance_mean"] <= 1
    assert 1 <= told["ess_min"] <= 3
    assert annealed(small(data), data, k=1, temperatures=10).mc_stderr is None


def test_models_and_arguments_are_refused_with_one_sentence() -> None:
    true = textbook()
    data = Data(true.draw(3))
    for use in (annealed, lambda m, _, **o: bidirectional(m, 3, **o)):
        with pytest.raises(DiaboloError, match="deterministic autoencoder has no likelihood"):
            use(true.model(deterministic=True), data)
        for name in ("k", "temperatures", "leapfrog"):
            with pytest.raises(DiaboloError, match=f"{name} is a whole number of 1 or more"):
                use(true.model(), data, **{name: 0})
        with pytest.raises(DiaboloError, match=r"Unknown start: 'priors'\. Did you mean 'prior'"):
            use(true.model(), data, start="priors")
        with pytest.raises(DiaboloError, match="batch is a whole number of 1 or more"):
            use(true.model(), data, batch=0)
    seen = bits(3)
    ladder = build("ladder", replace(seen, x=seen.x.float()).spec()).model.double()
    with pytest.raises(DiaboloError, match=r"one vector of continuous.*is a hierarchy"):
        annealed(ladder, seen)
    spec = replace(seen, x=seen.x.float()).spec()
    sphere = build("vae", spec, prior="uniform_sphere", posterior="vmf").model
    with pytest.raises(DiaboloError, match=r"this one has points of the unit sphere: use"):
        annealed(sphere, seen)
    with pytest.raises(DiaboloError, match=r"shape \(3,\), but got \(8,\)"):
        annealed(true.model(), seen)


@pytest.mark.parametrize("temperatures", [1, 20])
@pytest.mark.parametrize("walks", [annealed, bidirectional])
def test_progress_is_told_along_the_walks(walks, temperatures) -> None:
    """Few data are one batch, which takes minutes: it is told within it, up to all of it."""
    data, parts = bits(6), []
    what = data if walks is annealed else len(data)
    given = {"k": 2, "temperatures": temperatures, "leapfrog": 1, "batch": 4}
    walks(small(data), what, progress=parts.append, **given)
    assert parts == sorted(set(parts))
    assert parts[-1] == 1
    if temperatures > 1:
        assert max(np.diff([0, *parts])) < 0.02

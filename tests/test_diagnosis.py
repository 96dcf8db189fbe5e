"""The diagnosis of a latent, where what is wrong with it is known.

Shapes: N data, D latent elements.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from diabolo.data import Data
from diabolo.distributions import Normal
from diabolo.errors import DiaboloError
from diabolo.evaluate import (
    Diagnosis,
    Estimate,
    aggregate_posterior,
    bound,
    diagnose,
    evaluate,
    exchange,
    sensitivity,
)
from diabolo.evaluate.bounds import element_rates
from diabolo.evaluate.dependence import slopes
from diabolo.evaluate.passes import some
from diabolo.evaluate.verdict import GENTLE, HOLE, verdict
from diabolo.model import Draw, Inferred, LatentModel
from diabolo.noise import KeyedNoise, Noise
from diabolo.priors import PRIORS
from diabolo.recipes import RECIPES
from diabolo.registry import keywords
from laws import recipes
from laws.evaluation import F64, Linear, tensor
from test_evaluate import of_recipe

SPECTRUM = tensor([4.0, 2.0, 1.0, 0.5, 0.25, 0.1])
EXACT = 1e-10  # float64, sums of products of order one


def optimum(theta: float, n: int = 1500) -> tuple[LatentModel, Data, Tensor]:
    """The linear beta-VAE at its optimum, theta = beta sigma^2, its data, and rates by element.

    w^2 = lambda - theta, q's variance is theta / lambda and the aggregate posterior N(0, I); what
    explains less than theta is left out.
    """
    active = theta < SPECTRUM
    weight = (SPECTRUM - theta).clamp(min=0).sqrt()
    gain = torch.where(active, weight / SPECTRUM, 0.0)
    scale = torch.where(active, theta / SPECTRUM, 1.0).sqrt()
    world = Linear(weight.diag(), torch.zeros(6, dtype=F64), theta)
    g = torch.Generator().manual_seed(0)
    x = torch.randn(n, 6, generator=g, dtype=F64)
    x = torch.linalg.qr(x - x.mean(0)).Q * math.sqrt(n) * SPECTRUM.sqrt()
    rate = torch.where(active, 0.5 * (SPECTRUM / theta).log(), 0.0)
    return world.model(gain=gain.diag(), scale=scale), Data(x), rate


def names(found: Diagnosis) -> list[str]:
    return [f.name for f in found.verdict]


# -- what is known -----------------------------------------------------------------------------


@pytest.mark.oracle(6)
@pytest.mark.parametrize(("theta", "units"), [(0.6, 3), (1.5, 2)])
def test_unused_elements_of_an_optimum_are_no_fault(theta: float, units: int) -> None:
    """Oracle 6: rates, slopes, information = rate, and q(z) = p(z)."""
    model, data, rate = optimum(theta)
    found = diagnose(model, data)
    torch.testing.assert_close(found.rate, rate, atol=EXACT, rtol=0)
    assert sum(found.active) == units
    slopes = (SPECTRUM - theta).clamp(min=0).sqrt()
    torch.testing.assert_close(found.sensitivity, slopes, atol=EXACT, rtol=0)
    assert names(found) == ["unused", "filled"]
    assert not any(f.fault for f in found.verdict)
    assert f"{6 - units} of 6 latent elements" in found.verdict[0].sentence
    assert "no fault" in found.verdict[0].sentence
    a = aggregate_posterior(model, data)
    # Each is a mean over 1500 data; the mixture of them is not yet its limit, by some D / N.
    error = 4 * a.information.data_stderr + 10 / 1500
    assert a.information.value == pytest.approx(float(rate.sum()), abs=error)
    for part in (a.correlation, a.marginals, a.gain):
        assert part.value == pytest.approx(0.0, abs=4 * part.data_stderr + 10 / 1500)
    assert not a.saturated


def test_exchange_of_codes_has_its_closed_form() -> None:
    """x_n = W z_n + e: another's code costs E|W (z_n - z_m)|^2 / 2 sigma^2 more, less a cross term.

    log p(x|z) is quadratic; with own z = G x + s e and other z' the same of x' independent, the
    rise is x^T W (z - z') / sigma^2 in the mean: tr(W G Cov(x)) / sigma^2.
    """
    theta = 0.6
    model, data, _ = optimum(theta)
    found = exchange(model, data)
    expected = float((SPECTRUM - theta).clamp(min=0).sum() / theta)
    assert found.value == pytest.approx(expected, abs=4 * found.data_stderr)
    assert found.data_stderr < 0.05 * expected
    assert found.mc_stderr < found.data_stderr


@pytest.mark.parametrize("deterministic", [True, False])
def test_errors_of_the_exchange_are_those_over_seeds_and_over_data(deterministic: bool) -> None:
    """Told errors against the spread of 100 seeds and of 200 data sets of 40."""
    world = Linear(SPECTRUM[:3].sqrt().diag(), torch.zeros(3, dtype=F64), 0.6)
    model = world.model(deterministic=deterministic)
    data = Data(world.draw(40))
    seeds = [exchange(model, data, seed=s) for s in range(100)]
    sets = [exchange(model, Data(world.draw(40, s)), seed=s) for s in range(200)]
    for found, told, tolerance in ((seeds, "mc_stderr", 0.25), (sets, "data_stderr", 0.2)):
        # A spread of 100 (200) normal values is known to 7% (5%).
        spread = float(tensor([e.value for e in found]).std())
        error = float(tensor([getattr(e, told) for e in found]).square().mean().sqrt())
        assert error == pytest.approx(spread, rel=tolerance)


def test_an_exchange_that_cannot_tell_its_error_says_so() -> None:
    model, data, _ = optimum(0.6, n=50)
    one = exchange(model, data, samples=1)
    assert one.mc_stderr is None
    assert one.data_stderr is None
    assert exchange(model, data.take(torch.arange(2))).data_stderr is None


def test_a_rise_is_small_only_where_its_error_is() -> None:
    model, data, rate = optimum(0.6, n=50)
    parts = bound(model, data)
    noisy = 0.05 * torch.tensor([1.0, -1.0]).double().repeat(25)
    for each, deaf in ((noisy, False), (noisy / 100, True)):
        found = verdict(parts, rate, Estimate.of(each, None, k=1, seed=0, kind="rise"), None)
        assert (found[0].name == "ignored") == deaf
        # Of elements that are all used, what is not known is said.
        used = verdict(parts, rate[:3], Estimate.of(each, None, k=1, seed=0, kind="rise"), None)
        assert deaf or "these data do not show" in used[0].sentence


def test_a_decoder_that_ignores_the_code_is_found_out() -> None:
    """The rate is paid for nothing: the encoder tells, but nobody listens."""
    model, data, _ = optimum(0.6, n=200)
    with torch.no_grad():
        model.likelihood.net.weight.zero_()
    found = diagnose(model, data)
    assert float(found.rate.sum()) > 1
    assert bool((found.sensitivity == 0).all())
    assert exchange(model, data).value == 0
    assert found.verdict[0].name == "ignored"
    assert found.verdict[0].fault
    assert "free_bits" in found.verdict[0].remedy


def test_an_encoder_that_says_nothing_is_found_out() -> None:
    model, data, _ = optimum(5.0, n=200)  # nothing explains so much
    found = diagnose(model, data)
    assert names(found)[0] == "ignored"
    assert "no fault only where" in found.verdict[0].remedy


def test_a_group_that_collapsed_is_named() -> None:
    model, data = of_recipe("ladder")
    with torch.no_grad():
        for p in model.latent.steps[1].change.net.parameters():
            p.zero_()  # no change: q is p, but for the floor of its scale
    parts = bound(model, data)
    rate = torch.cat([e for e in parts.rate_elements if e is not None])
    rise = Estimate.of(torch.full((6,), 5.0), None, k=1, seed=0, kind="rise")
    found = verdict(parts, rate, rise, None)
    assert [f.name for f in found] == ["group"]
    assert found[0].sentence.startswith("Group 2 of 3 has collapsed")


def test_all_elements_that_are_all_but_unused_are_a_fault() -> None:
    """Many elements of little rate each make up more than none, and nobody uses the code."""
    model, data = of_recipe("vae")
    parts = bound(model, data)
    rise = Estimate.of(torch.full((6,), 0.1), None, k=1, seed=0, kind="rise")
    rate = torch.full((4,), 0.005)
    (found,) = verdict(parts, rate, rise, None)
    assert (found.name, found.fault) == ("unused", True)
    assert found.sentence.startswith("All latent elements are all but unused")
    rate[0] = torch.nan  # not known: perhaps used
    (found,) = verdict(parts, rate, rise, None)
    assert (found.name, found.fault) == ("unused", False)
    assert "others" not in found.sentence
    assert found.sentence.startswith("3 of 4 latent elements are unused")
    assert "Of 1 the rate is not known one by one." in found.sentence
    rate[0] = 1.0
    assert "The others are used." in verdict(parts, rate, rise, None)[0].sentence
    told = verdict(None, torch.full((4,), torch.nan), rise, None)[0].sentence
    assert told.endswith("The code of another datum costs the decoder 0.10 nats.")


@pytest.mark.parametrize("name", ["hierarchical", "ladder", "m2"])
def test_the_verdict_counts_the_elements_of_all_groups(name: str) -> None:
    """Of elements whose rate is not known alone none is called used or unused."""
    model, data = of_recipe(name)
    parts = bound(model, data)
    rate = element_rates(model, parts)
    assert len(model.groups) > 1
    assert len(rate) == sum(model.groups)
    for part, whole in zip(rate.split(model.groups), parts.rate, strict=True):
        split = not bool(part.isnan().any())
        assert split or bool(part.isnan().all())
        assert not split or float(part.sum()) == pytest.approx(whole.value, rel=EXACT)
    assert bool(element_rates(model, None).isnan().all())
    rise = Estimate.of(torch.full((6,), 5.0), None, k=1, seed=0, kind="rise")
    unknown = int(rate.isnan().sum())
    known = torch.nonzero(~rate.isnan()).flatten()
    for used in (0, 1):
        rate[known], rate[known[:used]] = 0.0, 1.0
        (found,) = verdict(parts, rate, rise, None)
        if not used and not unknown:
            assert found.sentence.startswith("All latent elements are all but unused")
            continue
        idle = len(known) - used
        are = "is" if idle == 1 else "are"
        told = f"{idle} of {len(rate)} latent elements {are} unused"
        assert found.sentence.startswith(told)
        assert (f"Of {unknown} the rate is not known one by one." in found.sentence) == (
            unknown > 0
        )
        assert ("The others are used." in found.sentence) == (not unknown)


def test_a_prior_with_holes_is_found_out() -> None:
    model, data, _ = optimum(0.6, n=600)
    assert "holes" not in names(diagnose(model, data))
    with torch.no_grad():
        model.latent.posterior.mean.bias.add_(3.0)  # all codes where the prior has few
        model.likelihood.net.bias.sub_(model.likelihood.net.weight.sum(1) * 3.0)
    found = diagnose(model, data)
    hole = next(f for f in found.verdict if f.name == "holes")
    assert hole.fault
    assert "run.refit(prior=" in hole.remedy
    # log g(z) - log p(z) is 6 * 9 / 2 nats in the mean
    assert aggregate_posterior(model, data).gain.value == pytest.approx(27, abs=1)


class InGroups(nn.Module):
    """A latent of independent normal elements, told as a group of one and a group of the rest."""

    deterministic = False

    def __init__(self, latent: nn.Module) -> None:
        super().__init__()
        self.latent, self.groups = latent, (1, latent.groups[0] - 1)

    def forward(self, x: Tensor, c: Tensor | None, k: int, noise: Noise) -> Inferred:
        whole = self.latent(x, c, k, noise)
        d = whole.draws[0]
        draws = []
        for z, at in zip(d.z.split(self.groups, -1), (slice(0, 1), slice(1, None)), strict=True):
            q, p = (Normal(f.loc[..., at], f.log_scale[..., at]) for f in (d.q, d.p))
            draws.append(Draw(z, q.log_prob(z), p.log_prob(z), q, p))
        return Inferred(whole.code, tuple(draws), whole.penalty)

    def assemble(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return self.latent.assemble(z, c)

    def sample(self, n: int, c: Tensor | None, noise: Noise) -> Tensor:
        return self.latent.sample(n, c, noise)


def test_the_rate_of_lower_groups_is_no_hole_of_the_prior() -> None:
    """q(z) = p(z), and the second group costs 2.5 nats for what it tells of x."""
    model, data, rate = optimum(0.2)
    model.latent = InGroups(model.latent)
    a = aggregate_posterior(model, data)
    assert a.divergence == pytest.approx(float(rate[1:].sum()), abs=0.1)
    assert a.divergence > HOLE
    assert a.at_most
    assert not a.saturated
    told = next(r for r in a.rows() if r.name == "divergence")
    assert told.how.startswith("upper bound on KL(q(z) || p(z)): the rate of all groups")
    assert any("KL(q(z) || p(z)) is at most" in n for n in a.notes)
    assert "holes" not in names(diagnose(model, data))
    # Codes that the prior does not expect are still found out, by the fitted density.
    with torch.no_grad():
        model.latent.latent.posterior.mean.bias.add_(3.0)
    hole = next(f for f in diagnose(model, data).verdict if f.name == "holes")
    assert "is at least 2" in hole.sentence


def test_the_divergence_is_one_estimate_everywhere() -> None:
    for theta in (0.6, 1.5):
        model, data, _ = optimum(theta, n=200)
        a = aggregate_posterior(model, data)
        assert not a.at_most
        whole = a.prior_divergence
        assert whole.value == a.divergence
        both = a.correlation.per_datum + a.marginals.per_datum
        torch.testing.assert_close(whole.per_datum, both)
        assert whole.data_stderr > 0
        assert a.to_json()["divergence"] == whole.to_json()
        row = next(r for r in a.rows() if r.name == "divergence")
        assert (row.value, row.data_stderr, row.how) == (whole.value, whole.data_stderr, whole.kind)


@pytest.mark.parametrize("n", [8, 40])
def test_information_that_n_data_cannot_tell_is_told_as_no_less(n: int) -> None:
    model, data, _ = optimum(0.05 if n > 8 else 1.5, n=n)  # eight data tell little of any model
    found = diagnose(model, data)
    assert "ceiling" in names(found)
    assert f"{n} data can show no more information than log N = {math.log(n):.2f} nats" in str(
        found.verdict[-1]
    )
    assert "holes" not in names(found)  # what N data cannot tell is no fault of the prior
    assert any("at least this" in n for s in found.sections for n in s.notes)


def test_slopes_are_those_of_finite_differences() -> None:
    model, data = of_recipe("vae")
    found = sensitivity(model, data.take(torch.tensor([2])))
    with torch.no_grad():
        b = data.batch(torch.tensor([2]))
        z = model.infer(b.x, noise=KeyedNoise(0, b.index))[0].draws[0].z[0]
        for j, slope in enumerate(found.tolist()):
            step = torch.zeros_like(z)
            step[0, j] = 1e-5
            ends = model.decode(z + step).mean - model.decode(z - step).mean
            assert slope == pytest.approx(float(ends.norm()) / 2e-5, rel=1e-6)


def test_slopes_have_the_error_of_their_mean() -> None:
    model, data = of_recipe("vae")
    each = torch.stack([sensitivity(model, data.take(torch.tensor([n]))) for n in range(len(data))])
    found = slopes(model, data)
    error = each.std(0) / math.sqrt(len(data))
    torch.testing.assert_close(found.data_stderr, error, atol=EXACT, rtol=0)
    rows = {r.name: r for r in diagnose(model, data).sections[1].rows}
    top, low = int(found.mean.argmax()), int(found.mean.argmin())
    assert rows["largest slope"].data_stderr == pytest.approx(float(error[top]))
    assert rows["least slope"].data_stderr == pytest.approx(float(error[low]))
    assert bool(slopes(model, data.take(torch.tensor([0]))).data_stderr.isnan().all())


# -- laws of every model -----------------------------------------------------------------------


@pytest.mark.parametrize("name", RECIPES.names())
def test_every_recipe_has_a_diagnosis(name: str) -> None:
    """Whole, in order, in whatever parts, with a sentence for what does not exist."""
    model, data = of_recipe(name)
    found = diagnose(model, data)
    json.dumps(found.to_json(), allow_nan=False)
    assert found.verdict
    assert [s.title for s in found.sections] == [
        "What the code costs",
        "What the decoder makes of it",
        "The codes of all data together",
        "What q loses of the bound",
        "What the probabilities are worth",
    ]
    for s in found.sections:
        assert s.rows or s.notes
    assert sorted(found.order) == list(range(sum(model.groups)))
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(2))
    turned = diagnose(model, data.take(order))
    torch.testing.assert_close(found.rate, turned.rate, atol=EXACT, rtol=0, equal_nan=True)
    torch.testing.assert_close(
        found.sensitivity, turned.sensitivity, atol=EXACT, rtol=0, equal_nan=True
    )
    rise, again = exchange(model, data), exchange(model, data.take(order))
    torch.testing.assert_close(rise.per_datum[order], again.per_datum, atol=EXACT, rtol=0)
    assert bool((found.sensitivity[~found.sensitivity.isnan()] >= 0).all())


@pytest.mark.parametrize("rows", [1, 4])
def test_batches_change_nothing(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = of_recipe("ladder")
    whole = exchange(model, data), sensitivity(model, data)
    monkeypatch.setattr("diabolo.evaluate.dependence.decoder_rows", lambda *_: 16 * rows)
    torch.testing.assert_close(exchange(model, data).per_datum, whole[0].per_datum)
    torch.testing.assert_close(sensitivity(model, data), whole[1])


@pytest.mark.parametrize("likelihood", ["Normal", "StudentT", "Laplace"])
def test_slopes_of_other_likelihoods(likelihood: str) -> None:
    case = recipes.case("vae", support="real", likelihood=likelihood, n=8, dtype=F64)
    model = case.build().model.eval()
    found = diagnose(model, Data(case.x))
    assert bool(torch.isfinite(found.sensitivity).all())


def test_missing_entries_are_no_part_of_it() -> None:
    model, data = of_recipe("vae")
    mask = torch.rand(data.x.shape, generator=torch.Generator().manual_seed(0)) < 0.7
    seen = replace(data, mask=mask, x=torch.where(mask, data.x, torch.nan))
    case = recipes.case("vae", n=6, dtype=F64, missing=True)
    model = case.build().model.eval()
    other = replace(data, mask=mask, x=torch.where(mask, data.x, 0.0))
    one, two = diagnose(model, seen), diagnose(model, other)
    torch.testing.assert_close(one.rate, two.rate)
    assert exchange(model, seen).value == exchange(model, other).value


# -- words -------------------------------------------------------------------------------------


def test_some_of_many_data_are_looked_at_in_pairs_and_it_is_said() -> None:
    model, data, _ = optimum(0.6, n=300)
    found = diagnose(model, data, most=50)
    assert "It is that of 50 of the 300 data, drawn by row." in found.sections[2].notes
    few = some(data, 50, 0)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(1))
    turned = some(data.take(order), 50, 0)
    assert set(few.rows.tolist()) == set(turned.rows.tolist())
    assert few.rows.tolist() == sorted(few.rows.tolist())
    with pytest.raises(DiaboloError, match="most is"):
        diagnose(model, data, most=1)


def test_remedies_name_what_there_is() -> None:
    """Options are options of a recipe, and words in quotes are members."""
    options = {o for n in RECIPES.names() for o in keywords(RECIPES.load(n))}
    for option in re.findall(r"\b(\w+)=", GENTLE):
        assert option in options | {"recipe"}
    assert {"beta", "warmup", "free_bits"} <= set(keywords(RECIPES.load("beta_vae")))
    assert "warmup" in keywords(RECIPES.load("ladder"))
    assert "warmup" in keywords(RECIPES.load("hierarchical"))
    assert {"mixture", "vamp", "flow"} <= set(PRIORS.names())


def test_evaluate_adds_the_diagnosis_where_it_is_asked_for() -> None:
    model, data = of_recipe("vae")
    assert evaluate(model, data, k=3).diagnosis is None
    parts: list[float] = []
    found = evaluate(model, data, k=3, full=True, progress=parts.append)
    start = parts.index(0.0)  # the likelihood, and then the diagnosis
    assert parts[start - 1] == parts[-1] == 1
    assert parts[start:] == sorted(parts[start:])
    assert len(set(parts[start:])) > 50
    assert torch.equal(found.diagnosis.rate, diagnose(model, data).rate)
    assert "verdict" in found.to_json()["diagnosis"]
    points, data = of_recipe("ae")
    told = evaluate(points, data, full=True).diagnosis
    assert any("has no rate" in n for n in told.sections[0].notes)
    with pytest.raises(DiaboloError, match="needs two data"):
        evaluate(model, data.take(torch.tensor([0])), k=3, full=True)


def test_what_q_loses_and_what_probabilities_are_worth_are_told() -> None:
    model, data, _ = optimum(0.6, n=300)
    *_, loss, worth = diagnose(model, data).sections
    assert [r.name for r in loss.rows][3:] == ["amortisation gap", "approximation gap"]
    assert "It is that of 100 of the 300 data, drawn by row." in loss.notes
    assert set(worth.json) == {"posterior_ranks", "pit"}  # these data are no bits
    points, few = of_recipe("ae")
    *_, loss, worth = diagnose(points, few).sections
    assert not loss.rows
    assert not worth.rows
    assert len(worth.notes) == 1


def test_a_decoder_without_a_mean_has_no_slopes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> Tensor:
        raise DiaboloError("Cauchy has no mean in closed form.")

    monkeypatch.setattr("diabolo.evaluate.diagnosis.slopes", refuse)
    model, data = of_recipe("vae")
    found = diagnose(model, data)
    assert bool(found.sensitivity.isnan().all())
    assert any("slopes are not known: Cauchy" in n for n in found.sections[1].notes)


def test_evaluation_mode_is_given_back() -> None:
    model, data = of_recipe("vae")
    model.train()
    assert isinstance(model, nn.Module)
    diagnose(model, data)
    assert model.training

"""A posterior for each datum: it reaches the best of its family, and tells the two gaps apart."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from diabolo.config import TrainConfig
from diabolo.data import Data
from diabolo.distributions import REALS, Flowed
from diabolo.distributions import MultivariateNormal as Full
from diabolo.errors import DiaboloError
from diabolo.evaluate import Refinement, bound, difference, exact, log_likelihood, refine
from diabolo.evaluate.ascent import free
from diabolo.model import LatentModel
from diabolo.posteriors import POSTERIORS
from diabolo.recipes import RECIPES, build
from diabolo.train import fit
from laws.evaluation import F64, Linear, estimates_agree, tensor, textbook
from laws.recipes import case

X = tensor([[1.0, 0.0, 1.0]])
LOG_P, BEST, GAP = -4.3912506045, -4.4591513750, 0.0679007706
FORMS = ("own", "full")


def bad(true: Linear) -> LatentModel:
    """The model with an encoder that says q = N(0, I) of any x."""
    size = true.weight.shape[1]
    zero = torch.zeros(size, len(true.mu), dtype=F64)
    scale = torch.ones(size, dtype=F64)
    return true.model(gain=zero, offset=torch.zeros(size, dtype=F64), scale=scale)


def gaps_of(true: Linear, x: Tensor, found: Refinement) -> Tensor:
    """KL(q || p(z | x)) of the refined q, without Monte Carlo error."""
    q = found.posterior
    full = q.covariance if isinstance(q, Full) else torch.diag_embed(q.variance)
    truth = MultivariateNormal((x - true.mu) @ true.gain.T, true.covariance)
    return kl_divergence(MultivariateNormal(q.mean, full), truth)


def small(data: Data, *, moved: float = 0.4, recipe: str = "vae", **options: object) -> LatentModel:
    torch.manual_seed(0)
    spec = replace(data, x=data.x.float()).spec()
    model = build(
        recipe, spec, **{"net": "mlp(hidden=(8,))", "latent": 2, **options}
    ).model.double()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(moved * torch.randn_like(p))
    return model.eval()


def bits(n: int, width: int = 8) -> Data:
    g = torch.Generator().manual_seed(0)
    return Data((torch.rand(n, width, generator=g) < 0.4).to(F64), support="binary")


# -- known answers -------------------------------------------------------------------------------


def test_a_bad_encoder_is_led_to_the_best_diagonal_posterior() -> None:
    """Oracle 5, from N(0, I), whose own bound is oracle 4."""
    true = textbook()
    found = refine(bad(true), Data(X), steps=1000)
    gap = float(gaps_of(true, X, found))
    assert LOG_P - gap == pytest.approx(BEST, abs=1e-4)
    assert gap == pytest.approx(GAP, abs=1e-4)
    torch.testing.assert_close(found.posterior.mean, (X - true.mu) @ true.gain.T, atol=1e-4, rtol=0)
    assert abs(found.amortized.value + 16.1773740579) < 4 * found.amortized.mc_stderr
    assert abs(found.refined.value - BEST) < 4 * found.refined.mc_stderr
    assert abs(found.approximation_gap.value - GAP) < 4 * found.approximation_gap.mc_stderr
    assert found.amortization_gap.value == pytest.approx(11.718, abs=2)
    assert found.improved == 1


def test_a_full_covariance_reaches_the_exact_posterior() -> None:
    """Oracle 3: where q is the posterior every weight is p(x), and the path's gradient is 0."""
    true = textbook()
    x = torch.cat([X, true.draw(20)])
    found = refine(bad(true), Data(x), form="full", k=50)
    assert float(gaps_of(true, x, found).max()) < 1e-8
    assert isinstance(found.posterior, Full)
    torch.testing.assert_close(
        found.posterior.covariance, true.covariance.expand(len(x), -1, -1), atol=1e-4, rtol=0
    )
    assert float(found.refined.per_datum[0]) == pytest.approx(LOG_P, abs=1e-4)
    torch.testing.assert_close(found.refined.per_datum, true.log_prob(x), atol=1e-4, rtol=0)
    assert abs(found.approximation_gap.value) < 1e-6
    assert found.refined.mc_stderr < 1e-4


def test_an_exact_encoder_has_no_gap() -> None:
    true = textbook().rotated()
    found = refine(true.model(), Data(true.draw(50)), k=50, steps=100)
    assert abs(found.amortization_gap.value) < 1e-4  # what the climb's noise is worth
    assert abs(found.approximation_gap.value) < 1e-6


def test_the_best_diagonal_encoder_loses_by_its_family_alone() -> None:
    true = textbook()
    found = refine(true.model(), Data(true.draw(200)), steps=200)
    assert abs(found.amortization_gap.value) < 4 * found.amortization_gap.mc_stderr + 1e-5
    error = 4 * found.approximation_gap.mc_stderr
    # The estimate of log p(x) is too low by half its variance.
    assert -error - 1e-3 < found.approximation_gap.value - GAP < error
    assert error < 0.01


def test_gaps_add_up_and_are_paired() -> None:
    true = textbook()
    found = refine(bad(true), Data(true.draw(30)), steps=200)
    whole = found.likelihood.per_datum - found.amortized.per_datum
    parts = found.approximation_gap.per_datum + found.amortization_gap.per_datum
    torch.testing.assert_close(whole, parts, atol=1e-9, rtol=0)
    both = math.hypot(found.likelihood.mc_stderr, found.refined.mc_stderr)
    assert found.approximation_gap.mc_stderr < 0.8 * both
    repeats = [refine(bad(true), Data(X), steps=50, k=100, seed=s) for s in range(40)]
    for name in ("amortization_gap", "refined", "amortized"):
        each = [getattr(r, name) for r in repeats]
        spread = tensor([e.value for e in each]).std()
        told = tensor([e.mc_stderr for e in each]).square().mean().sqrt()
        # 40 repeats know a standard deviation to 11 %; refined q differ a little by seed.
        assert 0.6 < float(spread / told) < 1.6


def test_another_likelihood_may_be_given() -> None:
    true = textbook()
    x = true.draw(30)
    model = bad(true)
    found = refine(model, Data(x), steps=300, likelihood=exact(model, Data(x)))
    assert "closed form" in found.approximation_gap.kind
    assert abs(found.approximation_gap.value - GAP) < 4 * found.approximation_gap.mc_stderr + 1e-3
    with pytest.raises(DiaboloError, match="30 and 10 data"):
        refine(model, Data(x[:10]), steps=1, likelihood=exact(model, Data(x)))


def test_masks_and_conditions_are_those_of_the_model() -> None:
    true = Linear(textbook().weight, textbook().mu, 0.25, tensor([[1.0], [-2.0], [0.5]]))
    c = torch.randn(10, 1, generator=torch.Generator().manual_seed(0), dtype=F64)
    x = true.draw(10, c=c)
    mask = torch.rand(10, 3, generator=torch.Generator().manual_seed(1)) < 0.7
    data = Data(torch.where(mask, x, torch.nan), c=c, mask=mask)
    found = refine(true.model(), data, form="full", k=20)
    torch.testing.assert_close(
        found.refined.per_datum, exact(true.model(), data).per_datum, atol=1e-4, rtol=0
    )
    assert "log p(seen entries of x|c)" in found.refined.kind


# -- a trained model, and every family -----------------------------------------------------------


def test_refined_bounds_of_a_trained_model_are_not_below_the_encoders() -> None:
    """Row A57: for 99.9 % of data, of a model whose encoder was trained; families are nested."""
    g = torch.Generator().manual_seed(0)
    z = torch.randn(400, 2, generator=g)
    x = (torch.tanh(z @ torch.randn(2, 12, generator=g)) * 4).sigmoid().bernoulli(generator=g)
    data = Data(x, support="binary")
    torch.manual_seed(0)
    recipe = build("vae", data.spec(), latent=2, net="mlp(hidden=(16,))")
    fit(recipe, data, data, TrainConfig(epochs=30, batch_size=50))
    truth = exact(recipe.model, data)
    found = {form: refine(recipe.model, data, form=form, steps=300, k=200) for form in FORMS}
    for r in found.values():
        slack = 4 * r.amortization_gap.per_datum_stderr + 1e-4  # float32 sums
        worse = r.amortization_gap.per_datum < -slack
        assert float(worse.double().mean()) <= 1e-3
        assert r.amortization_gap.value > 4 * r.amortization_gap.mc_stderr
        below = truth.per_datum - r.refined.per_datum + 4 * r.refined.per_datum_stderr
        assert float((below < -1e-3).double().mean()) <= 1e-2
    gain = difference(found["full"].refined, found["own"].refined)
    assert gain.value > -4 * gain.mc_stderr
    assert found["full"].approximation_gap.value < found["own"].approximation_gap.value


@pytest.mark.parametrize("name", [n for n in POSTERIORS.names() if n != "vmf"])
@pytest.mark.parametrize("form", ["own", "diagonal", "full"])
def test_every_family_climbs_to_a_better_bound(name: str, form: str) -> None:
    data = bits(12)
    options = {"flow": "flow(transforms=2, hidden=(8,), context=4)"}
    model = small(data, posterior=options.get(name, name))
    found = refine(model, data, form=form, steps=150, k=100)
    assert found.amortization_gap.value > 4 * found.amortization_gap.mc_stderr
    truth = exact(model, data)
    assert found.refined.value < truth.value + 4 * found.refined.mc_stderr
    assert abs(found.likelihood.value - truth.value) < 5 * found.likelihood.mc_stderr + 0.01
    assert found.posterior.batch_shape == (12,)
    if form == "own":
        assert isinstance(found.posterior, Flowed) == (name == "flow")


def test_densities_are_what_their_free_numbers_make() -> None:
    x = torch.randn(5, 6, dtype=F64)
    for name in ("normal", "laplace", "logistic", "full", "flow(context=4)"):
        torch.manual_seed(0)
        q = POSTERIORS.build(name, (6,), 3, net="mlp(hidden=(8,))").double()(x)
        made = free(q, "It")
        z = torch.randn(4, 5, 3, dtype=F64)
        torch.testing.assert_close(made.density(*made.values).log_prob(z), q.log_prob(z))
        assert all(len(v) == 5 for v in made.values)


def test_progress_is_told_along_the_climb() -> None:
    true, parts = textbook(), []
    refine(true.model(), Data(true.draw(3)), steps=40, k=50, batch=2, progress=parts.append)
    assert parts == sorted(set(parts))
    assert parts[-1] == 1
    assert max(np.diff([0, *parts])) < 0.06


# -- as a proposal -------------------------------------------------------------------------------


def test_refined_proposals_have_better_weights() -> None:
    true = textbook()
    x = true.draw(50)
    model = bad(true)
    plain = log_likelihood(model, Data(x), k=100)
    found = log_likelihood(model, Data(x), method="importance(refine=300, form=full)", k=100)
    torch.testing.assert_close(found.per_datum, true.log_prob(x), atol=1e-3, rtol=0)
    assert float(found.ess.min()) > 99.9 > float(plain.ess.mean())
    assert found.kind == (
        "lower bound on log p(x) (importance-weighted from a q for each datum, full normal, "
        "300 steps, k=100)"
    )
    own = log_likelihood(model, Data(x), method="importance(refine=300)", k=100)
    assert abs(own.value - float(true.log_prob(x).mean())) < 4 * own.mc_stderr + 1e-3
    assert own.mc_stderr < plain.mc_stderr / 3
    estimates_agree(own, refine(model, Data(x), steps=300, k=100).likelihood, 1e-9)


def test_options_without_effect_are_refused() -> None:
    true = textbook()
    data = Data(true.draw(3))
    for method, told in (
        ("prior(refine=10)", "refine has no effect on samples of the prior"),
        ("importance(form=full)", "form has an effect with refine above 0 only"),
        ("importance(refine=-1)", "refine is a whole number of 0 or more"),
        ("importance(refine=10, form=ful)", "'own', 'diagonal' or 'full', but got 'ful'"),
    ):
        with pytest.raises(DiaboloError, match=told):
            log_likelihood(true.model(), data, method=method)
    for wrong in ({"steps": 0}, {"k": 1}, {"form": "oval"}, {"batch": 0}, {"seed": 0.5}):
        with pytest.raises(DiaboloError, match=next(iter(wrong))):
            refine(true.model(), data, **wrong)


# -- invariances ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_batch_and_order_change_nothing(form: str) -> None:
    data = bits(5)
    model = small(data)
    facts = {"form": form, "steps": 60, "k": 20, "seed": 1}
    whole = refine(model, data, **facts)
    for batch in (1, 3):
        cut = refine(model, data, **facts, batch=batch)
        # Rounding, through sixty steps of a climb that leads back.
        for name in ("refined", "amortized", "approximation_gap"):
            estimates_agree(getattr(whole, name), getattr(cut, name), 1e-8)
    order = torch.tensor([2, 0, 4, 3, 1])
    turned = refine(copy.deepcopy(model), data.take(order), **facts)
    torch.testing.assert_close(
        turned.refined.per_datum, whole.refined.per_datum[order], atol=1e-8, rtol=0
    )
    torch.testing.assert_close(
        turned.posterior.mean, whole.posterior.mean[order], atol=1e-6, rtol=0
    )


def test_the_model_and_the_caller_are_left_alone() -> None:
    data = bits(4)
    model = small(data).train()
    before = {name: p.clone() for name, p in model.named_parameters()}
    state = torch.get_rng_state()
    one, two, other = (refine(model, data, steps=20, k=10, seed=s) for s in (0, 0, 1))
    assert torch.equal(one.refined.per_datum, two.refined.per_datum)
    assert not torch.equal(one.refined.per_datum, other.refined.per_datum)
    assert torch.equal(state, torch.get_rng_state())
    assert model.training
    for name, p in model.named_parameters():
        assert p.grad is None
        assert torch.equal(p, before[name])


def test_one_broken_datum_is_no_trouble_to_the_others() -> None:
    """Its bound is -inf or huge; the climb of the rest is as it was without it."""
    true = textbook()
    x = true.draw(4)
    far = torch.cat([x, 1e6 * torch.ones(1, 3, dtype=F64)])
    facts = {"steps": 100, "k": 20}
    alone, beside = (refine(bad(true), Data(v), **facts) for v in (x, far))
    torch.testing.assert_close(
        beside.refined.per_datum[:4], alone.refined.per_datum, atol=1e-8, rtol=0
    )


def test_precisions_agree() -> None:
    data = bits(8)
    model = small(data)
    double = refine(model, data, steps=100, k=50)
    single = refine(copy.deepcopy(model).float(), data, steps=100, k=50)
    half = refine(copy.deepcopy(model).float(), data, steps=100, k=50, precision="bf16")
    assert single.refined.value == pytest.approx(double.refined.value, abs=5e-3)
    assert half.refined.value == pytest.approx(double.refined.value, abs=0.2)
    assert half.refined.kind.endswith("networks in bf16")


def test_results_are_told_in_rows_and_json() -> None:
    true = textbook()
    found = refine(true.model(), Data(true.draw(6)), steps=10, k=200)
    assert [q.name for q in found.rows()] == [
        "ELBO, encoder's q",
        "ELBO, refined q",
        "log-likelihood",
        "amortisation gap",
        "approximation gap",
    ]
    assert all(q.unit == "nats" and math.isfinite(q.value) for q in found.rows())
    told = json.loads(json.dumps(found.to_json()))
    assert told["steps"] == 10
    assert told["refined"]["value"] == pytest.approx(found.refined.value)


@pytest.mark.parametrize("name", RECIPES.names())
def test_every_recipe_is_refined_or_refused_with_a_sentence(name: str) -> None:
    made = case(name)
    model = made.build().model.eval()
    data = Data(made.x, c=made.c, support="binary")
    one = model.space == REALS and len(model.groups) == 1 and not any(model.levels)
    if model.deterministic or not one:
        told = "no likelihood" if model.deterministic else r"one vector of continuous .* this one"
        with pytest.raises(DiaboloError, match=told) as caught:
            refine(model, data, steps=5, k=5)
        assert "method" not in str(caught.value)
        return
    found = refine(model, data, steps=5, k=5)
    encoder = bound(model, data, samples=200).elbo
    spread = math.hypot(found.amortized.mc_stderr, encoder.mc_stderr)
    assert abs(found.amortized.value - encoder.value) < 5 * spread
    assert found.refined.n == len(data)

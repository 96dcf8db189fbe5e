"""Likelihoods without sampling: closed form and quadrature against known answers."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
from scipy.stats import multivariate_normal
from torch import Tensor

from diabolo.data import Data
from diabolo.errors import DiaboloError
from diabolo.evaluate import annealed, exact, log_likelihood
from diabolo.evaluate.quadrature import quadrature
from diabolo.model import LatentModel
from diabolo.recipes import build
from diabolo.spec import Spec
from laws.evaluation import F64, Linear, tensor, textbook

CLOSED = "log p(x), exact (closed form of a linear-Gaussian model)"
ROUNDING = 1e-9  # float64, sums of some ten nats


def grid_of(levels: int, count: int) -> Tensor:
    """Every x of `count` elements with this many levels, (levels^count, count)."""
    codes = torch.arange(levels, dtype=F64)
    return torch.cartesian_prod(*[codes] * count)


def moved(name: str, spec: Spec, seed: int = 0, **options: object) -> LatentModel:
    """A recipe's model in float64, away from its initial values."""
    torch.manual_seed(seed)
    model = build(name, spec, **{"net": "mlp(hidden=(8,))", **options}).model.double().eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.4 * torch.randn_like(p))
    return model


# -- closed form ---------------------------------------------------------------------------------


@pytest.mark.oracle(3)
def test_closed_form_is_the_oracle_and_scipy() -> None:
    """Oracle 3: W = [[2,0],[1,1],[0,.5]], mu = (.5,-.5,0), sigma^2 = .25, x = (1,0,1)."""
    true = textbook()
    found = exact(true.model(), Data(tensor([[1.0, 0.0, 1.0]])))
    assert found.value == pytest.approx(-4.3912506045, abs=1e-10)
    assert found.kind == CLOSED
    assert found.mc_stderr == 0
    x = true.draw(20)
    covariance = true.weight @ true.weight.T + 0.25 * torch.eye(3, dtype=F64)
    scipy = multivariate_normal(true.mu.numpy(), covariance.numpy()).logpdf(x.numpy())
    # The posterior is no part of it: a bad one changes nothing.
    for model in (true.model(), true.model(scale=tensor([0.01, 3.0]))):
        torch.testing.assert_close(
            exact(model, Data(x)).per_datum, tensor(scipy), atol=ROUNDING, rtol=0
        )


def test_closed_form_marginalises_what_is_missing() -> None:
    true = textbook()
    x = true.draw(12)
    mask = torch.rand(12, 3, generator=torch.Generator().manual_seed(1)) < 0.6
    mask[0], mask[1] = True, False
    data = Data(torch.where(mask, x, torch.nan), mask=mask)
    found = exact(true.model(), data)
    assert found.kind.startswith("log p(seen entries of x), exact")
    covariance = true.weight @ true.weight.T + 0.25 * torch.eye(3, dtype=F64)
    for i, seen in enumerate(mask):
        expected = 0.0
        if bool(seen.any()):
            part = covariance[seen][:, seen].numpy()
            expected = multivariate_normal(true.mu[seen].numpy(), part).logpdf(x[i, seen].numpy())
        assert float(found.per_datum[i]) == pytest.approx(expected, abs=ROUNDING)
    torch.testing.assert_close(
        quadrature(true.model(), data).per_datum, found.per_datum, atol=1e-6, rtol=0
    )


def test_closed_form_reads_conditions_and_other_normal_priors() -> None:
    true = Linear(
        tensor([[1.0], [0.5]]), tensor([0.0, 1.0]), 0.5, tensor([[0.0, 2.0, 5.0], [1.0, -1.0, 3.0]])
    )
    c = torch.eye(3, dtype=F64)[torch.arange(30) % 3]
    x = true.draw(30, c=c)
    found = exact(true.model(), Data(x, c=c))
    assert found.kind.startswith("log p(x|c), exact (closed form")
    torch.testing.assert_close(found.per_datum, true.log_prob(x, c), atol=ROUNDING, rtol=0)
    # z ~ N(0, s^2) with weights W is z ~ N(0, 1) with weights W s.
    true, scale = textbook(), tensor([0.5, 3.0])
    wide = Linear(true.weight * scale, true.mu, true.variance)
    found = exact(true.model(prior=scale), Data(true.draw(10)))
    torch.testing.assert_close(found.per_datum, wide.log_prob(true.draw(10)), atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("masked", [False, True])
def test_closed_form_reads_a_prior_with_a_full_covariance(masked: bool) -> None:
    g = torch.Generator().manual_seed(0)
    x = torch.randn(12, 4, generator=g, dtype=F64)
    mask = torch.rand(12, 4, generator=g) < (0.6 if masked else 1.0)
    data = Data(torch.where(mask, x, torch.nan), mask=mask if masked else None)
    options = {"likelihood": "Normal(scale=0.5)", "decoder": "mlp(hidden=())"}
    model = moved("vae", Data(x).spec(), latent=3, prior="gaussian", **options)
    found = exact(model, data)
    assert "closed form" in found.kind
    with torch.no_grad():
        prior = model.latent.prior(None)
        bias, *columns = model.decode(torch.cat([torch.zeros(1, 3), torch.eye(3)]).double()).mean
        weight = torch.stack(columns, dim=1) - bias[:, None]
        covariance = prior.covariance
        assert float(covariance.tril(-1).abs().max()) > 0.1
        loc = weight @ prior.loc + bias
        covariance = weight @ covariance @ weight.T + 0.25 * torch.eye(4, dtype=F64)
    for i, seen in enumerate(mask):
        part = covariance[seen][:, seen].numpy()
        expected = multivariate_normal(loc[seen].numpy(), part).logpdf(x[i, seen].numpy())
        assert float(found.per_datum[i]) == pytest.approx(float(expected), abs=ROUNDING)


@pytest.mark.parametrize("likelihood", ["Normal(scale=shared)", "Normal(scale=column)"])
@pytest.mark.parametrize("recipe", ["vae", "cvae"])
def test_linear_recipes_have_a_closed_form(likelihood: str, recipe: str) -> None:
    """In the units of the data, standardised or not, and with a prior that reads the condition."""
    g = torch.Generator().manual_seed(0)
    x = 5 * torch.randn(20, 4, generator=g, dtype=F64) + 3
    c = torch.randn(20, 2, generator=g, dtype=F64) if recipe == "cvae" else None
    spec = replace(Data(x, c=c).spec(), mean=x.mean(0).float(), scale=x.std(0).float())
    options = {"latent": 2, "likelihood": likelihood, "decoder": "mlp(hidden=())"}
    model = moved(recipe, spec, **options)
    found = exact(model, Data(x, c=c))
    assert "closed form" in found.kind
    torch.testing.assert_close(
        quadrature(model, Data(x, c=c)).per_datum, found.per_datum, atol=1e-6, rtol=0
    )


def test_what_is_not_linear_gaussian_is_not_taken_for_it() -> None:
    x = Data(torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=F64))
    for options in (
        {"likelihood": "Normal(scale=0.5)"},  # curved
        {"likelihood": "Normal(scale=0.5)", "net": "mlp(hidden=(8,), activation=relu)"},
        {"likelihood": "Normal(scale=element)", "decoder": "mlp(hidden=())"},
        {"likelihood": "Laplace(scale=0.5)", "decoder": "mlp(hidden=())"},
        {"decoder": "mlp(hidden=())", "prior": "mixture(components=3)"},
    ):
        model = moved("vae", x.spec(), latent=2, **options)
        assert "quadrature" in exact(model, x).kind
        with pytest.raises(DiaboloError, match=r"affine decoder.*1 or 2 .*has 3: use the method"):
            exact(moved("vae", x.spec(), latent=3, **options), x)


# -- quadrature ----------------------------------------------------------------------------------


@pytest.mark.parametrize("latent", [1, 2])
def test_quadrature_equals_the_closed_form(latent: int) -> None:
    true = textbook()
    true = Linear(true.weight[:, :latent], true.mu, 0.01)  # a posterior of a tenth of the prior
    x = true.draw(10)
    found = quadrature(true.model(), Data(x))
    # The change fell below 1e-4, and the next grid would be right to the square of that.
    torch.testing.assert_close(found.per_datum, true.log_prob(x), atol=1e-6, rtol=0)
    assert found.mc_stderr == 0
    assert found.kind == "log p(x), exact to 0.0001 nats (quadrature over z)"
    assert "Halving the spacing" in found.notes[0]


PRIORS = ("normal", "mixture(components=3)", "vamp(count=4)", "flow(transforms=2, hidden=(8,))")


@pytest.mark.parametrize("prior", PRIORS)
def test_probabilities_of_all_data_sum_to_one(prior: str) -> None:
    """Whatever prior and decoder: each p(x) is an integral of its own, and their sum is 1."""
    x = grid_of(2, 3)
    spec = Data(x.float(), support="binary").spec()
    model = moved("vae", spec, latent=2, prior=prior)
    found = exact(model, Data(x, support="binary"))
    assert "quadrature" in found.kind
    assert float(found.per_datum.exp().sum()) == pytest.approx(1, abs=1e-6)
    assert float(found.per_datum.std()) > 0.1


@pytest.mark.parametrize(("support", "levels"), [("category", 3), ("byte", 4), ("ordinal", 3)])
def test_probabilities_sum_to_one_for_data_with_levels(support: str, levels: int) -> None:
    x = grid_of(levels, 2) / (levels - 1 if support == "byte" else 1)
    data = Data(x, support=support, levels=levels)
    model = moved("vae", data.spec(), latent=1)
    assert float(exact(model, data).per_datum.exp().sum()) == pytest.approx(1, abs=1e-6)


@pytest.mark.oracle(20)
def test_quadrature_agrees_with_importance_sampling() -> None:
    """Oracle 20, on a curved decoder with two latent elements."""
    g = torch.Generator().manual_seed(0)
    data = Data((torch.rand(20, 12, generator=g) < 0.4).to(F64), support="binary")
    model = moved("vae", Data(data.x.float(), support="binary").spec(), latent=2)
    with torch.no_grad():  # a wide q, whose weights are bounded
        model.latent.posterior.net.head.weight.zero_()
        model.latent.posterior.net.head.bias.copy_(tensor([0, 0, 0.2, 0.2]))
    true = exact(model, data)
    found = log_likelihood(model, data, k=20_000)
    assert abs(found.value - true.value) < 4 * found.mc_stderr + 1e-4
    assert found.mc_stderr < 0.01
    single = exact(copy.deepcopy(model).float(), data)  # computes in float64 all the same
    assert abs(single.value - true.value) < 1e-4  # the weights are rounded to float32


def test_batch_and_order_change_nothing() -> None:
    g = torch.Generator().manual_seed(0)
    x = torch.randn(9, 4, generator=g, dtype=F64)
    c = torch.randn(9, 2, generator=g, dtype=F64)
    order = torch.randperm(9, generator=g)
    for decoder in ("mlp(hidden=())", "mlp(hidden=(8,))"):
        data = Data(x, c=c)
        model = moved("cvae", data.spec(), latent=1, decoder=decoder)
        whole = exact(model, data).per_datum
        for batch in (1, 4):
            cut = exact(model, data, batch=batch).per_datum
            torch.testing.assert_close(cut, whole, atol=ROUNDING, rtol=0)
        turned = exact(model, data.take(order)).per_datum
        torch.testing.assert_close(turned, whole[order], atol=ROUNDING, rtol=0)


def test_a_posterior_too_narrow_for_the_grid_is_told() -> None:
    sharp = Linear(tensor([[1.0]]), tensor([0.0]), 1e-14)
    with pytest.raises(DiaboloError, match=r"did not settle to 0.0001 nats for 3 of 3 data"):
        quadrature(sharp.model(), Data(sharp.draw(3)))
    assert exact(sharp.model(), Data(sharp.draw(3))).kind == CLOSED
    for tolerance in (0, 0.7, math.nan):
        with pytest.raises(DiaboloError, match="tolerance is above 0"):
            quadrature(sharp.model(), Data(sharp.draw(3)), tolerance=tolerance)


def test_models_without_an_exact_likelihood_are_refused() -> None:
    true = textbook()
    with pytest.raises(DiaboloError, match="deterministic autoencoder has no likelihood"):
        exact(true.model(deterministic=True), Data(true.draw(3)))
    x = torch.zeros(3, 6, dtype=F64)
    spec = Data(x.float(), support="binary").spec()
    for name in ("hierarchical", "ladder"):
        model = build(name, spec).model.double()
        with pytest.raises(DiaboloError, match=r"is a hierarchy \(\d groups\)"):
            exact(model, Data(x, support="binary"))
    # No reason that is none: a ladder of one group has no discrete values.
    for name, options, why in (
        ("ladder", {"layers": 1}, "decodes what is made of z, not z itself"),
        ("ladder", {"layers": 1, "latent": 2}, "decodes what is made of z, not z itself"),
        ("discrete_vae", {"estimator": "relaxed"}, "has discrete values"),
        ("discrete_vae", {"estimator": "exact", "latent": 1}, "has discrete values"),
    ):
        model = build(name, spec, **options).model.double()
        for use in (annealed,) if model.exact else (exact, annealed):
            with pytest.raises(DiaboloError, match=f"but this one {why}: use the method"):
                use(model, Data(x, support="binary"))
    wide = Linear(torch.eye(3, dtype=F64), torch.zeros(3, dtype=F64), 1.0)
    with pytest.raises(DiaboloError, match="over 1 or 2 latent elements, but this model has 3"):
        quadrature(wide.model(), Data(wide.draw(3)))
    with pytest.raises(DiaboloError, match=r"shape \(3,\), but got \(4,\)"):
        exact(wide.model(), Data(torch.zeros(2, 4, dtype=F64)))

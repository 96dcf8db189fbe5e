"""Latents: laws of all that recipes use, and hierarchies whose log p(x) is known."""

from __future__ import annotations

import math

import pytest
import torch

from diabolo.distributions import Normal
from diabolo.distributions.normal import NormalFamily
from diabolo.errors import DiaboloError
from diabolo.latents import Amortized, Nested, Step, TopDown, Unknown
from diabolo.model import Conditional, LatentModel
from diabolo.noise import FRESH, KeyedNoise
from diabolo.objectives import iwae
from diabolo.priors._standard import Standard
from diabolo.recipes import build
from diabolo.spec import Spec
from diabolo.views import View
from laws import bounds, recipes
from laws import latents as laws

DENSE = [n for n in recipes.ALL if not recipes.case(n).build().model.deterministic]
every = pytest.mark.parametrize("name", DENSE)


@every
def test_weights_average_to_one(name):
    laws.weights_average_to_one(recipes.case(name, dtype=torch.float64))


@every
def test_samples_follow_the_prior_that_is_charged(name):
    laws.samples_follow_the_prior_that_is_charged(recipes.case(name, dtype=torch.float64))


@every
def test_closed_rates_are_mean_rates(name):
    laws.closed_rates_are_mean_rates(recipes.case(name, dtype=torch.float64))


def scalar(value):
    return torch.tensor([[value]], dtype=torch.float64)


def affine(slope, scale, offset=0.0):
    """A network for N(slope h + offset, scale^2)."""
    raw = bounds.raw_scale(torch.tensor([scale], dtype=torch.float64))
    return bounds.Linear(scalar(slope), scalar(offset)[0], constant=raw)


def density(slope, scale, offset=0.0):
    return Conditional(affine(slope, scale, offset), NormalFamily(), (1,))


A, S1, B, S = 1.5, 0.7, 0.8, 0.5  # z2 ~ N(0, 1), z1 ~ N(A z2, S1^2), x ~ N(B z1, S^2)


def nested():
    """The nested model with its exact posteriors q(z1 | x) and q(z2 | z1)."""
    prior = A**2 + S1**2
    gain1 = prior * B / (B**2 * prior + S**2)
    scale1 = math.sqrt(prior - gain1 * B * prior)
    gain2 = A / prior
    scale2 = math.sqrt(1 - gain2 * A)
    inner = LatentModel(
        View((1,)), Amortized(density(gain2, scale2), Standard(Normal, 1), 1), density(A, S1)
    )
    return LatentModel(View((1,)), Nested(density(gain1, scale1), inner, 1), density(B, S)).double()


def test_nested_posterior_gives_weights_without_variance():
    """With the exact posteriors of both layers every weight is log p(x)."""
    x = torch.tensor([[0.3], [-2.0], [4.0]], dtype=torch.float64)
    model = nested()
    t = model(x, k=5, noise=KeyedNoise(0, torch.arange(3)))
    scale = math.sqrt(B**2 * (A**2 + S1**2) + S**2)
    truth = torch.distributions.Normal(0.0, torch.tensor(scale).double()).log_prob(x[:, 0])
    assert torch.allclose(t.log_weight, truth.expand(5, 3), atol=1e-9)  # float64
    assert torch.allclose(iwae(t), truth, atol=1e-9)


def test_nested_groups_decode_and_sample():
    model = nested()
    z = torch.tensor([[2.0, -1.0]], dtype=torch.float64)
    assert model.groups == (1, 1)
    assert model.decode(z).mean.item() == pytest.approx(2 * B)
    x = model.sample(20000).sample()
    variance = B**2 * (A**2 + S1**2) + S**2
    # The standard error of a variance is sqrt(2 / n) of it.
    assert x.var().item() == pytest.approx(variance, rel=5 * math.sqrt(2 / 20000))


def test_nested_latents_nest_again():
    """The prior of a prior: three groups, from the same parts."""
    inner = LatentModel(View((1,)), nested().latent, density(1.0, 1.0))
    model = LatentModel(View((1,)), Nested(density(0.5, 0.5), inner, 1), density(B, S)).double()
    x = torch.randn(4, 1, dtype=torch.float64)
    t = model(x, k=3, noise=KeyedNoise(0, torch.arange(4)))
    assert model.groups == (1, 1, 1)
    assert [d.z.shape for d in t.draws] == [(3, 4, 1)] * 3
    again = model(x[2:3], k=3, noise=KeyedNoise(0, torch.arange(2, 3)))
    assert torch.allclose(again.log_weight, t.log_weight[:, 2:3], atol=1e-12)


def ladder():
    """Two scalar groups: z1 ~ N(0.2, 1.1^2), h1 = h0 + z1, z2 ~ N(0.5 h1, 0.7^2), h2 = h1 + z2."""

    class Last(torch.nn.Module):
        def forward(self, h):
            return h[..., -1:]

    def change():
        weight = torch.tensor([[0.1, -0.2]], dtype=torch.float64)
        raw = bounds.raw_scale(torch.tensor([1.1], dtype=torch.float64))
        return Conditional(bounds.Linear(weight, weight[0, :1], constant=raw), NormalFamily(), (1,))

    steps = [
        Step(density(0.0, 1.1, 0.2), change(), Last(), 1),
        Step(density(0.5, 0.7), change(), Last(), 1),
    ]
    latent = TopDown(affine_feature(), [torch.nn.Identity()], steps, 1).double()
    with torch.no_grad():
        latent.top.fill_(0.4)
    return LatentModel(View((1,)), latent, density(B, S)).double()


def affine_feature():
    return bounds.Linear(scalar(0.9), scalar(0.1)[0])


def test_ladder_bound_reaches_log_p():
    """x is normal with known moments; the bound at large k comes within its own stated error."""
    model = ladder()
    x = torch.tensor([[0.7]], dtype=torch.float64)
    rows = 400
    with torch.no_grad():
        t = model(x.expand(rows, 1), k=1000, noise=KeyedNoise(0, torch.arange(rows)))
    value = iwae(t)
    mean1, var1 = 0.4 + 0.2, 1.1**2  # of h1
    mean2, var2 = 1.5 * mean1, 1.5**2 * var1 + 0.7**2  # of h2 = h1 + z2
    truth = torch.distributions.Normal(B * mean2, math.sqrt(B**2 * var2 + S**2))
    expected = truth.log_prob(x[0, 0]).item()
    relative = (t.log_weight - value).exp().var(0).mean().item()  # var(w / p), about
    error = value.std().item() / math.sqrt(rows) + relative / 2000  # the bound's gap is var / 2k
    assert value.mean().item() == pytest.approx(expected, abs=5 * error)
    assert error < 0.02  # or the test could not fail


def test_ladder_whose_changes_are_none_costs_nothing():
    model = ladder()
    for step in model.latent.steps:
        with torch.no_grad():
            step.change.net.weight.zero_()
            step.change.net.bias.zero_()
            step.change.net.constant.copy_(bounds.raw_scale(torch.ones(1, dtype=torch.float64)))
    t = model(torch.randn(3, 1, dtype=torch.float64), k=2)
    for d in t.draws:
        assert torch.allclose(d.rate, torch.zeros_like(d.rate), atol=1e-12)


@pytest.mark.parametrize("layers", [3, 6])
def test_every_group_of_a_ladder_sees_x_at_the_start(layers):
    """A feature that fades on its way up leaves the top group nothing to learn from."""
    torch.manual_seed(0)
    spec = Spec(event=(20,), support="real")
    model = build("ladder", spec, layers=layers, net="mlp(hidden=(64,))").model
    x = torch.randn(200, 20)
    features = []
    for step in model.latent.steps:
        step.change.net.register_forward_pre_hook(
            lambda _, inputs: features.append(inputs[0][:, -128:])
        )
    model(x)
    spread = [f.std(0).mean() for f in features]  # from the top down
    assert len(spread) == layers
    assert spread[0] > 0.5 * spread[-1]  # with no way past the layers, 0.007


def test_ladder_assembles_every_group():
    """Each group moves the decoded mean: traversals of hierarchies are not constant."""
    model = recipes.case("ladder", dtype=torch.float64).build().model.eval()
    z = torch.zeros(1 + len(model.groups), sum(model.groups), dtype=torch.float64)
    at = 0
    for i, size in enumerate(model.groups):
        z[1 + i, at : at + size] = 2.0
        at += size
    mean = model.decode(z).mean
    for i in range(1, len(z)):
        assert not torch.allclose(mean[0], mean[i])


def test_unknown_drops_in_training_only():
    module = Unknown(2, 0.3)
    c = torch.ones(4000, 2)
    out = module.train()(c, 4000, c, FRESH)
    gone = out[:, 2] == 1
    # The standard error of a part is sqrt(p (1 - p) / n).
    assert gone.float().mean().item() == pytest.approx(0.3, abs=5 * math.sqrt(0.21 / 4000))
    assert bool((out[gone, :2] == 0).all())
    assert bool((out[~gone] == torch.tensor([1.0, 1.0, 0.0])).all())
    out = module.eval()(c, 4000, c, FRESH)
    assert torch.equal(out, torch.tensor([1.0, 1.0, 0.0]).expand(4000, 3))
    assert torch.equal(module(None, 2, c, FRESH), torch.tensor([[0.0, 0.0, 1.0]]).expand(2, 3))


def test_conditional_model_without_dropout_asks_for_its_condition():
    case = recipes.case("cvae")
    with pytest.raises(DiaboloError, match="needs a condition"):
        case.build().model(case.x)
    model = case.build(dropout=0.2).model.eval()
    assert model(case.x).log_px.shape == (1, len(case.x))
    assert model.sample(3).mean.shape == (3, 6)
    with_c, without = (
        model(case.x, case.c, noise=KeyedNoise(0, torch.arange(4))),
        model(case.x, noise=KeyedNoise(0, torch.arange(4))),
    )
    assert not torch.allclose(with_c.log_px, without.log_px)


def test_cvae_needs_data_with_a_condition():
    with pytest.raises(DiaboloError, match="needs a condition for each datum"):
        recipes.case("cvae", condition=0).build()


def test_hierarchical_trains_on_either_bound():
    case = recipes.case("hierarchical", k=3, warmup=0)
    recipe = case.build()
    assert recipe.k == 3
    assert recipe.objective is iwae
    recipes.trains_every_parameter(case)
    with pytest.raises(DiaboloError, match="set warmup=0"):
        recipes.case("hierarchical", k=3).build()

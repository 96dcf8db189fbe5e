"""The pass through a model and its record, bound to no recipe.

Shapes: K posterior samples, B batch, E event, D latent, C condition width.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from diabolo.distributions import Bernoulli, Dirac, Distribution, Normal, family
from diabolo.errors import DiaboloError
from diabolo.model import Conditional, Draw, Inferred, LatentModel, Recipe, Trace
from diabolo.noise import MEAN, KeyedNoise, Noise
from diabolo.objectives import elbo
from diabolo.views import View
from laws.evaluation import F64, Linear, tensor, textbook

K, B, D = 3, 4, 2


def normal(loc: object, scale: object) -> Normal:
    loc, scale = tensor(loc), tensor(scale)
    return Normal(loc, scale.log())


# -- Draw and Trace ------------------------------------------------------------------------------


def a_draw(k: int = K) -> Draw:
    q = normal([[1.0, -1.0]] * B, [[0.5, 2.0]] * B)
    p = normal([0.0, 0.0], [1.0, 1.0])
    z, log_q = q.rsample_and_log_prob((k,))
    return Draw(z, log_q, p.log_prob(z), q, p)


def test_rate_is_the_closed_form_and_its_samples_average_to_it() -> None:
    closed = a_draw()
    exact = torch.distributions.kl_divergence(
        torch.distributions.Normal(tensor([1.0, -1.0]), tensor([0.5, 2.0])),
        torch.distributions.Normal(tensor([0.0, 0.0]), tensor([1.0, 1.0])),
    )
    assert closed.rate.shape == (K, B)
    torch.testing.assert_close(closed.rate, exact.sum().expand(K, B))
    torch.testing.assert_close(closed.rate_elements, exact.expand(K, B, D))
    sampled = a_draw(20_000)._replace(q=None)
    torch.testing.assert_close(sampled.rate, sampled.log_q - sampled.log_p)
    error = float(sampled.rate.std()) / math.sqrt(sampled.rate.numel())
    assert abs(float(sampled.rate.mean()) - float(exact.sum())) < 4 * error
    assert sampled.rate_elements is None


def test_rate_without_a_closed_form_is_that_of_the_samples() -> None:
    d = a_draw()
    laplace = family("Laplace").from_raw(torch.zeros(2, D, dtype=F64), 1)
    open_form = d._replace(p=laplace, log_p=laplace.log_prob(d.z))
    torch.testing.assert_close(open_form.rate, d.log_q - laplace.log_prob(d.z))
    assert open_form.rate_elements is None


def test_weight_takes_every_group() -> None:
    px = Bernoulli(torch.zeros(K, B, 1))
    log_px, a, b = torch.randn(3, K, B)
    draws = (Draw(a, a, b), Draw(b, 2 * b, 3 * a))
    weight = Trace(px, log_px, draws, torch.zeros(())).log_weight
    torch.testing.assert_close(weight, log_px + b - a + 3 * a - 2 * b)
    assert torch.equal(Trace(px, log_px, (), torch.zeros(())).log_weight, log_px)


# -- Conditional ---------------------------------------------------------------------------------


class Reader(nn.Module):
    """A network (N, *I), (N, C) -> (N, outputs) that looks at every number it gets."""

    def __init__(self, inputs: int, outputs: int, condition: int = 0) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs + condition, outputs)
        self.seen: list[tuple[int, ...]] = []

    def forward(self, h: Tensor, c: Tensor | None = None) -> Tensor:
        self.seen.append(tuple(h.shape))
        h = h.flatten(1)
        return self.linear(h if c is None else torch.cat([h, c], dim=1))


@pytest.mark.parametrize("lead", [(B,), (K, B)])
@pytest.mark.parametrize(("inputs", "event"), [((5,), (6,)), ((2, 3, 3), (1, 2, 4))])
def test_leading_axes_are_folded_and_given_back(
    lead: tuple[int, ...], inputs: tuple[int, ...], event: tuple[int, ...]
) -> None:
    members = family("Normal(scale=element)")
    net = Reader(math.prod(inputs), 2 * math.prod(event), 2)
    conditional = Conditional(net, members, event, inputs=len(inputs))
    h, c = torch.randn(*lead, *inputs), torch.randn(B, 2)
    density = conditional(h, c)
    assert net.seen == [(math.prod(lead), *inputs)]
    assert density.batch_shape == lead
    assert density.mean.shape == (*lead, *event)
    for index in torch.cartesian_prod(*[torch.arange(n) for n in lead]).reshape(-1, len(lead)):
        at = tuple(index.tolist())
        one = conditional(h[at][None], c[at[-1]][None])  # each datum keeps its own condition
        torch.testing.assert_close(one.mean[0], density.mean[at])
        torch.testing.assert_close(one.variance[0], density.variance[at])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_densities_are_at_least_single_precision(dtype: torch.dtype) -> None:
    conditional = Conditional(Reader(5, 6).to(dtype), family("Bernoulli"), (6,))
    logits = conditional(torch.randn(K, B, 5, dtype=dtype)).logits
    assert logits.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


def test_network_of_another_width_is_refused() -> None:
    conditional = Conditional(Reader(5, 7), family("Normal(scale=element)"), (6,))
    with pytest.raises(DiaboloError, match=r"Normal density of shape \(6,\) needs 12 .* has 7"):
        conditional(torch.randn(B, 5))


# -- View ----------------------------------------------------------------------------------------


def test_view_standardises_and_hides_the_unseen() -> None:
    loc, scale = tensor([1.0, 2.0, 3.0]), tensor([1.0, 2.0, 4.0])
    view = View((3,), mask=True, loc=loc, scale=scale).double()
    x = tensor([[2.0, math.nan, 7.0]])
    mask = ~x.isnan()
    assert view.shape == (6,)
    torch.testing.assert_close(view(x, mask), tensor([[1.0, 0.0, 1.0, 1.0, 0.0, 1.0]]))
    whole = tensor([[2.0, 2.0, 3.0]])
    torch.testing.assert_close(view(whole), tensor([[1.0, 0.0, 0.0, 1.0, 1.0, 1.0]]))


# -- LatentModel ---------------------------------------------------------------------------------


def conditional_model() -> tuple[LatentModel, Tensor, Tensor]:
    true = Linear(tensor([[1.0], [0.5]]), tensor([0.0, 1.0]), 0.5, torch.randn(2, 3, dtype=F64))
    c = torch.eye(3, dtype=F64)[torch.arange(B) % 3]
    return true.model(), true.draw(B, c=c), c


def test_pass_is_inference_then_likelihood() -> None:
    model, x, c = conditional_model()
    index = torch.arange(B)
    trace = model(x, c, k=K, noise=KeyedNoise(0, index))
    inferred, heard = model.infer(x, c, k=K, noise=KeyedNoise(0, index))
    px = model.likelihood(inferred.code, heard)
    torch.testing.assert_close(trace.log_px, px.log_prob(x), atol=0, rtol=0)
    torch.testing.assert_close(trace.draws[0].z, inferred.draws[0].z, atol=0, rtol=0)
    assert trace.log_px.shape == trace.log_weight.shape == (K, B)
    parts = [model.likelihood(code, heard).log_prob(x) for code in inferred.code.split(2)]
    torch.testing.assert_close(torch.cat(parts), trace.log_px)


def test_passes_differ_without_a_seed_and_repeat_with_one() -> None:
    model, x, c = conditional_model()
    assert not torch.equal(model(x, c).log_px, model(x, c).log_px)
    torch.manual_seed(1)
    first = model(x, c).log_px
    torch.manual_seed(1)
    assert torch.equal(first, model(x, c).log_px)


def test_unseen_entries_have_no_part_in_the_likelihood() -> None:
    true = textbook()
    x = true.draw(B)
    mask = torch.rand(B, 3) < 0.6
    mask[:, 0] = True
    spoiled = torch.where(mask, x, math.nan)
    model = true.model()
    trace = model(spoiled, mask=mask, noise=KeyedNoise(0, torch.arange(B)))
    elements = trace.px.log_prob_elements(torch.where(mask, x, 0.0))
    torch.testing.assert_close(trace.log_px, torch.where(mask, elements, 0.0).sum(-1))


def test_conditions_are_asked_for() -> None:
    model, _, c = conditional_model()
    plain = textbook().model()
    uses = {
        "forward": lambda m, n, given: m(torch.zeros(n, m.likelihood.event[0], dtype=F64), given),
        "encode": lambda m, n, given: m.encode(
            torch.zeros(n, m.likelihood.event[0], dtype=F64), given
        ),
        "decode": lambda m, n, given: m.decode(torch.zeros(n, sum(m.groups), dtype=F64), given),
        "sample": lambda m, n, given: m.sample(n, given),
    }
    for use in uses.values():
        with pytest.raises(DiaboloError, match="conditional: it needs a condition"):
            use(model, B, None)
        with pytest.raises(DiaboloError, match=r"shape \(4, 3\), but got \(4, 2\)"):
            use(model, B, c[:, :2])
        with pytest.raises(DiaboloError, match=r"shape \(2, 3\), but got \(4, 3\)"):
            use(model, 2, c)
        with pytest.raises(DiaboloError, match="takes no condition"):
            use(plain, B, c)


def test_codes_are_the_posterior_in_closed_form() -> None:
    true = textbook()
    x = true.draw(B)
    mean, variance = true.model().encode(x)
    torch.testing.assert_close(mean, (x - true.mu) @ true.gain.T)
    best = 1 / torch.diagonal(torch.linalg.inv(true.covariance))
    torch.testing.assert_close(variance, best.expand(B, 2))
    point, none = true.model(deterministic=True).encode(x)
    torch.testing.assert_close(point, mean)
    assert torch.equal(none, torch.zeros_like(mean))


class Opaque(Distribution):
    event_ndim = 1


class Unknowable(nn.Module):
    """A posterior whose variance nobody knows, as of a flow; or no posterior at all."""

    def __init__(self, keep: bool) -> None:
        super().__init__()
        self.keep = keep
        self.groups, self.deterministic = (D,), False

    def forward(self, x: Tensor, c: Tensor | None, k: int, noise: Noise) -> Inferred:
        z = torch.zeros(k, len(x), D)
        zero = z.sum(-1)
        draw = Draw(z, zero, zero - 1, Opaque() if self.keep else None)
        return Inferred(z, (draw,), torch.zeros(()))


@pytest.mark.parametrize("keep", [True, False])
def test_variance_that_nobody_knows_is_nan(keep: bool) -> None:
    model = LatentModel(
        View((2,)), Unknowable(keep), Conditional(Reader(D, 2), family("Bernoulli"), (2,))
    )
    mean, variance = model.encode(torch.zeros(B, 2))
    assert mean.shape == variance.shape == (B, D)
    assert bool(variance.isnan().all())


def test_decode_takes_codes_of_its_width_only() -> None:
    true = textbook()
    model = true.model()
    z = torch.randn(5, 2, dtype=F64)
    torch.testing.assert_close(model.decode(z).mean, z @ true.weight.T + true.mu)
    for wrong in (z[:, :1], z[0], z[None]):
        with pytest.raises(DiaboloError, match=r"codes of shape \(n, 2\), but got"):
            model.decode(wrong)


def test_samples_have_the_moments_of_the_model() -> None:
    true = textbook()
    with torch.no_grad():
        x = true.model().sample(40_000, noise=KeyedNoise(0, torch.arange(40_000), lead=1)).sample()
    exact = true.weight @ true.weight.T + 0.25 * torch.eye(3, dtype=F64)
    # Standard errors of 40,000 samples: sd / 200 for a mean, 1.5 var / 200 for a covariance.
    torch.testing.assert_close(x.mean(0), true.mu, atol=4 * 2.1 / 200, rtol=0)
    torch.testing.assert_close(x.T.cov(), exact, atol=4 * 1.5 * 4.25 / 200, rtol=0)


def test_deterministic_model_charges_nothing_but_distortion() -> None:
    true = textbook()
    x = true.draw(B)
    model = true.model(deterministic=True)
    trace = model(x, k=K)
    assert model.deterministic
    assert not true.model().deterministic
    assert isinstance(model.latent.posterior(x), Dirac)
    assert torch.equal(trace.draws[0].rate, torch.zeros(K, B, dtype=F64))
    torch.testing.assert_close(elbo(trace), trace.log_px[0])
    with pytest.raises(DiaboloError, match="no prior"):
        model.sample(3)


def test_zero_noise_makes_a_pass_a_function_of_x() -> None:
    model = textbook().model()
    x = textbook().draw(B)
    assert torch.equal(model(x, noise=MEAN).log_px, model(x, noise=MEAN).log_px)
    torch.testing.assert_close(model(x, noise=MEAN).draws[0].z[0], model.encode(x)[0])


def test_unknown_condition_is_said_by_a_module() -> None:
    """Where the condition may be left out, networks read what the module makes of None."""

    class Absent(nn.Module):
        def forward(self, c: Tensor | None, n: int, like: Tensor, noise: Noise) -> Tensor:
            return like.new_full((n, 3), 7.0) if c is None else c

    model, x, c = conditional_model()
    free = LatentModel(model.view, model.latent, model.likelihood, condition=3, unknown=Absent())
    seven = torch.full((B, 3), 7.0, dtype=F64)
    noise = [KeyedNoise(0, torch.arange(B)) for _ in range(4)]
    torch.testing.assert_close(
        free(x, noise=noise[0]).log_px, model(x, seven, noise=noise[1]).log_px
    )
    torch.testing.assert_close(
        free(x, c, noise=noise[2]).log_px, model(x, c, noise=noise[3]).log_px
    )


def test_recipe_is_a_model_an_objective_and_k() -> None:
    recipe = Recipe(textbook().model(), elbo)
    assert recipe.k == 1
    assert recipe.objective(recipe.model(textbook().draw(B))).shape == (B,)

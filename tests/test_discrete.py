"""Discrete latents against enumeration by hand: log p, the ELBO, gradients, draws and their limit.

Shapes: K posterior samples, B batch, D latent elements, L values of each, V = L^D codes.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

import diabolo
from diabolo.data import Data
from diabolo.distributions.categorical import CategoricalFamily
from diabolo.errors import DiaboloError
from diabolo.evaluate import active_units, bound, evaluate, log_likelihood
from diabolo.latents import Discrete
from diabolo.model import Conditional
from diabolo.noise import MEAN, KeyedNoise
from diabolo.objectives import Cooling, declaration, elbo, iwae, relaxed
from diabolo.run.latents import Latents
from laws import recipes
from laws.latents import closed_rates_are_mean_rates, weights_average_to_one

F64 = torch.float64
OTHERS = [{"values": 4}, {"values": 4, "weights": "learned"}, {"estimator": "straight"}]
LAWS = [
    recipes.trains_every_parameter,
    recipes.runs_without_gradients,
    recipes.samples_and_codes_have_their_shapes,
    recipes.decodes_what_it_encodes,
    recipes.compiles_to_the_same,
    recipes.rows_do_not_meet,
    recipes.more_samples_change_none,
    recipes.saved_is_loaded,
    recipes.copies_stand_alone,
    recipes.honours_every_option,
    recipes.terms_add_up,
    recipes.ignores_the_unseen,
    recipes.works_in_float64,
    recipes.takes_a_users_module,
    weights_average_to_one,
    closed_rates_are_mean_rates,
]


@pytest.mark.parametrize("options", OTHERS, ids=str)
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_discrete_vae_keeps_the_laws_in_its_other_ways(law, options):
    """The laws of all recipes see its default, relaxed codes."""
    missing = law is recipes.ignores_the_unseen
    dtype = torch.float64 if law is not recipes.takes_a_users_module else torch.float32
    support = "real" if law is recipes.honours_every_option else "binary"  # likelihood among them
    case = recipes.case("discrete_vae", support=support, dtype=dtype, missing=missing, **options)
    law(case)


def small(**options):
    """A model of 2 elements with 3 values, at a generic point, in float64."""
    options = {"latent": 2, "values": 3, "weights": "learned", **options}
    case = recipes.case("discrete_vae", dtype=F64, **options)
    recipe = case.build()
    with torch.no_grad():
        for p in recipe.model.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return recipe, case.x


def by_hand(model, x):
    """log p(x, z), log q(z | x) and log p(z) of every code z, in plain loops, each (V, B)."""
    pi = model.latent.logits.softmax(0)  # (L, D)
    q = model.latent.posterior(model.view(x)).probabilities  # (B, L, D)
    joint, post, prior = [], [], []
    for code in itertools.product(range(3), repeat=2):
        z = torch.tensor(code, dtype=F64)
        p = sum(pi[v, d].log() for d, v in enumerate(code))
        log_px = torch.stack([model.decode(z[None]).log_prob(row[None])[0] for row in x])
        joint.append(log_px + p)
        post.append(sum(q[:, v, d].log() for d, v in enumerate(code)))
        prior.append(p.expand(len(x)))
    return torch.stack(joint), torch.stack(post), torch.stack(prior)


@pytest.mark.oracle(30)
def test_enumeration_is_the_sum_over_codes_by_hand():
    """Oracle 30: log p(x) = log sum_z p(x, z), and the ELBO is the sum over q."""
    recipe, x = small()
    model = recipe.model.eval()
    joint, post, prior = by_hand(model, x)
    truth = joint.exp().sum(0).log()
    t = recipe.trace(x)
    assert t.log_px.shape == (9, len(x))
    assert torch.allclose(iwae(t), truth, atol=1e-12)  # float64, sums of 9
    expected = (post.exp() * (joint - post)).sum(0)
    assert torch.allclose(elbo(t), expected, atol=1e-12)
    assert torch.allclose(t.draws[0].rate[0], (post.exp() * (post - prior)).sum(0), atol=1e-12)


def test_evaluation_of_few_codes_has_no_error_and_says_so():
    recipe, x = small()
    model = recipe.model.eval()
    joint, post, _ = by_hand(model, x)
    data = Data(x, "binary")
    found = log_likelihood(model, data, k=1000, seed=3)
    truth = joint.logsumexp(0)
    assert torch.allclose(found.per_datum, truth, atol=1e-12)
    assert found.kind == "log p(x), exact (enumeration of 9 values of z)"
    assert found.mc_stderr == 0
    assert "lower bound" not in found.kind
    parts = bound(model, data)
    expected = (post.exp() * (joint - post)).sum(0)
    assert torch.allclose(parts.elbo.per_datum, expected, atol=1e-12)
    assert parts.elbo.mc_stderr == 0
    for batch, chunk in ((1, 1), (3, 4), (4, 100)):
        cut = log_likelihood(model, data, batch=batch, chunk=chunk)
        assert torch.allclose(cut.per_datum, truth, atol=1e-12)
    names = [row.name for row in evaluate(model, data).rows()]
    assert "effective samples" not in names  # there are no samples
    assert names[0] == "log-likelihood"


@pytest.mark.oracle(30)
def test_gradient_of_enumeration_is_that_of_finite_differences():
    """Central differences in float64: h^2 of truncation and 1e-16 / h of rounding, h = 1e-5."""
    recipe, x = small()
    parameters = list(recipe.model.parameters())
    found = torch.autograd.grad(recipe.objective(recipe.trace(x)).sum(), parameters)
    g = torch.Generator().manual_seed(0)
    for p, grad in zip(parameters, found, strict=True):
        way = torch.randn(p.shape, generator=g, dtype=F64)
        values = []
        for h in (1e-5, -1e-5):
            with torch.no_grad():
                p.add_(h * way)
                values.append(recipe.objective(recipe.trace(x)).sum())
                p.sub_(h * way)
        numeric = (values[0] - values[1]) / 2e-5
        assert torch.allclose((grad * way).sum(), numeric, rtol=1e-6, atol=1e-7)


def toy(estimator, temperature=1.0):
    """One element of 3 values under a prior of equal ones, q given by its logits."""
    raw = torch.tensor([0.5, -0.3, 0.8], dtype=F64)
    net = _Constant(raw)
    q = Conditional(net, CategoricalFamily(levels=3), (1,))
    latent = Discrete(q, torch.zeros(3, 1, dtype=F64), estimator).double()
    latent.temperature.fill_(temperature)
    return latent, net.raw


class _Constant(torch.nn.Module):
    """A network that returns its parameter, whatever it reads."""

    def __init__(self, raw):
        super().__init__()
        self.raw = torch.nn.Parameter(raw)

    def forward(self, h, c=None):
        return self.raw.expand(len(h), -1)


HEIGHTS = torch.tensor([1.0, -2.0, 0.5], dtype=F64)


def height(code):
    """A function of a code (*, 3) that is not linear: what is decoded seldom is."""
    return (code @ HEIGHTS) ** 2 + torch.tanh(2 * code @ HEIGHTS.flip(0))


def exact_gradient():
    """That of E_q[height] to the logits, over the three values."""
    latent, raw = toy("exact")
    inferred = latent.every(torch.zeros(1, 1, dtype=F64))
    value = (inferred.log_share.exp() * height(inferred.code)).sum()
    return torch.autograd.grad(value, raw)[0].detach()


def sampled_gradient(estimator, temperature, k=400_000):
    """The mean gradient over k draws and its standard error, each (3,)."""
    latent, raw = toy(estimator, temperature)
    x = torch.zeros(1, 1, dtype=F64)
    noise = KeyedNoise(0, torch.arange(1))
    inferred = latent.train()(x, k=k, noise=noise)
    (slope,) = torch.autograd.grad(height(inferred.code).sum(), inferred.code, retain_graph=True)
    # J^T of the softmax, sample by sample: T y' = diag(y) - y y^T.
    again = KeyedNoise(0, torch.arange(1)).uniform((k, 1, 3, 1), raw)
    soft = ((raw[:, None] - (-again.log()).log()) / temperature).softmax(-2)[..., 0]
    each = soft * (slope - (soft * slope).sum(-1, keepdim=True)) / temperature
    (total,) = torch.autograd.grad(height(inferred.code).sum(), raw)
    each = each.detach()
    assert torch.allclose(each.sum((0, 1)), total, rtol=1e-8)
    return each.mean((0, 1)), each[:, 0].std(0) / math.sqrt(k)


@pytest.mark.oracle(30)
def test_relaxed_gradient_tends_to_the_enumerated_one():
    """Its bias is there at T = 1, falls with T, and is within the error at T = 0.02."""
    truth = exact_gradient()
    away = []
    for temperature in (1.0, 0.2, 0.02):
        mean, error = sampled_gradient("relaxed", temperature)
        away.append(float((mean - truth).abs().max()))
    assert away[0] > 0.1
    assert away[0] > 2 * away[1] > 2 * away[2]
    assert bool(((mean - truth).abs() < 5 * error).all())
    assert float(error.max()) < 0.02  # or the test could not fail


def repeated(model, x, value, k, repeats=60):
    """The mean gradient to q's parameters over repeats of k draws, and its standard error."""
    found = []
    for seed in range(repeats):
        t = model(x, k=k, noise=KeyedNoise(seed, torch.arange(len(x))))
        gradient = torch.autograd.grad(value(t).sum(), list(model.latent.posterior.parameters()))
        found.append(torch.cat([g.flatten() for g in gradient]))
    every = torch.stack(found)
    return every.mean(0), every.std(0) / math.sqrt(repeats)


def reinforce(t):
    """The ELBO, whose draws learn by their score (Williams, 1992), from each draw alone."""
    log_q = t.draws[0].log_q
    return (t.log_weight + t.log_weight.detach() * (log_q - log_q.detach())).mean(0)


def vimco(t):
    """The bounds of pairs of draws, each judged against the other (Mnih & Rezende, 2016, eq. 9).

    The baseline of one draw of two is the bound with the other's weight in place of its own.
    """
    log_w, log_q = (v.unflatten(0, (-1, 2)) for v in (t.log_weight, t.draws[0].log_q))
    both = log_w.logsumexp(1) - math.log(2)
    signal = (both[:, None] - log_w.flip(1)).detach()
    return (both + (signal * (log_q - log_q.detach())).sum(1)).mean(0)


def enumerated(t):
    """The exact means of both: the ELBO, and the bound of two draws over all pairs."""
    log_q, log_w = t.draws[0].log_q, t.log_weight
    pairs = torch.logaddexp(log_w[:, None], log_w[None]) - math.log(2)  # (V, V, B)
    chance = (log_q[:, None] + log_q[None]).exp()
    return {reinforce: elbo(t), vimco: (chance * pairs).sum((0, 1))}


@pytest.mark.oracle(30)
@pytest.mark.parametrize("estimator", [reinforce, vimco])
def test_gradients_by_the_score_have_the_enumerated_mean(estimator):
    """What a user can write with a trace's log q(z | x): estimators without bias."""
    recipe, x = small()
    exact = recipe.model.eval()
    drawn = small(estimator="straight")[0].model.eval()
    drawn.load_state_dict(exact.state_dict())
    value = enumerated(recipe.trace(x))[estimator]
    truth = torch.autograd.grad(value.sum(), list(exact.latent.posterior.parameters()))
    truth = torch.cat([g.flatten() for g in truth])
    mean, error = repeated(drawn, x, estimator, 2000)
    # Some hundred parameters: five errors of 60 repeats are passed once in a thousand seeds.
    assert bool(((mean - truth).abs() < 5 * error + 1e-9).all())
    assert float(error.norm()) < 0.1 * float(truth.norm())  # or the test could not fail


def test_straight_codes_are_values_and_their_gradient_that_of_the_softmax():
    latent, _ = toy("straight", 0.7)
    code = latent.train()(torch.zeros(2, 1, dtype=F64), k=50).code
    assert torch.allclose(code.sort(-1).values, torch.tensor([0.0, 0.0, 1.0], dtype=F64))
    sampled_gradient("straight", 0.7, k=100)  # which compares the two


@pytest.mark.parametrize("estimator", ["relaxed", "straight", "exact"])
def test_draws_follow_q_and_codes_are_values_in_evaluation(estimator):
    latent, raw = toy(estimator, 0.3)
    n = 40_000
    inferred = latent.eval()(torch.zeros(1, 1, dtype=F64), k=n)
    share = inferred.code[:, 0].mean(0)
    p = raw.detach().softmax(0)
    # The standard error of a part is sqrt(p (1 - p) / n).
    assert bool(((share - p).abs() < 5 * (p * (1 - p) / n).sqrt()).all())
    assert bool(((inferred.code == 0) | (inferred.code == 1)).all())
    assert torch.equal(inferred.code.argmax(-1), inferred.draws[0].z[..., 0].long())


def test_relaxed_codes_become_the_values_drawn_as_they_cool():
    """At the same noise: the distance from the value drawn falls to nothing with T."""
    x, far = torch.zeros(1, 1, dtype=F64), []
    for temperature in (1.0, 0.1, 0.001):
        latent, _ = toy("relaxed", temperature)
        noise = [KeyedNoise(0, torch.arange(1)) for _ in range(2)]
        soft = latent.train()(x, k=1000, noise=noise[0]).code
        hard = latent.eval()(x, k=1000, noise=noise[1]).code
        far.append(float((soft - hard).detach().abs().sum(-1).mean()))
    assert far[0] > 0.4
    assert far[1] < 0.2
    assert far[2] < 2e-3  # draws whose two largest are nearer than T are a part of about T


def test_bounds_by_draws_reach_the_enumerated_ones():
    """The model drawn from has the ELBO of enumeration on average, and its bound tends to log p."""
    recipe, x = small(estimator="relaxed")
    model = recipe.model.eval()
    joint, post, _ = by_hand(model, x)
    data = Data(x, "binary")
    parts = bound(model, data, samples=4000)
    expected = (post.exp() * (joint - post)).sum(0)
    error = parts.elbo.per_datum_stderr
    assert bool(((parts.elbo.per_datum - expected).abs() < 5 * error + 1e-9).all())
    found = log_likelihood(model, data, k=20_000)
    assert found.kind.startswith("lower bound on log p(x) (importance-weighted, k=20000)")
    away = (found.per_datum - joint.logsumexp(0)).abs()
    assert bool((away < 5 * found.per_datum_stderr + 1e-6).all())


def test_relaxed_training_is_declared_a_surrogate():
    for options, surrogate in (({}, True), ({"estimator": "straight"}, False)):
        objective = recipes.case("discrete_vae", **options).build().objective
        assert isinstance(objective, Cooling)
        assert declaration(objective).surrogate is surrogate
    recipe, x = small()
    assert recipe.objective is elbo
    assert not declaration(elbo).surrogate
    t = recipe.trace(x)
    assert torch.equal(relaxed(t), elbo(t))


def test_temperature_falls_in_training_and_is_saved_with_the_model():
    recipe = recipes.case("discrete_vae", temperature=0.25).build()
    latent = recipe.model.latent
    for progress, expected in ((0.0, 1.0), (0.5, 0.5), (1.0, 0.25)):
        recipe.objective.advance(progress)
        assert latent.temperature.item() == pytest.approx(expected)
    assert "latent.temperature" in recipe.model.state_dict()
    assert "heated" not in " ".join(recipe.objective.state_dict())


def test_code_without_noise_is_the_most_probable_value():
    recipe, x = small()
    model = recipe.model.eval()
    mean, variance = model.encode(x)
    q = model.latent.posterior(model.view(x))
    assert torch.equal(mean, q.mode)
    assert torch.allclose(variance, q.variance)
    t = model(x, noise=MEAN)
    assert torch.equal(t.draws[0].z[0], q.mode)


def test_numbers_between_values_decode_as_the_nearest():
    recipe, _ = small()
    z = torch.tensor([[0.4, 1.6], [-7.0, 9.0]], dtype=F64)
    near = torch.tensor([[0.0, 2.0], [0.0, 2.0]], dtype=F64)
    assert torch.equal(recipe.model.decode(z).mean, recipe.model.decode(near).mean)


def test_samples_follow_the_learned_weights():
    recipe, _ = small(estimator="straight")
    latent = recipe.model.latent
    n = 40_000
    share = latent.sample(n).unflatten(1, (3, 2)).mean(0)
    p = latent.logits.detach().softmax(0)
    assert bool(((share - p).abs() < 5 * (p * (1 - p) / n).sqrt()).all())


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"latent": 0}, "latent"),
        ({"values": 1}, "values"),
        ({"estimator": "exakt"}, "'exact'"),
        ({"weights": "equl"}, "'equal'"),
        ({"estimator": "exact", "values": 20}, "4096 codes, not through 20\\^3"),
        ({"values": 4, "k": 2}, "k has no effect"),
        ({"values": 4, "temperature": 0.3}, "temperature has no effect"),
        ({"temperature": 0.0}, "above 0 and at most 1"),
        ({"temperature": 1.5}, "above 0 and at most 1"),
    ],
)
def test_options_out_of_range_are_refused(options, match):
    with pytest.raises(DiaboloError, match=match):
        recipes.case("discrete_vae", **options).build()


@pytest.mark.parametrize(("name", "values"), [("discrete_vae", 27), ("m2", 2)])
def test_a_scale_fitted_to_the_batch_is_refused_where_values_are_gone_through(name, values):
    """It is refused when the recipe is built, not at the first step."""
    options = {"likelihood": "Normal(scale=optimal)"} | ({} if name == "m2" else {"values": 3})
    with pytest.raises(DiaboloError, match=rf"goes through {values} values .*Normal\(scale=shared"):
        recipes.case(name, support="real", **options).build()
    options["likelihood"] = "Normal(scale=shared)"
    case = recipes.case(name, support="real", **options)
    case.trace(case.build())


def test_a_mixture_of_prototypes_is_found(tmp_path):
    """Four prototypes of bits with flips: the exact model comes near the density they are of."""
    g = np.random.default_rng(0)
    kinds = g.random((4, 12)) < 0.5
    which = g.integers(0, 4, 600)
    x = (kinds[which] ^ (g.random((600, 12)) < 0.05)).astype(np.uint8)
    run = diabolo.fit(
        x,
        "discrete_vae",
        latent=1,
        values=4,
        net="mlp(hidden=(32,))",
        epochs=40,
        batch_size=32,
        learning_rate=5e-3,
        device="cpu",
        out=tmp_path / "run",
    )
    table = np.where(kinds[None], 0.95, 0.05)[0]
    each = (x[:, None] * np.log(table) + (1 - x[:, None]) * np.log(1 - table)).sum(2)
    truth = (np.logaddexp.reduce(each, axis=1) - math.log(4)).mean()
    assert run.score(x).mean() > truth - 0.3
    again = diabolo.load(tmp_path / "run")
    assert np.array_equal(again.score(x), run.score(x))
    codes = run.encode(x)[:, 0]
    purity = sum(np.bincount(which[codes == v]).max() for v in np.unique(codes)) / len(x)
    assert purity > 0.95


def told(bias, gain):
    """A model whose two elements follow the first and the second bit of x, by gain in log-odds."""
    latent = Discrete(
        Conditional(Follows(bias, gain), CategoricalFamily(levels=3), (2,)),
        torch.zeros(3, 2, dtype=F64),
        "exact",
    )
    recipe, _ = small()
    recipe.model.latent = latent
    return recipe.model


class Follows(torch.nn.Module):
    """Logits (B, 3 * 2): the bit of an element moves its last value, and a bias its first."""

    def __init__(self, bias, gain):
        super().__init__()
        self.bias, self.gain = bias, torch.tensor(gain, dtype=F64)

    def forward(self, x, c=None):
        logits = x.new_zeros(len(x), 3, 2)
        logits[:, 0] = self.bias
        logits[:, 2] = self.bias + self.gain * (2 * x[:, :2] - 1)
        return logits.flatten(1)


def test_a_discrete_element_is_active_by_what_it_says_of_x():
    """Its modes move from name to name where q hardly does: their variance says nothing."""
    bits = torch.tensor(list(itertools.product([0.0, 1.0], repeat=6)), dtype=F64)
    data = Data(bits, "binary")
    model = told(bias=5.0, gain=(0.01, 50.0))
    assert model.encode(bits)[0].var(0).min() > 1.0  # the modes are 0 and 2, half and half each
    found = active_units(model, data)
    assert (found.count, found.groups) == (1, (1,))
    # Half of x have the last value and half the first: one bit, less the middle value's e^-5.
    assert float(found.information[0][1]) == pytest.approx(math.log(2), abs=0.01)
    assert float(found.information[0][0]) == pytest.approx(0.005**2 / 2, rel=0.02)
    assert found.variance[0].isnan().all()
    units = next(r for r in evaluate(model, data).rows() if r.name == "active units")
    assert (units.value, units.how) == (1, "of 2: I(x; z) > 0.01 nats")
    # A rate is no information: q that is far from p, but the same for all x.
    assert active_units(told(bias=5.0, gain=(0.0, 0.0)), data).count == 0
    assert float(sum(bound(told(5.0, (0.0, 0.0)), data).rate_elements[0])) > 0.5


def test_statistics_of_discrete_latents_name_a_value_and_no_scale():
    bits = torch.tensor([[0.0, 1, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0]], dtype=F64)
    found = Latents.of(told(bias=5.0, gain=(2.0, 50.0)), Data(bits, "binary"))
    np.testing.assert_array_equal(found.mean, [0, 2])  # the most frequent, not a mean of names
    assert np.isnan(found.scale).all()
    assert np.isnan(found.activity).all()
    assert found.order == [1, 0]

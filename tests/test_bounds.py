"""Bounds of several samples and their estimators against known answers.

Orderings hold datum by datum, since the mean of logarithms is at most the logarithm of the mean;
expectations are by quadrature; gradients are compared by autograd on graphs that were built apart.
"""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import Tensor

from diabolo.distributions import Normal
from diabolo.errors import DiaboloError
from diabolo.model import Draw, Trace
from diabolo.noise import KeyedNoise
from diabolo.objectives import ciwae, declaration, dreg, elbo, iwae, miwae, piwae, stl
from laws import bounds as laws
from laws import recipes

EXACT = 1e-9  # float64, a dozen operations on numbers of order ten
# Of z ~ N(0, 1), x | z ~ N(z, 1) at x = 1 with q the prior: the bounds of 1, 2 and 4 samples.
L1, L2, L4 = -1.9189385332, -1.65347379, -1.57013868
LOG_P = -1.5155121235


def toy(k: int, n: int = 500, seed: int = 0, **options: float) -> Trace:
    recipe = laws.toy(**{"loc": 0.1, "scale": 0.9, "slope": 0.2, **options})
    return laws.toy_trace(recipe, k, KeyedNoise(seed, torch.arange(n)), n)


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        (partial(miwae, bounds=2), L2),
        (partial(miwae, bounds=4), L1),
        (partial(miwae, bounds=1), L4),
        (partial(piwae, bounds=2), L4),
        (partial(ciwae, beta=0.25), 0.25 * L1 + 0.75 * L4),
        (stl, L1),
        (elbo, L1),
    ],
    ids=["miwae2", "miwae4", "miwae1", "piwae", "ciwae", "stl", "elbo"],
)
def test_values_equal_their_quadrature(objective, expected):
    """What is reported is the bound itself, whatever gradient it is given."""
    recipe = laws.toy()
    noise, weight = laws.gauss_hermite(18, 4)
    value = objective(laws.toy_trace(recipe, 4, noise, len(weight)))
    assert (weight * value).sum().item() == pytest.approx(expected, abs=2e-5)  # the rule's error
    assert expected < LOG_P


@pytest.mark.parametrize(("k", "bounds"), [(6, 2), (6, 3), (16, 4)])
def test_bounds_are_ordered_for_each_datum(k, bounds):
    """sampled ELBO <= MIWAE(M, L) <= IWAE(M L), and CIWAE between its ends."""
    t = toy(k)
    low, high = t.log_weight.mean(0), iwae(t)
    middle = miwae(t, bounds=bounds)
    assert bool((low < middle).all())
    assert bool((middle < high).all())
    for beta in (0.0, 0.3, 1.0):
        mixed = ciwae(t, beta=beta)
        assert torch.allclose(mixed, beta * low + (1 - beta) * high, atol=EXACT)
    assert torch.equal(piwae(t, bounds=bounds), high)
    assert torch.allclose(miwae(t, bounds=1), high, atol=EXACT)
    assert torch.allclose(miwae(t, bounds=k), low, atol=EXACT)


def test_bounds_of_more_samples_are_tighter_in_expectation():
    """MIWAE(M, L) has the mean of IWAE(L) and the variance of a mean of M."""
    n = 20000
    small = iwae(toy(4, n))
    mean = miwae(toy(16, n), bounds=4)
    error = math.sqrt((small.var() + mean.var()).item() / n)
    assert mean.mean().item() == pytest.approx(small.mean().item(), abs=4 * error)
    assert mean.var().item() == pytest.approx(small.var().item() / 4, rel=0.1)  # of 20000 draws
    assert iwae(toy(16, n)).mean() > mean.mean() + 4 * error


def test_samples_have_to_make_whole_bounds():
    for objective in (miwae, piwae):
        with pytest.raises(DiaboloError, match="k=6 samples do not make 4 bounds"):
            objective(toy(6), bounds=4)


WEIGHING = {
    "iwae": iwae,
    "dreg": dreg,
    "miwae": partial(miwae, bounds=2),
    "piwae": partial(piwae, bounds=2),
    "ciwae": partial(ciwae, beta=0.5),
}


@pytest.mark.parametrize("name", WEIGHING)
def test_the_best_sample_has_the_greatest_weight(name):
    """Weights are a softmax of log w, and not of losses, for which the worst sample would win.

    log w = (-0.1, -1, -3) weigh (0.68, 0.28, 0.04); here twice, so that there are two bounds.
    """
    log_px = torch.tensor([-0.1, -1.0, -3.0] * 2, dtype=torch.float64)[:, None].requires_grad_()
    zero = torch.zeros(1, 1, dtype=torch.float64)
    q = Normal(zero, zero)
    z = torch.zeros(6, 1, 1, dtype=torch.float64)
    log = torch.zeros(6, 1, dtype=torch.float64)
    t = Trace(q, log_px, (Draw(z, q.log_prob(z), q.log_prob(z), q, q),), log[0])
    (weight,) = torch.autograd.grad(WEIGHING[name](t).sum(), log_px)
    expected = torch.tensor([-0.1, -1.0, -3.0], dtype=torch.float64).softmax(0).repeat(2) / 2
    if name == "ciwae":
        expected = 0.5 / 6 + 0.5 * expected
    assert torch.allclose(weight[:, 0], expected, atol=EXACT)
    assert weight[0] > weight[1] > weight[2]


def parted(name: str, **options: object) -> list[dict[str, Tensor]]:
    """Gradients of iwae, miwae and piwae of one model, each on a graph of its own."""
    case = recipes.case(name, dtype=torch.float64, k=6, bounds=3, **options)
    recipe = case.build()
    found = []
    for objective in (iwae, partial(miwae, bounds=3), recipe.objective):
        recipe.model.zero_grad()
        objective(case.trace(recipe, noise=recipes.keyed())).sum().backward()
        found.append({n: p.grad.clone() for n, p in recipe.model.named_parameters()})
    return found


@pytest.mark.parametrize("posterior", ["normal", "flow(transforms=2)"])
@pytest.mark.parametrize("prior", ["normal", "mixture(components=3)", "flow(transforms=2)"])
def test_piwae_parts_its_gradients(prior, posterior):
    """The decoder's and the prior's are those of iwae, the encoder's those of miwae."""
    whole, small, both = parted("piwae", prior=prior, posterior=posterior)
    for name, gradient in both.items():
        encoder = name.startswith("latent.posterior")
        expected, other = (small, whole) if encoder else (whole, small)
        # float64; a flow is inverted to give the density of its samples anew
        assert torch.allclose(gradient, expected[name], rtol=1e-7, atol=1e-9), name
        assert not torch.allclose(gradient, other[name], rtol=1e-3, atol=1e-6), name


def test_piwae_stands_log_weights_that_are_far_apart():
    """Whole bounds weigh nothing in float32; the encoder learns from them all the same."""
    x = torch.tensor([[1.0, -0.5, 2.0]], dtype=torch.float64)
    weight = torch.tensor([[2.0, 0.3], [1.0, 1.0], [0.2, 0.5]], dtype=torch.float64)
    found = []
    for objective, kind in ((miwae, torch.float64), (piwae, torch.float32)):
        zero = torch.zeros(2, 3, dtype=torch.float64)
        net = laws.Linear(zero, zero[:, 0], constant=zero[:, 0])
        recipe = laws.linear_gaussian(weight.clone(), zero[0], 0.02, net)
        recipe.model.to(kind)
        noise = laws.Points(torch.randn(8, 1, 2, generator=torch.Generator().manual_seed(0)))
        t = recipe.model(x.to(kind), k=8, noise=noise)
        objective(t, bounds=4).sum().backward()
        found.append((t, [p.grad.double() for p in net.parameters()]))
    (_, expected), (t, gradients) = found
    assert int((t.log_weight.softmax(0).unflatten(0, (4, 2)).sum(1) == 0).sum()) >= 2
    for a, b in zip(gradients, expected, strict=True):
        # log-weights of order 1e4 have a rounding of 1e-3 in float32
        assert torch.allclose(a, b, rtol=1e-2, atol=1e-6)
        assert bool((b.abs() > 1).any())


@pytest.mark.oracle(10)
@pytest.mark.parametrize("k", [1, 4])
def test_stl_gradient_vanishes_at_the_posterior_sample_by_sample(k):
    """The plain gradient has mean 0 there and a variance; sticking the landing has neither."""
    n = 4000
    at = {"loc": 0.5, "scale": math.sqrt(0.5)}  # the posterior of x = 1
    _, stuck, _ = laws.encoder_gradients(stl, k, n, **at)
    assert stuck.abs().max().item() < 1e-12
    for plain in (elbo, lambda t: t.log_weight.mean(0)):
        _, gradient, _ = laws.encoder_gradients(plain, k, n, **at)
        assert bool((gradient.var(0) > 0.1 / k).all())
        assert bool((gradient.mean(0).abs() < 5 * (gradient.var(0) / n).sqrt()).all())


@pytest.mark.oracle(10)
def test_stl_has_the_value_of_the_elbo_and_its_gradient_in_expectation():
    """By quadrature, off the posterior; the decoder has the same gradient sample by sample."""
    noise, weight = laws.gauss_hermite(40, 1)
    value, one, decoder = laws.encoder_gradients(elbo, 1, len(weight), noise)
    same, other, twin = laws.encoder_gradients(stl, 1, len(weight), noise)
    assert torch.equal(value, same)
    assert torch.allclose(decoder, twin, atol=1e-12)
    expected, found = (weight[:, None] * one).sum(0), (weight[:, None] * other).sum(0)
    assert torch.allclose(expected, found, atol=EXACT)
    assert bool((expected.abs() > 1e-2).all())
    assert not torch.allclose(one, other, atol=1e-3)


@pytest.mark.parametrize("name", ["stl", "piwae"])
def test_a_second_group_is_refused(name):
    case = recipes.case("hierarchical", k=4, warmup=0)
    t = case.trace(case.build())
    objective = stl if name == "stl" else partial(piwae, bounds=2)
    assert declaration(objective).groups == 1
    with pytest.raises(DiaboloError, match="one latent group"):
        objective(t)
    point = recipes.case("ae")
    with pytest.raises(DiaboloError, match="needs the posterior"):
        objective(point.trace(point.build(), 4))


def test_no_bound_is_declared_a_surrogate():
    """The part of the ELBO in CIWAE is no price of the rate, though both are called beta."""
    for name in ("miwae", "ciwae", "piwae", "stl"):
        assert not declaration(recipes.case(name).build().objective).surrogate
    assert declaration(partial(elbo, beta=0.5)).surrogate


@pytest.mark.parametrize("name", ["vae", "cvae", "vamp", "beta_vae", "stl"])
def test_the_elbo_of_k_samples_is_the_mean_of_k(name):
    case = recipes.case(name, dtype=torch.float64, k=3)
    recipe = case.build()
    assert recipe.k == 3
    objective = recipe.objective
    value = objective(case.trace(recipe, noise=recipes.keyed()))
    each = [
        objective(case.trace(recipe, 1, recipes.keyed(start=i))) for i in range(3)
    ]  # the draws of k = 3, one by one
    assert torch.allclose(value, torch.stack(each).mean(0), atol=EXACT)

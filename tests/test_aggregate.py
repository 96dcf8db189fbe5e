"""What is said of the aggregate posterior, against known answers and against what peers get wrong.

Shapes: K posterior samples, N the whole population, B batch, D latent elements.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor

from diabolo.data import Data
from diabolo.distributions import Normal
from diabolo.errors import DiaboloError
from diabolo.evaluate import aggregate_posterior, bound
from diabolo.model import Draw, Trace
from diabolo.noise import KeyedNoise
from diabolo.objectives import (
    aggregate,
    code_covariance,
    decorrelation,
    discrepancy,
    elbo,
    squared_mmd,
    terms,
    total_correlation,
)
from laws import bounds, recipes

EXACT = 1e-10  # float64, sums of a few hundred numbers of order one
OBJECTIVES = {
    "total_correlation": total_correlation,
    "discrepancy": partial(discrepancy, price=2.0),
    "decorrelation": partial(decorrelation, off=1.0, diagonal=1.0),
}


@pytest.fixture(autouse=True)
def _doubles():
    torch.set_default_dtype(torch.float64)


def population(n: int = 6, d: int = 3, seed: int = 0, spread: float = 1.5) -> tuple[Tensor, Tensor]:
    """Means and scales (N, D) of the posteriors of all data there are."""
    g = torch.Generator().manual_seed(seed)
    loc = spread * torch.randn(n, d, generator=g)
    return loc, torch.rand(n, d, generator=g) + 0.3


def trace(loc: Tensor, scale: Tensor, z: Tensor | None = None) -> Trace:
    """A trace of normal posteriors; z (K, B, D) are points that take quadratics exactly."""
    q = Normal(loc, scale.log())
    zero = torch.zeros(loc.shape[1])
    p = Normal(zero, zero)
    if z is None:
        k, noise = bounds.cubature(loc.shape[1])
        z = q.rsample((k,), noise)
    log_px = torch.zeros(z.shape[:2])
    return Trace(p, log_px, (Draw(z, q.log_prob(z), p.log_prob(z), q, p),), torch.zeros(()))


def mixture(z: Tensor, loc: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """log q(z) and the log of the product of its marginals, from torch's own mixture."""
    parts = torch.distributions.Categorical(torch.ones(len(loc)))
    joint = torch.distributions.MixtureSameFamily(
        parts, torch.distributions.Independent(torch.distributions.Normal(loc, scale), 1)
    )
    each = [
        torch.distributions.MixtureSameFamily(parts, torch.distributions.Normal(m, s)).log_prob(v)
        for m, s, v in zip(loc.T, scale.T, z.unbind(-1), strict=True)
    ]
    return joint.log_prob(z), torch.stack(each).sum(0)


# The decomposition of the rate.


@pytest.mark.oracle(23)
@pytest.mark.parametrize("data", [None, 6])
def test_of_a_whole_population_the_parts_are_exact(data):
    loc, scale = population()
    t = trace(loc, scale)
    parts = aggregate(t, data=data)
    joint, product = mixture(t.draws[0].z, loc, scale)
    d = t.draws[0]
    assert torch.allclose(parts.information, d.log_q - joint, atol=EXACT)
    assert torch.allclose(parts.correlation, joint - product, atol=EXACT)
    assert torch.allclose(parts.marginals, product - d.log_p, atol=EXACT)
    # Hoffman and Johnson: in the mean over q they sum to the closed-form rate.
    assert torch.allclose(sum(parts).mean(0), d.rate[0], atol=EXACT)


@pytest.mark.parametrize("sampling", ["stratified", "weighted"])
def test_the_parts_always_have_the_right_sum(sampling):
    t = trace(*population())
    parts = aggregate(t, data=1000, sampling=sampling)
    d = t.draws[0]
    assert torch.allclose(sum(parts), d.log_q - d.log_p, atol=EXACT)


def test_of_a_normal_aggregate_the_parts_have_their_closed_forms():
    """z = A x + d e with x ~ N(0, I): the parts are log-determinants of known covariances."""
    n = 1500
    x = torch.randn(n, 2)
    turn = torch.tensor([[1.0, 0.0], [0.8, 0.6]])
    scale = torch.full((n, 2), 0.8)
    z = (x @ turn.T + 0.8 * torch.randn(n, 2))[None]
    parts = aggregate(trace(x @ turn.T, scale, z))
    c = turn @ turn.T + 0.64 * torch.eye(2)
    variance = c.diagonal()
    expected = (
        0.5 * (torch.logdet(c) - 2 * math.log(0.64)),
        0.5 * (variance.log().sum() - torch.logdet(c)),
        0.5 * (variance - 1 - variance.log()).sum(),
    )
    for found, value in zip(parts, expected, strict=True):
        error = found.std().item() / math.sqrt(n)
        # The mixture of n posteriors is not yet their limit: it moves log q(z) by about 1 / n.
        assert abs(found.mean().item() - value.item()) < 5 * error + 10 / n


@pytest.mark.parametrize("place", [0, 1, 2])
def test_stratified_densities_are_unbiased_over_all_batches(place):
    """In the mean over all batches with the datum, wherever it stands: not in column 0 only."""
    loc, scale = population(5, 2)
    n, m, others = 3, 3, [0, 1, 2, 4]
    z = loc[n] + 0.4
    found = []
    for rest in combinations(others, m - 1):
        rows = [*rest[:place], n, *rest[place:]]
        t = trace(loc[rows], scale[rows], z.expand(1, m, 2))
        parts = aggregate(t, data=5)
        joint = (t.draws[0].log_q - parts.information)[0, place]
        # One element alone, whose marginal is the joint.
        t = trace(loc[rows, :1], scale[rows, :1], z[:1].expand(1, m, 1))
        single = (t.draws[0].log_q - aggregate(t, data=5).information)[0, place]
        found.append(torch.stack([joint, single]).exp())
    whole = mixture(z[None], loc, scale)[0]
    first = mixture(z[None, :1], loc[:, :1], scale[:, :1])[0]
    expected = torch.cat([whole, first]).exp()
    assert torch.allclose(torch.stack(found).mean(0), expected, atol=EXACT)


def test_stratified_shares_stand_on_the_diagonal():
    """Each datum's own posterior has 1 / N, each other's (N - 1) / (N (M - 1)); no row has less.

    A stride of M + 1 through an (M + 1) x (M + 1) matrix walks down its first column instead.
    """
    loc, scale = population(4, 2)
    t = trace(loc, scale)
    n, m = 50, 4
    d = t.draws[0]
    parts = aggregate(t, data=n)
    each = d.q.log_prob(d.z.unsqueeze(2)).exp()  # (K, B, M)
    for i in range(m):
        share = torch.full((m,), (n - 1) / (n * (m - 1)))
        share[i] = 1 / n
        assert share.sum().item() == pytest.approx(1.0)
        expected = (share * each[:, i]).sum(1).log()
        assert torch.allclose((d.log_q - parts.information)[:, i], expected, atol=EXACT)
    column = torch.full((m, m), (n - 1) / (n * (m - 1)))
    column[:, 0] = 1 / n
    wrong = (column * each).sum(2).log()
    assert not torch.allclose(d.log_q - parts.information, wrong, atol=0.1)


def test_stratified_information_never_exceeds_the_logarithm_of_the_data():
    loc, scale = population(8, 3, spread=30.0)
    parts = aggregate(trace(loc, scale), data=1000)
    assert parts.information.max().item() <= math.log(1000) + EXACT
    # Posteriors far apart: it is log N, all that can be known of which datum it is.
    assert torch.allclose(parts.information, torch.full(parts.information.shape, math.log(1000)))


@pytest.mark.parametrize(("spread", "shift"), [(1e3, math.log(8)), (0.0, math.log(1000))])
def test_weighted_sampling_has_the_bias_that_is_stated(spread, shift):
    """Too high by log M where posteriors lie apart and log N where they are alike."""
    t = trace(spread * torch.arange(8.0)[:, None].expand(8, 3), torch.ones(8, 3))
    parts = aggregate(t, data=1000, sampling="weighted")
    true = math.log(1000) if spread else 0.0
    assert torch.allclose(parts.information, torch.full_like(t.log_px, true + shift), atol=1e-8)
    # Each of three elements tells all that there is to be told: two tell it again.
    assert torch.allclose(parts.correlation, 2 * parts.information, atol=1e-8)


def test_weighted_sampling_has_the_gradient_of_the_batch_as_population():
    found = []
    for data, sampling in ((1000, "weighted"), (None, "stratified")):
        loc, scale = population()
        loc.requires_grad_()
        value = total_correlation(trace(loc, scale), beta=4.0, data=data, sampling=sampling)
        found.append(torch.autograd.grad(value.sum(), loc)[0])
    assert torch.allclose(*found, atol=EXACT)


def test_prices_of_one_leave_the_elbo():
    t = trace(*population())
    value = total_correlation(t, alpha=1.0, beta=1.0, gamma=1.0, data=100)
    assert torch.equal(value, elbo(t))
    parts = aggregate(t, data=100)
    for name, part in zip(("alpha", "beta", "gamma"), parts, strict=True):
        priced = total_correlation(t, **{"beta": 1.0, "data": 100, name: 3.0})
        assert torch.allclose(elbo(t) - priced, 2.0 * part.mean(0), atol=EXACT)


def test_a_price_of_all_parts_is_that_of_the_rate():
    """beta-VAE, but for its rate in closed form: here the mean over q is exact."""
    t = trace(*population())
    value = total_correlation(t, alpha=3.0, beta=3.0, gamma=3.0, data=100)
    assert torch.allclose(value, elbo(t, beta=3.0), atol=EXACT)


# The maximum mean discrepancy.


def mean_of_kernel(kernel: str, c: float, d: int, r: float, scale: float) -> float:
    """E k(z, z + u) for u of D elements whose squared length over scale is non-central chi^2."""

    def k(x: float) -> float:
        return math.exp(-scale * x / c) if kernel == "rbf" else c / (c + scale * x)

    density = stats.ncx2(d, r) if r else stats.chi2(d)
    low, high = density.ppf(1e-13), density.isf(1e-13)
    value, _ = integrate.quad(
        lambda x: k(x) * density.pdf(x), low, high, points=[density.mean()], epsabs=1e-11, limit=500
    )
    return value


@pytest.mark.parametrize("kernel", ["imq", "rbf"])
@pytest.mark.parametrize("d", [2, 3, 8, 64])
@pytest.mark.parametrize("width", [0.3, 1.0, 4.0])
def test_discrepancy_is_its_u_statistic_with_exact_means(kernel, d, width):
    """By loops over pairs, and by integrals over the squared distance, for D in one."""
    torch.manual_seed(d)
    z = 0.7 * torch.randn(1, 5, d) + 0.4
    found = squared_mmd(z, kernel=kernel, width=width)[0]
    c = 2 * d * width**2
    own = mean_of_kernel(kernel, c, d, 0.0, 2.0)
    for i in range(5):
        near = 0.0
        for j in range(5):
            if i != j:
                r = float((z[0, i] - z[0, j]).square().sum())
                near += (math.exp(-r / c) if kernel == "rbf" else c / (c + r)) / 4
        embedded = mean_of_kernel(kernel, c, d, float(z[0, i].square().sum()), 1.0)
        # What the integrals leave out beyond their ends is 1e-13 of the mass.
        assert found[i].item() == pytest.approx(near - 2 * embedded + own, abs=1e-9)


@pytest.mark.parametrize("kernel", ["imq", "rbf"])
def test_discrepancy_from_any_normal_prior(kernel):
    """Each of two elements with its own mean and scale, by an integral over both."""
    loc, scale = torch.tensor([0.5, -1.0]), torch.tensor([0.4, 2.0])
    z = torch.tensor([[[0.0, 0.0], [1.0, 2.0]]])
    found = squared_mmd(z, Normal(loc, scale.log()), kernel=kernel, width=0.9)[0]
    c = 4 * 0.81
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    weights = torch.from_numpy(weights / weights.sum())
    grid = torch.cartesian_prod(*[torch.from_numpy(nodes)] * 2)
    mass = torch.cartesian_prod(weights, weights).prod(1)

    def k(square: Tensor) -> Tensor:
        return torch.exp(-square / c) if kernel == "rbf" else c / (c + square)

    y = loc + scale * grid
    apart = math.sqrt(2) * scale * grid
    near = k((z[0, 0] - z[0, 1]).square().sum())
    own = (mass * k(apart.square().sum(1))).sum()
    for i in range(2):
        embedded = (mass * k((z[0, i] - y).square().sum(1))).sum()
        # The poles of imq leave 1e-6 to a rule of 120 nodes.
        assert found[i].item() == pytest.approx((near - 2 * embedded + own).item(), abs=2e-6)


@pytest.mark.parametrize("kernel", ["imq", "rbf"])
def test_discrepancy_of_equal_laws_has_mean_zero(kernel):
    """20000 batches of five; with the pairs of a sample with itself it would be above 0."""
    found = squared_mmd(torch.randn(20000, 5, 3), kernel=kernel).mean(1)
    error = found.std().item() / math.sqrt(len(found))
    assert abs(found.mean().item()) < 4 * error
    assert error < 1e-3
    assert bool((found < 0).any())


def test_discrepancy_of_normal_laws_has_its_closed_form():
    """For rbf and z ~ N(m, s^2 I): three normal integrals, at any size of the batch."""
    d, m, s = 3, 0.6, 0.5
    c = 2 * d

    def mean(variance: float, shift: float) -> float:
        wide = 1 + 2 * variance / c
        return wide ** (-d / 2) * math.exp(-d * shift**2 / (c * wide))

    expected = mean(2 * s**2, 0) - 2 * mean(1 + s**2, m) + mean(2, 0)
    for size in (2, 7):
        found = squared_mmd(m + s * torch.randn(20000, size, d), kernel="rbf").mean(1)
        error = found.std().item() / math.sqrt(len(found))
        assert abs(found.mean().item() - expected) < 4 * error
        assert error < 0.05 * expected


def test_discrepancy_survives_equal_codes():
    z = torch.zeros(1, 4, 2, requires_grad=True)
    squared_mmd(z).sum().backward()
    assert bool(z.grad.isfinite().all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_discrepancy_keeps_its_type(dtype):
    z = torch.randn(2, 6, 4)
    found = squared_mmd(z.to(dtype))
    assert found.dtype == dtype
    assert torch.allclose(found.double(), squared_mmd(z), atol=1e-6)  # float32 of order one


def test_discrepancy_charges_what_it_says():
    t = trace(*population())
    found = squared_mmd(t.draws[0].z).mean(0)
    value = discrepancy(t, price=7.0, beta=0.25)
    assert torch.allclose(value, elbo(t, beta=0.25) - 7.0 * found, atol=EXACT)


def test_discrepancy_refuses_a_prior_whose_means_are_unknown():
    case = recipes.case("vae", prior="mixture", dtype=torch.float64)
    with pytest.raises(DiaboloError, match="use prior='normal'"):
        discrepancy(case.trace(case.build()), price=1.0)


# The covariance of codes.


def test_covariances_are_numpys():
    """Of the means, and of the codes: the points of a trace have the posteriors' variances."""
    loc, scale = population(7, 3)
    t = trace(loc, scale)
    means = np.cov(loc.numpy().T, bias=True)
    codes = np.cov(t.draws[0].z.flatten(0, 1).numpy().T, bias=True)
    assert np.allclose(code_covariance(t, of="mean"), means, atol=EXACT)
    assert np.allclose(code_covariance(t, of="code"), codes, atol=EXACT)


@pytest.mark.parametrize("of", ["mean", "code"])
def test_decorrelation_charges_both_parts_of_the_covariance(of):
    loc, scale = population(7, 3)
    t = trace(loc, scale)
    c = code_covariance(t, of=of).numpy()
    across = sum(c[i, j] ** 2 for i in range(3) for j in range(3) if i != j)
    along = sum((c[i, i] - 1) ** 2 for i in range(3))
    value = decorrelation(t, off=2.0, diagonal=5.0, of=of)
    expected = elbo(t) - (2.0 * across + 5.0 * along)
    assert torch.allclose(value, expected, atol=EXACT)


def test_covariance_is_over_the_data_and_not_over_the_latents():
    """Centred over latents, a code with one element has no variance; undivided, it grows with B."""
    loc = torch.tensor([[-1.0], [1.0], [-1.0], [1.0]])
    t = trace(loc, torch.full((4, 1), 0.5))
    assert code_covariance(t, of="mean").item() == pytest.approx(1.0, abs=EXACT)
    # A standard deviation of 0.5 is a variance of 0.25, not exp(2 log 0.25).
    assert code_covariance(t, of="code").item() == pytest.approx(1.25, abs=EXACT)
    assert torch.allclose(decorrelation(t, off=1.0, diagonal=1.0), elbo(t), atol=EXACT)


# What holds for all of them.


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_order_of_the_batch_does_not_matter(name):
    loc, scale = population()
    z = Normal(loc, scale.log()).rsample((2,))
    rows = torch.randperm(6)
    value = OBJECTIVES[name](trace(loc, scale, z))
    other = OBJECTIVES[name](trace(loc[rows], scale[rows], z[:, rows]))
    assert torch.allclose(value[rows], other, atol=EXACT)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_single_datum_is_refused(name):
    loc, scale = population(1)
    with pytest.raises(DiaboloError, match="a single datum: take a larger batch_size"):
        OBJECTIVES[name](trace(loc, scale))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_hierarchies_are_refused(name):
    case = recipes.case("hierarchical", dtype=torch.float64)
    with pytest.raises(DiaboloError, match="one latent group, but this one has 2"):
        OBJECTIVES[name](case.trace(case.build()))


VARIANTS = [
    ("beta_tc", {"sampling": "weighted", "alpha": 0.5, "gamma": 2.0}),
    ("beta_tc", {"k": 2, "prior": "mixture"}),
    ("beta_tc", {"posterior": "laplace"}),
    ("info_vae", {"kernel": "rbf", "alpha": 1.0}),
    ("info_vae", {"posterior": "flow", "k": 2}),
    ("dip_vae", {"kind": "I"}),
    ("dip_vae", {"posterior": "logistic"}),
    ("wae", {"kernel": "rbf"}),
]
LAWS = [
    recipes.trains_every_parameter,
    recipes.runs_without_gradients,
    recipes.compiles_to_the_same,
    recipes.terms_add_up,
    recipes.ignores_the_unseen,
    recipes.works_in_float64,
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_every_kind_keeps_the_laws(name, options, law):
    missing = law is recipes.ignores_the_unseen
    law(recipes.case(name, dtype=torch.float64, missing=missing, **options))


@pytest.mark.parametrize("name", ["beta_tc", "info_vae", "dip_vae"])
def test_the_bound_and_its_parts_are_those_of_the_vae(name):
    """Charges are penalties: rate, distortion and the ELBO that is reported know none of them."""
    case, plain = recipes.case(name, dtype=torch.float64), recipes.case("vae", dtype=torch.float64)
    recipe, vae = case.build(), plain.build()
    vae.model.load_state_dict(recipe.model.state_dict())
    t = case.trace(recipe, noise=recipes.keyed())
    found, expected = terms(recipe.objective, t), terms(elbo, t)
    assert torch.equal(found.rate, expected.rate)
    assert torch.equal(found.distortion, expected.distortion)
    assert not torch.allclose(found.penalty, expected.penalty)
    data = Data(case.x, "binary")
    assert bound(recipe.model, data).elbo.value == bound(vae.model, data).elbo.value


def test_wae_is_an_autoencoder_that_is_charged_and_can_be_sampled():
    """Its code is a point: no rate, and no bound, but codes of N(0, I) that it decodes."""
    case = recipes.case("wae", dtype=torch.float64, price=3.0, width=1.0)
    recipe = case.build()
    assert recipe.model.deterministic
    assert recipe.model.generates
    t = case.trace(recipe)
    found = terms(recipe.objective, t)
    assert torch.equal(found.rate, torch.zeros(1, len(case.x)))
    assert torch.allclose(found.penalty, 3.0 * squared_mmd(t.draws[0].z)[0], atol=EXACT)
    z = recipe.model.latent.sample(20000, None)
    assert bool((z.mean(0).abs() < 5 / math.sqrt(20000)).all())
    assert torch.allclose(z.T @ z / 20000, torch.eye(3), atol=5 * math.sqrt(2 / 20000))
    with pytest.raises(DiaboloError, match="deterministic autoencoder has no bound"):
        bound(recipe.model, Data(case.x, "binary"))


def test_beta_tc_knows_the_number_of_data():
    case = recipes.case("beta_tc", dtype=torch.float64)
    recipe = case.build()
    t = case.trace(recipe, noise=recipes.keyed())
    assert case.spec.count == 20
    expected = total_correlation(t, beta=6.0, data=20)
    assert torch.equal(recipe.objective(t), expected)
    assert not torch.allclose(total_correlation(t, beta=6.0), expected)


@pytest.mark.parametrize(("kind", "of"), [("I", "mean"), ("II", "code")])
@pytest.mark.parametrize("diagonal", [None, 0.5])
def test_dip_vae_charges_what_it_is_asked_to(kind, of, diagonal):
    options = {"kind": kind, "price": 4.0, "diagonal": diagonal}
    case = recipes.case("dip_vae", dtype=torch.float64, **options)
    recipe = case.build()
    t = case.trace(recipe, noise=recipes.keyed())
    expected = decorrelation(t, off=4.0, diagonal=4.0 if diagonal is None else 0.5, of=of)
    assert torch.equal(recipe.objective(t), expected)


# The measurement over all data.


@pytest.mark.parametrize("rows", [None, 7])
def test_aggregate_posterior_is_that_of_all_data(rows, monkeypatch):
    """In whatever parts it goes through the data; and it sums to the rate of these samples."""
    if rows is not None:
        monkeypatch.setattr("diabolo.evaluate.aggregate.decoder_rows", lambda *_: rows)
    case = recipes.case("beta_tc", dtype=torch.float64, n=40)
    model = case.build().model.eval()
    with torch.no_grad():
        for p in model.latent.parameters():
            p.mul_(3.0)  # codes that are apart
        t = model(case.x, noise=KeyedNoise(5, torch.arange(40)))
        expected = aggregate(t)
    found = aggregate_posterior(model, Data(case.x, "binary"), seed=5)
    for part, name in zip(expected, ("information", "correlation", "marginals"), strict=True):
        assert torch.allclose(getattr(found, name).per_datum, part[0], atol=EXACT)
    assert 0.5 < found.information.value < math.log(40)
    d = t.draws[0]
    rate = float((d.log_q - d.log_p).mean())
    assert found.information.value + found.divergence == pytest.approx(rate, abs=EXACT)


def test_aggregate_posterior_refuses_what_it_cannot_tell():
    for name, rows, words in (
        ("ae", 4, "with a density"),
        ("vae", 1, "at least two data"),
    ):
        case = recipes.case(name, n=rows, dtype=torch.float64)
        with pytest.raises(DiaboloError, match=words):
            aggregate_posterior(case.build().model, Data(case.x, "binary"))


@pytest.mark.parametrize("posterior", ["full", "flow"])
def test_without_elements_the_information_is_told_and_the_rest_of_the_rate(posterior):
    """Against the densities themselves, pair by pair."""
    case = recipes.case("vae", dtype=torch.float64, n=12, posterior=posterior)
    model = case.build().model.eval()
    with torch.no_grad():
        for p in model.latent.parameters():
            p.mul_(2.0)
    found = aggregate_posterior(model, Data(case.x, "binary"), seed=5)
    with torch.no_grad():
        d = model(case.x, noise=KeyedNoise(5, torch.arange(12))).draws[0]
        each = torch.stack([d.q.log_prob(d.z[0, n].expand(12, -1)) for n in range(12)])
    expected = d.log_q[0] - (each.logsumexp(1) - math.log(12))
    assert torch.allclose(found.information.per_datum, expected, atol=EXACT)
    assert found.correlation is None
    assert found.prior_divergence.kind.endswith("the rate without the information")
    rate = float((d.log_q - d.log_p).mean())
    assert found.information.value + found.divergence == pytest.approx(rate, abs=EXACT)


def test_mistakes_in_pairs_are_not_taken_for_a_density_without_elements(monkeypatch):
    """Whether a posterior factorises is found out once, and not by any error on the way."""

    def fails(*_):
        raise DiaboloError("Something else is wrong.")

    monkeypatch.setattr("diabolo.evaluate.aggregate.mixed", fails)
    case = recipes.case("vae", dtype=torch.float64, n=12)
    with pytest.raises(DiaboloError, match="Something else"):
        aggregate_posterior(case.build().model.eval(), Data(case.x, "binary"))


@pytest.mark.parametrize("name", ["hierarchical", "ladder"])
def test_of_groups_the_first_is_told_and_the_rate_of_all_is_split(name):
    case = recipes.case(name, dtype=torch.float64, n=12)
    model = case.build().model.eval()
    found = aggregate_posterior(model, Data(case.x, "binary"), seed=5)
    with torch.no_grad():
        draws = model(case.x, noise=KeyedNoise(5, torch.arange(12))).draws
        first = draws[0]
        joint = mixture(
            first.z,
            first.q.loc.expand_as(first.z)[0],
            first.q.variance.sqrt()[0] if first.q.variance.ndim == 3 else first.q.variance.sqrt(),
        )[0][0]
    assert torch.allclose(found.information.per_datum, first.log_q[0] - joint, atol=EXACT)
    rate = float(sum((d.log_q - d.log_p).mean() for d in draws))
    assert found.information.value + found.divergence == pytest.approx(rate, abs=EXACT)
    assert any("first of" in n for n in found.notes)


@pytest.mark.oracle(23)
def test_identity_of_hoffman_and_johnson_on_a_hundred_data():
    """The mean rate in closed form = information + KL(q(z) || p(z)), to Monte Carlo error."""
    case = recipes.case("vae", dtype=torch.float64, n=100)
    model = case.build().model.eval()
    with torch.no_grad():
        for p in model.latent.parameters():
            p.mul_(3.0)
    data = Data(case.x, "binary")
    parts = [aggregate_posterior(model, data, seed=s) for s in range(20)]
    sums = torch.tensor([a.information.value + a.divergence for a in parts])
    error = float(sums.std()) / math.sqrt(20)
    assert abs(float(sums.mean()) - bound(model, data).rate[0].value) < 4 * error
    assert all(a.information.value <= math.log(100) for a in parts)


def test_gain_of_a_fitted_prior_is_a_lower_bound_that_is_nearly_reached():
    """Codes of q(z) = N(2, 1/4): the divergence from N(0, 1) is known, and g is q(z) itself."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(4000, 1, generator=g)
    encoder = bounds.Linear(
        torch.tensor([[0.4], [0.0]]), torch.tensor([2.0, bounds.raw_scale(torch.tensor(0.3))])
    )
    recipe = bounds.linear_gaussian(torch.eye(1), torch.zeros(1), 1.0, encoder)
    found = aggregate_posterior(recipe.model, Data(x[:1000]))
    expected = 0.5 * (4 + 0.25 - 1 - math.log(0.25))
    assert found.gain.value == pytest.approx(expected, abs=4 * found.gain.data_stderr)
    assert found.divergence == pytest.approx(expected, abs=4 * found.gain.data_stderr)

"""Objectives against known answers, through the public recipes."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch

from diabolo.distributions import Normal
from diabolo.distributions.normal import NormalFamily
from diabolo.errors import DiaboloError
from diabolo.latents import Amortized
from diabolo.model import Conditional, Draw, LatentModel, Trace
from diabolo.noise import KeyedNoise
from diabolo.objectives import Declaration, declaration, dreg, elbo, free_bits, iwae, terms, trimmed
from diabolo.recipes import build
from diabolo.spec import Spec
from diabolo.train import selector
from diabolo.views import View
from laws import bounds as laws
from laws import recipes

EXACT = 1e-9  # float64, a dozen operations on numbers of order ten

W = torch.tensor([[2.0, 0.0], [1.0, 1.0], [0.0, 0.5]], dtype=torch.float64)
M = torch.tensor([0.5, -0.5, 0.0], dtype=torch.float64)
X = torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64)
LOG_P = -4.3912506045
LOG_P_TOY = -1.5155121235  # log N(1; 0, 2)


def exact_elbo(recipe, x=X, c=None):
    """The recipe's ELBO without sampling error."""
    k, noise = laws.cubature(recipe.model.groups[0])
    return elbo(recipe.model(x, c, k=k, noise=noise))


def ppca(encoder, weight=W, name="vae", **options):
    return laws.linear_gaussian(weight, M, 0.5, encoder, name=name, **options)


@pytest.mark.oracle(3)
def test_exact_posterior_has_the_stated_mean_and_covariance():
    gain, covariance = laws.posterior(W, 0.5)
    stated = [[0.05454545, -0.03636364], [-0.03636364, 0.19090909]]
    assert torch.allclose(covariance, torch.tensor(stated, dtype=torch.float64), atol=1e-8)
    recipe = ppca(laws.encoder(W, M, 0.5, covariance.diagonal()))
    mean, variance = recipe.model.encode(X)
    expected = torch.tensor([[0.18181818, 0.54545455]], dtype=torch.float64)
    assert torch.allclose(mean, expected, atol=1e-8)  # eight digits are given
    assert torch.allclose(variance, covariance.diagonal()[None], atol=EXACT)
    assert torch.allclose(mean, (X - M) @ gain.T, atol=EXACT)


@pytest.mark.oracle(3)
def test_elbo_of_the_exact_posterior_is_log_p():
    weight, _ = laws.rotated(W)
    _, covariance = laws.posterior(weight, 0.5)
    recipe = ppca(laws.encoder(weight, M, 0.5, covariance.diagonal()), weight)
    assert exact_elbo(recipe).item() == pytest.approx(LOG_P, abs=EXACT)
    truth = laws.log_marginal(X, weight, M, 0.5).item()
    assert truth == pytest.approx(LOG_P, abs=EXACT)


@pytest.mark.oracle(4)
def test_elbo_and_gap_of_the_prior_as_posterior():
    zero = torch.zeros(2, 3, dtype=torch.float64)
    scale = laws.raw_scale(torch.ones(2, dtype=torch.float64))
    recipe = ppca(laws.Linear(zero, zero[:, 0], constant=scale))
    value = exact_elbo(recipe).item()
    assert value == pytest.approx(-16.1773740579, abs=EXACT)
    q = torch.distributions.MultivariateNormal(zero[:, 0], torch.eye(2, dtype=torch.float64))
    gain, covariance = laws.posterior(W, 0.5)
    p = torch.distributions.MultivariateNormal(((X - M) @ gain.T)[0], covariance)
    gap = torch.distributions.kl_divergence(q, p).item()
    assert gap == pytest.approx(11.7861234535, abs=EXACT)
    assert value + gap == pytest.approx(LOG_P, abs=EXACT)


def by_lbfgs(net, value):
    """Quasi-Newton steps, which stop at gradients of 1e-7."""
    optimizer = torch.optim.LBFGS(net.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = -value()
        loss.backward()
        return loss

    optimizer.step(closure)


def by_adam(net, value):
    """Steps that fall to 1e-4, with which the value is off by their square."""
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
    for i in range(800):
        optimizer.param_groups[0]["lr"] = 0.1 * 1e-3 ** (i / 800)
        optimizer.zero_grad()
        (-value()).backward()
        optimizer.step()


def by_coordinates(net, value):
    """One number of q after the other to its own maximum, by a Newton step.

    Elements of the mean take turns as in Gauss and Seidel's method, which gains a factor of
    16 / (21 * 6) a round here.
    """
    for _ in range(12):
        for p in (net.bias, net.constant):
            for i in range(len(p)):
                (slope,) = torch.autograd.grad(value(), p, create_graph=True)
                (curve,) = torch.autograd.grad(slope[i], p)
                with torch.no_grad():
                    p[i] -= slope[i] / curve[i]


@pytest.mark.oracle(5)
@pytest.mark.parametrize("ascend", [by_lbfgs, by_adam, by_coordinates])
def test_best_diagonal_posterior_is_reached_by_ascent(ascend):
    """The best q has the posterior's mean and the inverse of its precision's diagonal."""
    _, covariance = laws.posterior(W, 0.5)
    best = 1 / torch.linalg.inv(covariance).diagonal()
    assert exact_elbo(ppca(laws.encoder(W, M, 0.5, best))).item() == pytest.approx(
        -4.4591513750, abs=EXACT
    )
    net = laws.Linear(
        torch.zeros(2, 3, dtype=torch.float64),
        torch.zeros(2, dtype=torch.float64),
        constant=torch.zeros(2, dtype=torch.float64),
    )
    recipe = ppca(net)
    ascend(net, lambda: exact_elbo(recipe).sum())
    reached = exact_elbo(recipe).item()
    assert reached == pytest.approx(-4.4591513750, abs=1e-6)
    assert LOG_P - reached == pytest.approx(0.0679007706, abs=1e-6)


@pytest.mark.oracle(14)
def test_elbo_does_not_depend_on_the_scale_of_the_prior():
    """N(0, s^2 I) with the scale absorbed in both networks is the same model."""

    def model(scale):
        class Prior(torch.nn.Module):
            def forward(self, c=None):
                zero = torch.zeros(2, dtype=torch.float64)
                return Normal(zero, zero + math.log(scale))

        _, covariance = laws.posterior(W, 0.5)
        net = laws.encoder(W, M, 0.5, covariance.diagonal())
        with torch.no_grad():
            net.weight.mul_(scale)
            net.bias.mul_(scale)
            net.constant.copy_(laws.raw_scale(covariance.diagonal().sqrt() * scale))
        q = Conditional(net, NormalFamily(), (2,))
        px = Conditional(laws.Linear(W / scale, M), NormalFamily(scale=0.5), (3,))
        return LatentModel(View((3,)), Amortized(q, Prior(), 2), px).double()

    k, noise = laws.cubature(2)
    one, other = (elbo(model(s)(X, k=k, noise=noise)).item() for s in (1.0, 3.7))
    assert one == pytest.approx(other, abs=EXACT)


@pytest.mark.oracle(7)
@pytest.mark.parametrize(
    ("k", "nodes", "expected"),
    [(1, 60, -1.9189385332), (2, 60, -1.65347379), (3, 36, -1.59406662), (4, 18, -1.57013868)],
)
def test_iwae_equals_its_quadrature(k, nodes, expected):
    recipe = laws.toy("iwae")
    noise, weight = laws.gauss_hermite(nodes, k)
    value = recipe.objective(laws.toy_trace(recipe, k, noise, len(weight)))
    # Gauss-Hermite of a smooth function; 18 nodes leave 1e-5 at k = 4.
    assert (weight * value).sum().item() == pytest.approx(expected, abs=2e-5 if k == 4 else 1e-7)


@pytest.mark.oracle(7)
def test_iwae_has_the_stated_gap_at_large_k():
    recipe = laws.toy("iwae")
    t = laws.toy_trace(recipe, 500, KeyedNoise(0, torch.arange(2000)), 2000)
    value = recipe.objective(t)
    error = value.std().item() / math.sqrt(len(value))
    assert value.mean().item() == pytest.approx(-1.51609, abs=4e-4 + 3 * error)
    gap = (1.3641175048 - 1) / (2 * 500)
    assert LOG_P_TOY - value.mean().item() == pytest.approx(gap, abs=1e-4 + 3 * error)


@pytest.mark.oracle(7)
def test_bounds_rise_with_k_to_log_p():
    recipe = laws.toy("iwae")
    means = []
    for k in (1, 2, 4, 8, 16):
        value = recipe.objective(
            laws.toy_trace(recipe, k, KeyedNoise(k, torch.arange(20000)), 20000)
        )
        means.append((value.mean().item(), value.std().item() / math.sqrt(len(value))))
    laws.bounds_rise_to_the_truth(means, LOG_P_TOY)
    assert means[0][0] == pytest.approx(-1.9189385332, abs=5 * means[0][1])


@pytest.mark.oracle(8)
@pytest.mark.parametrize("k", [1, 2, 5, 50])
def test_exact_posterior_gives_weights_without_variance(k):
    recipe = laws.toy("iwae", slope=0.5, scale=math.sqrt(0.5))
    t = laws.toy_trace(recipe, k, KeyedNoise(0, torch.arange(40)), 40)
    assert t.log_weight.std().item() < 1e-12 if k * 40 > 1 else True
    assert torch.allclose(recipe.objective(t), torch.full((40,), LOG_P_TOY).double(), atol=1e-9)
    assert (recipe.objective(t) - t.log_weight[0, 0]).abs().max().item() < 1e-12


@pytest.mark.parametrize("name", recipes.ALL)
def test_no_bound_exceeds_log_p(name):
    """Every recipe's objective that is no surrogate is a lower bound where log p is known."""
    _, objective, k = recipes.case(name).build()
    if declaration(objective).surrogate:  # and may hold each datum against all others
        return
    recipe = laws.toy(loc=0.1, scale=0.9, slope=0.2)
    t = laws.toy_trace(recipe, 4 * k, KeyedNoise(1, torch.arange(20000)), 20000)
    value = objective(t)
    error = value.std().item() / math.sqrt(len(value))
    assert value.mean().item() < LOG_P_TOY + 4 * error


def test_dreg_has_the_value_of_iwae_and_its_gradient_to_the_decoder():
    a, _, decoder = laws.encoder_gradients(iwae, 7, 50)
    b, _, other = laws.encoder_gradients(dreg, 7, 50)
    assert torch.equal(a, b)
    assert torch.allclose(decoder, other, atol=1e-12)  # float64 sums in another order


@pytest.mark.oracle(10)
def test_dreg_gradient_is_that_of_the_bound_in_expectation():
    """By quadrature over both samples, so exact up to the rule's error."""
    noise, weight = laws.gauss_hermite(40, 2)
    _, one, _ = laws.encoder_gradients(iwae, 2, len(weight), noise)
    _, other, _ = laws.encoder_gradients(dreg, 2, len(weight), noise)
    expected, found = (weight[:, None] * one).sum(0), (weight[:, None] * other).sum(0)
    assert torch.allclose(expected, found, atol=1e-6)  # 40 nodes a sample leave about 1e-7
    assert bool((expected.abs() > 1e-2).all())


def test_dreg_gradient_varies_less():
    _, one, _ = laws.encoder_gradients(iwae, 32, 4000)
    _, other, _ = laws.encoder_gradients(dreg, 32, 4000)
    assert bool((other.var(0) < 0.5 * one.var(0)).all())
    # Means agree within five of the standard errors of their difference.
    error = ((one.var(0) + other.var(0)) / len(one)).sqrt()
    assert bool(((one.mean(0) - other.mean(0)).abs() < 5 * error).all())


@pytest.mark.oracle(10)
def test_dreg_gradient_vanishes_at_the_posterior_sample_by_sample():
    one = torch.ones(1, 1, dtype=torch.float64)
    _, covariance = laws.posterior(one, 1.0)
    gradients = []
    for objective in (dreg, iwae):
        net = laws.encoder(one, one[0] * 0, 1.0, covariance.diagonal())
        recipe = laws.linear_gaussian(one, one[0] * 0, 1.0, net)
        t = laws.toy_trace(recipe, 5, KeyedNoise(0, torch.arange(6)), 6)
        for value in objective(t):
            (g,) = torch.autograd.grad(value, net.constant, retain_graph=True)
            gradients.append(g.abs().item())
            if objective is dreg:
                break  # its hook weighs once
    assert gradients[0] < 1e-12
    assert max(gradients[1:]) > 1e-2


def test_dreg_keeps_the_gradient_of_the_penalty():
    z = torch.randn(3, 4, 2, requires_grad=True)
    price = torch.tensor(2.0, requires_grad=True)
    q = Normal(torch.zeros(4, 2), torch.zeros(4, 2))
    log = torch.zeros(3, 4)
    t = Trace(q, log + z.sum(-1), (Draw(z * 1, log, log, q, q),), price.expand(4))
    dreg(t).sum().backward()
    assert price.grad.item() == -4.0


def test_dreg_refuses_hierarchies_and_unknown_posteriors():
    recipe = recipes.case("hierarchical").build()
    with pytest.raises(DiaboloError, match="one latent group"):
        dreg(recipe.model(recipes.case("hierarchical").x))
    case = recipes.case("ae")
    with pytest.raises(DiaboloError, match="needs the posterior"):
        dreg(case.trace(case.build()))


@pytest.mark.oracle(9)
def test_reparameterised_gradient_varies_less_than_the_score():
    """Of E[z^2] at N(1, 1): both have mean 2, with variances 4 and 30; to the scale, mean 2.

    The best baseline of the score s is b = E[z^2 s^2] / E[s^2] = 4, which leaves E[(z^2 - 4)^2 s^2]
    - 2^2 = 14 of the 30.
    """
    noise, weight = laws.gauss_hermite(40, 1)
    n = len(weight)
    loc = torch.ones(n, 1, dtype=torch.float64, requires_grad=True)
    log_scale = torch.zeros(n, 1, dtype=torch.float64, requires_grad=True)
    z = Normal(loc, log_scale).rsample((1,), noise)
    path, scale = torch.autograd.grad(z.square().sum(), (loc, log_scale))
    log_q = Normal(loc, log_scale).log_prob(z.detach())
    (s,) = torch.autograd.grad(log_q.sum(), loc, retain_graph=True)
    (score,) = torch.autograd.grad((z.detach()[..., 0].square() * log_q).sum(), loc)
    square = z.detach()[0, :, 0].square()
    best = ((weight * square * s[:, 0].square()).sum() / (weight * s[:, 0].square()).sum()).item()

    def moments(g):
        mean = (weight * g[:, 0]).sum().item()
        return mean, (weight * (g[:, 0] - mean).square()).sum().item()

    assert moments(path) == pytest.approx((2.0, 4.0), abs=EXACT)
    assert moments(score) == pytest.approx((2.0, 30.0), abs=1e-8)
    assert best == pytest.approx(4.0, abs=1e-8)
    assert moments(score - best * s) == pytest.approx((2.0, 14.0), abs=1e-8)
    assert moments(scale)[0] == pytest.approx(2.0, abs=EXACT)


@pytest.mark.oracle(13)
def test_optimal_scale_has_the_maximal_likelihood():
    """max over sigma of log p is -D/2 (log 2 pi MSE + 1) a datum, over the batch."""
    torch.manual_seed(0)
    x = torch.randn(50, 3, dtype=torch.float64)
    zero = torch.zeros(2, 3, dtype=torch.float64)
    net = laws.Linear(zero, zero[:, 0], constant=zero[:, 0])
    recipe = laws.linear_gaussian(W, M, "optimal", net)
    recipe.model.train()
    with torch.no_grad():
        t = recipe.model(x)
    mse = (x - t.px.mean).square().mean()
    expected = -1.5 * (math.log(2 * math.pi * mse) + 1)
    assert t.log_px.mean().item() == pytest.approx(expected, abs=EXACT)


@pytest.mark.oracle(15)
def test_a_price_of_the_rate_is_a_scale_of_the_likelihood():
    """The gradient of beta-VAE at sigma is beta times that of the VAE at sigma sqrt(beta)."""
    torch.manual_seed(0)
    x = torch.randn(5, 3, dtype=torch.float64)
    gradients = []
    for name, scale, options in (("beta_vae", 0.5, {"beta": 4.0}), ("vae", 1.0, {})):
        net = laws.Linear(
            torch.ones(2, 3, dtype=torch.float64),
            torch.zeros(2, dtype=torch.float64),
            constant=torch.zeros(2, dtype=torch.float64),
        )
        recipe = laws.linear_gaussian(W.clone(), M.clone(), scale, net, name=name, **options)
        noise = KeyedNoise(0, torch.arange(5))
        recipe.objective(recipe.model(x, noise=noise)).sum().backward()
        gradients.append([p.grad for p in recipe.model.parameters()])
    for priced, plain in zip(*gradients, strict=True):
        assert torch.allclose(priced, 4.0 * plain, rtol=1e-9, atol=1e-9)


@pytest.mark.oracle(15)
def test_mean_squared_error_with_a_weight_is_a_scale():
    """mean-MSE + w KL is the negative ELBO at sigma^2 = w D / 2, times w, up to a constant."""
    weight, d = 0.3, 3
    scale = math.sqrt(weight * d / 2)
    net = laws.encoder(W, M, 0.5, torch.full((2,), 0.3, dtype=torch.float64))
    recipe = laws.linear_gaussian(W, M, scale, net)
    x = torch.cat([X, X + 1, X * 3])
    t = recipe.model(x, noise=KeyedNoise(0, torch.arange(3)))
    loss = (x - t.px.mean).square().mean(-1) + weight * t.draws[0].rate
    constant = d / 2 * math.log(2 * math.pi * scale**2)
    assert torch.allclose(loss[0], -weight * (elbo(t) + constant), atol=EXACT)


def cvae(prior_gain=None):
    """p(y | c) = N(B c + m, A A' + s^2) as a cvae with its exact posterior."""
    torch.manual_seed(4)
    a = laws.rotated(torch.randn(3, 2, dtype=torch.float64))[0]
    b = torch.randn(3, 2, dtype=torch.float64)
    gain, covariance = laws.posterior(a, 0.5)
    net = laws.Linear(
        gain, -gain @ M, condition=-gain @ b, constant=laws.raw_scale(covariance.diagonal().sqrt())
    )
    return laws.linear_gaussian(a, M, 0.5, net, name="cvae", condition=b), a, b


@pytest.mark.oracle(29)
def test_linear_gaussian_cvae_is_the_conditional_of_the_joint():
    """log p(y | c) equals the conditional density of the joint normal of (y, c)."""
    recipe, a, b = cvae()
    c = torch.randn(4, 2, dtype=torch.float64)
    y = torch.randn(4, 3, dtype=torch.float64)
    # The joint of (y, c) with c ~ N(0, I), and its conditional by Schur's complement.
    syy = a @ a.T + 0.25 * torch.eye(3) + b @ b.T
    joint = torch.cat([torch.cat([syy, b], 1), torch.cat([b.T, torch.eye(2)], 1)]).double()
    mean = M + c @ torch.linalg.solve(joint[3:, 3:], joint[:3, 3:].T)
    schur = joint[:3, :3] - joint[:3, 3:] @ torch.linalg.solve(joint[3:, 3:], joint[3:, :3])
    expected = torch.distributions.MultivariateNormal(mean, schur).log_prob(y)
    assert torch.allclose(exact_elbo(recipe, y, c), expected, atol=EXACT)
    t = recipe.model(y, c, k=3, noise=KeyedNoise(0, torch.arange(4)))
    assert torch.allclose(iwae(t), expected, atol=EXACT)


def test_cvae_sample_has_the_moments_of_the_conditional():
    recipe, a, b = cvae()
    c = torch.tensor([[1.0, -2.0]], dtype=torch.float64).expand(40000, -1)
    y = recipe.model.sample(40000, c).sample()
    covariance = a @ a.T + 0.25 * torch.eye(3)
    error = (covariance.diagonal() / 40000).sqrt()
    assert bool(((y.mean(0) - (b @ c[0] + M)).abs() < 5 * error).all())
    # A covariance's standard error is below sqrt(2) times the largest variance / sqrt(n).
    assert torch.allclose(torch.cov(y.T), covariance, atol=5 * 1.42 * covariance.max().item() / 200)


@pytest.mark.oracle(31)
def test_free_bits_stop_the_gradient_below_the_floor():
    """A group or dimension below the floor gets no gradient at all; above it, all of its own."""
    loc = torch.tensor([[0.1, 2.0], [-0.1, -2.0]], dtype=torch.float64, requires_grad=True)
    zero = torch.zeros(2, dtype=torch.float64)
    q, p = Normal(loc, torch.zeros_like(loc)), Normal(zero, zero)
    z = loc[None]
    log_q, log_p = q.log_prob(z), p.log_prob(z)
    t = Trace(q, torch.zeros(1, 2, dtype=torch.float64), (Draw(z, log_q, log_p, q, p),), zero[0])
    value = free_bits(t, nats=0.5)
    # KL is loc^2 / 2: means 0.005, below the floor, and 2, above it.
    assert value.tolist() == pytest.approx([-2.5, -2.5], abs=EXACT)
    (gradient,) = torch.autograd.grad(value.sum(), loc)
    assert gradient.tolist() == [[0.0, -2.0], [0.0, 2.0]]
    assert free_bits(t, nats=0.5, per="group").tolist() == pytest.approx([-2.005] * 2, abs=EXACT)
    (gradient,) = torch.autograd.grad(free_bits(t, nats=3.0, per="group").sum(), loc)
    assert gradient.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    priced = free_bits(t, nats=0.5, beta=2.0)
    assert priced.tolist() == pytest.approx([-5.0, -5.0], abs=EXACT)


def test_free_bits_judge_the_batch_not_the_datum():
    loc = torch.tensor([[2.0], [0.0]], dtype=torch.float64)
    zero = torch.zeros(1, dtype=torch.float64)
    q, p = Normal(loc, torch.zeros_like(loc)), Normal(zero, zero)
    log = torch.zeros(1, 2, dtype=torch.float64)
    t = Trace(q, log, (Draw(loc[None], log, log, q, p),), zero[0])
    assert free_bits(t, nats=0.9).tolist() == [-2.0, 0.0]  # the mean 1 lies above the floor
    assert free_bits(t, nats=1.1).tolist() == [-1.1, -1.1]


def test_free_bits_refuse_a_rate_that_does_not_split():
    case = recipes.case("hierarchical")
    t = case.trace(case.build())
    with pytest.raises(DiaboloError, match="per='group'"):
        free_bits(t, nats=0.5)
    assert free_bits(t, nats=0.5, per="group").shape == (len(case.x),)


def test_a_trimmed_bound_is_that_of_the_data_it_keeps():
    """The mean is that over the best data, and the others get no gradient."""
    log_px = torch.tensor([[-1.0, -90.0, -2.0, -3.0, -80.0]], dtype=torch.float64)
    log_px.requires_grad_()
    zero = torch.zeros(1, 5, dtype=torch.float64)
    q = Normal(torch.zeros(5, 1, dtype=torch.float64), torch.zeros(5, 1, dtype=torch.float64))
    t = Trace(q, log_px, (Draw(zero[..., None], zero, zero, q, q),), zero[0])
    value = trimmed(t, part=0.4)
    assert value.mean().item() == pytest.approx(-2.0, abs=EXACT)
    (gradient,) = torch.autograd.grad(value.mean(), log_px)
    third = pytest.approx([1 / 3, 0, 1 / 3, 1 / 3, 0], abs=EXACT)
    assert gradient[0].tolist() == third
    assert torch.equal(trimmed(t, part=0.19), elbo(t))  # not one whole datum
    recipe = recipes.case("beta_vae", beta=2.0, trim=0.25).build()
    facts = declaration(recipe.objective)
    assert (facts.batch_level, facts.gathers, facts.surrogate) == (True, True, True)
    # Weights are selected by what is kept, at the price of a bound: the ELBO of all that is not
    # learned falls in training.
    chosen = selector(recipe)
    assert chosen.name == "trimmed ELBO"
    assert torch.equal(chosen.objective(t), trimmed(t, part=0.25))


def test_beta_vae_charges_its_price_as_a_penalty():
    case = recipes.case("beta_vae", beta=3.0)
    recipe = case.build()
    t = case.trace(recipe)
    parts = terms(recipe.objective, t)
    assert torch.allclose(parts.penalty, 2.0 * parts.rate.sum(0), atol=1e-5)  # float32


def test_declarations_tell_surrogates_and_batches():
    def of(name, **options):
        return declaration(recipes.case(name, **options).build().objective)

    assert not of("vae").surrogate
    assert not of("beta_vae").surrogate
    assert of("beta_vae", beta=0.5).surrogate
    assert of("beta_vae", warmup=0.1).surrogate
    bits = of("beta_vae", free_bits=0.1)
    assert (bits.batch_level, bits.gathers, bits.surrogate) == (True, True, True)
    assert of("beta_vae", free_bits=0.1, warmup=0.1).batch_level
    assert of("iwae") == Declaration(importance=True)
    assert of("dreg").groups == 1
    assert declaration(partial(dreg)).importance


def test_iwae_of_seen_entries_is_their_marginal():
    """log p of the seen entries is that of the linear-Gaussian model without the others."""
    gain = torch.zeros(2, 6, dtype=torch.float64)
    wide = laws.raw_scale(torch.ones(2, dtype=torch.float64))  # q is the prior
    recipe = build(
        "iwae",
        Spec(event=(3,), support="real", missing=True),
        latent=2,
        net=laws.Linear(gain, gain[:, 0], constant=wide),
        decoder=laws.Linear(W, M),
        likelihood="Normal(scale=0.5)",
    )
    recipe.model.double().eval()
    mask = torch.tensor([[True, False, True]])
    x = torch.where(mask, X, torch.nan)
    rows = 200
    t = recipe.model(
        x.expand(rows, -1),
        mask=mask.expand(rows, -1),
        k=2000,
        noise=KeyedNoise(0, torch.arange(rows)),
    )
    value = iwae(t)
    seen = mask[0]
    truth = laws.log_marginal(X[:, seen], W[seen], M[seen], 0.5).item()
    error = value.std().item() / math.sqrt(rows)
    # The bound at k = 2000 lies below by its variance / 2, about 0.01 here.
    assert value.mean().item() == pytest.approx(truth, abs=0.02 + 4 * error)

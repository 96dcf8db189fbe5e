"""Directions: the von Mises-Fisher density against known values, scipy and its own derivatives.

Shapes: K posterior samples, B batch, D dimensions, N nodes.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from torch import Tensor

import diabolo
from diabolo.distributions import REALS, SPHERE, Mixture, Normal, VonMisesFisher, kl_divergence
from diabolo.distributions._angle import Angle
from diabolo.errors import DiaboloError
from diabolo.noise import MEAN, KeyedNoise
from diabolo.panels import NotApplicable
from diabolo.panels.manifold import manifold
from diabolo.recipes import build
from diabolo.spec import Spec
from laws.densities import Even

SIZES = (2, 3, 4, 5, 8, 11, 20, 33, 64, 100, 129, 257, 512)
KAPPAS = (0.0, 1e-3, 0.1, 0.5, 1.0, 3.0, 10.0, 13.0, 30.0, 72.0, 100.0, 300.0, 1e3, 1e4, 1e6)


@pytest.fixture(autouse=True)
def _double() -> None:
    torch.set_default_dtype(torch.float64)


def direction(*shape: int) -> Tensor:
    return torch.nn.functional.normalize(torch.randn(*shape), dim=-1)


def density(kappa: float | Tensor, size: int = 3) -> VonMisesFisher:
    """A density about a direction at random."""
    concentration = torch.as_tensor(kappa, dtype=torch.float64)[..., None]
    return VonMisesFisher(direction(size), concentration)


def log_bessel(order: float, kappa: float) -> float:
    """log(exp(-kappa) I(kappa)) of scipy; -inf where it underflows."""
    with np.errstate(divide="ignore"):
        return float(np.log(scipy.special.ive(order, kappa)))


# -- the angle: normaliser, moments, inverse -----------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_normaliser_is_that_of_the_bessel_function(size: int) -> None:
    """log T and its derivative, A - 1 with A the ratio of two orders, over D and kappa."""
    order, checked = size / 2 - 1, 0
    for value in KAPPAS[1:]:
        bessel, above = log_bessel(order, value), log_bessel(order + 1, value)
        if bessel < -600 or above < -600:
            continue  # scipy has lost its digits there
        kappa = torch.tensor([value], requires_grad=True)
        law = Angle(kappa, size)
        expected = 0.5 * math.log(math.pi) + math.lgamma(order + 0.5) + bessel
        expected += order * math.log(2 / value)
        found = law.log_total
        # Sums of logarithms of some hundreds lose three digits of sixteen.
        assert float(found.detach()) == pytest.approx(expected, rel=1e-13, abs=2e-11)
        (slope,) = torch.autograd.grad(found.sum(), kappa, create_graph=True)
        ratio = math.exp(above - bessel)
        assert float(slope.detach()) == pytest.approx(ratio - 1, abs=2e-11)
        (curve,) = torch.autograd.grad(slope.sum(), kappa)
        exact = 1 - ratio**2 - (2 * order + 1) / value * ratio  # cancels to 1e-16 kappa
        assert float(curve) == pytest.approx(exact, abs=1e-10)
        checked += 1
    assert checked >= (10 if size < 300 else 5)


@pytest.mark.parametrize("size", SIZES)
def test_normaliser_without_concentration_is_the_area(size: int) -> None:
    p = density(0.0, size)
    area = math.log(2) + size / 2 * math.log(math.pi) - math.lgamma(size / 2)
    assert float(p.log_prob(direction(size))) == pytest.approx(-area, rel=1e-13, abs=1e-11)


@pytest.mark.parametrize("size", [2, 3, 5, 20, 200])
def test_inverse_is_that_of_the_distribution_function(size: int) -> None:
    """The mass up to the angle of u is u, by a quadrature of its own; far tails included."""
    u = torch.cat([torch.tensor([1e-9, 1e-6, 1e-3]), torch.linspace(0.01, 0.99, 50)])
    u = torch.cat([u, 1 - u])[:, None]
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(400))
    for value in KAPPAS:
        law = Angle(torch.tensor([value]), size)
        angle = law.inverse(u)
        at = law.low + (angle - law.low) * (nodes + 1) / 2
        mass = (law._log(at) - law.log_total).exp() @ weights[:, None] * (angle - law.low) / 2
        torch.testing.assert_close(mass, u, rtol=0, atol=2e-11)


@pytest.mark.parametrize("size", [2, 3, 6, 40])
def test_gradient_of_a_sample_is_that_of_the_inverse(size: int) -> None:
    """At fixed noise, against finite differences: what rejection without a correction misses."""
    u = torch.linspace(0.001, 0.999, 31)[:, None]
    for value in (0.3, 2.0, 15.0, 400.0):
        kappa = torch.full((31, 1), value, requires_grad=True)
        (slope,) = torch.autograd.grad(Angle(kappa, size).inverse(u).sum(), kappa)
        step = 1e-4 * value
        ends = [Angle(torch.tensor([value + s]), size).inverse(u) for s in (step, -step)]
        expected = (ends[0] - ends[1]) / (2 * step)
        torch.testing.assert_close(slope, expected, rtol=1e-5, atol=1e-8 / value)


# -- the density ---------------------------------------------------------------------------------


@pytest.mark.oracle(2)
def test_divergence_from_the_uniform_has_its_known_values() -> None:
    """kappa coth kappa - 1 + log(kappa / sinh kappa) on the sphere in space."""
    for kappa, exact in ((1.0, 0.1515959239), (10.0, 1.9957323168)):
        closed = kappa / math.tanh(kappa) - 1 + math.log(kappa / math.sinh(kappa))
        assert closed == pytest.approx(exact, abs=1e-10)
        found = kl_divergence(density(kappa), density(0.0))
        assert found is not None
        assert float(found) == pytest.approx(closed, abs=1e-11)


@pytest.mark.parametrize("size", [2, 3, 5, 20, 200])
def test_density_is_that_of_scipy(size: int) -> None:
    for kappa in (0.3, 5.0, 40.0):
        p = density(kappa, size)
        x = direction(10, size)
        reference = scipy.stats.vonmises_fisher(p.loc.numpy(), kappa)
        np.testing.assert_allclose(p.log_prob(x).numpy(), reference.logpdf(x.numpy()), atol=1e-10)
        q = density(0.0, size)
        entropy = -float(kl_divergence(p, q)) - float(q.log_prob(x[0]))
        assert entropy == pytest.approx(reference.entropy(), abs=1e-9)


@pytest.mark.parametrize("kappa", [0.0, 0.7, 20.0])
def test_density_integrates_to_one_on_the_circle_and_the_sphere(kappa: float) -> None:
    angle = torch.arange(2000) * (2 * math.pi / 2000)  # periodic: exact to rounding
    circle = torch.stack([angle.cos(), angle.sin()], -1)
    mass = density(kappa, 2).log_prob(circle).exp().mean() * 2 * math.pi
    assert float(mass) == pytest.approx(1.0, abs=1e-11)
    height, weight = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(200))
    width = (1 - height.square()).sqrt()
    ring = circle[::10]
    points = torch.cat(
        [width[:, None, None] * ring, height[:, None, None].expand(-1, len(ring), 1)], -1
    )
    values = density(kappa, 3).log_prob(points).exp().mean(1) * 2 * math.pi
    assert float(values @ weight) == pytest.approx(1.0, abs=1e-11)


@pytest.mark.parametrize("size", [2, 3, 10])
def test_divergence_is_the_mean_of_its_samples(size: int) -> None:
    n = 20_000
    for a, b in ((6.0, 0.0), (6.0, 2.0), (2.0, 9.0), (0.0, 3.0)):
        q, p = density(a, size), density(b, size)
        x = q.sample((n,), KeyedNoise(0, torch.arange(n), lead=1))
        ratio = q.log_prob(x) - p.log_prob(x)
        error = float(ratio.std()) / n**0.5
        assert abs(float(ratio.mean()) - float(kl_divergence(q, p))) < 4 * error + 1e-10
    assert float(kl_divergence(q, q)) == pytest.approx(0.0, abs=1e-13)
    normal = Normal(torch.zeros(size), torch.zeros(size))
    assert kl_divergence(q, normal) is kl_divergence(normal, q) is None


@pytest.mark.parametrize("size", [2, 3, 10, 50])
def test_samples_have_the_length_moments_and_resultant_of_the_density(size: int) -> None:
    n = 40_000
    for kappa in (0.0, 1.0, 8.0, 200.0):
        p = density(kappa, size)
        x = p.sample((n,), KeyedNoise(0, torch.arange(n), lead=1))
        torch.testing.assert_close(x.norm(dim=-1), torch.ones(n), rtol=0, atol=1e-12)
        order = size / 2 - 1
        bessel = [scipy.special.ive(v, kappa) for v in (order + 1, order)]
        ratio = bessel[0] / bessel[1] if kappa else 0.0
        along = x @ p.loc
        assert abs(float(along.mean()) - ratio) < 4 * float(along.std()) / n**0.5
        assert float(p.mean.norm()) == pytest.approx(ratio, abs=1e-11)
        error = 5 * (p.variance / n).sqrt()
        assert bool(((x.mean(0) - p.mean).abs() < error).all())
        away = (x - p.mean).square()
        assert bool(((away.mean(0) - p.variance).abs() < 5 * away.std(0) / n**0.5).all())


@pytest.mark.parametrize("size", [2, 3, 11])
def test_gradient_of_the_mean_by_the_concentration_is_that_of_the_bessel_ratio(size: int) -> None:
    """d/dkappa E[cos] = 1 - A^2 - (D - 1) / kappa A, through the samples' own path."""
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(300))
    # The nodes crowd at the ends, where the inverse has its singularities.
    u = (1 + (math.pi / 2 * nodes).sin()) / 2
    weight = weights * math.pi / 4 * (math.pi / 2 * nodes).cos()
    for value in (0.5, 4.0, 60.0):
        kappa = torch.tensor([value], requires_grad=True)
        p = VonMisesFisher(direction(size), kappa)
        x = p.rsample((300,), Even(u))
        cosine = weight @ (x @ p.loc)
        a = scipy.special.ive(size / 2, value) / scipy.special.ive(size / 2 - 1, value)
        assert float(cosine.detach()) == pytest.approx(a, abs=1e-7)
        (slope,) = torch.autograd.grad(cosine, kappa)
        assert float(slope) == pytest.approx(1 - a**2 - (size - 1) / value * a, rel=1e-5)


@pytest.mark.parametrize("size", [2, 3, 7])
def test_paths_and_densities_are_differentiable(size: int) -> None:
    """By loc (on the sphere) and kappa, sample, its log-density and the divergence."""
    raw, kappa = torch.randn(3, size, requires_grad=True), torch.rand(3, 1) * 9 + 0.5
    kappa.requires_grad_()
    x = direction(3, size)

    def whole(raw: Tensor, kappa: Tensor) -> tuple[Tensor, ...]:
        q = VonMisesFisher(torch.nn.functional.normalize(raw, dim=-1), kappa)
        p = VonMisesFisher(x[0], torch.tensor([2.0]))
        z, log_q = q.rsample_and_log_prob((2,), KeyedNoise(0, torch.arange(3)))
        return z, log_q, q.log_prob(x), q.kl_to(p)

    assert torch.autograd.gradcheck(whole, (raw, kappa))


def test_without_noise_a_sample_is_the_mean_direction() -> None:
    p = density(torch.tensor([0.0, 0.3, 50.0]), 4)
    x, log_p = p.rsample_and_log_prob((2,), MEAN)
    torch.testing.assert_close(x, p.loc.expand(2, 3, 4))
    torch.testing.assert_close(log_p, p.log_prob(x))


def test_types_and_extremes() -> None:
    """float32 in, float32 out, finite up to the concentrations that a posterior can reach."""
    for size in (2, 3, 32, 256):
        loc = direction(5, size)
        kappa = torch.tensor([0.0, 1e-4, 1.0, 1e3, 1e6])[:, None] * size
        fine = VonMisesFisher(loc, kappa)
        coarse = VonMisesFisher(loc.float(), kappa.float().requires_grad_())
        x, log_q = coarse.rsample_and_log_prob((64,))
        value = kl_divergence(coarse, VonMisesFisher(loc[0].float(), torch.zeros(1).float()))
        for t in (x, log_q, value, coarse.mean, coarse.variance):
            assert t.dtype == torch.float32
            assert bool(t.isfinite().all())
        (slope,) = torch.autograd.grad((value.sum() + x.sum() + log_q.sum()), coarse.concentration)
        assert bool(slope.isfinite().all())
        exact = kl_divergence(fine, VonMisesFisher(loc[0], torch.zeros(1)))
        torch.testing.assert_close(value.double().detach(), exact, rtol=1e-5, atol=1e-4)


def test_mixtures_of_directions_lie_on_the_sphere() -> None:
    p = Mixture(torch.randn(5), VonMisesFisher(direction(5, 3), torch.rand(5, 1) * 9))
    assert p.space == SPHERE
    x = p.sample((20_000,))
    torch.testing.assert_close(x.norm(dim=-1), torch.ones(20_000))
    assert bool(((x.mean(0) - p.mean).abs() < 5 * (p.variance / 20_000).sqrt()).all())
    with pytest.raises(DiaboloError, match="no marginal"):
        p.components.log_prob(x[:5], torch.ones(5, 3, dtype=torch.bool))


# -- codes that are directions -------------------------------------------------------------------


def test_paths_on_the_sphere_are_arcs() -> None:
    a, b = 3 * direction(4), direction(4)
    path = SPHERE.between(a, b, torch.linspace(0, 1, 9))
    torch.testing.assert_close(path.norm(dim=-1), torch.ones(9))
    torch.testing.assert_close(path[0], a / 3)
    torch.testing.assert_close(path[-1], b)
    step = (path[1:] - path[:-1]).norm(dim=-1)
    torch.testing.assert_close(step, step[:1].expand(8))  # an even pace
    assert torch.linalg.matrix_rank(path, rtol=1e-10) == 2  # a great circle lies in a plane
    torch.testing.assert_close(SPHERE.between(a, a, torch.linspace(0, 1, 3)), (a / 3).expand(3, -1))
    with pytest.raises(DiaboloError, match="opposite"):
        SPHERE.between(a, -a, torch.linspace(0, 1, 3))


def test_an_element_of_a_direction_moves_and_the_others_keep_their_proportions() -> None:
    z = direction(4)
    found = SPHERE.put(z, 1, torch.tensor([-3.0, -0.5, 0.0, 0.9, 1.0]))
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(5))
    torch.testing.assert_close(found[:, 1], torch.tensor([-1.0, -0.5, 0.0, 0.9, 1.0]))
    rest = found[1:4, [0, 2, 3]]
    torch.testing.assert_close(rest / rest[:, :1], (z[[0, 2, 3]] / z[0]).expand(3, 3))
    straight = REALS.put(z, 1, torch.tensor([7.0]))
    torch.testing.assert_close(straight, torch.cat([z[:1], torch.tensor([7.0]), z[2:]])[None])


@pytest.fixture(scope="module")
def run() -> diabolo.Run:
    return diabolo.fit("digits", "hyperspherical_vae", epochs=2, latent=4, net="mlp(hidden=(16,))")


def test_a_run_on_the_sphere_moves_on_it(run: diabolo.Run) -> None:
    torch.set_default_dtype(torch.float32)
    data = run.data("test")
    codes = run.encode(data.take(torch.arange(20)))
    np.testing.assert_allclose(np.linalg.norm(codes, axis=1), 1, atol=1e-6)
    line = run.interpolate(codes[0], codes[1], steps=5)
    np.testing.assert_allclose(line[[0, -1]], run.decode(codes[:2]), atol=1e-5)
    half = codes[0] + codes[1]
    np.testing.assert_allclose(line[2], run.decode(half[None])[0], atol=1e-5)  # of any length
    moved = run.traverse(codes[0], steps=5, span=99.0)
    assert moved.shape == (4, 5, *line.shape[1:])
    d = run.latents.order[0]
    poles = np.eye(4, dtype=np.float32)[[d, d]] * np.array([[-1.0], [1.0]], dtype=np.float32)
    np.testing.assert_allclose(moved[0, [0, -1]], run.decode(poles), atol=1e-5)
    assert run.traverse(steps=3).shape == (4, 3, *line.shape[1:])
    with pytest.raises(DiaboloError, match="directions, but one of these is 0"):
        run.decode(np.zeros((1, 4), dtype=np.float32))
    with pytest.raises(NotApplicable, match="points of the unit sphere"):
        manifold(run)


def test_spaces_that_do_not_meet_are_refused() -> None:
    spec = Spec(event=(4,), support="unit", mean=torch.full((4,), 0.5))
    for options in ({"posterior": "vmf"}, {"prior": "uniform_sphere"}):
        with pytest.raises(DiaboloError, match=r"gives .*, but its prior .*uniform_sphere"):
            build("vae", spec, **options)
    with pytest.raises(DiaboloError, match="points of the unit sphere, but its prior real vectors"):
        build("hierarchical", spec, posterior="vmf", prior="uniform_sphere")
    with pytest.raises(DiaboloError, match="at least 2 latent elements"):
        build("hyperspherical_vae", spec, latent=1)

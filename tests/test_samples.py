"""How good samples are, measured where the answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from diabolo.data import Data
from diabolo.errors import DiaboloError
from diabolo.evaluate import (
    frechet,
    frechet_distance,
    kernel_distance,
    manifolds,
    nearest_training,
    sharpness,
    two_sample_test,
)
from diabolo.evaluate.samples.comparison import ratio
from diabolo.evaluate.samples.features import fit_features, view_of

ROUNDING = 1e-9  # float64, sums of some thousand products of order one


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def modes(seed: int, n: int, count: int) -> Tensor:
    """Narrow normal densities in the plane, 10 apart, each with as many points."""
    centres = torch.tensor([[10.0 * i, 0.0] for i in range(count)], dtype=torch.float64)
    return centres.repeat(n // count, 1) + 0.1 * normal(seed, n // count * count, 2)


@pytest.mark.oracle(32)
def test_frechet_of_two_normal_densities_is_exact():
    """Oracle 32: N(0, 1) and N(1, 4), where d^2 = 1 + (1 - 2)^2."""
    one, four = torch.eye(1, dtype=torch.float64), 4 * torch.eye(1, dtype=torch.float64)
    zero = torch.zeros(1, dtype=torch.float64)
    assert float(frechet(zero, one, zero + 1, four)) == pytest.approx(2, abs=1e-12)


def test_frechet_agrees_with_the_square_root_of_the_product():
    from scipy.linalg import sqrtm

    a, b = normal(0, 5, 9), normal(1, 5, 9)
    a, b = a @ a.T, b @ b.T
    zero = torch.zeros(5, dtype=torch.float64)
    want = np.trace(a + b) - 2 * np.trace(sqrtm((a @ b).numpy())).real
    assert float(frechet(zero, a, zero, b)) == pytest.approx(want, abs=1e-7)


@pytest.mark.oracle(32)
def test_frechet_distance_of_a_set_from_itself_is_nothing():
    """Also where moments are degenerate, as those of features that are always off."""
    x = torch.cat([normal(0, 300, 6), torch.zeros(300, 4, dtype=torch.float64)], 1) * 30 + 1000
    found = frechet_distance(x, x)
    assert abs(found.value) < 1e-6  # oracle 32


def test_frechet_distance_is_a_closed_form_of_the_moments():
    x, y = normal(0, 400, 1), 1 + 2 * normal(1, 500, 1)
    found = frechet_distance(x, y)
    want = (x.mean() - y.mean()) ** 2 + (x.std() - y.std()) ** 2
    assert found.value == pytest.approx(float(want), abs=ROUNDING)
    assert (found.n, found.m) == (400, 500)


def test_frechet_distance_tells_its_errors_and_its_bias():
    """Over 60 repetitions: the spread by the samples, that by the data, and the excess."""
    x, y = normal(0, 200, 3), 0.7 + normal(1, 200, 3)
    found = frechet_distance(x, y)
    of_y = [frechet_distance(x, 0.7 + normal(10 + i, 200, 3)).value for i in range(60)]
    of_x = [frechet_distance(normal(100 + i, 200, 3), y).value for i in range(60)]
    # A spread of 60 numbers is known to 9 %, and one of 20 blocks to 16 %: four times both.
    assert found.mc_stderr == pytest.approx(np.std(of_y), rel=0.75)
    assert found.data_stderr == pytest.approx(np.std(of_x), rel=0.75)
    both = [frechet_distance(normal(i, 100, 8), normal(900 + i, 100, 8)) for i in range(40)]
    excess = np.mean([f.value for f in both])  # the truth is 0
    assert np.mean([f.bias for f in both]) == pytest.approx(excess, rel=0.2)
    assert excess > 0.3


def test_kernel_distance_is_the_sum_over_pairs():
    x, y = normal(0, 43, 3), 1 + normal(1, 50, 3)

    def k(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / 3 + 1) ** 3

    def own(a: Tensor) -> Tensor:
        return (k(a, a).sum() - k(a, a).diag().sum()) / (len(a) * (len(a) - 1))

    found = kernel_distance(x, y, seed=3)
    assert found.value == pytest.approx(float(own(x) + own(y) - 2 * k(x, y).mean()), abs=ROUNDING)


@pytest.mark.oracle(32)
def test_kernel_distance_of_equal_laws_is_nothing_on_average():
    """Oracle 32. It has no bias, and its error is told: never too small, as it is degenerate."""
    found = [kernel_distance(normal(i, 200, 4), normal(500 + i, 200, 4)) for i in range(40)]
    values = torch.tensor([f.value for f in found])
    assert abs(float(values.mean())) < 4 * float(values.std()) / math.sqrt(len(values))
    assert bool((values < 0).any())
    assert sum(abs(f.value) < 3 * f.stderr for f in found) >= 38
    far = kernel_distance(normal(0, 200, 4), 0.5 + normal(1, 200, 4))
    assert far.value > 4 * far.stderr


def test_kernel_distance_tells_its_errors():
    x, y = normal(0, 200, 3), 0.7 + normal(1, 200, 3)
    found = kernel_distance(x, y)
    of_y = [kernel_distance(x, 0.7 + normal(10 + i, 200, 3)).value for i in range(60)]
    of_x = [kernel_distance(normal(100 + i, 200, 3), y).value for i in range(60)]
    assert found.mc_stderr == pytest.approx(np.std(of_y), rel=0.75)
    assert found.data_stderr == pytest.approx(np.std(of_x), rel=0.75)


def test_manifolds_of_what_is_far_apart_are_empty():
    found = manifolds(normal(0, 100, 2), 100 + normal(1, 100, 2))
    assert [q.value for q in found.rows()] == [0, 0, 0, 0]


def test_manifolds_of_half_the_modes_have_half_the_recall():
    found = manifolds(modes(0, 1000, 4), modes(1, 1000, 2))
    assert found.precision.value > 0.95  # some points lie outside of all balls
    assert found.recall.value == pytest.approx(0.5, abs=0.03)
    assert found.density.value == pytest.approx(1, abs=0.1)
    assert found.coverage.value == pytest.approx(0.5, abs=0.03)
    other = manifolds(modes(0, 1000, 2), modes(1, 1000, 4))
    assert other.precision.value == pytest.approx(0.5, abs=0.03)
    assert other.recall.value > 0.95


@pytest.mark.parametrize(("m", "neighbours"), [(300, 5), (300, 1), (600, 3)])
def test_manifolds_of_one_law_are_what_ranks_say(m, neighbours):
    """Naeem et al. (2020), lemmas 1 and 2: whatever the law, over 30 repetitions."""
    found = [
        manifolds(normal(i, 300, 3), normal(50 + i, m, 3), neighbours=neighbours) for i in range(30)
    ]
    for name in ("density", "coverage"):
        values = torch.tensor([getattr(f, name).value for f in found])
        same = getattr(found[0], name).same
        assert abs(float(values.mean()) - same) < 4 * float(values.std()) / math.sqrt(30)
    assert found[0].coverage.same == pytest.approx(1 - (300 / (300 + m)) ** neighbours, abs=0.01)


def test_manifolds_count_by_hand():
    """On a line, with the nearest neighbour: balls of radii 1, 1, 2 about 0, 1, 3."""
    data = torch.tensor([[0.0], [1.0], [3.0]])
    samples = torch.tensor([[1.5], [2.0], [9.0]])  # radii 0.5, 0.5, 7
    found = manifolds(data, samples, neighbours=1)
    assert found.precision.value == pytest.approx(2 / 3)
    assert found.recall.value == pytest.approx(2 / 3)  # 1 in that of 1.5, 3 in that of 9
    assert found.density.value == pytest.approx(4 / 3)  # 1.5 and 2 about 1 and 3
    assert found.coverage.value == pytest.approx(2 / 3)
    # An error that is not known is none, and not 0.
    known = {r.name: (r.mc_stderr is not None, r.data_stderr is not None) for r in found.rows()}
    of_samples, of_data = (True, False), (False, True)
    assert known == dict(zip(known, [of_samples, of_data] * 2, strict=True))
    assert str(found.precision).endswith("(standard errors: samples 0.333)")


def test_manifolds_hold_points_that_are_equal():
    """Balls of radius 0 hold copies of their centres, whatever rounding makes of distances."""
    x = (normal(0, 20, 50) * 100).repeat_interleave(4, 0)
    found = manifolds(x, x, neighbours=2)
    assert found.precision.value == found.recall.value == found.coverage.value == 1


def test_two_sample_test_of_one_law_is_calibrated():
    """Over 60 repetitions p is uniform, and half of the answers are right."""
    found = [two_sample_test(normal(i, 100, 2), normal(500 + i, 100, 2)) for i in range(60)]
    p = [f.p for f in found]
    # p takes some twenty values, each with its probability and all above it: no smaller than U.
    assert stats.kstest(p, "uniform", alternative="greater").pvalue > 1e-3
    accuracy = torch.tensor([f.accuracy.value for f in found])
    assert abs(float(accuracy.mean()) - 0.5) < 4 * float(accuracy.std()) / math.sqrt(60)
    errors = torch.tensor([f.accuracy.stderr for f in found])
    assert float(errors.mean()) == pytest.approx(float(accuracy.std()), rel=0.4)


def test_two_sample_test_sees_another_law_with_the_same_moments():
    x = normal(0, 400, 1)
    y = torch.where(normal(1, 400, 1) < 0, -1.0, 1.0).double()
    found = two_sample_test(x, y)
    assert found.accuracy.value > 0.9
    assert found.p < 1e-10


def test_two_sample_test_keeps_pairs_in_one_half():
    """Samples with the conditions of the data, here nothing else: as many are right as wrong."""
    x = normal(0, 101, 2)
    assert two_sample_test(x, x).accuracy.value == 0.5


def test_sharpness_of_a_point_is_that_of_the_stencil():
    image = torch.zeros(2, 1, 7, 8)
    image[0, 0, 3, 4] = 2.0  # 5 x 6 inner pixels: -8, four times 2, zeros
    found = sharpness(image)
    assert found[0].item() == pytest.approx((64 + 4 * 4) / 30 - 0)
    assert found[1].item() == 0
    ramp = torch.arange(7.0)[:, None] + 3 * torch.arange(8.0)
    assert sharpness(ramp[None, None]).item() == pytest.approx(0, abs=ROUNDING)
    colours = torch.cat([image[:1], image[1:]], 1)
    assert sharpness(colours).item() == pytest.approx(found[0].item() / 2)
    with pytest.raises(DiaboloError, match="at least 3 x 3"):
        sharpness(torch.zeros(4, 9))


def test_ratio_of_means_has_the_errors_of_its_linear_term():
    x, y = 5 + normal(0, 400), 10 + normal(1, 400)
    found = ratio(y, x, kind="ratio")
    assert found.value == pytest.approx(float(y.mean() / x.mean()))
    several = [
        float((10 + normal(50 + i, 400)).mean() / (5 + normal(500 + i, 400)).mean())
        for i in range(100)
    ]
    assert found.stderr == pytest.approx(np.std(several), rel=0.3)  # known to 7 %
    paired = ratio(2 * x, x, kind="ratio", paired=True)
    assert paired.stderr == pytest.approx(0, abs=ROUNDING)
    assert paired.mc_stderr is None


def parts(x: Tensor, size: int = 64):
    return zip(x.split(size), (1000 + torch.arange(len(x))).split(size), strict=True)


def test_nearest_training_data_of_one_law_are_as_far():
    train, data, samples = normal(0, 500, 4), normal(1, 300, 4), normal(2, 300, 4)
    found = nearest_training(data, samples, parts(train))
    assert abs(found.ratio.value - 1) < 4 * found.ratio.stderr
    assert found.copies <= found.expected + 4 * math.sqrt(2 * found.expected)
    want = torch.cdist(samples, train, compute_mode="donot_use_mm_for_euclid_dist").amin(1)
    best = int(want.argmin())
    assert found.pairs[0].sample == best
    assert found.pairs[0].distance == pytest.approx(float(want[best]))


def test_copies_are_counted_and_named():
    train, data = normal(0, 500, 4).float(), normal(1, 300, 4).float()
    samples = torch.cat([train[:40], normal(2, 260, 4).float()])
    found = nearest_training(data, samples, parts(train))
    assert found.copies >= 40
    assert found.ratio.value < 1
    assert all(p.distance == 0 and p.row == 1000 + p.sample for p in found.pairs)
    all_copies = nearest_training(data, train[:300], parts(train, 77))
    assert all_copies.ratio.value == 0


LAWS = {  # of distances, as of points on a line to the one training datum at 0
    "continuous": lambda own, n: torch.rand(n, 1, generator=own),
    "whole numbers": lambda own, n: torch.randint(0, 30, (n, 1), generator=own).float(),
    "copies": lambda own, n: (torch.rand(n, 1, generator=own) - 0.05).clamp(min=0),
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("n", [40, 200])
def test_copies_of_one_law_are_as_many_as_expected(law, n):
    """Over 1000 repetitions, also where several data are as near, or copies themselves."""
    own, train = torch.Generator().manual_seed(0), torch.zeros(1, 1)
    both = ((LAWS[law](own, n), LAWS[law](own, n)) for _ in range(1000))
    found = [nearest_training(x, y, parts(train)) for x, y in both]
    copies, expected = (
        torch.tensor([float(getattr(f, name)) for f in found]) for name in ("copies", "expected")
    )
    excess = copies - expected
    # Where some are as near, their number has a bias of one in N + 1.
    assert abs(float(excess.mean())) < 4 * float(excess.std()) / 1000**0.5 + float(
        copies.mean()
    ) / (n + 1)
    assert float(copies.mean()) > 0.9
    p = torch.tensor([f.p for f in found])
    for level in (0.05, 0.01):  # never more often than told
        assert float((p <= level).double().mean()) < level + 4 * (level / 1000) ** 0.5


@pytest.mark.parametrize("measure", [frechet_distance, kernel_distance, two_sample_test, manifolds])
def test_measures_refuse_what_cannot_be_compared(measure):
    x = normal(0, 60, 3)
    with pytest.raises(DiaboloError, match=r"same D numbers, but got \(60, 3\) and \(60, 2\)"):
        measure(x, x[:, :2])
    with pytest.raises(DiaboloError, match="at least"):
        measure(x, x[:3])
    with pytest.raises(DiaboloError, match="the samples are not"):
        measure(x, torch.where(x > 1, torch.nan, x))


def test_components_of_wide_data_are_bounded_in_memory(monkeypatch):
    """20,000 columns, whose covariance would take 3.2 GB, and a small case beside all of it."""
    wide = normal(0, 90, 20_000).float()
    found = fit_features("pca", wide, None, 0, None, seed=0, device="cpu")
    assert found(wide).shape == (90, 64)
    low = (normal(1, 300, 70) * torch.arange(1, 71)) @ normal(2, 70, 200)
    exact = fit_features("pca", low, None, 0, None, seed=0, device="cpu")
    monkeypatch.setattr("diabolo.evaluate.samples.features.WHOLE", 100)
    before = torch.get_rng_state()
    near, again = (fit_features("pca", low, None, 0, None, seed=3, device="cpu") for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(near(low), again(low))
    # Distances between points do not depend on signs and order of the components.
    a, b = (torch.cdist(t, t) for t in (near(low), exact(low)))
    assert torch.allclose(a, b, atol=1e-6)  # as far as products tell of points that are equal
    assert near.name == exact.name


def test_images_are_read_in_one_pass(monkeypatch):
    data, passes, moments = Data(torch.randn(50, 1, 8, 8), "real"), [], Data.moments

    def counted(self: Data) -> tuple[Tensor, Tensor]:
        passes.append(len(self))
        return moments(self)

    monkeypatch.setattr(Data, "moments", counted)
    view_of(data)
    assert passes == [50]

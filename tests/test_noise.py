"""Keyed noise: its distribution, its independence, and that it belongs to rows and draws."""

from __future__ import annotations

import hashlib
import itertools

import pytest
import scipy.stats
import torch
from torch import Tensor

from diabolo.noise import FRESH, MEAN, KeyedNoise, mix_seed

LIKE = torch.zeros(())
ODD = (7,)  # normal numbers come in pairs: an odd number leaves one over
KINDS = ["normal", "uniform"]


def ask(kind: str, noise: KeyedNoise, shape: tuple[int, ...], like: Tensor = LIKE) -> Tensor:
    return getattr(noise, kind)(shape, like)


def split_mix(state: int) -> int:
    """The published finaliser, in Python's integers of any size."""
    mask = (1 << 64) - 1
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
    return state ^ (state >> 31)


def test_bits_are_split_mix_64() -> None:
    """Integer tensors wrap as 64-bit arithmetic must: the values are those of Python's integers."""
    gamma, mask = 0x9E3779B97F4A7C15, (1 << 64) - 1
    index = torch.tensor([0, 1, 2**62, -3])
    found = KeyedNoise(11, index, start=5).uniform((2, 4, 3), torch.zeros((), dtype=torch.float64))
    for k, b, e in itertools.product(range(2), range(4), range(3)):
        key = split_mix((int(index[b]) * gamma + mix_seed(11, 1)) & mask)
        bits = split_mix((key + (((5 + k) * 3 + e) * gamma)) & mask)
        assert float(found[k, b, e]) == ((bits >> 41) + 0.5) / 2**23


def test_finaliser_is_the_published_one() -> None:
    # The first outputs of SplitMix64 with seed 1234567 (Vigna's splitmix64.c).
    gamma = 0x9E3779B97F4A7C15
    mask = (1 << 64) - 1
    assert [split_mix((1234567 + i * gamma) & mask) for i in (1, 2)] == [
        6457827717110365317,
        3203168211198807973,
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_have_their_distribution(kind: str) -> None:
    x = ask(kind, KeyedNoise(0, torch.arange(200)), (20, 200, 51)).double().flatten()
    law = scipy.stats.norm() if kind == "normal" else scipy.stats.uniform()
    # One draw of 204,000 at a fixed seed: a sound generator falls below 1e-4 once in 10,000 seeds.
    assert scipy.stats.kstest(x.numpy(), law.cdf).pvalue > 1e-4
    n = len(x)
    for power in (1, 2, 3, 4):
        expected, second = law.moment(power), law.moment(2 * power)
        error = ((second - expected**2) / n) ** 0.5
        assert abs(float((x**power).mean()) - expected) < 5 * error


def test_tails_are_there() -> None:
    x = KeyedNoise(0, torch.arange(1000)).normal((10, 1000, 100), LIKE)
    beyond = int((x.abs() > 4).sum())
    expected = 1e6 * 2 * scipy.stats.norm.sf(4)  # 63.3, a Poisson count
    assert abs(beyond - expected) < 5 * expected**0.5
    assert bool(torch.isfinite(x).all())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("axis", ["row", "draw", "element", "site", "seed"])
def test_streams_are_independent(kind: str, axis: str) -> None:
    """Neighbours along every axis are uncorrelated, and so are their squares."""
    noise = KeyedNoise(3, torch.arange(101))
    x = ask(kind, noise, (40, 101, 31)).double()
    if axis == "site":
        a, b = x, ask(kind, noise, (40, 101, 31)).double()
    elif axis == "seed":
        a, b = x, ask(kind, KeyedNoise(4, torch.arange(101)), (40, 101, 31)).double()
    else:
        along = {"draw": 0, "row": 1, "element": 2}[axis]
        length = x.shape[along] - 1
        a, b = x.narrow(along, 0, length), x.narrow(along, 1, length)
    for f in (lambda t: t, torch.square):
        pair = torch.stack([f(a).flatten(), f(b).flatten()])
        assert abs(float(torch.corrcoef(pair)[0, 1])) < 5 / pair.shape[1] ** 0.5


def test_rows_far_apart_and_alike_are_independent() -> None:
    """Indices that differ in one bit, high or low, give unrelated rows."""
    index = torch.cat([torch.zeros(1, dtype=torch.long), 2 ** torch.arange(62)])
    x = KeyedNoise(0, index).normal((1, 63, 4000), LIKE)[0]
    found = torch.corrcoef(x.double()) - torch.eye(63)
    # 1,953 pairs, each of standard error 4000 ** -0.5: 5.5 errors are passed once in 13,000 times.
    assert float(found.abs().max()) < 5.5 / 4000**0.5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("event", [(), (1,), ODD, (2, 3), (8,)])
def test_batches_change_nothing(kind: str, event: tuple[int, ...]) -> None:
    index = torch.tensor([5, 0, 3, 77, 8])
    whole = ask(kind, KeyedNoise(1, index), (3, 5, *event))
    assert whole.shape == (3, 5, *event)
    parts = [ask(kind, KeyedNoise(1, i), (3, len(i), *event)) for i in index.split(2)]
    assert torch.equal(whole, torch.cat(parts, 1))
    order = torch.tensor([4, 2, 0, 1, 3])
    assert torch.equal(whole[:, order], ask(kind, KeyedNoise(1, index[order]), (3, 5, *event)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("event", [(), ODD, (8,)])
def test_chunks_over_draws_change_nothing(kind: str, event: tuple[int, ...]) -> None:
    index = torch.arange(4)
    whole = ask(kind, KeyedNoise(1, index), (10, 4, *event))
    parts = [
        ask(kind, KeyedNoise(1, index, start=start), (stop - start, 4, *event))
        for start, stop in ((0, 3), (3, 9), (9, 10))
    ]
    assert torch.equal(whole, torch.cat(parts))
    assert torch.equal(whole[:6], ask(kind, KeyedNoise(1, index), (6, 4, *event)))  # larger k


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_change_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    index = torch.arange(6)
    whole = ask(kind, KeyedNoise(1, index), (9, 6, *ODD))
    for block in (1, 50, 100):
        monkeypatch.setattr("diabolo.noise.BLOCK", block)
        assert torch.equal(whole, ask(kind, KeyedNoise(1, index), (9, 6, *ODD)))


@pytest.mark.parametrize("kind", KINDS)
def test_types_agree(kind: str) -> None:
    index = torch.arange(6)
    ask_for = {
        t: ask(kind, KeyedNoise(1, index), (2, 6, 5), LIKE.to(t))
        for t in (torch.float32, torch.float64, torch.bfloat16)
    }
    for kind_of, found in ask_for.items():
        assert found.dtype == kind_of
    assert torch.equal(ask_for[torch.float32].double(), ask_for[torch.float64])
    assert torch.equal(ask_for[torch.float32].bfloat16(), ask_for[torch.bfloat16])


@pytest.mark.parametrize("kind", KINDS)
def test_one_leading_axis(kind: str) -> None:
    index = torch.arange(6)
    one = ask(kind, KeyedNoise(1, index, lead=1), (6, 5))
    assert torch.equal(one, ask(kind, KeyedNoise(1, index), (1, 6, 5))[0])


def test_calls_are_sites_of_their_own() -> None:
    a, b = KeyedNoise(1, torch.arange(3)), KeyedNoise(1, torch.arange(3))
    first, second = a.normal((1, 3, 4), LIKE), a.normal((1, 3, 4), LIKE)
    assert not torch.equal(first, second)
    assert torch.equal(first, b.normal((1, 3, 4), LIKE))
    assert torch.equal(second, b.normal((1, 3, 4), LIKE))


def test_wrong_number_of_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="for 3 rows was asked for shape"):
        KeyedNoise(1, torch.arange(3)).normal((1, 4, 5), LIKE)


def test_uniform_numbers_lie_inside() -> None:
    x = KeyedNoise(0, torch.arange(1000)).uniform((10, 1000, 100), LIKE)
    assert float(x.min()) > 0
    assert float(x.max()) < 1


def test_callers_generator_is_left_alone() -> None:
    state = torch.get_rng_state()
    KeyedNoise(0, torch.arange(3)).normal((1, 3, 4), LIKE)
    MEAN.normal((3,), LIKE)
    assert torch.equal(state, torch.get_rng_state())


def test_fresh_noise_is_torchs() -> None:
    torch.manual_seed(3)
    expected = torch.randn(4), torch.rand(4)
    torch.manual_seed(3)
    assert torch.equal(FRESH.normal((4,), LIKE), expected[0])
    assert torch.equal(FRESH.uniform((4,), LIKE), expected[1])


def test_mean_noise_is_the_centre() -> None:
    assert torch.equal(MEAN.normal((4,), LIKE), torch.zeros(4))
    assert torch.equal(MEAN.uniform((4,), LIKE), torch.full((4,), 0.5))


def test_mixed_seeds_are_distinct() -> None:
    parts = itertools.product(range(-8, 8), range(16), (0, 2**62, 5))
    seeds = [mix_seed(*p) for p in parts]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= s < 2**63 for s in seeds)
    assert mix_seed(1, 2) != mix_seed(2, 1)


def test_fresh_bits_have_their_probability() -> None:
    """Zeros and ones are exact; the 16 bits between are off by at most 2^-17."""
    p = torch.tensor([0.0, 1e-4, 0.25, 0.5, 1 - 1e-4, 1.0]).repeat(200_000, 1)
    x = FRESH.bits(p)
    assert x.dtype == p.dtype
    assert x.unique().tolist() == [0.0, 1.0]
    assert not x[:, 0].any()
    assert x[:, -1].all()
    # Five standard errors, which a sound generator leaves once in a million.
    error = (p[0] * (1 - p[0]) / len(p)).sqrt()
    assert bool(((x.mean(0) - p[0]).abs() <= 5 * error + 2**-17).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fresh_bits_round_the_probability_to_16_bits(dtype, monkeypatch) -> None:
    """Over all words, the number of ones is round(65536 p) of 65536."""
    every = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int16)
    monkeypatch.setattr(type(FRESH), "words", lambda self, shape: every.view(shape))
    levels = [j / 255 for j in range(256)] + [2**-17 * 1.01, 1 - 2**-17 * 1.01, 2**-20]
    for p in levels:
        ones = int(FRESH.bits(torch.full((1 << 16,), p, dtype=dtype)).sum())
        assert ones == round(65536 * p), p


def test_fresh_bits_follow_from_the_seed_and_nothing_else() -> None:
    p = torch.full((5, 7), 0.5)
    first = FRESH.bits(p)
    second = FRESH.bits(p)
    torch.manual_seed(0)
    assert FRESH.bits(p).equal(first)
    assert FRESH.bits(p).equal(second)
    assert not first.equal(second)


def test_fresh_bits_are_independent() -> None:
    """Neighbours in a batch, elements of a row and calls are uncorrelated."""
    x = torch.stack([FRESH.bits(torch.full((300, 101), 0.5)) for _ in range(10)]) - 0.5
    for axis in range(3):
        a = x.narrow(axis, 0, x.shape[axis] - 1)
        b = x.narrow(axis, 1, x.shape[axis] - 1)
        product = (a * b).flatten()
        assert abs(float(product.mean())) < 5 * 0.25 / len(product) ** 0.5


def test_keyed_bits_never_change() -> None:
    """Published likelihoods of binarised data rest on these bits."""
    grey = (torch.arange(150) % 256).view(3, 50).float() / 255
    noise = KeyedNoise(5, torch.tensor([0, 7, 2**40]), lead=1)
    found = torch.cat([noise.bits(grey), noise.bits(grey)]).numpy().tobytes()
    pinned = "15c14c8f9865409ebc9f126a8bce7c5e47c5eb5989674e472052117cc9630e23"
    assert hashlib.sha256(found).hexdigest() == pinned
    assert not MEAN.bits(grey)[grey < 0.5].any()

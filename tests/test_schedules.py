"""Options that move in training: their values, what they hold, and what leaves them alone."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from diabolo.cli._finish import _aim_met
from diabolo.config import TrainConfig
from diabolo.data import Data
from diabolo.distributions import Normal
from diabolo.errors import DiaboloError
from diabolo.model import Draw, Trace
from diabolo.noise import mix_seed
from diabolo.objectives import Aim, Multiplier, Ramp, Schedule, Seen, capacity, declaration, elbo
from diabolo.recipes import build
from diabolo.train import fit
from diabolo.train.step import advance
from diabolo.train.validate import CLOSE, missed, validate
from laws import recipes

EXACT = 1e-9  # float64, a dozen operations on numbers of order ten
WARM = {"beta": 4.0, "warmup": 0.5, "cycles": 2}
CONFIG = TrainConfig(epochs=3, batch_size=16, learning_rate=3e-3, compile="off", device="cpu")


def path(schedule: Schedule, *progress: float) -> list[float]:
    found = []
    for part in progress:
        schedule.advance(part)
        found.append(schedule.now.item())
    return found


@pytest.mark.oracle(31)
def test_a_ramp_rises_linearly():
    warm = Ramp(elbo, end=4.0, over=0.2)
    assert warm.now.item() == 0.0
    found = path(warm, 0.0, 0.05, 0.1, 0.2, 0.7, 1.0)
    assert found == pytest.approx([0.0, 1.0, 2.0, 4.0, 4.0, 4.0])
    case = recipes.case("vae")
    t = case.trace(case.build())
    assert torch.equal(warm(t), elbo(t, beta=4.0))


@pytest.mark.oracle(31)
def test_a_ramp_starts_again_in_each_cycle():
    """Fu et al. (2019), eq. 6 with M = 4 and R = 0.5: half a cycle of rise, half of full price."""
    recipe = recipes.case("beta_vae", beta=1.0, warmup=0.5, cycles=4).build()
    cycle = [0.0, 0.5, 1.0, 1.0]
    found = path(recipe.objective, *(i / 16 for i in range(16)), 1.0)
    assert found == pytest.approx([*cycle * 4, 1.0])
    assert declaration(recipe.objective).surrogate


def test_a_ramp_of_no_length_is_there_at_once():
    ramp = Ramp(elbo, end=2.0, over=0.0)
    assert path(ramp, 0.0, 1.0) == [2.0, 2.0]
    assert not declaration(ramp).surrogate
    for wrong in ({"over": 1.5}, {"over": -0.1}, {"cycles": 0}):
        with pytest.raises(DiaboloError, match="between 0 and 1"):
            Ramp(elbo, **wrong)


def trace(*rates: float) -> tuple[Trace, Tensor]:
    """A trace of data with these rates, KL(N(m, 1) || N(0, 1)) = m^2 / 2, and their m."""
    m = torch.tensor(rates, dtype=torch.float64).mul(2).sqrt()[:, None].requires_grad_()
    zero = torch.zeros(1, dtype=torch.float64)
    q, p = Normal(m, torch.zeros_like(m)), Normal(zero, zero)
    z = m[None]
    log_px = torch.full((1, len(rates)), -7.0, dtype=torch.float64)
    return Trace(q, log_px, (Draw(z, q.log_prob(z), p.log_prob(z), q, p),), zero[0]), m


def test_capacity_charges_the_mean_rate_on_either_side():
    t, _ = trace(2.0, 8.0)  # the mean is 5
    for nats in (1.0, 4.9, 5.5, 10.0):
        value = capacity(t, nats=nats, gamma=100.0)
        assert value.mean().item() == pytest.approx(-7.0 - 100.0 * abs(5.0 - nats), abs=EXACT)
    assert capacity(t, nats=5.0, gamma=100.0).tolist() == [-7.0, -7.0]


def test_capacity_moves_the_rate_from_above_and_from_below():
    """A clamp at the capacity, in place of the distance, has no gradient above it."""
    for nats, price in ((4.0, -100.0), (6.0, 100.0)):
        t, m = trace(2.0, 8.0)
        (gradient,) = torch.autograd.grad(capacity(t, nats=nats, gamma=100.0).sum(), m)
        # d rate / d m = m: above the capacity ascent takes the rate down, below it up
        assert torch.allclose(gradient, price * m.detach(), atol=EXACT)


def test_capacity_rises_to_its_end():
    recipe = recipes.case("capacity_vae", capacity=8.0, warmup=0.25).build()
    assert path(recipe.objective, 0.0, 0.125, 0.25, 1.0) == [0.0, 4.0, 8.0, 8.0]
    facts = declaration(recipe.objective)
    assert (facts.surrogate, facts.batch_level, facts.gathers) == (True, True, True)
    at_once = recipes.case("capacity_vae", capacity=8.0, warmup=0.0).build()
    assert at_once.objective.now.item() == 8.0


SPECTRUM = torch.tensor([4.0, 2.0, 1.0, 0.5, 0.25, 0.1], dtype=torch.float64)
LOG_VOLUME = 3 * math.log(2 * math.pi)


def water(price: Tensor) -> Seen:
    """What a linear-Gaussian model at its optimum for this price shows, with scale 1.

    With theta = beta sigma^2: R = sum log(lambda / theta) / 2 over lambda > theta, and the squared
    error is sum min(lambda, theta) (reverse water-filling).
    """
    theta = price.double()
    rate = 0.5 * (SPECTRUM / theta).log().clamp(min=0).sum()
    squares = torch.minimum(SPECTRUM, theta).sum()
    return Seen(0.5 * squares + LOG_VOLUME, rate, torch.tensor(True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("of", "target", "price"),
    [
        ("rate", 7.8359042742, 0.05),
        ("rate", 1.8059592065, 0.6),
        ("rate", 0.6342556627, 1.5),
        ("distortion", 0.5 * 0.3 + LOG_VOLUME, 0.05),
        ("distortion", 0.5 * 2.65 + LOG_VOLUME, 0.6),
        ("distortion", 0.5 * 4.85 + LOG_VOLUME, 1.5),
    ],
)
def test_a_multiplier_finds_the_price_of_its_aim(of, target, price, dtype):
    """Rates and distortions along the known curve of oracle 6 lead to the prices on it."""
    found = Multiplier(elbo, Aim(of, target)).to(dtype)
    for _ in range(4000):
        found.advance(0.0, water(found.now))
    assert found.now.item() == pytest.approx(price, rel=1e-3)


def seen(distortion: float, rate: float, good: bool = True) -> Seen:
    return Seen(torch.tensor(distortion), torch.tensor(rate), torch.tensor(good))


def test_a_multiplier_rises_where_the_rate_is_too_high():
    for of, high, low in (
        ("rate", seen(50.0, 12.0), seen(50.0, 8.0)),
        ("distortion", seen(5.0, 12.0), seen(50.0, 12.0)),
    ):
        for what, sign in ((high, 1), (low, -1)):
            found = Multiplier(elbo, Aim(of, 10.0))
            found.advance(0.0, what)
            assert (found.now.item() - 1.0) * sign > 0
            before = found.now.item()
            found.advance(0.0)  # no step was taken
            assert found.now.item() == before


def test_a_multiplier_moves_by_its_speed_at_most_and_stays_finite():
    found = Multiplier(elbo, Aim("rate", 10.0), speed=0.5)
    prices = [1.0]
    for _ in range(60):
        found.advance(0.0, seen(1e30, 1e30))
        prices.append(found.now.item())
    steps = torch.tensor(prices).log().diff()
    assert bool((steps > -1e-6).all())
    assert bool((steps < 0.5 + 1e-5).all())
    assert prices[-1] == pytest.approx(1e4)
    for _ in range(120):
        found.advance(0.0, seen(1e30, 0.0))
    assert found.now.item() == pytest.approx(1e-4)


@pytest.mark.parametrize(
    "bad", [seen(50.0, 20.0, False), seen(50.0, math.nan), seen(math.inf, math.inf, False)]
)
def test_a_step_that_is_skipped_leaves_the_multiplier(bad):
    found = Multiplier(elbo, Aim("rate", 10.0))
    found.advance(0.0, seen(50.0, 20.0))
    before = copy.deepcopy(found.state_dict())
    found.advance(0.0, bad)
    assert all(torch.equal(v, before[k]) for k, v in found.state_dict().items())


def test_a_step_tells_its_means_over_all_of_its_data():
    """Sums of two batches of 4 data with two groups, the last column says that it was skipped."""
    told = []

    class Told(Schedule):
        def advance(self, progress: float, seen: Seen | None = None) -> None:
            told.append((progress, *(t.item() for t in seen)))

    objective = Told(elbo, "beta", start=1.0, least=1.0)
    parts = torch.tensor([[-80.0, 60.0, 0.0, 8.0, 12.0, 0.0], [-100.0, 68.0, 0.0, 8.0, 20.0, 0.0]])
    advance(objective, 0.3, parts, 4)
    parts[:, -1] = 1
    advance(objective, 0.4, parts, 4)
    assert told == [(0.3, 16.0, 6.0, True), (0.4, 16.0, 6.0, False)]
    advance(elbo, 0.3, parts, 4)  # an objective that does not change


def bits(n: int, seed: int = 0) -> Data:
    """Four prototypes of 16 bits, with flips."""
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.rand(4, 16, generator=torch.Generator().manual_seed(9)) < 0.5
    x = kinds[torch.randint(0, 4, (n,), generator=generator)]
    return Data((x ^ (torch.rand(n, 16, generator=generator) < 0.1)).float(), "binary")


def trained(name: str, config: TrainConfig = CONFIG, **options):
    train, valid = bits(512), bits(256, 1)
    torch.manual_seed(0)
    recipe = build(name, train.spec(), latent=4, net="mlp(hidden=(32,))", **options)
    return recipe, fit(recipe, train, valid, config)


LONG = replace(CONFIG, epochs=40, batch_size=32, learning_rate=5e-3, schedule="cosine")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("geco", {"target": 0.8}),
        ("geco", {"target": 2.5}),
        ("capacity_vae", {"capacity": 0.8, "gamma": 5.0}),
        ("capacity_vae", {"capacity": 2.5, "gamma": 5.0}),
    ],
)
def test_a_trained_rate_lands_on_its_aim(name, options):
    aim = options.get("target", options.get("capacity"))
    _, history = trained(name, LONG, **options)
    best = history.best
    assert sum(best.rate) == pytest.approx(aim, rel=0.03)
    assert sum(history.rows[-1].rate) == pytest.approx(aim, rel=0.05)
    assert sum(best.valid_rate) == pytest.approx(aim, rel=0.1)  # of 256 other data


def test_weights_are_kept_from_where_the_aim_was_met():
    """Not from where the ELBO was best on the way to a rate that is too low for it."""
    recipe, history = trained("geco", LONG, target=0.3)
    best = history.best
    assert sum(best.rate) == pytest.approx(0.3, rel=0.05)
    assert max(r.valid_elbo for r in history.rows) > best.valid_elbo + 0.1
    again = validate(recipe, bits(256, 1), mix_seed(LONG.seed, 3), 500)
    assert float(again[0]) == best.valid_elbo
    assert [r for r in history.rows if r.best][-1] is best


def test_an_epoch_misses_its_aim_by_what_exceeds_the_slack():
    means = torch.tensor([-90.0, 70.0, 5.0, 4.0, 7.0])  # a rate of 11
    for aim, expected in (
        (Aim("rate", 11.1), 0.0),
        (Aim("rate", 10.0), 0.1 - CLOSE),
        (Aim("rate", 22.0), 0.5 - CLOSE),
        (Aim("distortion", 70.1), 0.0),
        (Aim("distortion", 75.5), 0.5 - CLOSE),
        (None, 0.0),
    ):
        found = missed(Ramp(elbo, aim=aim), means)
        assert found == pytest.approx(expected, abs=1e-6)
    assert missed(elbo, means) == 0.0


def test_a_trained_distortion_lands_on_its_aim():
    _, history = trained("geco", LONG, target=7.0, of="distortion")
    assert history.best.distortion == pytest.approx(7.0, abs=0.1)
    assert history.rows[-1].distortion == pytest.approx(7.0, abs=0.15)


def test_a_target_reached_is_a_point_of_the_curve_of_prices():
    """The VAE at the price that was found, held fixed, has the same rate and distortion."""
    recipe, history = trained("geco", LONG, target=1.5)
    price = recipe.objective.now.item()
    _, other = trained("beta_vae", LONG, beta=price)
    assert price > 1.0
    assert sum(other.rows[-1].rate) == pytest.approx(1.5, rel=0.1)
    # Two trainings by Adam that took other ways there.
    assert other.rows[-1].distortion == pytest.approx(history.rows[-1].distortion, rel=0.06)


def test_no_schedule_reads_a_value_in_the_step(monkeypatch):
    """Nothing is brought to the host from step to step: a device would wait for it."""
    found = Multiplier(elbo, Aim("distortion", 10.0))

    def refused(*_, **__):
        raise AssertionError("a value was read")

    what = seen(5.0, 3.0)
    for name in ("item", "__bool__", "__float__", "tolist"):
        monkeypatch.setattr(Tensor, name, refused)
    found.advance(0.5, what)
    Ramp(partial(capacity, gamma=1.0), "nats", end=3.0).advance(0.5, what)


@pytest.mark.parametrize(
    ("name", "options"), [("geco", {"target": 2.0}), ("capacity_vae", {}), ("beta_vae", WARM)]
)
def test_a_compiled_step_reads_the_option_as_it_moves(name, options, monkeypatch):
    """The traced graph, run by its operations, follows the eager training."""
    monkeypatch.setattr(torch, "compile", lambda module, **_: module)
    found = []
    for how in ("off", "on"):
        recipe, history = trained(name, replace(CONFIG, compile=how), **options)
        assert history.computing["compile"] == (how == "on")
        found.append((recipe.objective.now, torch.tensor([r.objective for r in history.rows])))
    (now, rows), (other, others) = found
    assert float(now) != 1.0
    # float32, sums in another order through 96 steps of Adam
    torch.testing.assert_close(other, now, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(others, rows, rtol=1e-3, atol=1e-3)


def test_the_user_is_told_where_the_aim_was_met():
    recipe = recipes.case("geco", target=10.0).build()
    row = SimpleNamespace(rate=(4.0, 5.5), distortion=70.25)

    def told(objective):
        return _aim_met(SimpleNamespace(recipe=recipe._replace(objective=objective)), row)

    assert told(recipe.objective) == ("Its rate in training was 9.50 nats, where 10 were aimed at.")
    assert "distortion in training was 70.25" in told(Multiplier(elbo, Aim("distortion", 70.0)))
    assert told(elbo) is told(Ramp(elbo)) is None

"""Rate-distortion curves: the theory in closed form, the geometry of points, and the trainings."""

from __future__ import annotations

import json
import math
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor

import diabolo
from diabolo.__main__ import main
from diabolo.cli.tradeoff import _report
from diabolo.data import Data
from diabolo.errors import DiaboloError
from diabolo.evaluate import Bound, Estimate, bound, linear_optima, water_filling
from diabolo.model import LatentModel
from diabolo.panels import NotApplicable, rate_distortion
from diabolo.recipes import build
from diabolo.spec import Spec
from diabolo.study import Point, Tradeoff
from diabolo.study import tradeoff as tracing
from diabolo.study.curve import judged, lower_hull
from diabolo.train import Row
from laws.evaluation import F64, Linear, tensor

FIXED = "Normal(scale=0.5)"
SPECTRUM = tensor([4.0, 2.0, 1.0, 0.5, 0.25, 0.1])
# theta = beta sigma^2, active units, rate and squared error, all exact
ORACLE = [
    (0.05, 6, 7.8359042742, 0.3),
    (0.2, 5, 4.0235947811, 1.1),
    (0.6, 3, 1.8059592065, 2.65),
    (1.5, 2, 0.6342556627, 4.85),
]


def turned(n: int = 64, seed: int = 0) -> tuple[Tensor, Tensor]:
    """x (n, 6) of mean (0.5, ...) whose covariance is exactly turned diag(SPECTRUM); the turn."""
    g = torch.Generator().manual_seed(seed)
    white = torch.randn(n, 6, generator=g, dtype=F64)
    white = torch.linalg.qr(white - white.mean(0)).Q * math.sqrt(n)
    turn = torch.linalg.qr(torch.randn(6, 6, generator=g, dtype=F64)).Q
    return white * SPECTRUM.sqrt() @ turn.T + 0.5, turn


def model(likelihood: str, *, net: str = "mlp(hidden=())", latent: int = 6) -> LatentModel:
    torch.manual_seed(0)
    options = {"net": net, "latent": latent, "likelihood": likelihood}
    return build("vae", Spec(event=(6,), support="real"), **options).model.double()


# -- the theory ----------------------------------------------------------------------------------


@pytest.mark.oracle(6)
@pytest.mark.parametrize(("theta", "units", "rate", "squares"), ORACLE)
def test_water_filling_has_the_known_answers(theta, units, rate, squares):
    found = water_filling(SPECTRUM, theta)
    assert found.active == units
    assert float(found.rates.sum()) == pytest.approx(rate, abs=1e-9)
    assert float(found.squares.sum()) == pytest.approx(squares, abs=1e-9)
    x, _ = turned()
    theory = linear_optima(model(FIXED), Data(x), Data(x))
    at = theory.at(theta / 0.25)
    assert (at.units, at.variance) == (units, pytest.approx(0.25))
    assert at.rate == pytest.approx(rate, abs=1e-9)
    nats = 3 * math.log(2 * math.pi * 0.25) + squares / (2 * 0.25)
    assert at.distortion == pytest.approx(nats, abs=1e-9)


def test_water_has_room_for_as_many_directions_as_there_are_elements():
    found = water_filling(SPECTRUM, 0.2, 2)
    assert found.active == 2
    assert found.squares.tolist() == pytest.approx([0.2, 0.2, 1.0, 0.5, 0.25, 0.1])


@pytest.mark.parametrize("latent", [1, 3, 5])
def test_learned_variance_at_price_one_is_that_of_probabilistic_pca(latent):
    """Then the ELBO is the maximal log-likelihood (Tipping & Bishop, 1999)."""
    x, turn = turned()
    theory = linear_optima(model("Normal(scale=shared)", latent=latent), Data(x), Data(x))
    at = theory.at(1.0)
    left = SPECTRUM[latent:].mean()
    assert at.variance == pytest.approx(float(left))
    kept = torch.cat([SPECTRUM[:latent], left.expand(6 - latent)])
    density = torch.distributions.MultivariateNormal(x.mean(0), turn @ torch.diag(kept) @ turn.T)
    assert at.elbo == pytest.approx(float(density.log_prob(x).mean()), abs=1e-9)


@pytest.mark.parametrize("price", [0.3, 0.9, 1.7, 4.0, 30.0])
@pytest.mark.parametrize("latent", [2, 5])
def test_no_variance_is_better_than_the_learned_one(price, latent):
    x, _ = turned()
    theory = linear_optima(model("Normal(scale=shared)", latent=latent), Data(x), Data(x))
    at = theory.at(price)
    best = -at.distortion - price * at.rate
    for s in torch.logspace(-3, 2, 400).tolist():
        rates, squares, _ = water_filling(SPECTRUM, price * s, latent)
        other = -3 * math.log(2 * math.pi * s) - float(squares.sum()) / (2 * s)
        assert other - price * float(rates.sum()) <= best + 1e-9


def test_slope_of_the_theory_is_the_price():
    """dD / dR = -beta, with a fixed and with a learned variance."""
    x, _ = turned()
    for likelihood in (FIXED, "Normal(scale=shared)"):
        theory = linear_optima(model(likelihood, latent=4), Data(x), Data(x))
        for price in (0.7, 1.4, 3.0):
            a, b = theory.at(price * (1 - 1e-5)), theory.at(price * (1 + 1e-5))
            slope = (b.distortion - a.distortion) / (b.rate - a.rate)
            assert slope == pytest.approx(-price, rel=1e-4)


@pytest.mark.parametrize("theta", [0.05, 0.6])
def test_theory_on_other_data_is_what_the_best_model_scores_there(theta):
    x, turn = turned()
    held = 1.3 * turned(80, seed=3)[0] - 0.2
    active = int((theta < SPECTRUM).sum())
    most, axes = SPECTRUM[:active], turn[:, :active]
    length = (most - theta).sqrt()
    true = Linear(axes * length, x.mean(0), 0.25)
    gain = (axes * (length / most)).T
    best = true.model(gain=gain, scale=(theta / most).sqrt())
    found = bound(best, Data(held), samples=400)
    at = linear_optima(model(FIXED), Data(x), Data(held)).at(theta / 0.25)
    assert at.rate == pytest.approx(found.rate[0].value, abs=1e-9)
    assert abs(at.distortion - found.distortion.value) < 4 * found.distortion.mc_stderr


def test_theory_of_standardised_data_is_in_their_own_units():
    """Scales are in units of standard deviations there: water fills the correlation's spectrum."""
    x, _ = turned()
    x = x * tensor([1.0, 10.0, 0.1, 3.0, 1.0, 5.0])
    spec = Data(x).spec(standardize=True)
    torch.manual_seed(0)
    made = build("vae", spec, net="mlp(hidden=())", latent=6, likelihood=FIXED)
    theory = linear_optima(made.model, Data(x), Data(x))
    spread = x.std(0, correction=0)
    correlation = torch.linalg.eigvalsh(torch.corrcoef(x.T)).flip(0)
    rates, squares, units = water_filling(correlation, 2.0 * 0.25)
    at = theory.at(2.0)
    assert at.units == units
    assert at.rate == pytest.approx(float(rates.sum()), rel=1e-3)  # the spec is in float32
    nats = 3 * math.log(2 * math.pi * 0.25) + float(spread.log().sum()) + float(squares.sum()) / 0.5
    assert at.distortion == pytest.approx(nats, rel=1e-3)


NO_THEORY = {
    "curved": ({"likelihood": FIXED, "net": "mlp(hidden=(4,))"}, {}),
    "columns": ({"likelihood": "Normal(scale=column)"}, {}),
    "elements": ({"likelihood": "Normal(scale=element)"}, {}),
    "other noise": ({"likelihood": "Laplace(scale=0.5)"}, {}),
    "not seen": (
        {"likelihood": FIXED},
        {"mask": torch.ones(64, 6).bool()},
    ),
}


@pytest.mark.parametrize("case", NO_THEORY)
def test_of_other_models_there_is_no_theory(case):
    options, more = NO_THEORY[case]
    data = Data(turned()[0], **more)
    assert linear_optima(model(**options), data, data) is None


def test_data_that_do_not_fit_a_model_are_no_lack_of_theory():
    data = Data(turned()[0][:, :5])
    with pytest.raises(DiaboloError, match="takes data of shape"):
        linear_optima(model(likelihood=FIXED), data, data)


def test_no_units_tell_nothing():
    assert water_filling(SPECTRUM, 0.2, 0).active == 0
    assert water_filling(SPECTRUM, 0.2).active == 5


def test_of_deterministic_models_there_is_no_theory():
    made = build("ae", Spec(event=(6,)), net="mlp(hidden=())", likelihood=FIXED, latent=2)
    data = Data(turned()[0])
    assert linear_optima(made.model, data, data) is None


# -- how points lie --------------------------------------------------------------------------------


def test_lower_hull_is_what_no_mixture_of_points_beats():
    rng = np.random.default_rng(0)
    for _ in range(20):
        points = sorted(map(tuple, rng.normal(size=(9, 2)).tolist()))
        prices = np.tan(np.linspace(0, math.pi / 2, 20_001)[:-1])  # from 0 to 12,000
        rate, distortion = np.array(points).T
        wins = {int(np.argmin(distortion + p * rate)) for p in prices} | {0}
        assert set(lower_hull(points)) == wins


def point(value: float, rate: list[float], distortion: list[float], price: float | None) -> Point:
    def told(values: Tensor) -> Estimate:
        return Estimate.of(values, None, k=1, seed=0, kind="made up")

    r, d = tensor(rate), tensor(distortion)
    parts = Bound(told(-r - d), (told(r),), told(d), (None,))
    return Point(value, price, parts, told(r), 1, Path("none"), "epochs")


def test_a_point_that_fails_is_told_with_the_one_that_is_better():
    noise = np.array([-1.0, 1.0, 0.5, -0.5])
    good = [
        point(4.0, [1.0] * 4, (10 + noise).tolist(), 4.0),
        point(1.0, [3.0] * 4, (6 + noise).tolist(), 1.0),
        point(0.1, [5.0] * 4, (5 + noise).tolist(), 0.1),
    ]
    found = judged(good[::-1])
    assert [p.value for p in found] == [4.0, 1.0, 0.1]
    assert all(p.hull and p.shortfall is None for p in found)
    assert [p.exchange and p.exchange.price for p in found] == [2.0, 0.5, None]
    assert [p.exchange and p.exchange.within for p in found] == [True, True, None]
    bad = judged([*good[::2], point(1.0, [3.0] * 4, (8 + noise).tolist(), 1.0)])[1]
    assert not bad.hull  # 7.5 lies on the chord
    assert bad.shortfall is not None
    # D + R is 11, that of the first point too, and that of the last is 10
    assert (bad.shortfall.nats, bad.shortfall.by) == (pytest.approx(1.0), 0.1)
    curve = Tradeoff(folder=Path("c"), recipe="r", option="beta", points=judged(good), split="test")
    assert curve.warnings == ()
    assert curve.best.value == 1.0


def test_a_difference_is_told_where_it_is_sure_only():
    spread = [3.0, -3.0, 2.0, -2.0]
    a = point(2.0, [1.0] * 4, [10.0] * 4, 2.0)
    b = point(1.0, [2.0] * 4, [9.5 + s for s in spread], 1.0)
    found = judged([a, b])
    assert all(p.shortfall is None for p in found)
    exchange = found[0].exchange
    assert exchange is not None
    assert exchange.price == pytest.approx(0.5)
    assert exchange.stderr == pytest.approx(np.std(spread, ddof=1) / 2)
    assert exchange.within is True  # 0.5 is below both prices, but by less than three errors


def above(middle: list[float], price: float | None = None) -> Tradeoff:
    """A curve whose middle point is above the chord, by 1 nat if its mean distortion is 8."""
    noise = [-1.0, 1.0, 0.5, -0.5]
    points = [
        point(4.0, [1.0] * 4, [10 + e for e in noise], price),
        point(1.0, [2.0] * 4, [m + e for m, e in zip(middle, noise, strict=True)], price),
        point(0.1, [5.0] * 4, [2 + e for e in noise], price),
    ]
    return Tradeoff(folder=Path("c"), recipe="r", option="o", points=judged(points), split="test")


def test_a_point_above_the_hull_is_told_where_that_is_sure_only():
    sure, unsure = above([9.0, 9.1, 8.9, 9.0]), above([6.0, 12.0, 7.0, 11.0])
    for found in (sure, unsure):
        assert [p.hull for p in found.points] == [True, False, True]
        excess = found.points[1].excess
        assert excess is not None
        assert excess.nats == pytest.approx(1.0)
    (told,) = sure.warnings
    assert "o=1 lies above the lower convex hull" in told
    assert "1.00 nats less distortion at its rate (standard error 0.04)" in told
    assert [p.beaten for p in sure.points] == [False, True, False]
    assert unsure.warnings == ()
    assert not any(p.beaten for p in unsure.points)


def test_more_rate_for_more_distortion_is_above_the_hull():
    a = point(2.0, [1.0] * 4, [5.0, 6.0, 7.0, 8.0], None)
    b = point(1.0, [2.0] * 4, [5.5, 6.6, 7.5, 8.4], None)
    excess = judged([a, b])[1].excess
    assert excess is not None
    assert excess.nats == pytest.approx(0.5)
    assert excess.stderr == pytest.approx(np.std([0.5, 0.6, 0.5, 0.4], ddof=1) / 2)


def test_the_error_of_what_is_above_the_hull_is_its_spread_over_data():
    """Rates too differ from datum to datum, and move the chord."""
    rng = np.random.default_rng(0)
    nats, errors = [], []
    for _ in range(400):
        common = rng.normal(size=100)
        rates = [r + 0.5 * common + 0.3 * rng.normal(size=100) for r in (2.0, 5.0, 9.0)]
        costs = [d + 2.0 * common + rng.normal(size=100) for d in (20.0, 17.0, 8.0)]
        at = zip((3.0, 2.0, 1.0), rates, costs, strict=True)
        found = judged([point(v, r.tolist(), d.tolist(), None) for v, r, d in at])[1].excess
        assert found is not None
        nats.append(found.nats)
        errors.append(found.stderr)
    # 400 draws tell a standard deviation within 3.5 %: three of that
    assert np.mean(errors) == pytest.approx(np.std(nats), rel=0.11)


# -- tracing ---------------------------------------------------------------------------------------

TINY: dict[str, Any] = {"net": "mlp(hidden=())", "latent": 2, "epochs": 3, "batch_size": 32}


def table() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(120, 5)).astype(np.float32)


def trace(out: Path, **given: Any) -> Tradeoff:
    given = {"prices": [4.0, 0.5], **TINY, **given}
    return tracing(table(), out=out, **given)


def test_each_point_is_a_run_that_is_measured_at_its_price(tmp_path):
    told: list[Any] = []
    found = trace(tmp_path / "c", progress=told.append)
    assert found.option == "beta"
    assert {p.value: p.price for p in found.points} == {0.5: 0.5, 4.0: 4.0}
    for p in found.points:
        run = p.run()
        assert run.config.options["beta"] == p.value
        assert run.config.train.select == "price"
        again = run.evaluate(run_data(run), k=1)
        assert again.bound.rate[0].value == pytest.approx(p.rate.value, abs=1e-6)
        assert p.elbo.value == pytest.approx(-p.rate.value - p.distortion.value, abs=1e-6)
        assert p.theory is not None  # the default scale of real data is shared
    assert [e.value for e in told if isinstance(e, Point)] == [0.5, 4.0]
    notes = [e for e in told if isinstance(e, str)]
    assert len(set(notes)) == len(notes)
    stored = json.loads((tmp_path / "c" / "curve.json").read_text())
    assert stored["kind"] == "diabolo tradeoff"
    assert [p["value"] for p in stored["result"]["points"]] == [p.value for p in found.points]


def run_data(run: diabolo.Run) -> Data:
    """The validation data of `table`, which a run of data in memory has no more."""
    again = diabolo.fit(table(), **{**TINY, "epochs": 1})
    return again.data("valid")


def test_a_curve_is_gone_on_with_and_nothing_is_done_twice(tmp_path, monkeypatch):
    out = tmp_path / "c"
    module = sys.modules["diabolo.study.folder"]
    trained: list[float] = []

    def counted(data: Any, recipe: Any, *, progress: Any, **options: Any) -> Any:
        trained.append(options["beta"])

        def listen(event: Any) -> None:
            progress(event)
            if stop and isinstance(event, Row) and event.epoch == 2:
                signal.raise_signal(signal.SIGINT)

        return diabolo.fit(data, recipe, progress=listen, **options)

    monkeypatch.setattr(module, "fit", counted)
    stop = False
    first = trace(out)
    assert trained == [0.5, 4.0]
    with pytest.raises(DiaboloError, match="holds a curve already"):
        trace(out)
    stop = True
    cut = trace(out, resume=True, prices=[0.5, 1.0, 4.0])
    assert trained == [0.5, 4.0, 1.0]
    assert cut.stopped == "interrupt"
    assert [p.value for p in cut.points] == [0.5]
    stop = False
    whole = trace(out, resume=True, prices=[0.5, 1.0, 4.0])
    assert trained == [0.5, 4.0, 1.0]  # what was interrupted goes on from its state
    assert (len(whole.points), whole.stopped) == (3, "points")
    old = {p.value: p for p in whole.points}
    for p in first.points:
        assert torch.equal(old[p.value].rate.per_datum, p.rate.per_datum)
    at_once = trace(tmp_path / "d", prices=[0.5, 1.0, 4.0])
    assert [p.rate.value for p in at_once.points] == [p.rate.value for p in whole.points]
    with pytest.raises(DiaboloError, match="began with warm=False"):
        trace(out, resume=True, warm=True)


@pytest.mark.parametrize("other", ["valid", "test", "train"])
def test_a_curve_goes_on_with_the_same_data_only(other, tmp_path):
    """All of them are "memory": another validation part may hold what was trained on."""
    train, out = table(), tmp_path / "c"
    given: dict[str, Any] = {"valid": 2 * train[:20], "test": 3 * train[:20], **TINY, "epochs": 1}
    prices = [0.5, 4.0]
    tracing(train[20:], out=out, prices=prices, **given)
    data = train[20:]
    if other == "train":
        data = 4 * data
    else:
        given[other] = train[20:40]
    with pytest.raises(DiaboloError, match=f"This curve began with {other}=.* cannot go on with"):
        tracing(data, out=out, prices=[*prices, 1.0], resume=True, **given)
    assert not (out / "beta=1").exists()


def test_a_warm_start_takes_the_weights_of_the_point_before(tmp_path):
    cold, warm = (trace(tmp_path / n, warm=n == "w") for n in ("c", "w"))
    by_price = [{p.value: p.rate.value for p in c.points} for c in (cold, warm)]
    assert by_price[0][0.5] == by_price[1][0.5]  # the first has nothing to start from
    assert by_price[0][4.0] != by_price[1][4.0]


def test_rates_are_aimed_at_and_the_price_is_found(tmp_path):
    given = {
        "prices": None,
        "epochs": 150,
        "learning_rate": 3e-2,
        "likelihood": FIXED,
    }
    found = trace(tmp_path / "c", rates=[1.0, 0.5], **given)
    assert (found.recipe, found.option) == ("geco", "target")
    low, high = found.points
    assert (low.value, high.value) == (0.5, 1.0)
    assert low.rate.value < high.rate.value
    assert low.price is not None
    assert high.price is not None
    for p in found.points:  # the one that the weights kept were trained with
        rows = p.run().history.rows
        best = next(r for r in rows if r.epoch == p.run().history.best.epoch)
        assert p.price == pytest.approx(1 + best.penalty / sum(best.rate), rel=0.2)
    assert low.price > high.price  # the less is bought, the more a nat is worth
    named = trace(tmp_path / "d", rates=[1.0, 2.0], prices=None, recipe="capacity_vae")
    assert (named.option, named.points[0].price) == ("capacity", None)


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "neither": ({"prices": None}, "needs prices of the rate, or rates"),
    "both": ({"rates": [1.0, 2.0]}, "give one of them"),
    "one": ({"prices": [1.0]}, "two different prices or more"),
    "twice": ({"prices": [1.0, 1.0, 2.0]}, "each once"),
    "zero": ({"prices": [0.0, 1.0]}, "positive numbers"),
    "set": ({"beta": 2.0}, "'beta' is what differs"),
    "no price": ({"recipe": "iwae"}, "no option that prices the rate"),
    "other price": ({"recipe": "beta_tc"}, "not what a nat of rate costs"),
    "part": ({"recipe": "ciwae", "prices": [0.2, 0.4]}, "not what a nat of rate costs"),
    "free": ({"free_bits": 0.1}, "without free bits"),
    "point": ({"recipe": "rae"}, "deterministic autoencoder pays no rate"),
    "no rate": ({"prices": None, "rates": [1.0, 2.0], "recipe": "vae"}, "names a rate to aim at"),
    "distortion": ({"prices": None, "rates": [8.0, 9.0], "of": "distortion"}, "is no rate: use"),
    "track": ({"track": "csv"}, "leave track out"),
    "nothing": ({"resume": True}, "no curve in"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_told_before_training(case, tmp_path):
    given, sentence = MISTAKES[case]
    with pytest.raises(DiaboloError, match=sentence):
        trace(tmp_path / "c", **given)
    assert not (tmp_path / "c").exists()


def test_the_figure_is_drawn_of_two_points_or_more(tmp_path):
    found = trace(tmp_path / "c")
    assert isinstance(rate_distortion(found), Figure)
    few = Tradeoff(folder=Path("c"), recipe="r", option="beta", points=(), split="test")
    with pytest.raises(NotApplicable, match="two points"):
        rate_distortion(few)
    with pytest.raises(DiaboloError, match="none is the best"):
        few.best  # noqa: B018


def test_the_verb_prints_the_points_and_the_theory(tmp_path, capsys):
    np.save(tmp_path / "x.npy", table())
    out = tmp_path / "c"
    words = ["tradeoff", str(tmp_path / "x.npy"), "--prices", "0.5,4", "--out", str(out)]
    words += ["--set", "net=mlp(hidden=())", "latent=2", "epochs=3"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "beta_vae on validation data (12 data, nats per datum)" in shown
    assert "reverse water-filling" in shown
    assert (out / "curve.png").is_file()
    assert main([*words, "--resume", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [p["value"] for p in found["points"]] == [4.0, 0.5]
    assert found["points"][0]["theory"]["price"] == 4.0
    assert main([*words, "--prices", "a"]) == 2
    assert "--prices takes numbers" in capsys.readouterr().err


def test_one_datum_tells_no_units_and_no_error(tmp_path, capsys):
    np.save(tmp_path / "x.npy", table())
    np.save(tmp_path / "one.npy", table()[:1])
    out = tmp_path / "c"
    words = ["tradeoff", str(tmp_path / "x.npy"), "--prices", "0.5,4", "--out", str(out)]
    words += ["--test", str(tmp_path / "one.npy"), "--set", "net=mlp(hidden=())", "epochs=1"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "(1 data, nats per datum)" in shown
    assert "inf" not in shown

    def refused(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    stored = json.loads((out / "curve.json").read_text(), parse_constant=refused)
    assert [p["active_units"] for p in stored["result"]["points"]] == [None, None]
    exchange = stored["result"]["points"][0]["exchange"]
    assert exchange is None or exchange["within"] is None


def test_how_to_go_on_can_be_typed(capsys):
    stopped = {"points": (), "split": "test", "stopped": "interrupt"}
    _report(Tradeoff(folder=Path("my curve"), recipe="r", option="beta", **stopped), None)
    assert "go on with the same command and --out 'my curve' --resume" in capsys.readouterr().out


@pytest.mark.oracle(6)
@pytest.mark.slow
def test_trained_linear_models_trace_reverse_water_filling(tmp_path):
    """Oracle 6 by stochastic steps, through the front door, in float32."""
    x = turned(640)[0].numpy().astype(np.float32)
    found = tracing(
        np.tile(x, (50, 1)),
        out=tmp_path / "c",
        prices=[theta / 0.25 for theta, *_ in ORACLE],
        valid=np.tile(x, (10, 1)),
        test=x,
        samples=256,
        net="mlp(hidden=())",
        latent=6,
        likelihood=FIXED,
        standardize=False,
        epochs=60,
        batch_size=640,
        learning_rate=5e-2,
        schedule="cosine",
    )
    for p, (theta, units, rate, squares) in zip(found.points[::-1], ORACLE, strict=True):
        assert p.theory is not None
        assert p.theory.rate == pytest.approx(rate, abs=1e-5)
        assert p.units == p.theory.units == units
        assert p.rate.value == pytest.approx(rate, abs=1e-2), theta
        error = (p.distortion.value - 3 * math.log(2 * math.pi * 0.25)) * 2 * 0.25
        assert error == pytest.approx(squares, abs=1e-2), theta
        assert p.hull
        assert p.shortfall is None
        assert p.exchange is None or p.exchange.within

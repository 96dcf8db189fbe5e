"""Panels that reports have beside the quick ones: each draws what it says, or says why not."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import diabolo
from diabolo.evaluate import active_units
from diabolo.panels import PANELS, QUICK, NotApplicable
from diabolo.panels._figure import OtherData
from diabolo.panels._images import grid
from diabolo.panels._rows import principal, rows
from diabolo.panels._run import by_name, chances, one_datum, shown
from diabolo.panels._run import pictures as as_pictures

TINY = {"net": "mlp(hidden=(8,))", "epochs": 1, "device": "cpu", "valid": 24}
SLOW = sorted(set(PANELS.names()) - set(QUICK))
LABELS = [("left", "right")[i % 2] for i in range(60)]
NUMBERS = np.random.default_rng(0).normal(size=(60, 5)) * [1, 2, 3, 4, 5]


def pictures(*shape: int, n: int = 60) -> np.ndarray:
    x = np.random.default_rng(0).integers(0, 60, (n, *shape))
    x[np.arange(n), np.arange(n) % shape[0]] += 190
    return x.astype(np.uint8)


def table() -> pd.DataFrame:
    frame = pd.DataFrame(NUMBERS, columns=["a $\\x$ b", "b", "c", "d", "e"])
    frame.loc[::7, "b"] = np.nan
    return frame.assign(level=[("one", "two", "three")[i % 3] for i in range(60)])


MADE = {
    "pictures": lambda: diabolo.fit(pictures(8, 6), labels=LABELS, latent=3, **TINY),
    "colour": lambda: diabolo.fit(pictures(8, 8, 3), "hyperspherical_vae", latent=3, **TINY),
    "found": lambda: diabolo.fit(
        pictures(8, 8), "m2", labels=LABELS, condition="labels", latent=2, **TINY
    ),
    "bits": lambda: diabolo.fit(pictures(8, 8), binarize="static", latent=2, **TINY),
    "point": lambda: diabolo.fit(pictures(8, 8), "ae", latent=3, **TINY),
    "groups": lambda: diabolo.fit(NUMBERS, "hierarchical", **TINY),
    "names": lambda: diabolo.fit(NUMBERS, "discrete_vae", **TINY),
    "table": lambda: diabolo.fit(table(), latent=2, **TINY),
}
IMAGES = {"pictures", "colour", "found", "bits", "point"}
DRAWN = {"pictures", "table"}  # of which not the figure alone is made
NOT: dict[str, set[str]] = {  # which kinds a panel has no figure of
    "aggregate": {"point", "names"},
    "calibration": {"point"},
    "column_errors": IMAGES,
    "dependence": IMAGES,
    "marginals": IMAGES,
    "interpolations": set(MADE) - IMAGES,
    "neighbours": {"point"},
}


@pytest.fixture(scope="module")
def run():
    made: dict[str, diabolo.Run] = {}

    def get(kind: str) -> diabolo.Run:
        if kind not in made:
            made[kind] = MADE[kind]()
        return made[kind]

    return get


def told(figure: Figure) -> str:
    return " ".join(f"{figure.get_suptitle()} {figure.get_supxlabel()}".split())


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("name", SLOW)
def test_panel_of_a_report(name, kind, run):
    panel = PANELS.load(name)
    if kind in NOT.get(name, ()):
        with pytest.raises(NotApplicable, match=r"\w+ .*\.$"):
            panel(run(kind))
        return
    figure = panel(run(kind))
    assert len(told(figure)) > 60
    assert "  " not in told(figure)
    assert "nan" not in told(figure)
    if kind not in DRAWN:
        return
    figure.set_dpi(30)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    assert np.asarray(canvas.buffer_rgba())[..., :3].std() > 3  # not blank


def test_rates_are_those_of_the_bound_and_active_ones_are_dark(run):
    figure = PANELS.load("rates")(run("pictures"))
    found = rows(run("pictures"))
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    np.testing.assert_allclose(heights, sorted(found.per_latent_rate, reverse=True))
    units = active_units(run("pictures").model, found.data)
    assert f"{units.count} of 3 are active" in told(figure)
    assert f"{found.rate.mean():.2f} nats in all" in told(figure)


def test_rates_say_of_the_others_only_what_is_so(run):
    for kind, of in (("pictures", "rate"), ("point", "variance")):
        text = told(PANELS.load("rates")(run(kind)))
        assert f"The mean {of}" in text
        assert "rate" not in text.split("active")[1]  # an autoencoder has none
        units = active_units(run(kind).model, rows(run(kind)).data)
        assert ("pale" in text) == (units.count < 3)


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (table(), "6 columns, of several kinds"),
        (
            pd.DataFrame(np.random.default_rng(0).poisson(30, (60, 2)), columns=["a", "b"]),
            "2 columns, of the kind 'count'",
        ),
        (pd.DataFrame({"a": NUMBERS[:, 0]}), "1 column, real numbers"),
    ],
)
def test_a_table_is_of_several_kinds_only_if_it_has_them(frame, words):
    assert one_datum(diabolo.fit(frame, latent=2, **TINY)) == words


def test_dates_of_a_row_are_written_as_dates():
    days = pd.Timestamp("2020-02-27") + pd.to_timedelta(np.arange(60) % 7, "D")
    frame = pd.DataFrame({"a": NUMBERS[:, 0], "born": days})
    fitted = diabolo.fit(frame, latent=2, **TINY)
    written = [t.get_text() for t in PANELS.load("extremes")(fitted).axes[0].texts]
    at = written.index("born")
    assert all(
        re.fullmatch(r"2020-0[23]-\d\d  \u2192  2020-\d\d-\d\d", t) for t in written[at + 1 :]
    )
    x, _, mask = shown(fitted, fitted.data("valid"), 3)
    wanted = days[fitted.data("valid").rows[:3].numpy()].strftime("%Y-%m-%d")
    assert list(by_name(fitted, x, mask, dates=True)["born"]) == list(wanted)
    for ax in PANELS.load("strangest")(fitted).axes:
        labels = [t.get_text() for t in ax.get_yticklabels()]
        assert not labels or any(t.startswith("born = 2020-") for t in labels)


def test_booleans_are_said_and_their_means_are_numbers():
    on = pd.array(np.arange(60) % 2 == 0, dtype="boolean")
    on[5:15] = pd.NA
    frame = pd.DataFrame({"a": NUMBERS[:, 0], "on": on})
    fitted = diabolo.fit(frame, latent=2, **TINY)
    data = fitted.data("train")
    x, _, mask = shown(fitted, data, len(data))
    rows = data.rows.numpy()
    wanted = [None if on[i] is pd.NA else ("yes" if on[i] else "no") for i in rows]
    assert set(wanted) == {"yes", "no", None}
    assert list(by_name(fitted, x, mask)["on"]) == wanted
    numbers = by_name(fitted, x, mask, parts=True)["on"]
    known = ~np.isnan(numbers)
    assert [{"yes": 1, "no": 0}.get(w) for w in wanted if w] == list(numbers[known])
    figure = PANELS.load("traversals")(fitted)
    assert {t.get_text() for t in figure.axes[0].get_yticklabels()} == {"a", "on"}


def test_traversals_of_a_table_show_how_likely_its_levels_are():
    group = np.arange(60) % 3
    town = np.array(["Ulm", "Kiel", "Bonn"])[group]
    frame = pd.DataFrame({"a": NUMBERS[:, 0], "town": town, "b": group + NUMBERS[:, 1]})
    fitted = diabolo.fit(frame, latent=2, **TINY)
    z = torch.randn(7, 2)
    found = chances(fitted, z)
    assert list(found) == ["town"]
    assert set(found["town"]) == {"Ulm", "Kiel", "Bonn"}
    np.testing.assert_allclose(sum(found["town"].values()), 1.0, rtol=1e-5)
    drawn = fitted.decode(z.repeat(400, 1).numpy(), mean=False)["town"].to_numpy()
    for level, p in found["town"].items():
        part = (drawn.reshape(400, 7) == level).mean(0)
        np.testing.assert_allclose(part, p, atol=5 * np.sqrt(0.25 / 400))
    figure = PANELS.load("traversals")(fitted)
    assert any(t.get_text().startswith("Traversals, by rate") for t in figure.texts)
    rows = {t.get_text() for t in figure.axes[0].get_yticklabels()}
    assert rows == {"a", "town = Ulm", "town = Kiel", "town = Bonn", "b"}
    assert chances(diabolo.fit(NUMBERS, latent=2, **TINY), z) == {}


def test_extremes_are_the_rows_of_least_and_most_distortion(run):
    found = rows(run("pictures"))
    figure = PANELS.load("extremes")(run("pictures"), n=1, of=found)
    labels = [ax.get_xticklabels()[0].get_text() for ax in figure.axes]
    order = np.argsort(found.distortion, kind="stable")
    middle = order[(len(order) - 1) // 2]
    wanted = (order[0], middle, order[-1])
    assert labels == [f"{found.distortion[i]:.1f} / {found.rate[i]:.1f}" for i in wanted]


def test_samples_are_those_of_the_run(run):
    fitted = run("pictures")
    figure = PANELS.load("samples")(fitted, rows=1, columns=3, seed=5)
    for ax, mean in zip(figure.axes, (False, True), strict=True):
        wanted = grid(as_pictures(fitted, fitted.sample(3, mean=mean, seed=5)), 3)
        np.testing.assert_array_equal(ax.images[0].get_array(), wanted)


def test_a_split_of_rows_that_are_given_is_refused(run):
    fitted = run("pictures")
    with pytest.raises(diabolo.DiaboloError, match="leave it out"):
        PANELS.load("rates")(fitted, of=rows(fitted), split="valid")


def test_a_sample_that_is_a_training_datum_is_its_own_neighbour(run, monkeypatch):
    import importlib

    module = importlib.import_module("diabolo.panels.neighbours")
    fitted = run("pictures")
    train = fitted.data("train")
    batch = train.batch(torch.arange(module.DRAWS) % len(train))
    monkeypatch.setattr(module, "drawn", lambda model, n, c, seed: batch.x.float())
    assert "on average 0.00 times as far, so nearer than" in told(module.neighbours(fitted))


def test_an_end_of_an_interpolation_is_the_reconstruction(run):
    fitted = run("pictures")
    figure = PANELS.load("interpolations")(fitted, n=1, steps=3)
    page = figure.axes[0].images[0].get_array()
    assert page.shape[0] < page.shape[1]
    assert "straight line" in told(figure)
    assert "great circle" in told(PANELS.load("interpolations")(run("colour"), n=1))


def test_column_errors_are_one_for_a_model_that_knows_nothing(run, monkeypatch):
    import importlib

    module = importlib.import_module("diabolo.panels.column_errors")
    fitted = run("names")
    data = rows(fitted).data
    mean = data.x.float().mean(0, keepdim=True).expand(len(data), -1)
    monkeypatch.setattr(module, "reconstructed", lambda model, few: mean)
    bars = [bar.get_width() for bar in module.column_errors(fitted).axes[0].patches]
    np.testing.assert_allclose(bars, 1.0, rtol=1e-5)
    monkeypatch.setattr(module, "reconstructed", lambda model, few: data.x.float())
    assert max(b.get_width() for b in module.column_errors(fitted).axes[0].patches) < 1e-6


def test_strangest_rows_are_in_order_of_their_score(run):
    figure = PANELS.load("strangest")(run("pictures"), n=4, score="distortion")
    shown = [float(t.get_text()) for t in figure.axes[0].get_xticklabels()]
    distortion = np.sort(rows(run("pictures")).distortion)[::-1][:4]
    np.testing.assert_allclose(shown, distortion, atol=0.6)


def test_panels_of_other_data_are_not_missed(run):
    for name, kind in (("marginals", "pictures"), ("interpolations", "table")):
        with pytest.raises(OtherData):
            PANELS.load(name)(run(kind))


def test_what_is_decoded_is_shown_on_the_scale_of_the_data():
    x = np.random.default_rng(0).normal(size=(30, 4, 4))
    run = diabolo.fit(x, epochs=1, latent=2, net="mlp(hidden=(8,))")
    assert run.schema.span is None
    low, high = np.quantile(x, [0.005, 0.995])
    found = as_pictures(run, x / 2, like=x)  # half the contrast stays half of it
    np.testing.assert_allclose(found, ((x / 2 - low) / (high - low)).clip(0, 1), atol=1e-5)


@pytest.mark.parametrize(("n", "d"), [(100, 5), (4, 6), (3, 3)])
def test_the_plane_is_that_of_principal_components(n, d):
    from sklearn.decomposition import PCA

    x = np.random.default_rng(n).normal(size=(n, d)) * np.arange(1, d + 1)
    x = x.astype(np.float32)
    mean, axes, share = principal(x)
    known = PCA(2).fit(x.astype(np.float64))
    np.testing.assert_allclose(mean, known.mean_, atol=1e-12)
    np.testing.assert_allclose(share, known.explained_variance_ratio_, atol=1e-12)
    sign = np.sign((axes * known.components_).sum(1))
    np.testing.assert_allclose(axes * sign[:, None], known.components_, atol=1e-9)
    assert (axes[[0, 1], np.abs(axes).argmax(1)] > 0).all()  # so that no run turns the map over
    assert np.isnan(principal(np.zeros((5, 4), np.float32))[2]).all()

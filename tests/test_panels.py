"""Figures: each panel of each kind of run is drawn, or says in a sentence why it is not."""

from __future__ import annotations

import importlib
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import diabolo
from diabolo import panels
from diabolo.panels import PANELS, QUICK, NotApplicable, draw_all, save
from diabolo.panels._images import grid, to_bytes

TINY = {"latent": 3, "net": "mlp(hidden=(8,))", "epochs": 2, "device": "cpu"}


def pictures(*shape: int, n: int = 60) -> np.ndarray:
    """Grey levels with a bright bar that moves, so that there is something to learn."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 60, (n, *shape))
    x[np.arange(n), np.arange(n) % shape[0]] += 190
    return x.astype(np.uint8)


def make(kind: str):
    labels = [("left", "right")[i % 2] for i in range(60)]
    if kind == "grey":
        return diabolo.fit(pictures(10, 6), labels=labels, **TINY)
    if kind == "colour":
        return diabolo.fit(pictures(8, 8, 3), **TINY)
    if kind == "class":
        return diabolo.fit(pictures(8, 8), "cvae", labels=labels, condition="labels", **TINY)
    if kind == "point":
        return diabolo.fit(pictures(8, 8), "ae", **TINY)
    if kind == "line":
        return diabolo.fit(pictures(8, 8), **{**TINY, "latent": 1})
    if kind == "plane":
        return diabolo.fit(pictures(8, 8), **{**TINY, "latent": 2})
    if kind == "mixture":
        return diabolo.fit(pictures(8, 8), prior="mixture", **TINY)
    rng = np.random.default_rng(0)
    return diabolo.fit(rng.normal(size=(60, 5)) * [1, 2, 3, 4, 5], **TINY)


KINDS = ("grey", "colour", "class", "point", "line", "plane", "mixture", "table")
NOT = {("samples", "point"), ("manifold", "table")}


@pytest.fixture(scope="module")
def runs():
    made = {}

    def get(kind: str):
        if kind not in made:
            made[kind] = make(kind)
        return made[kind]

    return get


def words(figure: Figure) -> str:
    texts = [figure.get_suptitle(), figure.get_supxlabel()]
    for ax in figure.axes:
        texts += [ax.get_xlabel(), ax.get_ylabel(), ax.get_title()]
        legend = ax.get_legend()
        texts += [] if legend is None else [t.get_text() for t in legend.get_texts()]
        texts += [t.get_text() for t in ax.get_yticklabels()]
    return "\n".join(texts)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", QUICK)
def test_panel_of_run(name, kind, runs):
    panel = PANELS.load(name)
    if (name, kind) in NOT:
        with pytest.raises(NotApplicable, match=r"\w+ .*\.$"):
            panel(runs(kind))
        return
    before = dict(mpl.rcParams)
    figure = panel(runs(kind))
    assert isinstance(figure, Figure)
    assert figure.get_suptitle()
    assert len(figure.get_supxlabel()) > 20  # a caption
    assert dict(mpl.rcParams) == before
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    shades = np.asarray(canvas.buffer_rgba())[..., :3]
    assert shades.std() > 5  # not blank


def test_no_panel_uses_pyplot():
    folder = Path(panels.__file__).parent
    sources = {p.name: p.read_text(encoding="utf-8") for p in folder.glob("*.py")}
    assert len(sources) > len(PANELS.names())
    assert [n for n, text in sources.items() if "pyplot" in text or "rcParams" in text] == []


def test_latent_map_names_classes_and_components(runs):
    told = words(PANELS.load("latent_map")(runs("grey")))
    assert "left" in told
    assert "right" in told
    assert "principal component 1" in told
    told = words(PANELS.load("latent_map")(runs("plane")))
    assert "principal" not in told
    assert "$z_{1}$" in told


def test_manifold_says_what_it_leaves_out(runs):
    manifold = PANELS.load("manifold")
    assert "2 of 3 latent elements, the others at 0" in words(manifold(runs("grey")))
    assert "others" not in words(manifold(runs("plane")))
    assert "standard normal" in words(manifold(runs("plane")))
    assert "standard normal" not in words(manifold(runs("mixture")))
    assert "'left'" in words(manifold(runs("class"))) or "'right'" in words(manifold(runs("class")))


def test_manifold_takes_the_elements_of_greatest_rate(runs):
    run = runs("grey")
    a, b = run.latents.order[:2]
    told = words(PANELS.load("manifold")(run))
    assert f"$z_{{{a}}}$ and $z_{{{b}}}$" in told


def test_samples_of_a_class_are_rows(runs):
    told = words(PANELS.load("samples")(runs("class")))
    assert "left" in told
    assert "right" in told


def test_learning_curve_shows_bounds_for_bounds():
    """Importance weights favour good samples: their parts do not sum to the bound they make."""
    run = diabolo.fit(pictures(8, 8), "iwae", k=5, **TINY)
    rows = run.history.rows
    assert all(-r.distortion - sum(r.rate) > r.objective for r in rows)
    lines = {line.get_label(): line for line in PANELS.load("learning_curve")(run).axes[0].lines}
    assert "ELBO, training" not in lines
    found = lines["bound of 5 samples, training"].get_ydata()
    assert np.array_equal(found, [r.objective for r in rows])
    run = diabolo.fit(pictures(8, 8), "beta_vae", free_bits=5.0, **TINY)
    lines = {line.get_label() for line in PANELS.load("learning_curve")(run).axes[0].lines}
    assert {"ELBO, training", "training objective, no bound"} <= lines


def test_learning_curve_of_a_deterministic_model_is_of_its_objective():
    run = diabolo.fit(pictures(8, 8), "wae", price=1000.0, **TINY)
    figure = PANELS.load("learning_curve")(run)
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert {"objective, training", "objective, validation"} < lines.keys()
    found = lines["objective, training"].get_ydata()
    assert np.array_equal(found, [r.objective for r in run.history.rows])
    assert f"Validation objective {run.history.best.valid_elbo:.2f} nats" in words(figure)


def test_learning_curve_of_one_epoch_shows_points_at_a_whole_epoch():
    run = diabolo.fit(pictures(8, 8), **{**TINY, "epochs": 1})
    for axes in PANELS.load("learning_curve")(run).axes:
        assert all(line.get_marker() == "o" for line in axes.lines[:-1])
        assert all(tick == round(tick) for tick in axes.get_xticks())


def test_learning_curve_marks_the_best_epoch(runs):
    run = runs("grey")
    figure = PANELS.load("learning_curve")(run)
    best = run.history.best
    marks = [
        line.get_xdata()[0] for ax in figure.axes for line in ax.lines if line.get_ls() == "--"
    ]
    assert marks == [best.epoch] * 3
    assert f"{best.valid_elbo:.2f} nats" in words(figure)
    assert len(PANELS.load("learning_curve")(runs("point")).axes) == 2  # no rate to show


def test_reconstructions_show_the_original_itself(runs):
    run = runs("grey")
    figure = PANELS.load("reconstructions")(run, n=3)
    page = figure.axes[0].images[0].get_array()
    held = run.data("valid").x
    x = held[[0, (len(held) - 1) // 2, len(held) - 1], 0].numpy() / 255
    expected = grid(x, 3)
    # The page is held in float64, pictures in float32.
    np.testing.assert_allclose(page[: expected.shape[0]], expected, atol=1e-6)


def test_draw_all_leaves_out_what_does_not_apply(runs, tmp_path):
    # What nobody expects of a table is not told; what one may miss is.
    for kind, absent, told in (("table", {"manifold"}, set()), ("point", {"samples"}, {"samples"})):
        files, left_out = draw_all(runs(kind), tmp_path / kind)
        assert set(left_out) == told
        assert {p.stem for p in (tmp_path / kind).iterdir()} == set(files)
        assert set(files) == set(QUICK) - absent


def test_a_short_run_shows_its_whole_curve(runs):
    run = runs("table")
    figure = PANELS.load("learning_curve")(run)
    for ax in figure.axes:
        low, high = ax.get_ylim()
        for line in ax.get_lines():
            if len(line.get_ydata()) == len(run.history.rows) and line.get_linestyle() == "-":
                assert low <= np.min(line.get_ydata())
                assert np.max(line.get_ydata()) <= high


def test_every_class_has_a_row_of_samples(runs):
    labels = [str(min(i, 9)) for i in range(60)]  # most classes are one datum
    made = diabolo.fit(pictures(8, 8), "cvae", labels=labels, condition="labels", **TINY)
    figure = PANELS.load("samples")(made)
    shown = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert shown == [str(i) for i in range(10)]
    assert "One class a row." in words(figure).replace("\n", " ")
    many = [f"{min(i, 14):02}" for i in range(60)]
    made = diabolo.fit(pictures(8, 8), "cvae", labels=many, condition="labels", **TINY)
    told = words(PANELS.load("samples")(made)).replace("\n", " ")
    assert "One class a row: 10 of the 15 classes." in told


def test_save_leaves_nothing_half_done(runs, tmp_path):
    class Broken(Figure):
        def savefig(self, *args, **options):
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        save(Broken(), tmp_path / "x.png")
    assert not list(tmp_path.iterdir())


def test_letters_that_a_font_lacks_are_no_warning(tmp_path: Path) -> None:
    figure = importlib.import_module("diabolo.panels._figure").new(3, 3, "A title", "A caption")
    figure.subplots().set_xlabel("\u6771\u4eac")
    save(figure, tmp_path / "a.png")
    assert importlib.import_module("diabolo.reports._svg").drawn(figure, "a").svg


def test_grid_places_pictures_row_by_row():
    x = np.linspace(0, 1, 5)[:, None, None] * np.ones((5, 60, 50))
    page = grid(x, 2, pad=2)
    assert page.shape == (3 * 60 + 2 * 2, 2 * 50 + 2)
    assert page[0, 0] == 0.0
    assert page[0, 52] == 0.25
    assert page[62, 0] == 0.5
    assert page[61, 0] == 1.0  # between pictures
    assert page[-1, -1] == 1.0  # no sixth picture


def test_grid_enlarges_small_colour_pictures():
    x = np.zeros((1, 8, 8, 3))
    x[..., 0] = 1.0
    page = grid(x)
    assert page.shape == (48, 48, 3)
    np.testing.assert_array_equal(page[24, 24], [1.0, 0.0, 0.0])
    assert to_bytes(page).max() == 255


def test_a_wide_table_shows_its_first_columns() -> None:
    from diabolo.panels._figure import by_column

    figure, axes = by_column([f"x{i}" for i in range(15)], 2.0, "A table", "All of it.")
    assert len(axes) == 12
    assert "The first 12 of 15 columns." in " ".join(figure.get_supxlabel().split())
    figure, axes = by_column(["a", "b"], 2.0, "A table", "All of it.")
    assert len(axes) == 2
    assert "first" not in figure.get_supxlabel()


@pytest.mark.parametrize(("step", "top", "each"), [(1, 9, 1), (1, 99, 3), (5, 12, 1), (1, 0, 1)])
def test_bins_of_whole_numbers_hold_as_many_values_each(step: int, top: int, each: int) -> None:
    """Else a bin of two values stands beside one of a single value, twice as high."""
    edges = importlib.import_module("diabolo.panels.samples")._edges
    values = step * np.arange(top + 1.0) - 3
    found = edges(np.repeat(values, 4), values + 0.3)
    held, _ = np.histogram(values, found)
    assert set(held[:-1]) <= {each}
    assert held.sum() == top + 1
    assert len(held) <= 40
    between = np.diff(edges(values + 0.1, values))
    np.testing.assert_allclose(between, between[0])


@pytest.mark.parametrize("never", [None, np.nan])
def test_a_column_without_any_value_is_not_drawn(never: float | None) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"never": [never] * 60, "a": rng.normal(size=60), "b": ["x", "y"] * 30})
    run = diabolo.fit(table, **TINY)
    figure = PANELS.load("samples")(run)
    assert {"a", "b"} <= {ax.get_xlabel() for ax in figure.axes}
    assert "never" not in {ax.get_xlabel() for ax in figure.axes}
    moved = words(PANELS.load("traversals")(run)).splitlines()
    assert "a" in moved
    assert "never" not in moved


def test_a_column_that_held_out_rows_lack_is_drawn_all_the_same() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.normal(size=60), "rare": rng.normal(size=60)})
    table.loc[20:, "rare"] = np.nan
    run = diabolo.fit(table.head(50), valid=table.tail(10), **TINY)
    assert "rare" in {ax.get_xlabel() for ax in PANELS.load("samples")(run).axes}
    assert "rare" in words(PANELS.load("traversals")(run)).splitlines()

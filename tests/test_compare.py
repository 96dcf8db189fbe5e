"""Runs side by side: the same data or a sentence, differences of each datum, and one page."""

from __future__ import annotations

import importlib
import json
from types import SimpleNamespace

import numpy as np
import pytest

import diabolo
from diabolo.__main__ import main
from diabolo.evaluate import difference, log_likelihood

TINY = {"net": "mlp(hidden=(8,))", "device": "cpu", "latent": 2}
LABELS = [("left", "right")[i % 2] for i in range(80)]


def pictures(n: int = 80, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).integers(0, 60, (n, 6, 6))
    x[np.arange(n), np.arange(n) % 6] += 190
    return x.astype(np.uint8)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    x, given = pictures(), {"labels": LABELS, "condition": "labels"}
    made = {
        "short": diabolo.fit(x, epochs=1, **TINY),
        "long": diabolo.fit(x, epochs=25, learning_rate=0.01, **TINY),
        "point": diabolo.fit(x, "ae", epochs=1, **TINY),
        "class": diabolo.fit(x, "cvae", epochs=1, **given, **TINY),
        "other": diabolo.fit(pictures(seed=1), epochs=1, **TINY),
    }
    for name, run in made.items():
        run.save(folder / name)
    return made


@pytest.fixture
def undrawn(monkeypatch):
    """No figures in a page: one test looks at them, and they take longer than all else."""

    def lacking(run):
        raise diabolo.DiaboloError("No figure.")

    module = importlib.import_module("diabolo.reports.compare")
    monkeypatch.setattr(module, "beside", lambda names, here, measures: {})
    monkeypatch.setattr(module, "PANELS", SimpleNamespace(load=lambda name: lacking))


def test_numbers_are_those_of_each_datum_on_the_same_data(runs):
    a, b = runs["long"], runs["short"]
    found = diabolo.compare(b, a, k=7, seed=3)
    assert found.names == ("short", "long")
    assert found.notes == ()
    data = a.data("valid")
    own = [log_likelihood(r.model, data, k=7, seed=3) for r in (a, b)]
    wanted = difference(*own)
    first, second, of, apart, sure = found.differences[0]
    assert (first, second, of, sure) == ("long", "short", "log-likelihood", True)
    assert apart.value == pytest.approx(wanted.value)
    assert apart.data_stderr == pytest.approx(wanted.data_stderr)
    assert dict((n, v) for n, *v in found.table)["active units"][1].endswith(" of 2")
    assert "long is" in found.html
    assert "higher than short" in found.html
    assert dict((n, v) for n, *v in found.settings)["train.epochs"] == ["1", "25"]
    for word in ("Learning curves", "Rate and distortion", "samples-1", "parameters"):
        assert word in found.html


@pytest.mark.usefixtures("undrawn")
def test_a_model_and_its_copy_differ_within_noise(runs, tmp_path):
    runs["short"].save(tmp_path / "copy")
    copy = diabolo.load(tmp_path / "copy")
    runs["short"].folder = runs["long"].folder.with_name("short")
    found = diabolo.compare(runs["short"], copy, k=3, data=pictures(20, seed=2))
    assert [sure for *_, sure in found.differences] == [False, False]
    assert "within noise" in found.html
    assert found.settings == ()
    assert "All settings are the same." in found.html


@pytest.mark.usefixtures("undrawn")
def test_one_datum_tells_no_difference(runs):
    found = diabolo.compare(runs["short"], runs["long"], k=50, data=pictures(1, seed=2))
    assert [sure for *_, sure in found.differences] == [False, False]
    assert "nats on one datum, which tells nothing of others." in found.html
    assert "higher than" not in found.html


@pytest.mark.usefixtures("undrawn")
def test_what_cannot_be_compared_is_told(runs):
    found = diabolo.compare(runs["short"], runs["other"])
    assert "fingerprints differ" in found.notes[0]
    assert found.differences == ()
    assert "log-likelihood" not in {name for name, *_ in found.table}
    found = diabolo.compare(runs["short"], runs["point"], k=2)
    assert "point is deterministic" in found.notes[0]
    assert found.differences == ()
    (row,) = [r for r in found.table if r[0].startswith("log-likelihood")]
    assert row[2] == ""
    found = diabolo.compare(runs["short"], runs["class"], k=2)
    assert "log p(x|c)" in " ".join(found.notes)


@pytest.mark.parametrize(
    ("names", "options", "word"),
    [
        (["short"], {}, "two runs"),
        (["short", "short"], {}, "twice"),
        (["short", "long"], {"out": "page.txt"}, "HTML file"),
        (["short", "long"], {"labels": [1]}, "give the data"),
        (["short", "long"], {"data": np.zeros((3, 5, 5), np.uint8)}, "6"),
        (["short", "long"], {"k": 0}, "k is a whole number"),
    ],
)
def test_a_comparison_that_cannot_be_is_refused(names, options, word, runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(diabolo.DiaboloError, match=word):
        diabolo.compare(*(runs[n] for n in names), **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("undrawn")
def test_the_command_line_compares(runs, tmp_path, monkeypatch, capsys):
    folder = runs["long"].folder.parent
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", pictures(30, seed=2))
    words = ["--data", "x.npy", "--k", "5"]
    assert main(["compare", str(folder / "short"), str(folder / "long"), *words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["runs"] == ["short", "long"]
    assert told["differences"][0]["beyond_noise"] is True
    assert told["differences"][0]["n"] == 30
    words += ["--out", "page.html"]
    assert main(["compare", str(folder / "short"), str(folder / "long"), *words]) == 0
    out = capsys.readouterr().out
    assert "higher than short" in out
    assert "Settings that differ" in out
    assert (tmp_path / "page.html").read_text("utf-8").startswith("<!DOCTYPE html>")
    for bad in ([folder / "short"], [folder / "short"] * 2, [folder / "short", "nowhere"]):
        assert main(["compare", *map(str, bad)]) == 2

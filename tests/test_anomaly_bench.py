"""The measurement of anomaly scores: how sets are cut, what is resumed, and what its page says."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


def module(folder: str, name: str) -> Any:
    """A file that is in no package."""
    found = importlib.util.spec_from_file_location(name, ROOT / folder / f"{name}.py")
    assert found is not None
    assert found.loader is not None
    made = importlib.util.module_from_spec(found)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        found.loader.exec_module(made)
        for known in [n for n in sys.modules if n == "beside" or n.startswith("beside.")]:
            del sys.modules[known]
    return made


@pytest.fixture(scope="module")
def bench() -> Any:
    return module("benchmarks", "anomalies")


@pytest.fixture(scope="module")
def pages() -> Any:
    return module("docs", "anomaly_pages")


def record(pages: Any, diabolo: float, vae: float = 0.8, forest: float = 0.85) -> dict[str, Any]:
    """A record of two seeds on one set each, with these areas."""
    area = {"Diabolo": diabolo, "PyOD VAE": vae, "Isolation Forest": forest}
    rows = [
        {"set": name, "seed": seed, "method": m, "auc": area.get(m, 0.7) + 0.01 * seed, "ap": 0.5}
        | {"rows": 10, "seconds": 1.0}
        for name in ("1_a", "2_b")
        for seed in (0, 1)
        for m in (*pages.METHODS, "Diabolo, rate")
    ]
    return {
        "machine": "m",
        "python": "3",
        "versions": {"pyod": "1"},
        "commit": "c",
        "date": "d",
        "settings": {"score": "excess"},
        "choosing": ["1_a"],
        "reported": ["2_b"],
        "rows": rows,
    }


@pytest.mark.parametrize(
    ("diabolo", "words"),
    [
        (0.9, ("beats PyOD's VAE", "is better than the best classical")),
        (0.845, ("beats PyOD's VAE", "is level with the best classical")),
        (0.82, ("beats PyOD's VAE", "is NOT level with the best classical")),
        (0.75, ("does NOT beat PyOD's VAE", "is NOT level with the best classical")),
    ],
)
def test_the_page_says_what_was_measured(pages: Any, diabolo: float, words: tuple) -> None:
    made = record(pages, diabolo)
    text = pages.page(made)
    for word in words:
        assert word in text
    assert f"{diabolo + 0.005:.3f} ± 0.007" in text  # of two seeds that differ by 0.01
    assert "| `rate` | 0.705 | 0.500 |" in text


def test_a_part_of_a_measurement_has_no_verdict(pages: Any) -> None:
    made = record(pages, 0.9)
    made["rows"] = [r for r in made["rows"] if not (r["method"] == "ECOD" and r["seed"] == 1)]
    text = pages.page(made)
    assert "beats" not in text
    assert "**mean**" not in text
    assert "| b |" in text


def test_large_sets_are_cut_with_their_part_of_anomalies(bench: Any, tmp_path: Path) -> None:
    (tmp_path / "adbench").mkdir()
    y = np.arange(25_000) % 50 == 0
    np.savez(tmp_path / "adbench" / "s.npz", X=np.arange(25_000)[:, None], y=y)
    x, found = bench.table(tmp_path, "s", 0)
    assert len(x) == bench.MOST
    assert found.sum() == 200
    np.testing.assert_array_equal(found, x[:, 0] % 50 == 0)  # rows and labels stay together
    assert not np.array_equal(x, bench.table(tmp_path, "s", 1)[0])
    np.testing.assert_array_equal(x, bench.table(tmp_path, "s", 0)[0])


def test_the_sets_that_choose_are_not_reported(bench: Any) -> None:
    assert len(bench.CHOOSING) == 6
    assert len(bench.REPORTED) == 5
    assert not set(bench.CHOOSING) & set(bench.REPORTED)


def test_a_broken_measurement_goes_on(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def measure(folder: Path, name: str, seed: int, method: str) -> list[dict[str, Any]]:
        calls.append((name, seed, method))
        if len(calls) == 4:
            raise KeyboardInterrupt
        facts = {"set": name, "seed": seed, "rows": 1, "auc": 0.5, "ap": 0.5, "seconds": 0.0}
        more = [f"Diabolo, {s}" for s in bench.OTHERS] if method == "Diabolo" else []
        return [{"method": m, **facts} for m in (method, *more)]

    monkeypatch.setattr(bench, "measure", measure)
    monkeypatch.setattr(bench, "METHODS", {"Diabolo": None, "ECOD": None})
    monkeypatch.setattr(bench, "PACKAGES", ("torch",))
    out = tmp_path / "a.json"
    argv = ["anomalies", "--data-dir", "d", "--out", str(out), "--seeds", "2", "--sets", "s", "t"]
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(KeyboardInterrupt):
        bench.main()
    each = 1 + len(bench.OTHERS)
    assert len(json.loads(out.read_text())["rows"]) == 2 * each + 1
    bench.main()
    assert len(calls) == 9  # eight fits, of which one was broken off
    assert len(set(calls)) == 8
    monkeypatch.setattr(bench, "MOST", 1)
    with pytest.raises(SystemExit):  # results of other settings are no part of it
        bench.main()
    monkeypatch.setattr(sys, "argv", [*argv, "--new"])
    calls[:] = [None] * 4
    bench.main()
    assert {method for *_, method in calls[4:]} == {"Diabolo"}  # the others' rows are kept
    assert len(json.loads(out.read_text())["rows"]) == 4 * (each + 1)

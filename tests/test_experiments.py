"""The gallery's experiments: each runs with quick settings and shows what it claims."""

from __future__ import annotations

import json
import re
import runpy
import sys
import tomllib
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import torch

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "examples" / "experiments"
RESULTS = ROOT / "docs" / "results" / "experiments"
SCRIPTS = sorted(FOLDER.glob("plot_*.py"))
ROWS = tomllib.loads((FOLDER / "rows.toml").read_text(encoding="utf-8"))
RECORDS = {f.stem: json.loads(f.read_text(encoding="utf-8")) for f in RESULTS.glob("*.json")}

sys.path.insert(0, str(FOLDER))
from experiment import holds  # noqa: E402


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # torch's
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda s: s.stem.removeprefix("plot_"))
def test_experiment_shows_what_it_claims(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(script)])
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    try:
        lab = runpy.run_path(str(script))["lab"]
        assert plt.get_fignums(), "an experiment draws a figure"
    finally:
        plt.close("all")
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)
    assert script.stem == f"plot_{lab.name}"
    assert any(c.passed for c in lab.claims), "an experiment judges something with quick settings"
    unknown = {c.row for c in lab.claims} - set(ROWS)
    assert not unknown


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda s: s.stem.removeprefix("plot_"))
def test_full_settings_are_on_record(script: Path) -> None:
    """The committed record tells of every row that the script names, and has its picture."""
    name = script.stem.removeprefix("plot_")
    assert name in RECORDS, f"run {script.name} --full"
    assert (RESULTS / f"{name}.png").stat().st_size < 200_000
    text = script.read_text(encoding="utf-8")
    assert "__file__" not in text, "the gallery runs scripts without one"
    assert {c["row"] for c in RECORDS[name]["claims"]} == set(re.findall(r'"(A\d+)"', text))
    for claim in RECORDS[name]["claims"]:
        assert claim["row"] in ROWS
        if claim["threshold"] is not None:
            assert holds(float(claim["value"]), claim["threshold"]) is claim["passed"]


def test_every_row_has_a_line() -> None:
    assert list(ROWS) == [f"A{i}" for i in range(1, 64)]
    shown = {c["row"] for r in RECORDS.values() for c in r["claims"]}
    words = {row for row, entry in ROWS.items() if "told" in entry or "missing" in entry}
    assert shown | words == set(ROWS)
    assert not shown & words, "a row that is measured needs no words instead"


@pytest.mark.parametrize(
    ("value", "threshold", "expected"),
    [
        (0.1, "< 0.2", True),
        (0.2, "< 0.2", False),
        (0.2, "<= 0.2", True),
        (-3.0, ">= -3", True),
        (1e-7, "< 1e-6", True),
        (float("nan"), "< 1", False),
        (float("nan"), "between 0 and 1", False),
        (float("inf"), "within 1 of 0", False),
        (2.1, "within 0.2 of 2", True),
        (2.1, "between 2.2 and 3", False),
    ],
)
def test_thresholds(value: float, threshold: str, expected: bool) -> None:
    assert holds(value, threshold) is expected


@pytest.mark.parametrize("threshold", ["about 2", "< ", "=> 3", "", "within 2"])
def test_no_other_threshold_is_read(threshold: str) -> None:
    with pytest.raises(ValueError, match="Expected a threshold"):
        holds(1.0, threshold)

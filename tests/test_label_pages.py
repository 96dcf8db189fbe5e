"""The tables of few labels and rare classes, from the committed measurements."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    return importlib.import_module("label_pages")


def test_each_measurement_is_shown(pages: Any, tmp_path: Path) -> None:
    pages.write(tmp_path, RESULTS)
    few = json.loads((RESULTS / "few_labels.json").read_text())
    shown = (tmp_path / "few_labels.inc").read_text()
    for row in few["rows"]:
        assert f"| {row['name']} | {row['mean']:.1f} |" in shown
    sets = json.loads((RESULTS / "balance.json").read_text())["sets"]
    shown = (tmp_path / "balance.inc").read_text()
    for part in sets:
        assert part["name"][1:] in shown
        assert shown.count("| SMOTE |") == 2 * len(sets)
    assert (tmp_path / "few_positives.inc").read_text().count("\n") == 2 + len(sets)
    assert "as the digit that was asked for" in (tmp_path / "label_fidelity.inc").read_text()


def test_a_gain_is_told_as_one_beyond_the_noise_only(pages: Any) -> None:
    g = {"value": 0.1, "stderr": 0.02, "p": 0.01, "verdict": "gain", "other": "SMOTE"}
    assert pages._gain(g) == "**+0.100 ± 0.020, p 0.01: gain**"
    assert "gain" not in pages._gain({**g, "verdict": "within the noise"})
    told = pages._counted([{"gains": [g, {**g, "verdict": "within the noise"}]}])
    assert "beside SMOTE 1 gains and 0 losses of 2" in told


def test_few_labels_beat_pixels_and_components() -> None:
    """What is claimed of the committed record holds in it."""
    record = json.loads((RESULTS / "few_labels.json").read_text())
    for pair in record["paired"][:3]:
        assert pair["points"] > 3 * pair["stderr"], pair
    assert record["rows"][2]["mean"] > 85
    assert {len(r["draws"]) for r in record["rows"]} == {2, 10}


def test_no_gain_over_cheap_remedies_is_claimed_nor_there() -> None:
    """The page says so of the committed record; if that changes, so must the page."""
    record = json.loads((RESULTS / "balance.json").read_text())
    page = (ROOT / "docs" / "classes.md").read_text()
    gains = {g["other"] for s in record["sets"] for g in s["gains"] if g["verdict"] == "gain"}
    assert gains <= {"nothing"}
    won = [s for s in record["sets"] if any(g["verdict"] == "gain" for g in s["gains"])]
    assert (len(won), len(record["sets"])) == (2, 4)
    told = (ROOT / "docs" / "few-positives.md").read_text()
    assert "gained over nothing on two of four sets" in told
    assert "is a gain over class weights, random\noversampling or SMOTE beyond the noise" in page

"""The committed table of recipes: complete, sound, and printed as a page."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path
from types import ModuleType

import pytest

from diabolo.recipes import RECIPES

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "docs" / "results" / "recipes.json"
PARTS = json.loads(RECORD.read_text())["sets"]
DENSITIES = ("wine_quality",)  # of real numbers: their logarithm may have any sign
ROWS = [(part["data"], row) for part in PARTS for row in part["rows"]]


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    pytest.importorskip("docstring_parser", reason="docstring_parser is not installed")
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("part", PARTS, ids=lambda p: p["data"])
def test_every_recipe_has_its_row(part: dict) -> None:
    assert {r["recipe"] for r in part["rows"]} == set(RECIPES.names()), "run `make table`"


def test_digits_are_there() -> None:
    assert "digits" in {p["data"] for p in PARTS}


@pytest.mark.parametrize(("data", "row"), ROWS, ids=[f"{d}-{r['recipe']}" for d, r in ROWS])
def test_a_row_is_sound(data: str, row: dict) -> None:
    for name, value in row.items():
        if isinstance(value, float):
            assert math.isfinite(value), name
    assert row["distortion"] > 0 or data in DENSITIES
    if "elbo" not in row:
        assert "log_likelihood" not in row
        return
    assert row["rate"] >= 0
    # The same draws of z give all three, so they agree up to the rounding of float32 sums.
    assert row["elbo"] == pytest.approx(-row["distortion"] - row["rate"], abs=1e-2)
    # k weights bound more tightly than one; the slack is the noise of one draw of z a datum.
    assert row["log_likelihood"] > row["elbo"] - 0.5


@pytest.mark.parametrize("name", RECIPES.names())
def test_every_recipe_has_a_published_number_or_a_reason(name: str) -> None:
    entry = json.loads((RECORD.parent / "papers.json").read_text())[name]
    if "why_not" in entry:
        assert len(entry["why_not"].split()) > 5, "a reason is a sentence"
        return
    assert math.isfinite(entry["value"])
    assert entry["mc_stderr"] > 0
    # The page says whether it lies within the tolerance; that is no condition of a test.
    assert entry["tolerance"] > 0


def test_pages_are_made_from_the_folders(generate: ModuleType, tmp_path: Path) -> None:
    generate.write(tmp_path / "generated", RECORD.parent)
    recipes = (tmp_path / "generated" / "recipes.rst").read_text()
    for name in RECIPES.names():
        assert f"recipes/{name}" in recipes
        page = (tmp_path / "generated" / "recipes" / f"{name}.rst").read_text()
        assert f".. _recipe-{name}:" in page
        assert "References" in page
        assert "Not tried yet" not in page, "give benchmarks/papers.py a number or a reason"
        assert (RECORD.parent / "recipes" / f"{name}.png").exists(), "run `make table`"
    assert "``latent``" in page
    table = (tmp_path / "generated" / "results.md").read_text()
    assert table.count("\n| [") == len(ROWS)
    interface = (tmp_path / "generated" / "api.rst").read_text()
    assert "diabolo.distributions.normal" in interface

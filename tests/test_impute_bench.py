"""The benchmark of imputation: its patterns, its scores, its baselines and its page."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer

ROOT = Path(__file__).parents[1]


def module(place: Path) -> Any:
    found = importlib.util.spec_from_file_location(f"{place.stem}_of_{place.parent.name}", place)
    assert found is not None
    assert found.loader is not None
    made = importlib.util.module_from_spec(found)
    sys.modules[found.name] = made  # dataclasses look themselves up
    found.loader.exec_module(made)
    return made


@pytest.fixture(scope="module")
def bench() -> Any:
    return module(ROOT / "benchmarks" / "impute.py")


@pytest.fixture(scope="module")
def pages() -> Any:
    return module(ROOT / "docs" / "impute_pages.py")


@pytest.fixture(scope="module")
def table(bench: Any) -> Any:
    rng = np.random.default_rng(0)
    base = rng.normal(size=2000)
    near, far = base + 0.3 * rng.normal(size=2000), 0.3 * rng.normal(size=2000) - base
    apart = rng.normal(size=2000)
    x = np.column_stack([base, near, far, apart, np.where(apart > 0.5, 2, base > 0)])
    return bench.Table(x, ("real",) * 4 + ("category:3",), tuple("abcde"), "made")


def test_a_fifth_is_missing_of_each_column_that_can_be(bench: Any, table: Any) -> None:
    error = 4 * (0.2 * 0.8 / 2000) ** 0.5
    assert np.allclose(bench.hide(table, "mcar", 0).mean(0), 0.2, atol=error)
    hidden = bench.hide(table, "mar", 0)
    seen = ~hidden.any(0)
    assert seen.sum() == 2
    assert table.numbers[seen].all()
    assert np.allclose(hidden.mean(0)[~seen], 0.2, atol=error)
    assert not np.array_equal(bench.hide(table, "mcar", 1), bench.hide(table, "mcar", 0))
    # What is missing depends on what is seen: some direction of the drivers tells them apart.
    scaled = (table.x - table.x.mean(0)) / table.x.std(0)
    for j in np.nonzero(~seen)[0]:
        gap = scaled[hidden[:, j]][:, seen].mean(0) - scaled[~hidden[:, j]][:, seen].mean(0)
        within = np.cov(scaled[:, seen].T)
        assert gap @ np.linalg.solve(within, gap) > 0.5**2


def test_scores_are_of_what_was_hidden(bench: Any, table: Any) -> None:
    hidden = np.zeros(table.x.shape, bool)
    hidden[:4, 0] = hidden[:4, 4] = True
    filled = table.x.copy()
    filled[:4, 0] += 2 * table.x[:, 0].std()
    filled[0, 4] = (filled[0, 4] + 1) % 3
    filled[9, 1] = 99
    assert bench.scores(table, hidden, filled) == pytest.approx({"rmse": 2, "error_rate": 0.25})


@pytest.mark.parametrize("first", [1, None])
def test_a_baseline_keeps_what_was_seen_and_fills_in_classes(
    bench: Any, table: Any, first: int | None
) -> None:
    hidden = bench.hide(table, "mcar", 2)
    x = np.where(hidden, np.nan, table.x)
    filled = bench.encoded(table, IterativeImputer(random_state=0), x, first)
    assert (filled[~hidden] == table.x[~hidden]).all()
    assert set(np.unique(filled[:, 4])) == {0, 1, 2}
    means = bench.scores(table, hidden, bench.with_means(table, x))
    found = bench.scores(table, hidden, filled)
    assert found["rmse"] < means["rmse"]
    assert found["error_rate"] < means["error_rate"]


def test_a_comparison_is_paired(pages: Any) -> None:
    hard = np.array([0.5, 1.0, 1.5, 2.0, 2.5])  # masks differ by far more than imputers
    assert pages.compared(hard - 0.1, hard) == "better"
    assert pages.compared(hard + 0.1, hard) == "worse"
    assert pages.compared(hard + 0.01, hard) == "level"
    noise = np.array([0.3, -0.3, 0.3, -0.3, 0.1])
    assert pages.compared(hard + noise, hard) == "level"
    assert pages.compared(hard + 0.2 + noise, hard) == "worse"  # too large to be called noise


def test_the_page_tells_what_was_missed(pages: Any, tmp_path: Path) -> None:
    base = {"set": "adult", "pattern": "mcar", "error_rate": 0.3, "seconds": 1.0}
    rows = [
        {**base, "mask": m, "imputer": name, "rmse": value + 0.01 * m, **more}
        for m in range(3)
        for name, value, more in (("Diabolo", 1.0, {"coverage": 0.8}), ("other", 0.5, {}))
    ]
    about = {"adult": {"about": "A table."}}
    record = {"date": "D", "machine": "M.", "sets": about, "rows": rows}
    (tmp_path / "impute.json").write_text(json.dumps(record))
    pages.write(tmp_path, tmp_path)
    text = (tmp_path / "impute.inc").read_text()
    assert "**worse than** other" in text
    assert "**outside 87 to 93 %**" in text
    assert "| Diabolo | 1.010 ± 0.010 | 0.300 ± 0.000 | 80.0 ± 0.0 | 1.0 |" in text

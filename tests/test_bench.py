"""The benchmark's own arithmetic, its plan, one of its entries, and the committed results."""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
PARTS = ("extra", "machine", "nets", "of_diabolo", "of_floor", "of_plain", "plan", "report", "work")


@pytest.fixture(scope="module")
def beside() -> Iterator[Any]:
    """The benchmark's parts, whose folder is in no package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield SimpleNamespace(**{p: importlib.import_module(f"beside.{p}") for p in PARTS})
        for name in [n for n in sys.modules if n == "beside" or n.startswith("beside.")]:
            del sys.modules[name]


@pytest.fixture(scope="module")
def bench(beside: Any) -> Any:
    found = importlib.util.spec_from_file_location("bench", ROOT / "benchmarks" / "bench.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def call(entry: str, number: int, seconds: float, gemm: float = 200.0, **more: Any) -> dict:
    base = {"section": "s", "entry": entry, "round": number, "seconds": seconds, "count": 10}
    return {**base, "gemm": gemm, **more}


def rows_of(beside: Any, calls: list[dict], **more: Any) -> dict[str, dict]:
    options: dict[str, Any] = {"baselines": {"s": "base"}, "floors": {}, "goals": {}, **more}
    return {r["entry"]: r for r in beside.report.summary(calls, **options)}


def test_a_ratio_is_taken_within_its_round(beside: Any) -> None:
    """The machine is twice as slow in the second round; the third has no baseline."""
    calls = [call("base", 0, 4.0), call("own", 0, 2.0), call("base", 1, 8.0), call("own", 1, 2.0)]
    row = rows_of(beside, [*calls, call("own", 2, 100.0)])["own"]
    assert row["rounds"] == 3
    assert row["ratio"] == {
        "median": 3.0,  # of 2 and 4
        "low": 2.0,
        "high": 4.0,
        "spread": pytest.approx(1 / 3),  # quartiles 2.5 and 3.5
    }


def test_scaling_takes_the_machines_mode_out(beside: Any) -> None:
    """The baseline was measured while the machine ran at half its rate."""
    calls = [call("base", 0, 8.0, gemm=100.0), call("own", 0, 2.0, gemm=200.0)]
    rows = rows_of(beside, calls)
    assert rows["own"]["ratio"]["median"] == 4.0
    assert rows["own"]["norm"]["median"] == 2.0
    assert rows["base"]["norm_cost"] == pytest.approx(0.4)  # 0.8 s a datum, at full rate


def test_a_fraction_is_of_the_best_floor_in_the_best_mode(beside: Any) -> None:
    def machine(number: int, least: float) -> dict:
        floor = {"practical": {"net": least}, "ideal": {"net": least / 4}}
        made = call("this machine", number, 1.0, gemm=200.0, **floor)
        return made | {"section": "floor", "count": 1}

    calls = [machine(0, 0.02), machine(1, 0.01), call("base", 0, 0.8, gemm=100.0)]
    (row,) = beside.report.summary(calls, {"s": "base"}, {("s", "base"): "net"}, {})
    # A datum took 0.08 s at half the machine's rate, so 0.04 s at its best.
    assert row["practical"] == pytest.approx(0.25)
    assert row["ideal"] == pytest.approx(0.0625)


def row(ratio: float, spread: float = 0.0, norm: float | None = None) -> dict:
    def made(median: float | None) -> dict | None:
        return None if median is None else {"median": median, "spread": spread}

    return {"section": "s", "entry": "own", "ratio": made(ratio), "norm": made(norm)}


@pytest.mark.parametrize(
    ("new", "old", "worse"),
    [
        (row(2.0), row(2.2), False),  # 9.1 % less
        (row(2.0), row(2.3), True),  # 13 % less
        (row(2.0, spread=0.2), row(2.3), False),  # the rounds differ by more
        (row(2.0), row(2.3, spread=0.2), False),  # and so did those of before
        (row(9.0), row(2.0), False),  # better
        (row(2.0, norm=3.0), row(9.0, norm=3.0), False),  # scaled ratios decide where there are
        (row(9.0, norm=2.0), row(9.0, norm=3.0), True),
        (row(2.0, norm=2.0), row(3.0), True),  # plain ones where one has no other
    ],
)
def test_what_is_a_regression(beside: Any, new: dict, old: dict, worse: bool) -> None:
    found = beside.report.regressions([new], [old])
    assert bool(found) is worse
    assert not beside.report.regressions([new], [])  # what is not in both is not compared


def test_likelihoods_agree_within_their_error(beside: Any) -> None:
    def made(entry: str, value: float, stderr: float | None) -> dict:
        parts = {"section": "likelihood", "entry": entry, "rounds": 1}
        return {**parts, "value": value, "stderr": stderr}

    rows = [made("theirs", -90.0, None), made("ours", -90.3, 0.1), made("wrong", -91.0, 0.1)]
    found = {a["entry"]: a for a in beside.report.agreement(rows)}
    assert found["ours"]["agrees"]
    assert found["ours"]["error"] == pytest.approx(0.1 * math.sqrt(2))
    assert not found["wrong"]["agrees"]


def test_a_curve_that_moves_is_seen(beside: Any) -> None:
    random = np.random.default_rng(0)

    def runs(entry: str, shift: float) -> list[dict]:
        noise = random.normal(0.0, 0.1, (5, 4))
        return [
            {"entry": entry, "seed": s, "elbo": (-90.0 + shift + noise[s]).tolist()}
            for s in range(5)
        ]

    found = beside.report.curve_verdicts(
        [*runs("base", 0.0), *runs("same", 0.0), *runs("other", 1.0)], "base"
    )
    moved = {v["entry"]: v["moved"] for v in found}
    assert moved == {"same": False, "other": True}
    assert found[1]["gap"] == pytest.approx([1.0] * 4, abs=0.3)  # five seeds, 0.1 * sqrt(2 / 5)


def test_a_step_has_the_operations_that_are_counted(beside: Any) -> None:
    """The floor's products, two operations each, are all that the networks do."""
    shapes = [shape for _, shape in beside.of_floor.products(128)]
    counted = sum(2 * m * k * n for m, k, n in shapes) / 128
    assert beside.of_floor._flop("mlp") == counted == 3_280_000  # performance notes: 3.28 MFLOP


@pytest.mark.parametrize(("net", "count"), [("mlp", 652_824), ("conv", 312_329)])
def test_all_train_the_same_networks(beside: Any, net: str, count: int) -> None:
    ours = beside.of_diabolo.recipe(net, 100).model
    theirs = beside.of_plain.VAE(net)
    shapes = [[p.shape for p in m.parameters()] for m in (ours, theirs)]
    assert shapes[0] == shapes[1]
    assert sum(p.numel() for p in ours.parameters()) == count


def test_all_maximise_the_same_bound(beside: Any) -> None:
    """With the same weights and noise, the example's loss is minus our ELBO."""
    from diabolo.objectives import elbo

    ours, theirs = beside.of_diabolo.recipe("mlp", 100).model, beside.of_plain.VAE("mlp")
    theirs.encoder.load_state_dict(ours.latent.posterior.net.state_dict())
    theirs.decoder.load_state_dict(ours.likelihood.net.state_dict())
    x = (torch.rand(8, 1, 28, 28) < 0.2).float()
    torch.manual_seed(0)
    expected = elbo(ours(x)).sum()
    torch.manual_seed(0)
    # Sums of 8 x 784 terms in float32, through a sigmoid and its logarithm on one side.
    torch.testing.assert_close(-beside.of_plain.loss(theirs, x), expected, rtol=1e-5, atol=0.0)


def test_an_entry_runs(beside: Any, tmp_path: Path) -> None:
    """A tiny training of Diabolo and of the example, and what was trained in use."""
    x = np.random.default_rng(0).integers(0, 2, (512, 1, 28, 28), dtype=np.uint8)
    for name in ("train", "test"):
        x.tofile(tmp_path / f"{name}.u8")
    task = {"net": "mlp", "batch": 128, "n": 512, "epochs": 2, "seed": 0, "data": str(tmp_path)}
    ours, plain = (
        module.train({**task, **more})
        for module, more in (
            (beside.of_diabolo, {"precision": "float32", "compile": "off"}),
            (beside.of_plain, {}),
        )
    )
    for found in (ours, plain):
        assert found["count"] == 512
        assert len(found["epochs"]) == 2
        assert found["seconds"] > 0
        assert found["parameters"] == 652_824
    assert len(ours["elbo"]) == 2

    made = beside.of_diabolo.recipe("mlp", 512).model
    weights = {
        "encoder": made.latent.posterior.net.state_dict(),
        "decoder": made.likelihood.net.state_dict(),
    }
    torch.save(weights, tmp_path / "weights.pt")
    use = {"weights": str(tmp_path / "weights.pt"), "precision": "float32", "n": 4, "k": 20}
    found = beside.of_diabolo.likelihood({**task, **use})
    assert math.isfinite(found["value"])
    assert found["stderr"] > 0


def test_more_data_than_there_are_begin_again(beside: Any, tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 2, (5, 1, 28, 28), dtype=np.uint8)
    x.tofile(tmp_path / "train.u8")
    found = beside.work.bits(tmp_path, "train", 12)
    np.testing.assert_array_equal(found.numpy(), x[np.arange(12) % 5])
    np.testing.assert_array_equal(beside.work.images(tmp_path, "train", 5, rows=2).numpy(), x)


def test_each_section_has_one_baseline(beside: Any) -> None:
    entries = beside.plan.ENTRIES
    assert len({e.key for e in entries}) == len(entries)
    for section in {e.section for e in entries} - {"floor", "startup-help"}:
        assert sum(e.baseline for e in entries if e.section == section) == 1, section
    for e in entries:
        assert bool(e.task) != bool(e.command)
        if e.task.get("task") == "train":
            assert e.task["n"] % e.task["batch"] == 0  # nobody does a step less
            assert beside.plan.quicker(e)["n"] % e.task["batch"] == 0
        if e.section == "likelihood":
            assert e.task["k"] % e.task.get("batch", 1) == 0  # the peer takes what it is asked for


def test_an_unknown_section_is_told(bench: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--only", "trian"]) == 2
    assert "No section begins with 'trian': there are encoding," in capsys.readouterr().err
    assert bench.main(["--only", "train-mlp", "--who", "nobody"]) == 2
    assert "nobody" in capsys.readouterr().err


def test_a_file_is_shown_and_compared(
    bench: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A worse file against a better one ends with 1 and names the ratio; itself, with 0."""

    def written(name: str, seconds: float) -> str:
        calls = [
            call("Pythae", 0, 4.0) | {"section": "train-mlp-b128"},
            call("Lightning", 0, seconds) | {"section": "train-mlp-b128"},
        ]
        record = {"calls": calls, "failed": [], "curves": []}
        (tmp_path / name).write_text(json.dumps(record))
        return str(tmp_path / name)

    fast, slow = written("fast.json", 2.0), written("slow.json", 2.5)
    words = ["--rounds", "0", "--append", "--out"]
    assert bench.main([*words, slow, "--against", slow]) == 0
    capsys.readouterr()
    assert bench.main([*words, slow, "--against", fast]) == 1
    told = capsys.readouterr().out
    assert "WORSE: train-mlp-b128: Lightning: ratio 2.00 -> 1.60 (-20%" in told


def test_a_failed_entry_is_told_and_the_rest_goes_on(
    bench: Any, beside: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def command(self: Any, words: list[str], **more: Any) -> dict[str, Any]:
        return {"error": "it fell over"} if "import torch" in words[-1] else dict(took)

    took = {"seconds": 1.0, "count": 1}
    monkeypatch.setattr(bench.Bench, "command", command)
    out = tmp_path / "out.json"
    made = bench.Bench(bench.arguments(["--only", "startup-import", "--out", str(out)]))
    made.args.rounds = 2
    made.rounds()
    assert made.finish(None) == 0
    record = json.loads(out.read_text())
    assert {f["error"] for f in record["failed"]} == {"it fell over"}
    assert {(c["entry"], c["round"]) for c in record["calls"]} == {
        (name, r) for name in ("Pythae", "Lightning", "Diabolo") for r in (0, 1)
    }
    again = bench.Bench(
        bench.arguments(["--only", "startup-import", "--out", str(out), "--append"])
    )
    again.args.rounds = 1
    again.rounds()
    assert max(c["round"] for c in again.record["calls"]) == 2


RECORDS = [json.loads(file.read_text()) for file in sorted(RESULTS.glob("bench*.json"))]


@pytest.fixture(params=RECORDS, ids=lambda r: r["machine"])
def record(request: pytest.FixtureRequest) -> dict[str, Any]:
    return request.param


def test_results_are_compared_with_the_same_machine(
    bench: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for record in RECORDS:
        assert bench.committed(RESULTS, record["machine"]) == record
    assert capsys.readouterr().out == ""
    bench.committed(RESULTS, "an abacus")
    assert "another machine" in capsys.readouterr().out


def test_committed_rows_follow_from_the_committed_calls(bench: Any, record: dict) -> None:
    again = bench.rows_of(record["calls"])
    assert [(r["section"], r["entry"]) for r in again] == [
        (r["section"], r["entry"]) for r in record["rows"]
    ]
    for new, old in zip(again, record["rows"], strict=True):
        if old["ratio"]:
            # Numbers in the file have five digits.
            assert new["ratio"]["median"] == pytest.approx(old["ratio"]["median"], rel=1e-3)


def test_committed_results_say_where_they_come_from(record: dict) -> None:
    growth = json.loads((RESULTS / "growth.json").read_text())
    for found in (record, growth):
        assert all(found["versions"].values())
        assert found["machine"]
        assert found["commit"]
        assert found["date"]
    for p in growth["points"]:
        assert p["axis"] in ("latent", "data", "k")
        assert p["seconds"] > 0


def test_the_page_shows_the_results(record: dict, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    found = importlib.util.spec_from_file_location("bench_pages", ROOT / "docs" / "bench_pages.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    module.write(tmp_path, RESULTS)
    text = (tmp_path / "bench.inc").read_text()
    assert record["machine"] in text
    first = json.loads((RESULTS / "bench.json").read_text())
    for section in {r["section"] for r in first["rows"]}:
        assert f"### {module.TITLES[section]}" in text
    assert (tmp_path / "growth.inc").read_text()

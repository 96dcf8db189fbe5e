"""Every tracker has what the history has, goes on with its record, and never stops a training."""

from __future__ import annotations

import csv as tables
import importlib
import json
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import diabolo
from diabolo import ranks
from diabolo.__main__ import main
from diabolo.config import RunConfig, TrainConfig
from diabolo.errors import DiaboloError
from diabolo.run import Interrupted
from diabolo.trackers import TRACKERS, Place, Tracker, Tracking, numbers, settings
from diabolo.trackers._base import Record
from diabolo.train import Row

PACKAGES = {"mlflow": "mlflow", "tensorboard": "tensorboard"}  # real ones, where installed
STOOD_FOR = ("trackio", "wandb")  # a stand-in records what they are told

CONFIG = RunConfig(options={"latent": 3, "net": None}, train=TrainConfig(learning_rate=0.003))


def row(epoch: int, groups: int = 1) -> Row:
    """An epoch whose numbers no float32 holds."""
    rate = tuple(0.1 * (epoch + g) for g in range(groups))
    return Row(
        epoch=epoch,
        step=7 * epoch,
        seconds=0.3 * epoch,
        learning_rate=0.003 / epoch,
        objective=-100.1 / epoch,
        distortion=99.7 / epoch,
        rate=rate,
        penalty=0.0,
        valid_elbo=-101.3 / epoch,
        valid_distortion=100.9 / epoch,
        valid_rate=rate,
        best=epoch % 2 == 1,
    )


class Recorder(ModuleType):
    """Stands for a package with the call `init(...) -> run`, and keeps what its runs are told."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None)
        self.runs: dict[str, SimpleNamespace] = {}
        self.opened: list[dict[str, Any]] = []

    def Image(self, path: Any) -> str:
        return Path(path).name

    def init(self, **given: Any) -> SimpleNamespace:
        self.opened.append(given)
        key = given.get("id") or given["name"]
        run = self.runs.get(key)
        if run is None:
            run = SimpleNamespace(name=key, rows={}, summary={}, config=given["config"], ended=[])

            def log(values: dict[str, Any], step: int | None = None) -> None:
                assert not (step in run.rows and "epoch" in values), "an epoch is told twice"
                run.rows.setdefault(step, {}).update(values)

            run.log = log
            run.finish = lambda exit_code=0: run.ended.append(exit_code)
            self.runs[key] = run
        return run


Rows = dict[int, dict[str, float]]


def read_csv(folder: Path, package: Any) -> tuple[Rows, dict[str, str], dict[str, float]]:
    with (folder / "history.csv").open(newline="") as file:
        rows = [{k: float(v) for k, v in r.items()} for r in tables.DictReader(file)]
    with (folder / "settings.csv").open(newline="") as file:
        told = {r["name"]: r["value"] for r in tables.DictReader(file)}
    with (folder / "final.csv").open(newline="") as file:
        last = {r["name"]: float(r["value"]) for r in tables.DictReader(file)}
    return {int(r.pop("step")): r for r in rows}, told, last


def read_tensorboard(folder: Path, package: Any) -> tuple[Rows, dict[str, str], dict[str, float]]:
    from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
    from tensorboard.util import tensor_util

    found = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    found.Reload()
    rows: Rows = {}
    last: dict[str, float] = {}
    for tag in found.Tags()["tensors"]:
        for event in found.Tensors(tag):
            if found.SummaryMetadata(tag).plugin_data.plugin_name != "scalars":
                continue
            value = float(tensor_util.make_ndarray(event.tensor_proto))
            if tag.startswith("final/"):
                last[tag.removeprefix("final/")] = value
            else:
                assert tag not in rows.get(event.step, {}), "an epoch is told twice"
                rows.setdefault(event.step, {})[tag] = value
    content = found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    start = HParamsPluginData.FromString(content).session_start_info.hparams
    told = {k: str(getattr(v, v.WhichOneof("kind"))).removesuffix(".0") for k, v in start.items()}
    return rows, told, last


def read_mlflow(folder: Path, package: Any) -> tuple[Rows, dict[str, str], dict[str, float]]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=package)
    id = json.loads((folder / "record.json").read_text())["id"]
    run = client.get_run(id)
    rows: Rows = {}
    last = {}
    for name in run.data.metrics:
        for metric in client.get_metric_history(id, name):
            if name.startswith("final."):
                last[name.removeprefix("final.")] = metric.value
            else:
                assert name not in rows.get(metric.step, {}), "an epoch is told twice"
                rows.setdefault(metric.step, {})[name] = metric.value
    return rows, run.data.params, last


def read_recorder(folder: Path, package: Any) -> tuple[Rows, dict[str, str], dict[str, float]]:
    (run,) = package.runs.values()
    rows = {
        s: {k: v for k, v in r.items() if not {".", "/"} & {*k}}
        for s, r in run.rows.items()
        if s is not None
    }
    every = {**run.summary, **{k: v for r in run.rows.values() for k, v in r.items()}}
    last = {k.removeprefix("final."): v for k, v in every.items() if k.startswith("final.")}
    return rows, {k: str(v) for k, v in run.config.items()}, last


READERS: dict[str, Callable[..., Any]] = {
    "csv": read_csv,
    "mlflow": read_mlflow,
    "tensorboard": read_tensorboard,
    **dict.fromkeys(STOOD_FOR, read_recorder),
}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory, mlflow_database: Path) -> str:
    place = shutil.copy(mlflow_database, tmp_path_factory.mktemp("mlflow") / "mlflow.db")
    return f"sqlite:///{place}"


@pytest.fixture(params=TRACKERS.names())
def tracker(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[tuple[str, str, Any]]:
    """The name of a tracker, a call of it, and what its reader needs."""
    name: str = request.param
    monkeypatch.chdir(tmp_path)  # MLflow's files lie beside its database, or here
    if name in STOOD_FOR:
        package = Recorder(name)
        monkeypatch.setitem(sys.modules, name, package)
        yield name, name, package
        return
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name], reason=f"{PACKAGES[name]} is not installed")
    with warnings.catch_warnings():
        if name == "mlflow":  # of SQLAlchemy and the like, which are none of ours
            warnings.simplefilter("ignore")
            uri = request.getfixturevalue("database")
            yield name, f"mlflow(uri='{uri}', experiment='{tmp_path.name}')", uri
        else:
            yield name, name, None


def picture(folder: Path) -> Path:
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(folder / "curve.png")
    return folder / "curve.png"


METRICS = {"valid": {"elbo": -9.3, "rate": [0.7]}, "latents": {"mean": [0.0]}}


@pytest.mark.parametrize("groups", [1, 2])
def test_a_record_is_the_history(tmp_path: Path, tracker: Any, groups: int) -> None:
    name, call, package = tracker
    failed: list[str] = []
    tracking = Tracking(call, tmp_path, "run", say=failed.append)
    rows = [row(e, groups) for e in (1, 2, 3)]
    for event in ("a note", CONFIG, *rows):
        tracking(event)
    tracking.end(METRICS, figures={"curve": picture(tmp_path)})
    assert failed == []
    found, told, last = READERS[name](tmp_path / name, package)
    # Exactly: what is stored is double precision.
    assert found == {r.step: numbers(r) for r in rows}
    assert last == {"valid.elbo": -9.3, "valid.rate_1": 0.7}
    for setting, value in settings(CONFIG).items():
        number = isinstance(value, float | int) and not isinstance(value, bool)
        assert (float(told[setting]) if number else told[setting]) == (
            value if number else str(value)
        )


def test_a_record_is_gone_on_with(tmp_path: Path, tracker: Any) -> None:
    """A training told of 3 epochs, was killed, and goes on elsewhere from the state after 2."""
    name, call, package = tracker
    failed: list[str] = []
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    after.mkdir()
    tracking = Tracking(call, before, "run", say=failed.append)
    for event in (CONFIG, row(1), row(2), row(3)):
        tracking(event)
    tracking.close()
    going = Tracking.again(before, "run", into=after, say=failed.append)
    for event in (CONFIG, row(3), row(4)):
        going(event)
    going.end(METRICS)
    late = Tracking.again(after, "run", say=failed.append)
    late.end({"evaluation": {"elbo": {"value": -9.7}}})
    assert failed == []
    found, _, last = READERS[name](after / name, package)
    assert found == {r.step: numbers(r) for r in map(row, (1, 2, 3, 4))}
    assert last["evaluation.elbo.value"] == -9.7


def test_records_of_one_second_are_read_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorBoard sorts its files by name, in which the tenth of a process precedes the ninth."""
    writer = pytest.importorskip(
        "tensorboard.summary.writer.event_file_writer", reason="tensorboard is not installed"
    )
    monkeypatch.setattr(writer, "_global_uid", writer.AtomicCounter(9))
    first = Tracking("tensorboard", tmp_path, "run")
    for event in (CONFIG, row(1), row(2), row(3)):
        first(event)
    first.close()
    second = Tracking("tensorboard", tmp_path, "run")
    for event in (row(3), row(4)):
        second(event)
    second.end(METRICS)
    found, _, _ = read_tensorboard(tmp_path / "tensorboard", None)
    assert found == {r.step: numbers(r) for r in map(row, (1, 2, 3, 4))}


def test_rate_is_summed_and_parted() -> None:
    one, two = numbers(row(1)), numbers(row(1, 2))
    assert set(one) == {f.name for f in fields(Row)} - {"step"}
    assert set(two) - set(one) == {"rate_1", "rate_2", "valid_rate_1", "valid_rate_2"}
    assert two["rate"] == two["rate_1"] + two["rate_2"]


class Broken(Tracker):
    """Fails from some epoch on."""

    def begin(self, settings: Any, notes: Any) -> None:
        self.told: list[str] = []

    def log(self, step: int, numbers: Any) -> None:
        self.told.append("log")
        raise OSError(28, "No space left on device")

    def end(self, numbers: Any, figures: Any, ended: Any) -> None:
        self.told.append("end")


def test_a_tracker_that_fails_is_told_once_and_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Broken()
    build = TRACKERS.build
    monkeypatch.setattr(
        TRACKERS, "build", lambda call, place: broken if call == "wandb" else build(call, place)
    )
    told: list[str] = []
    tracking = Tracking(("wandb", "csv"), tmp_path, "run", say=told.append)
    for event in (CONFIG, row(1), row(2)):
        tracking(event)
    tracking.end(METRICS)
    assert broken.told == ["log"]
    (sentence,) = told
    assert "'wandb' failed and is left out" in sentence
    assert "No space left" in sentence
    found, _, _ = read_csv(tmp_path / "csv", None)
    assert len(found) == 2


@pytest.mark.parametrize("name", [n for n in TRACKERS.names() if n != "csv"])
def test_a_package_that_lacks_is_told_before(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(f"diabolo.trackers.{name}")
    monkeypatch.setattr(module, "find_spec", lambda package: None)
    with pytest.raises(DiaboloError, match=rf"pip install 'diabolo\[{name}\]'"):
        Tracking(name, Path("nowhere"), "run")


MISTAKES = {
    "tensorbord": "Did you mean 'tensorboard'",
    "csv(foldr='x')": "Did you mean 'folder'",
    "csv(folder='a'),csv": "named twice",
    "csv(": "Expected a name",
    "csv": "name one with out",
}


@pytest.mark.parametrize(("call", "told"), MISTAKES.items())
def test_a_mistake_is_a_sentence(
    call: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DiaboloError, match=told) as caught:
        Tracking(call, None, "run")
    assert "\n" not in str(caught.value)


def test_several_are_named_in_one_word(tmp_path: Path) -> None:
    tracking = Tracking("tensorboard,csv(folder='a,b')", tmp_path, "run")
    assert list(tracking.trackers) == ["tensorboard", "csv"]
    assert Tracking((), tmp_path / "none", "run").trackers == {}


def test_a_folder_of_the_users_own_has_one_for_each_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tracking = Tracking("csv(folder='tables')", None, "run-2")
    for event in (replace(CONFIG, recipe="ae"), row(1)):
        tracking(event)
    assert (tmp_path / "tables" / "run-2" / "history.csv").is_file()


def test_a_place_names_itself() -> None:
    with pytest.raises(DiaboloError, match="csv"):
        Place(None, "run").within("csv", None)


SMALL: dict[str, Any] = {"net": "mlp(hidden=(8,))", "latent": 2, "batch_size": 16}
FILES = pytest.mark.parametrize("name", ["csv", "tensorboard"])


def needed(name: str) -> None:
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name], reason=f"{PACKAGES[name]} is not installed")


def values() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)


def history(run: Path) -> Rows:
    """The history that every run keeps, by the names that trackers use."""
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    rows = [
        Row(**{**r, "rate": tuple(r["rate"]), "valid_rate": tuple(r["valid_rate"])}) for r in lines
    ]
    return {r.step: numbers(r) for r in rows}


@FILES
def test_fit_tracks_its_history(name: str, tmp_path: Path) -> None:
    needed(name)
    run = diabolo.fit(values(), out=tmp_path / "run", track=name, epochs=2, **SMALL)
    found, told, last = READERS[name](tmp_path / "run" / name, None)
    assert found == history(tmp_path / "run")
    assert len(found) == 2
    assert float(told["options.latent"]) == 2
    assert last["valid.elbo"] == run.metrics["valid"]["elbo"]
    assert diabolo.load(tmp_path / "run").history == run.history


@FILES
@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_a_resumed_run_has_one_whole_record(
    name: str, error: type[BaseException], tmp_path: Path
) -> None:
    """An interrupt saves the run and its state; any other end leaves what was written before."""
    needed(name)

    def stop(event: Any) -> None:
        if isinstance(event, Row) and event.epoch == 3:
            raise error

    place = tmp_path / "run"
    with pytest.raises((Interrupted, error)):
        diabolo.fit(
            values(),
            out=place,
            track=name,
            epochs=4,
            checkpoint_minutes=1e-9,
            progress=stop,
            **SMALL,
        )
    diabolo.resume(place, values())
    found, _, last = READERS[name](place / name, None)
    assert found == history(place)
    assert len(found) == 4
    assert "valid.elbo" in last
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


@FILES
def test_the_command_tracks_numbers_found_after_training(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    needed(name)
    np.save(tmp_path / "x.npy", values())
    words = ["fit", str(tmp_path / "x.npy"), "--out", str(tmp_path / "run"), "--track", name]
    words += ["--k", "5", "--set", "epochs=2", "latent=2", "net=mlp(hidden=(8,))"]
    assert main(words) == 0
    found, _, last = READERS[name](tmp_path / "run" / name, None)
    assert found == history(tmp_path / "run")
    metrics = diabolo.load(tmp_path / "run").metrics
    assert last["evaluation.elbo.value"] == metrics["evaluation"]["elbo"]["value"]
    assert main(["fit", "--resume", str(tmp_path / "run"), "--track", name]) == 2
    assert "leave --track out" in capsys.readouterr().err


def test_a_package_that_lacks_ends_the_command_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = importlib.import_module("diabolo.trackers.tensorboard")
    monkeypatch.setattr(module, "find_spec", lambda package: None)
    out = tmp_path / "runs" / "run"
    assert main(["fit", "digits", "--out", str(out), "--track", "tensorboard"]) == 2
    assert "pip install 'diabolo[tensorboard]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_mistake_in_the_data_leaves_no_record(tmp_path: Path) -> None:
    bad = values()
    bad[3, 1] = np.nan
    with pytest.raises(DiaboloError, match="row 3"):
        diabolo.fit(bad, out=tmp_path / "run", track=f"csv(folder='{tmp_path}/tables')")
    assert not list(tmp_path.iterdir())


def test_only_the_leading_process_tracks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "lead", lambda: False)
    tracking = Tracking("csv", tmp_path, "run")
    for event in (CONFIG, row(1)):
        tracking(event)
    tracking.end(METRICS)
    assert not list(tmp_path.iterdir())
    with pytest.raises(DiaboloError, match="Did you mean"):
        Tracking("cvs", tmp_path, "run")


@pytest.mark.parametrize("content", ["", '{"id": ', "[]", '{"id": "a"}'])
def test_a_damaged_record_begins_anew_and_says_so(content: str, tmp_path: Path) -> None:
    said: list[str] = []
    place = Place(tmp_path, "run", said.append)
    Record(place).keep(id="a", step=3)
    assert (Record(place).id, Record(place).step, said) == ("a", 3, [])
    (tmp_path / "record.json").write_text(content)
    found = Record(place)
    assert (found.id, found.step) == (None, -1)
    assert said == [f"{tmp_path / 'record.json'} is damaged: a new record begins."]


@pytest.mark.parametrize("content", ["", '["csv', "3"])
def test_damaged_names_of_trackers_are_said(content: str, tmp_path: Path) -> None:
    Tracking("csv", tmp_path, "run")
    assert list(Tracking.again(tmp_path, "run").trackers) == ["csv"]
    (tmp_path / "tracking.json").write_text(content)
    said: list[str] = []
    assert Tracking.again(tmp_path, "run", say=said.append).trackers == {}
    assert len(said) == 1
    assert "tracking.json is damaged" in said[0]


def test_a_crash_while_a_record_is_kept_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Record(Place(tmp_path, "run"))
    record.keep(id="a", step=3)

    def crash(*_: Any) -> None:
        raise OSError("crash")

    monkeypatch.setattr("diabolo.checkpoint.os.replace", crash)
    with pytest.raises(OSError, match="crash"):
        record.keep(step=4)
    assert Record(Place(tmp_path, "run")).step == 3

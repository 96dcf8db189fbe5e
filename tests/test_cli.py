"""The command line: one real run and everything that can be done with it."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pyarrow import csv

from diabolo.__main__ import main
from diabolo.cli import verbs

SMALL = ["--set", "latent=3", "net=mlp(hidden=(16,))", "train.epochs=2", "data.limit=300"]
FILES = {"run.json", "weights.safetensors", "history.jsonl"}


def call(*argv: object) -> int:
    return main([str(a) for a in argv])


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run on digits, and beside it `x.npy` with its first data."""
    folder = tmp_path_factory.mktemp("cli")
    assert call("fit", "digits", *SMALL, "--out", folder / "run", "--k", 5) == 0
    from sklearn.datasets import load_digits

    np.save(folder / "x.npy", load_digits().images[:20].astype(np.uint8))
    return folder / "run"


@pytest.fixture(scope="module")
def by_class(tmp_path_factory) -> Path:
    """A run that is conditional on the class of a digit."""
    place = tmp_path_factory.mktemp("cli") / "run"
    argv = ["fit", "digits", "--condition", "labels", *SMALL, "--out", place, "--k", 5]
    assert call(*argv) == 0
    return place


def process(*argv: object, **options) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **options.pop("env", {})}
    words = [sys.executable, "-m", "diabolo", *map(str, argv)]
    pipe = subprocess.PIPE
    return subprocess.Popen(words, env=environment, stdout=pipe, stderr=pipe, text=True, **options)


def test_help_imports_nothing_heavy():
    heavy = "{'torch', 'sklearn', 'numpy', 'matplotlib', 'pyarrow', 'scipy', 'pydantic', 'zuko'}"
    code = (
        "import sys; from diabolo.__main__ import main; code = main(['--help']); "
        f"print(sorted({heavy} & set(sys.modules))); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
    for verb in verbs():
        assert f" {verb} " in done.stdout


@pytest.mark.skipif(os.name != "posix", reason="the processor time of children is POSIX")
def test_help_takes_less_than_half_a_second(tmp_path):
    import resource

    # Processor time, so that a busy machine does not count; the first call fills the cache.
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    spent = []
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        words = [sys.executable, "-m", "diabolo", "--help"]
        subprocess.run(words, env=environment, stdout=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert spent[1] < 0.5


@pytest.mark.parametrize("verb", sorted(verbs()))
def test_each_verb_has_help(verb, capsys):
    assert call(verb, "--help") == 0
    told = capsys.readouterr()
    assert verbs()[verb].split()[0] in told.out
    assert told.err == ""


def test_version(capsys):
    from importlib.metadata import version

    assert call("--version") == 0
    assert capsys.readouterr().out.strip() == f"diabolo {version('diabolo')}"


def test_fit_leaves_a_whole_run(run):
    assert {p.name for p in run.iterdir()} >= FILES
    facts = json.loads((run / "run.json").read_text())
    assert facts["metrics"]["evaluation"]["k"] == 5
    from diabolo.panels import QUICK

    assert {p.stem for p in (run / "figures").iterdir()} == set(QUICK)


def test_fit_json_is_one_object_on_stdout(tmp_path, capsys):
    argv = ["fit", "digits", *SMALL, "--out", tmp_path / "run", "--k", 5, "--json"]
    assert call(*argv) == 0
    told = capsys.readouterr()
    value = json.loads(told.out)
    assert value["epochs"] == 2
    assert value["log_likelihood"]["k"] == 5
    assert {"mc_stderr", "data_stderr"} <= set(value["log_likelihood"])
    assert set(value["figures"]) >= {"samples", "learning_curve"}
    assert "training on digits" in told.err


def test_fit_table_has_what_was_promised(run, capsys):
    assert call("evaluate", run, "--k", 7) == 0
    told = capsys.readouterr().out
    for word in ("ELBO", "rate", "distortion", "log-likelihood", "k=7", "mc_stderr", "data_stderr"):
        assert word in told
    assert "active units" in told
    assert "bits per dimension" in told


def test_evaluate_on_a_file_and_as_json(run, capsys):
    assert call("evaluate", run, run.parent / "x.npy", "--k", 5, "--json") == 0
    value = json.loads(capsys.readouterr().out)
    assert value["n"] == 20
    assert value["elbo"]["value"] < value["log_likelihood"]["value"] < 0


def test_evaluate_in_full_ends_with_a_verdict(run, capsys):
    x = run.parent / "x.npy"
    assert call("evaluate", run, x, "--k", 5, "--full") == 0
    told, err = capsys.readouterr()
    works = [line for line in err.splitlines() if line.endswith(" ...")]
    assert works == ["measuring by importance with k=5 ...", "diagnosing ..."]
    parts = (
        "Latent elements",
        "code costs",
        "decoder makes",
        "codes of all data",
        "q loses of the bound",
        "probabilities are worth",
        "VERDICT",
    )
    places = [told.index(part) for part in parts]
    assert places == sorted(places)
    assert call("evaluate", run, x, "--k", 5, "--full", "--json") == 0
    found = json.loads(capsys.readouterr().out)["diagnosis"]
    assert {"rate_elements", "sensitivity", "sections", "verdict"} <= set(found)
    assert {"name", "fault", "sentence", "remedy"} == set(found["verdict"][0])


@pytest.mark.usefixtures("hardly_tuned")
def test_evaluate_by_another_method_on_the_first_rows(run, capsys):
    x = run.parent / "x.npy"
    argv = ["evaluate", run, x, "--rows", 3, "--json", "--method"]
    assert call(*argv, "annealed(temperatures=4)", "--k", 2) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["n"] == 3
    assert value["data"].startswith("the first 3 of ")
    assert "2 chains of 4 temperatures from the prior" in value["log_likelihood"]["kind"]
    assert 0 <= value["log_likelihood"]["acceptance_min"] <= 1
    assert call(*argv, "prior", "--k", 5) == 0
    assert "samples of the prior, k=5" in capsys.readouterr().out
    assert call(*argv, "exact", "--k", 5) == 2
    assert "k has no effect on the method 'exact'" in capsys.readouterr().err
    assert call("evaluate", run, x, "--rows", 21) == 2
    assert "--rows is 1 to 20" in capsys.readouterr().err


def read(path: Path) -> np.ndarray:
    """Returns whatever was written as rows of numbers."""
    if path.suffix == ".npy":
        array = np.load(path)
    elif path.suffix == ".npz":
        with np.load(path) as arrays:
            array = arrays[arrays.files[0]]
    else:
        table = csv.read_csv(path) if path.suffix == ".csv" else pq.read_table(path)
        table = table.drop([n for n in ("row", "file") if n in table.column_names])
        array = np.stack([c.to_numpy() for c in table.columns], 1)
    return array.reshape(len(array), -1)


VERBS = {
    "sample": ["-n", 4],
    "reconstruct": ["DATA"],
    "encode": ["DATA"],
    "decode": ["CODES"],
    "interpolate": ["DATA", "--a", 1, "--b", 2, "--steps", 4],
    "traverse": ["--steps", 4],
    "score": ["DATA", "--k", 5],
}
ROWS = {"sample": 4, "reconstruct": 20, "encode": 20, "decode": 20, "interpolate": 4, "score": 20}


def words(run: Path, verb: str) -> list[object]:
    files = {"DATA": run.parent / "x.npy", "CODES": run.parent / "z.npy"}
    return [verb, run, *(files.get(w, w) if isinstance(w, str) else w for w in VERBS[verb])]


@pytest.mark.parametrize("verb", VERBS)
def test_formats_hold_the_same_numbers(verb, run, tmp_path, capsys):
    assert call("encode", run, run.parent / "x.npy", "--out", run.parent / "z.npy") == 0
    found = {}
    for kind in ("npz", "npy", "csv", "parquet"):
        capsys.readouterr()
        assert call(*words(run, verb), "--out", tmp_path / f"x.{kind}", "--json") == 0
        assert json.loads(capsys.readouterr().out)["out"].endswith(kind)
        found[kind] = read(tmp_path / f"x.{kind}").reshape(-1)
    for kind, values in found.items():
        # CSV has no types: the shortest decimals of a float32 are read as another float64.
        same = values.astype(found["npz"].dtype)
        np.testing.assert_array_equal(same, found["npz"], err_msg=kind)
    size = {"encode": 3, "score": 1}.get(verb, 64)
    assert len(found["npy"]) == size * ROWS.get(verb, 3 * 4)


@pytest.mark.parametrize("verb", sorted(set(VERBS) - {"encode", "score"}))
def test_png_is_a_grid_of_pictures(verb, run, tmp_path):
    assert call("encode", run, run.parent / "x.npy", "--out", run.parent / "z.npy") == 0
    assert call(*words(run, verb), "--out", tmp_path / "x.png") == 0
    with Image.open(tmp_path / "x.png") as picture:
        grey = np.asarray(picture)
    assert grey.dtype == np.uint8
    assert grey.ndim == 2
    assert min(grey.shape) >= 48
    assert grey.std() > 5  # something is to be seen


@pytest.mark.parametrize("verb", ["encode", "score"])
def test_png_is_refused_where_there_is_no_picture(verb, run, tmp_path, capsys):
    assert call(*words(run, verb), "--out", tmp_path / "x.png") == 2
    assert "PNG is for pictures" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("verb", ["encode", "score"])
def test_rows_of_a_table_can_be_traced(verb, run, tmp_path):
    for i, picture in enumerate(np.load(run.parent / "x.npy")[:6]):
        place = tmp_path / "images" / "ab"[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture * 15).save(place / f"{9 - i}.png")
    argv = ["fit", tmp_path / "images", *SMALL[:3], "train.epochs=1", "data.valid=2"]
    assert call(*argv, "--out", tmp_path / "run", "--k", 2) == 0
    for kind, reader in (("csv", csv.read_csv), ("parquet", pq.read_table)):
        out = tmp_path / f"x.{kind}"
        assert call(verb, tmp_path / "run", tmp_path / "images", "--out", out) == 0
        first = reader(out)[0].to_pylist()
        assert first == ["a/5.png", "a/7.png", "a/9.png", "b/4.png", "b/6.png", "b/8.png"]
        assert reader(out).column_names[0] == "file"
        assert call(verb, run, run.parent / "x.npy", "--out", out) == 0
        assert reader(out).column_names[0] == "row"
        assert reader(out)[0].to_pylist() == list(range(20))


def test_encode_with_variance(run, tmp_path):
    out = tmp_path / "z.npz"
    assert call("encode", run, run.parent / "x.npy", "--variance", "--out", out) == 0
    with np.load(out) as arrays:
        assert arrays["z"].shape == arrays["variance"].shape == (20, 3)
        assert (arrays["variance"] > 0).all()


def test_sample_repeats_with_its_seed(run, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        out = tmp_path / f"{name}.npy"
        assert call("sample", run, "-n", 3, "--seed", seed, "--out", out) == 0
    a, b, c = (np.load(tmp_path / f"{name}.npy") for name in "abc")
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()


def test_sample_of_a_class(by_class, tmp_path):
    assert call("sample", by_class, "-n", 3, "--label", 3, "--out", tmp_path / "x.npy") == 0
    assert np.load(tmp_path / "x.npy").shape == (3, 8, 8)


@pytest.mark.usefixtures("undrawn")
def test_fit_starts_from_a_run(run, tmp_path, capsys):
    argv = ["fit", "digits", "--from", run, "--set", "train.epochs=1", "data.limit=300"]
    assert call(*argv, "--out", tmp_path / "more", "--k", 5) == 0
    assert "1 epoch" in capsys.readouterr().out


def test_list_names_everything(capsys):
    from diabolo.recipes import RECIPES

    assert call("list") == 0
    told = capsys.readouterr().out
    for name in (*RECIPES.names(), "Bernoulli", "digits", "mlp"):
        assert name in told


@pytest.mark.parametrize(
    "kind", ["recipes", "likelihoods", "priors", "posteriors", "networks", "data", "settings"]
)
def test_list_says_what_each_is(kind, capsys):
    assert call("list", kind, "--json") == 0
    members = json.loads(capsys.readouterr().out)[kind]
    assert members
    for name, member in members.items():
        assert len(member["summary"]) > 10, name


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_the_verbs(shell, capsys):
    assert call("completion", shell) == 0
    told = capsys.readouterr().out
    for verb in verbs():
        assert verb in told


def quick_pages(monkeypatch) -> None:
    """Pages of a demo with few steps and one figure."""
    import importlib

    from diabolo.evaluate import diagnosis

    for name, few in (("CLIMB", 2), ("DRAWN", 4), ("SIMULATED", 40), ("RANKED", 9)):
        monkeypatch.setattr(diagnosis, name, few)
    module = importlib.import_module("diabolo.reports.report")
    monkeypatch.setattr(module, "CHAPTERS", module.CHAPTERS[:1])


def test_demo_is_shown_again_and_not_trained_again(run, tmp_path, monkeypatch, capsys):
    quick_pages(monkeypatch)
    before = (run / "weights.safetensors").stat().st_mtime_ns
    assert call("demo", "--out", run) == 0
    told = capsys.readouterr()
    assert "--force" in told.err
    assert "log-likelihood" in told.out
    assert "samples.png" in told.out
    assert (run / "weights.safetensors").stat().st_mtime_ns == before


def test_demo_trains_and_draws(tmp_path, monkeypatch, capsys):
    from dataclasses import replace

    from diabolo.run.presets import PRESETS

    small = {"latent": 2, "net": "mlp(hidden=(16,))"}
    quick_pages(monkeypatch)
    short = replace(PRESETS["digits"], recipe=small, train={"epochs": 1, "batch_size": 500})
    monkeypatch.setitem(PRESETS, "digits", short)
    monkeypatch.chdir(tmp_path)
    assert call("demo") == 0
    told = capsys.readouterr().out
    assert "runs/demo/figures/manifold.png" in told
    place = tmp_path / "runs" / "demo"
    assert {p.name for p in place.iterdir()} >= FILES | {"report.html"}
    assert "diabolo report runs/demo" in told
    assert "open runs/demo/report.html" in told
    assert len(list((place / "figures").glob("*.png"))) == 5


def test_interrupt_leaves_a_usable_run(run, tmp_path):
    place = tmp_path / "stopped"
    argv = ["fit", "digits", *SMALL[:3], "train.epochs=1000000", "data.limit=200"]
    argv += ["train.compile=off"]  # as a long training would begin
    child = process(*argv, "--out", place, "--k", 5, env={"NO_COLOR": "1"})
    try:
        assert child.stderr is not None
        for line in child.stderr:
            if "epoch 1/" in line:
                break
        time.sleep(0.2)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=120)
    finally:
        child.kill()
    assert child.returncode == 130
    assert out == ""
    assert "usable run" in err
    assert "stopped" in err
    assert "Traceback" not in err
    assert "\x1b" not in err  # no terminal, no colours
    assert call("sample", place, "-n", 2, "--out", tmp_path / "x.png") == 0


def test_bar_shows_on_a_terminal():
    """A bar with the time left, where stderr is a terminal; no line of it in what is piped."""
    import io

    from rich.console import Console

    from diabolo.cli._talk import Training
    from diabolo.config import RunConfig, TrainConfig
    from diabolo.train import Row

    page = io.StringIO()
    with Training("training") as training:
        training.console = Console(file=page, force_terminal=True, width=120, _environ={})
        training(RunConfig(train=TrainConfig(epochs=4)))
        nats = {"objective": -9.0, "distortion": 8.0, "rate": (1.0,), "penalty": 0.0}
        held = {"valid_elbo": -9.5, "valid_distortion": 8.5, "valid_rate": (1.0,), "best": True}
        training(Row(epoch=1, step=9, seconds=20.0, learning_rate=1e-3, **nats, **held))
    told = page.getvalue()
    assert "1 min 0 s left" in told  # 20 s for one epoch of four
    assert "-9.50 nats" in told


@pytest.mark.usefixtures("undrawn")
def test_evaluation_says_which_data_it_measured(run, tmp_path, capsys):
    assert call("evaluate", run, "--k", 2) == 0
    assert "vae on test data" in capsys.readouterr().out
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(40, 2)))
    small = ["--set", "latent=2", "net=mlp(hidden=(8,))", "train.epochs=1"]
    assert call("fit", tmp_path / "x.npy", *small, "--out", tmp_path / "run", "--k", 2) == 0
    capsys.readouterr()
    assert call("evaluate", tmp_path / "run", "--k", 2, "--json") == 0
    assert json.loads(capsys.readouterr().out)["data"] == "validation data"


@pytest.mark.usefixtures("undrawn")
def test_files_are_read_as_in_training(tmp_path):
    """The key of the data and that of the labels hold for new files too; a flag names others."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)), np.arange(40) % 2
    np.savez(tmp_path / "a.npz", values=x, kind=y, other=x[:, :2])
    np.savez(tmp_path / "b.npz", values=x, sort=y, other=x[:, :2])
    flags = ["--key", "values", "--labels", "kind", "--condition", "labels"]
    small = ["--set", "latent=2", "net=mlp(hidden=(8,))", "train.epochs=1"]
    place = tmp_path / "run"
    assert call("fit", tmp_path / "a.npz", *flags, *small, "--out", place, "--k", 2) == 0
    assert call("score", place, tmp_path / "a.npz", "--out", tmp_path / "a.npy", "--k", 2) == 0
    argv = ["score", place, tmp_path / "b.npz", "--labels", "sort", "--k", 2]
    assert call(*argv, "--out", tmp_path / "b.npy") == 0
    assert np.array_equal(np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy"))


def test_marginal_needs_no_labels(by_class, run, tmp_path, capsys):
    x = run.parent / "x.npy"
    assert call("evaluate", by_class, x, "--k", 2, "--marginal", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert "log p(x) " in found["log_likelihood"]["kind"]
    assert "elbo" not in found
    argv = ["score", by_class, x, "--k", 2, "--marginal", "--out", tmp_path / "x.npz", "--json"]
    assert call(*argv) == 0
    assert json.loads(capsys.readouterr().out)["quantity"] == "log_px"
    assert list(np.load(tmp_path / "x.npz")) == ["log_px"]
    assert call("evaluate", by_class, x, "--k", 2) == 2  # log p(x|c) needs them


def test_training_begins_with_where_it_computes(capsys):
    from diabolo.cli._talk import Training
    from diabolo.config import RunConfig, TrainConfig

    with Training("training") as training:
        training(RunConfig(train=TrainConfig(device="cpu", epochs=3)))
    assert capsys.readouterr().err == "training: 3 epochs (cpu, float32, not compiled)\n"


def test_names_of_runs_that_are_being_trained_are_not_taken(tmp_path):
    from diabolo.run.folder import free

    (tmp_path / "run").mkdir()
    (tmp_path / ".run-2.part").mkdir()
    assert free(tmp_path / "run").name == "run-3"


@pytest.mark.parametrize("kind", ["draws", "means"])
def test_evaluate_tells_how_good_samples_are(run, capsys, monkeypatch, kind):
    monkeypatch.setattr("diabolo.evaluate.samples.classifier.STEPS", 20)
    assert call("evaluate", run, "--k", 2, "--rows", 100, "--samples", kind) == 0
    told = capsys.readouterr().out
    for words in ("SAMPLES (100", kind, "Frechet distance", "near copies", "% accuracy"):
        assert words in told
    assert call("evaluate", run, "--k", 2, "--rows", 100, "--samples", kind, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["samples"]["samples"] == kind
    assert found["samples"]["n"] == 100
    assert found["elbo"]["n"] == 100


def test_anomalies_are_written_and_told(run, tmp_path, capsys):
    x = run.parent / "x.npy"
    out = tmp_path / "a.csv"
    argv = ["anomalies", run, x, "--out", out, "--contamination", 0.1]
    assert call(*argv, "--score", "log_likelihood(k=5)", "--attribution") == 0
    told = capsys.readouterr().out
    assert "20 scores (log_likelihood(k=5)), 2 flagged are in" in told
    assert "the strangest of 20" in told
    table = csv.read_csv(out)
    parts = [f"part_of_{i}" for i in range(64)]
    assert table.column_names == ["row", "score", "flag", *parts]
    assert table["flag"].to_pylist().count(True) == 2
    packed = tmp_path / "a.csv.gz"
    assert (
        call(*argv[:4], packed, *argv[5:], "--score", "log_likelihood(k=5)", "--attribution") == 0
    )
    assert gzip.decompress(packed.read_bytes()) == out.read_bytes()
    assert "a.csv.gz" in capsys.readouterr().out
    argv = ["anomalies", run, x, "--out", tmp_path / "a.npz", "--fdr", 0.2, "--json"]
    assert call(*argv, "--score", "bound", "--reference", x) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["flagged"] == 0  # they are their own normal data
    assert found["n"] == 20
    with np.load(tmp_path / "a.npz") as file:
        assert set(file) == {"score", "p_value", "flag"}
        assert file["p_value"].min() >= 1 / 21

"""Each mistake of the user's is one sentence, exit code 2, no traceback, no half-made folder."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diabolo.__main__ import main

pytestmark = pytest.mark.usefixtures("undrawn")
QUICK = ["--set", "latent=2", "net=mlp(hidden=(8,))", "train.epochs=1"]


def call(*argv: object) -> int:
    return main([str(a) for a in argv])


def listing(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*")}


@pytest.fixture
def refused(tmp_path, capsys):
    """Calls a verb and checks that it is refused in one sentence that holds these words."""

    def check(*argv: object, words: tuple[str, ...]) -> str:
        before = listing(tmp_path)
        capsys.readouterr()
        code = call(*argv)
        told = capsys.readouterr()
        lines = [line for line in told.err.splitlines() if line.startswith("diabolo: ")]
        assert code == 2, told.err
        assert told.out == ""
        assert len(lines) == 1, told.err
        assert "Traceback" not in told.err
        for line in told.err.splitlines():
            assert line.startswith(("diabolo: ", "note: ", "measuring ")), line
        for word in words:
            assert word in lines[0]
        assert listing(tmp_path) == before
        return lines[0]

    return check


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run on a table of three columns with a label."""
    folder = tmp_path_factory.mktemp("mistakes")
    table(folder / "good.csv")
    argv = ["fit", folder / "good.csv", *QUICK, "--out", folder / "run", "--k", 2]
    assert call(*argv) == 0
    return folder / "run"


def table(path: Path, n: int = 40, **cells: str) -> Path:
    """Writes a table a, b, c of numbers, some of whose cells are given: `a3="nan"`."""
    rng = np.random.default_rng(0)
    rows = [[f"{v:.4f}" for v in row] for row in rng.normal(size=(n, 3))]
    for cell, value in cells.items():
        rows[int(cell[1:])]["abc".index(cell[0])] = value
    path.write_text("a,b,c\n" + "".join(",".join(r) + "\n" for r in rows))
    return path


def images(folder: Path, n: int = 12, mode: str = "L") -> Path:
    """Writes n small pictures into two classes."""
    rng = np.random.default_rng(0)
    for i in range(n):
        place = folder / "ab"[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        shape = (8, 8) if mode == "L" else (8, 8, 3)
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(place / f"{i}.png")
    return folder


# --- what is typed -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["smaple"], ("smaple", "Did you mean 'sample'?")),
        (["fit"], ("DATA",)),
        (["sample", "x"], ("--out",)),
        (["fit", "digits", "--recipes", "vae"], ("--recipes", "Did you mean --recipe?")),
        (["fit", "digits", "extra"], ("Unexpected argument", "extra")),
        (["fit", "digits", "--missing", "zero"], ("zero", "refuse", "nan")),
        (["fit", "digits", "--k", "many"], ("many", "--k")),
        (["fit", "digits", "--set", "latent"], ("name=value", "latent")),
        (["fit", "digits", "--set", "latent=2", "latent=3"], ("latent", "twice")),
        (["fit", "digits", "--binarize", "static", "--set", "binarize=no"], ("binarize",)),
        (["fit", "digits", "--recipe", "vea"], ("vea", "Did you mean 'vae'?")),
        (["fit", "digits", "--set", "latnet=3"], ("latnet", "Did you mean 'latent'?")),
        (["fit", "digits", "--set", "train.epoch=3"], ("train.epoch", "epochs")),
        (["fit", "digits", "--set", "epochs=-1"], ("train.epochs", "positive")),
        (["fit", "digits", "--set", "epochs=few"], ("train.epochs", "few")),
        (["fit", "digits", "--set", "net=mpl"], ("mpl", "Did you mean 'mlp'?")),
        (["fit", "digits", "--set", "net=mlp(hiden=3)"], ("hiden", "hidden")),
        (["fit", "digits", "--set", "likelihood=Bernouli"], ("Bernouli", "Bernoulli")),
        (["fit", "digits", "--set", "likelihood=Bernoulli"], ("Bernoulli", "binary", "byte")),
        (["fit", "digits", "--recipe", "ae", "--set", "prior=normal"], ("prior",)),
        (["fit", "digits", "--recipe", "vae", "--set", "beta=3"], ("beta",)),
        (["fit", "digits", "--set", "train.weight_decay=0.1"], ("weight_decay", "adamw")),
        (["fit", "digist"], ("digist",)),
        (["list", "recepies"], ("recepies", "recipes")),
        (["fit", ""], ("DATA is empty",)),
        (["fit", "digits", "--epochs", "3"], ("Write --set epochs=3.",)),
        (["fit", "digits", "--latent=3"], ("--latent. Write --set latent=3.",)),
        (["fit", "digits", "--set", "cycles=3"], ("'cycles'", "option of beta_vae")),
        (["fit", "digits", "--set", "zzzzzz=3"], ("Known: latent, ",)),
        (["fit", "digits", "--set", "latent=True"], ("'latent'", "neither true nor false")),
        (["fit", "digits", "--set", "epochs=True"], ("train.epochs", "neither true nor false")),
        (["fit", "digits", "--set", "latent=99999999999"], ("memory", "latent=99999999999")),
        (["fit", "digits", "--k", "0"], ("--k", "1 or more", "0")),
        (["fit", "digits", "--k", "-1"], ("--k", "1 or more", "-1")),
        (["fit", "digits", "--set", "labels=kind"], ("labels", "kind")),
        (["fit", "digits", "--set", "valid=9999"], ("valid", "9999")),
        (["fit", "digits", "--set", "valid=-1"], ("valid", "-1")),
        (["fit", "digits", "--set", "valid=2", "data.valid=3"], ("data.valid", "twice")),
        (["fit", "digits", "--set", "recipe=ae"], ("'recipe'", "use --recipe")),
        (["fit", "digits", "--set", "start=x"], ("'start'", "use --from")),
        (["fit", "digits", "--set", "likelihood=Bernoulli"], ("--set likelihood=",)),
        (["anomalies", "no", "x", "--out", "s.npy", "--fdr", "0.1"], ("'.npy' holds one array",)),
        (["anomalies", "no", "x", "--out", "s.npy", "--attribution"], ("'.npy' holds one array",)),
        (["classify", "no", "x", "--out", "q.npy"], ("'.npy' holds one array",)),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else None,
)
def test_typing_mistakes_are_told(argv, words, refused, tmp_path):
    if argv[0] == "fit" and len(argv) > 1:
        argv = [*argv, "--out", tmp_path / "run"]
    refused(*argv, words=words)


# --- data --------------------------------------------------------------------------------------


def test_missing_path(refused, tmp_path):
    refused("fit", tmp_path / "no.npy", "--out", tmp_path / "run", words=("no.npy",))


def test_empty_folder(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    refused("fit", tmp_path / "empty", "--out", tmp_path / "run", words=("empty",))


def test_one_bad_image_is_skipped_and_counted(tmp_path, capsys):
    folder = images(tmp_path / "images")
    whole = (folder / "a" / "0.png").read_bytes()
    (folder / "a" / "0.png").write_bytes(whole[: len(whole) // 2])
    (folder / "b" / "text.png").write_text("no picture")
    argv = ["fit", folder, *QUICK, "data.valid=3", "--out", tmp_path / "run", "--k", 2]
    assert call(*argv) == 0
    told = capsys.readouterr().err
    assert "2" in told
    assert "skip" in told.lower()


def test_one_bad_image_is_refused_when_strict(refused, tmp_path):
    folder = images(tmp_path / "images")
    (folder / "b" / "text.png").write_text("no picture")
    refused("fit", folder, "--strict", "--out", tmp_path / "run", words=("text.png",))


def test_only_text_named_png(refused, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "text.png").write_text("no picture")
    refused("fit", folder, "--out", tmp_path / "run", words=("images",))


def test_mixed_channel_counts_become_one(tmp_path, capsys):
    folder = images(images(tmp_path / "images"), mode="RGB", n=4)
    argv = ["fit", folder, *QUICK, "--out", tmp_path / "run", "--k", 2]
    assert call(*argv) == 0
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert facts["spec"]["event"] == [3, 8, 8]


def test_nan_names_its_column(refused, tmp_path):
    bad = table(tmp_path / "x.csv", b3="nan")
    refused(
        "fit", bad, "--missing", "refuse", "--out", tmp_path / "run", words=("NaN", "b", "missing")
    )


def test_nan_may_be_a_mask(tmp_path):
    bad = table(tmp_path / "x.csv", b3="nan", c7="nan")
    for missing in ([], ["--missing", "nan"]):
        out = ["--out", tmp_path / f"run{len(missing)}"]
        assert call("fit", bad, *missing, *QUICK, *out, "--k", 2) == 0


def test_inf(refused, tmp_path):
    bad = table(tmp_path / "x.csv", a0="inf")
    refused("fit", bad, "--out", tmp_path / "run", words=("inf", "a"))


def test_constant_column_is_named(tmp_path, capsys):
    bad = table(tmp_path / "x.csv", **{f"b{i}": "1.5" for i in range(40)})
    argv = ["fit", bad, *QUICK, "--out", tmp_path / "run", "--k", 2]
    code = call(*argv)
    told = capsys.readouterr().err
    assert code in (0, 2)
    assert "constant" in told
    assert "Traceback" not in told


def test_one_row(refused, tmp_path):
    bad = table(tmp_path / "x.csv", n=1)
    refused("fit", bad, "--out", tmp_path / "run", words=("1",))


def test_labels_that_are_not_there(refused, tmp_path):
    bad = table(tmp_path / "x.csv")
    argv = ["fit", bad, "--condition", "labels", "--out", tmp_path / "run"]
    refused(*argv, words=("label",))
    refused("fit", bad, "--labels", "species", "--out", tmp_path / "run", words=("species",))


def test_labels_of_another_length(refused, tmp_path):
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).normal(size=(20, 3)), y=np.arange(7))
    argv = ["fit", tmp_path / "x.npz", "--key", "x", "--labels", "y", "--out", tmp_path / "run"]
    refused(*argv, words=("20", "7"))


def test_pickled_array(refused, tmp_path):
    np.save(tmp_path / "x.npy", np.array([{"a": 1}, None], dtype=object), allow_pickle=True)
    refused("fit", tmp_path / "x.npy", "--out", tmp_path / "run", words=("x.npy",))


def test_text_named_npy(refused, tmp_path):
    (tmp_path / "x.npy").write_text("no array")
    refused("fit", tmp_path / "x.npy", "--out", tmp_path / "run", words=("x.npy",))


@pytest.mark.parametrize("verb", ["anomalies", "encode", "score", "reconstruct", "evaluate"])
def test_wrong_shape(verb, run, refused, tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(5, 4)))
    out = [] if verb == "evaluate" else ["--out", tmp_path / "o.csv"]
    refused(verb, run, tmp_path / "x.npy", *out, words=("3", "4"))


@pytest.mark.parametrize("verb", ["anomalies", "encode", "score"])
def test_nan_in_new_data(verb, run, refused, tmp_path):
    good = table(tmp_path / "x.csv", c2="nan")
    assert call(verb, run, good, "--out", tmp_path / "o.csv") == 0  # not seen, in a table
    np.save(tmp_path / "x.npy", np.full((2, 3), np.nan))
    argv = ["fit", tmp_path / "x.npy", *QUICK, "--out", tmp_path / "run", "--k", 2]
    refused(*argv, words=("missing",))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--contamination", 0.1, "--fdr", 0.1), "one of them"),
        (("--fdr", 1.5), "fdr is a number above 0 and below 1"),
        (("--score", "nearest"), "Unknown score"),
        (("--score", "complexity"), "these data are a table"),
    ],
    ids=str,
)
def test_anomalies_asked_for_wrongly(words, told, run, refused, tmp_path):
    good = run.parent / "good.csv"
    refused("anomalies", run, good, "--out", tmp_path / "o.csv", *words, words=(told,))


# --- places ------------------------------------------------------------------------------------


def test_unwritable_run_folder(refused, tmp_path):
    (tmp_path / "file").write_text("")
    refused("fit", "digits", "--out", tmp_path / "file" / "run", words=("file", "not a folder"))
    refused("fit", "digits", "--out", tmp_path / "file", words=("file",))


def test_a_near_name_stands_for_the_long_list(refused, tmp_path):
    told = refused("fit", "digits", "--set", "latnet=3", "--out", tmp_path / "r", words=("latnet",))
    assert "Known" not in told
    assert told.endswith("See all with: diabolo list recipes, diabolo list settings.")


def test_options_of_the_reader_need_no_prefix(tmp_path):
    argv = ["fit", "digits", *QUICK, "data.limit=60", "--out", tmp_path / "run", "--k", 2]
    assert call(*argv, "--set", "valid=5", "labels=none", "condition=none") == 0
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert facts["data"]["valid"]["count"] == 5
    assert facts["config"]["data"]["labels"] == "none"
    argv[-3] = tmp_path / "other"
    assert call(*argv, "--set", "condition=labels") == 0
    facts = json.loads((tmp_path / "other" / "run.json").read_text())
    assert facts["spec"]["condition"] == 10


@pytest.mark.parametrize("kind", ["csv", "parquet", "npy", "npz"])
def test_a_place_that_takes_no_file(kind, run, refused):
    if not Path("/proc/self").exists():
        pytest.skip("not installed: a file system that takes no files")
    told = refused(
        "sample", run, "--out", f"/proc/q.{kind}", words=(f"Cannot write '/proc/q.{kind}'",)
    )
    assert told.endswith("No such file or directory.")


def test_a_sentence_speaks_of_flags(run, refused, tmp_path):
    refused("fit", "digits", *QUICK, "--out", run, words=("replace it with --force",))
    np.save(
        tmp_path / "x.npy", np.where(np.arange(30).reshape(10, 3) == 4, np.nan, np.eye(10, 3) + 0.3)
    )
    refused("fit", tmp_path / "x.npy", "--out", tmp_path / "run", words=("--missing nan",))


def test_a_pipe_that_nobody_reads_is_no_error():
    import subprocess
    import sys

    for words in (["--help"], ["fit", "--help"], ["list", "recipes"]):
        code = f"import sys; from diabolo.__main__ import main; sys.exit(main({words}))"
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE)
        os.close(writer)
        assert done.returncode == 0, done.stderr
        assert done.stderr == b""


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("file/x.npy", ("file", "not a folder")),
        ("folder.npy", ("folder.npy", "is a folder")),
        ("x.jpg", (".jpg", ".png", ".csv")),
        ("x", ("no extension", ".npz")),
        ("x.png", ("PNG is for pictures", ".csv")),
    ],
)
def test_unwritable_output(out, words, run, refused, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.npy").mkdir()
    refused("sample", run, "--out", tmp_path / out, words=words)


def test_npy_holds_one_array(run, refused, tmp_path):
    good = table(tmp_path / "x.csv")
    argv = ["encode", run, good, "--variance", "--out", tmp_path / "z.npy"]
    refused(*argv, words=("'.npy' holds one array", "several", ".npz"))


def test_existing_run_is_not_overwritten(run, refused, tmp_path, capsys):
    place = tmp_path / "run"
    shutil.copytree(run, place)
    before = (place / "weights.safetensors").read_bytes()
    refused("fit", "digits", *QUICK, "--out", place, words=("run", "force"))
    assert (place / "weights.safetensors").read_bytes() == before
    assert call("fit", "digits", *QUICK, "data.limit=100", "--out", place, "--k", 2, "--force") == 0
    assert (place / "weights.safetensors").read_bytes() != before


def test_folder_of_something_else_is_never_overwritten(refused, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("dear")
    for force in ([], ["--force"]):
        refused("fit", "digits", *QUICK, "--out", tmp_path / "home", *force, words=("home",))


def _no_weights(place: Path) -> None:
    (place / "weights.safetensors").unlink()


def _cut_weights(place: Path) -> None:
    whole = (place / "weights.safetensors").read_bytes()
    (place / "weights.safetensors").write_bytes(whole[:100])


def _no_json(place: Path) -> None:
    (place / "run.json").write_text("{")


def _foreign(place: Path) -> None:
    (place / "run.json").write_text('{"model": "gpt"}')


def _evil(place: Path) -> None:
    facts = json.loads((place / "run.json").read_text())
    facts["config"]["recipe"] = "os:system"
    (place / "run.json").write_text(json.dumps(facts))


def _empty(place: Path) -> None:
    shutil.rmtree(place)
    place.mkdir()


def _absent(place: Path) -> None:
    shutil.rmtree(place)


@pytest.mark.parametrize(
    "spoil", [_no_weights, _cut_weights, _no_json, _foreign, _evil, _empty, _absent]
)
def test_damaged_or_foreign_run(spoil, run, refused, tmp_path):
    place = tmp_path / "spoilt"
    shutil.copytree(run, place)
    spoil(place)
    refused("sample", place, "--out", tmp_path / "x.csv", words=("spoilt",) * (spoil is not _evil))


# --- uses --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["sample", "RUN", "-n", "0"], ("0",)),
        (["sample", "RUN", "--label", "3"], ("condition",)),
        (["interpolate", "RUN", "--a", "999999"], ("--a", "999999")),
        (["traverse", "RUN", "--dims", "7"], ("7",)),
        (["traverse", "RUN", "DATA"], ("--at",)),
        (["reconstruct", "RUN", "--labels", "y"], ("--labels", "DATA")),
        (["score", "RUN", "DATA", "--k", "0"], ("k",)),
        (["decode", "RUN", "no.npy"], ("no.npy",)),
        (["decode", "RUN", "DATA"], ("z0",)),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else None,
)
def test_uses_that_make_no_sense(argv, words, run, refused, tmp_path):
    places = {"RUN": run, "DATA": run.parent / "good.csv"}
    refused(*(places.get(a, a) for a in argv), "--out", tmp_path / "x.csv", words=words)


def test_autoencoder_has_no_samples_and_no_score(refused, tmp_path, capsys):
    good = table(tmp_path / "good.csv")
    place = tmp_path / "ae"
    assert call("fit", good, "--recipe", "ae", *QUICK, "--out", place) == 0
    told = capsys.readouterr()
    assert "log-likelihood" not in told.out
    assert "no likelihood" in told.err
    refused("sample", place, "--out", tmp_path / "x.csv", words=("prior",))
    refused("score", place, good, "--out", tmp_path / "x.csv", words=("likelihood",))
    for asked in (["--k", 5], ["--method", "exact"], ["--method", "annealed"]):
        word = asked[0].removeprefix("--")
        refused("evaluate", place, good, *asked, words=(word, "deterministic", "no likelihood"))


def test_likelihoods_of_no_samples(run, refused):
    refused("evaluate", run, run.parent / "good.csv", "--k", 0, words=("k", "1 or more", "0"))


@pytest.mark.usefixtures("hardly_tuned")
def test_annealing_of_discrete_codes(refused, tmp_path):
    good, place = table(tmp_path / "good.csv"), tmp_path / "discrete"
    argv = ["fit", good, "--recipe", "discrete_vae", *QUICK, "values=3", "--out", place, "--k", 2]
    assert call(*argv) == 0
    argv = ["evaluate", place, good, "--method", "annealed(temperatures=2)", "--k", 1]
    refused(*argv, words=("Annealed", "continuous", "'importance'"))


@pytest.mark.parametrize("verb", ["score", "evaluate"])
def test_data_in_another_support(verb, refused, tmp_path):
    bits = (np.random.default_rng(0).random((40, 3)) < 0.5).astype(np.uint8)
    np.save(tmp_path / "bits.npy", bits)
    place = tmp_path / "run"
    assert call("fit", tmp_path / "bits.npy", *QUICK, "--out", place, "--k", 2) == 0
    out = [] if verb == "evaluate" else ["--out", tmp_path / "o.csv"]
    for name, x in (("counts", bits * 3), ("parts", bits / 2), ("numbers", bits - 0.5)):
        np.save(tmp_path / f"{name}.npy", x)
        refused(verb, place, tmp_path / f"{name}.npy", *out, "--k", 2, words=("0 or 1", "row"))


def test_our_own_faults_show_a_traceback(monkeypatch):
    import diabolo.cli.list as verb

    def fail() -> None:
        raise RuntimeError("ours")

    monkeypatch.setitem(verb.MENU, "recipes", fail)
    with pytest.raises(RuntimeError, match="ours"):  # Python prints it and exits with 1
        call("list", "recipes")


def test_interrupt_after_training_keeps_the_run(monkeypatch, tmp_path, capsys):
    import diabolo.cli.fit as verb

    def stop(run: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(verb, "draw", stop)
    good = table(tmp_path / "good.csv")
    assert call("fit", good, *QUICK, "--out", tmp_path / "run", "--k", 2) == 130
    assert str(tmp_path / "run") in capsys.readouterr().err
    assert call("sample", tmp_path / "run", "--out", tmp_path / "x.csv") == 0


def test_idle_threads_spin_for_long_only_if_the_user_says_so(monkeypatch, capsys):
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert call("--version") == 0
    assert "GOMP_SPINCOUNT" not in os.environ
    monkeypatch.delenv("OMP_WAIT_POLICY")
    assert call("--version") == 0
    assert os.environ["GOMP_SPINCOUNT"] == "2000"


def test_interrupt_elsewhere_is_130(monkeypatch, capsys):
    import diabolo.cli.list as verb

    def stop() -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(verb.MENU, "recipes", stop)
    assert call("list", "recipes") == 130
    assert "Interrupted" in capsys.readouterr().err

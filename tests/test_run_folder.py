"""A run's folder: what is loaded is what was saved, and nothing else is loaded."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

import diabolo
from diabolo.errors import DiaboloError
from diabolo.recipes import RECIPES
from diabolo.recipes.vae import vae
from diabolo.registry import keywords
from diabolo.run import Run
from diabolo.run import folder as folders

N, WIDTH = 40, 6
SMALL: dict[str, Any] = {"net": "mlp(hidden=(8,))", "latent": 2, "epochs": 1, "batch_size": 18}


def bits() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2, (N, WIDTH), dtype=np.uint8)


def labels() -> np.ndarray:
    return np.arange(N) % 2


def tiny(recipe: str, conditional: bool, **options: Any) -> Run:
    """A run of any recipe on tiny data, with the small options that it takes."""
    known = keywords(RECIPES.load(recipe))
    own = {k: v for k, v in SMALL.items() if k in known or k in ("epochs", "batch_size")}
    given = {"labels": labels(), "condition": "labels"} if conditional else {}
    return diabolo.fit(bits(), recipe, **given, **own, **options)


def every(recipe: str) -> list[tuple[Run, bool]]:
    """Runs of a recipe, without a condition and with one, as far as it takes them."""
    found = []
    for conditional in (False, True):
        with refusal_of_a_condition():
            found.append((tiny(recipe, conditional), conditional))
    return found


@contextlib.contextmanager
def refusal_of_a_condition() -> Iterator[None]:
    """Lets a sentence on the condition pass, and no other."""
    try:
        yield
    except DiaboloError as error:
        if "condition" not in str(error):
            raise


@pytest.mark.oracle(36)
@pytest.mark.parametrize("recipe", RECIPES.names())
def test_save_and_load_is_the_identity(recipe: str, tmp_path: Path) -> None:
    runs = every(recipe)
    assert runs
    for run, conditional in runs:
        loaded_is_saved(run, conditional, tmp_path / str(conditional))


def loaded_is_saved(run: Run, conditional: bool, place: Path) -> None:
    """Weights, configuration, history, schema and every answer are the same to the bit."""
    run.save(place)
    again = diabolo.load(place)
    mine, theirs = run.model.state_dict(), again.model.state_dict()
    assert list(mine) == list(theirs)
    for name, value in mine.items():
        assert value.dtype == theirs[name].dtype
        assert torch.equal(value, theirs[name]), name
    assert again.config == run.config
    assert again.schema == run.schema
    assert again.history == run.history
    assert again.notes == run.notes
    assert not again.model.training
    one = {"label": 1} if conditional else {}
    many = {"labels": labels()[:5]} if conditional else {}
    x = bits()[:5]

    def answers(r: Run) -> list[np.ndarray]:
        found = [r.encode(x, **many), r.reconstruct(x, **many), r.traverse(**one)]
        if not r.model.deterministic:
            found += [r.sample(5, **one), r.score(x, k=2, **many)]
        return found

    for a, b in zip(answers(run), answers(again), strict=True):
        np.testing.assert_array_equal(a, b)


PRIORS = ["normal", "mixture", "vamp", "flow", "conditional"]


@pytest.mark.parametrize("prior", PRIORS)
def test_priors_and_standardised_data_are_loaded_too(prior: str, tmp_path: Path) -> None:
    from diabolo.priors import PRIORS as KNOWN

    if prior not in KNOWN.names():
        pytest.fail(f"There is no prior '{prior}' any more: take it out of the list.")
    x = np.random.default_rng(0).normal(5, 3, (N, WIDTH)).astype(np.float32)
    given: dict[str, Any] = {}
    if prior == "conditional":
        given = {"labels": labels(), "condition": "labels"}
    run = diabolo.fit(x, "vae", prior=prior, standardize=True, **given, **SMALL)
    run.save(tmp_path / "run")
    again = diabolo.load(tmp_path / "run")
    label = {"label": 0} if given else {}
    np.testing.assert_array_equal(run.sample(4, **label), again.sample(4, **label))


def test_the_folder_holds_json_weights_and_history(tmp_path: Path) -> None:
    run = tiny("vae", False)
    place = run.save(tmp_path / "a" / "run")
    names = sorted(p.name for p in place.iterdir())
    assert names == ["figures", "history.jsonl", "run.json", "weights.safetensors"]
    assert [p.name for p in place.parent.iterdir()] == ["run"]
    facts = json.loads((place / "run.json").read_text())
    assert facts["config"]["recipe"] == "vae"
    assert facts["config"]["options"] == {"net": "mlp(hidden=(8,))", "latent": 2}
    assert facts["versions"]["torch"] == torch.__version__
    assert facts["data"]["train"]["count"] == 36
    assert facts["stopped"] == "epochs"
    assert facts["steps"] == 2
    rows = [json.loads(line) for line in (place / "history.jsonl").read_text().splitlines()]
    assert [r["epoch"] for r in rows] == [1]
    with safe_open(os.fspath(place / "weights.safetensors"), "pt") as file:
        assert file.metadata()["config"] == folders.digest(facts)


def test_saving_again_brings_the_numbers_up_to_date(tmp_path: Path) -> None:
    run = tiny("vae", False)
    place = run.save(tmp_path / "run")
    (place / "figures" / "mine.txt").write_text("kept")
    run.evaluate(run.data("valid"), k=2)
    assert run.save() == place
    assert diabolo.load(place).metrics == json.loads(json.dumps(run.metrics))
    assert (place / "figures" / "mine.txt").exists()


def test_a_run_is_replaced_with_force_only(tmp_path: Path) -> None:
    run = tiny("vae", False)
    place = run.save(tmp_path / "run")
    before = (place / "weights.safetensors").read_bytes()
    other = tiny("vae", False, **{"train.seed": 1})
    with pytest.raises(DiaboloError, match="holds a run already"):
        other.save(place)
    assert (place / "weights.safetensors").read_bytes() == before
    other.save(place, force=True)
    assert (place / "weights.safetensors").read_bytes() != before
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_what_is_no_run_is_never_replaced(tmp_path: Path) -> None:
    run = tiny("vae", False)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    (tmp_path / "file").write_text("x")
    for name, told in (("thesis", "no run"), ("file", "is a file")):
        with pytest.raises(DiaboloError, match=told):
            run.save(tmp_path / name, force=True)
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "years of work"
    (tmp_path / "empty").mkdir()
    assert diabolo.load(run.save(tmp_path / "empty")).latent == 2


def test_a_failure_in_writing_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny("vae", False)
    place = run.save(tmp_path / "run")
    before = (place / "weights.safetensors").read_bytes()

    def broken(self: Path, *args: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", broken)
    with pytest.raises(DiaboloError, match="No space left"):
        run.save(place, force=True)
    with pytest.raises(DiaboloError, match="No space left"):
        run.save(tmp_path / "new" / "run")
    monkeypatch.undo()
    assert (place / "weights.safetensors").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny("vae", False).save(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    place = tmp_path / "copy"
    place.mkdir()
    for path in saved.iterdir():
        if path.is_file():
            (place / path.name).write_bytes(path.read_bytes())
    return place


def change(place: Path, **facts: Any) -> None:
    """Changes run.json, and the digest in the weights with it, as a forger would."""
    path = place / "run.json"
    found = {**json.loads(path.read_text()), **facts}
    for name in ("sha256", "files"):
        found.pop(name, None)
    path.write_text(json.dumps(found))
    tensors, metadata = folders._weights(place)
    if isinstance(found["config"], dict) and "recipe" in found["config"]:
        metadata["config"] = folders.digest(found)
    save_file(tensors, place / "weights.safetensors", metadata)


def config(place: Path, **parts: Any) -> None:
    change(place, config={**json.loads((place / "run.json").read_text())["config"], **parts})


def schema(place: Path, **parts: Any) -> None:
    change(place, schema={**json.loads((place / "run.json").read_text())["schema"], **parts})


def spec(place: Path, **parts: Any) -> None:
    change(place, spec={**json.loads((place / "run.json").read_text())["spec"], **parts})


def cut(place: Path, name: str, keep: int) -> None:
    path = place / name
    path.write_bytes(path.read_bytes()[:keep])


DAMAGE = {
    "no run.json": (lambda p: (p / "run.json").unlink(), "not the folder of a run"),
    "no weights": (lambda p: (p / "weights.safetensors").unlink(), "has no weights"),
    "no history": (lambda p: (p / "history.jsonl").unlink(), "has no history"),
    "cut json": (lambda p: cut(p, "run.json", 100), "not JSON"),
    "empty json": (lambda p: cut(p, "run.json", 0), "not JSON"),
    "binary json": (lambda p: (p / "run.json").write_bytes(b"\xff\xfe\x00"), "not JSON"),
    "a list": (lambda p: (p / "run.json").write_text("[]"), "not written by diabolo"),
    "another program": (lambda p: change(p, kind="lightning"), "not written by diabolo"),
    "a later format": (lambda p: change(p, format=99), "format 99"),
    "no spec": (lambda p: change(p, spec=None), "'spec' is missing"),
    "no recipe": (lambda p: config(p, recipe=3), "'config.recipe' is missing"),
    "cut weights": (lambda p: cut(p, "weights.safetensors", 300), "damaged"),
    "empty weights": (lambda p: cut(p, "weights.safetensors", 0), "damaged"),
    "cut history": (lambda p: cut(p, "history.jsonl", 30), "damaged"),
    "odd history": (lambda p: (p / "history.jsonl").write_text('{"epoch": 1}\n'), "damaged"),
    "odd end": (lambda p: change(p, stopped="lunch"), "stopped"),
    "an unknown field": (lambda p: config(p, train={"epoch": 3}), "Did you mean 'epochs'"),
    "a wrong value": (lambda p: config(p, train={"epochs": "many"}), "train.epochs"),
    "an odd schema": (lambda p: change(p, schema={"layuot": "hw"}), "layuot"),
    "no word on options": (lambda p: change(p, opaque=None), "'opaque' is missing"),
    "an odd layout": (lambda p: schema(p, layout="wh"), "layout"),
    "an odd type": (lambda p: schema(p, dtype="float33"), "dtype"),
    "an odd constant": (lambda p: schema(p, constants="x"), "constants"),
    "shapes that differ": (lambda p: schema(p, shape=[7]), "do not become"),
    "an empty event": (lambda p: spec(p, event=[]), "'event' cannot be"),
    "an odd support": (lambda p: spec(p, support=[]), "'support' cannot be"),
    "an odd condition": (lambda p: spec(p, condition="x"), "'condition' cannot be"),
    "a spec without event": (lambda p: change(p, spec={"support": "real"}), "damaged"),
    "a larger model": (lambda p: config(p, options={"latent": 3}), "do not fit this recipe"),
    "an unknown option": (lambda p: config(p, options={"latnet": 3}), "Did you mean 'latent'"),
    "an unknown recipe": (lambda p: config(p, recipe="veä"), "Unknown recipe"),
    "a file of ours": (lambda p: config(p, recipe="parts"), "Unknown recipe"),
    "os:system": (
        lambda p: config(p, recipe="os:system", options={"command": "touch hacked"}),
        "is not the name of a recipe",
    ),
    "a dotted name": (lambda p: config(p, recipe="os.system"), "is not the name of a recipe"),
    "a path": (lambda p: config(p, recipe="../vae"), "is not the name of a recipe"),
    "code in an option": (
        lambda p: config(p, options={"net": "__import__('os').system('touch hacked')"}),
        "Expected a name",
    ),
}


@pytest.mark.parametrize(("damage", "told"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_or_foreign_folder_is_refused(
    copy: Path, damage: Any, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(copy)
    damage(copy)
    with pytest.raises(DiaboloError, match=told) as caught:
        diabolo.load(copy)
    assert "\n" not in str(caught.value)
    assert not (copy / "hacked").exists()


def test_weights_of_another_run_are_refused(copy: Path, tmp_path: Path) -> None:
    other = tiny("vae", False, likelihood="Bernoulli").save(tmp_path / "other")
    (copy / "weights.safetensors").write_bytes((other / "weights.safetensors").read_bytes())
    with pytest.raises(DiaboloError, match="does not belong"):
        diabolo.load(copy)


def test_a_missing_folder_and_a_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DiaboloError, match="no folder"):
        diabolo.load(tmp_path / "nothing")
    (tmp_path / "file").write_text("x")
    with pytest.raises(DiaboloError, match="is a file"):
        diabolo.load(tmp_path / "file")


def test_a_pickle_is_never_opened(copy: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (os.mkdir, (str(copy / "hacked"),))

    (copy / "weights.safetensors").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(DiaboloError, match="damaged"):
        diabolo.load(copy)
    assert not (copy / "hacked").exists()


def own_recipe(spec: diabolo.Spec, *, latent: int = 2) -> diabolo.Recipe:
    """A user's own recipe, of a user's own networks."""
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(WIDTH, 2 * latent))
    decoder = nn.Sequential(nn.Linear(latent, WIDTH))

    class Plain(nn.Module):
        def __init__(self, net: nn.Module) -> None:
            super().__init__()
            self.net = net

        def forward(self, h: torch.Tensor, c: torch.Tensor | None = None) -> torch.Tensor:
            return self.net(h)

    return vae(spec, latent=latent, net=Plain(encoder), decoder=Plain(decoder))


def test_a_users_own_recipe_is_passed_to_load(tmp_path: Path) -> None:
    run = diabolo.fit(bits(), own_recipe, latent=3, epochs=1)
    run.save(tmp_path / "run")
    with pytest.raises(DiaboloError, match="recipe=function"):
        diabolo.load(tmp_path / "run")
    again = diabolo.load(tmp_path / "run", recipe=own_recipe)
    np.testing.assert_array_equal(run.sample(3), again.sample(3))
    again.save(tmp_path / "again")
    with pytest.raises(DiaboloError, match="recipe=function"):
        diabolo.load(tmp_path / "again")


def test_an_option_that_json_cannot_hold_asks_for_the_function(tmp_path: Path) -> None:
    from diabolo.distributions import family

    likelihood = family("Bernoulli")
    run = diabolo.fit(bits(), likelihood=likelihood, **SMALL)
    run.save(tmp_path / "run")
    with pytest.raises(DiaboloError, match=r"likelihood.*recipe=function"):
        diabolo.load(tmp_path / "run")

    def built(spec: diabolo.Spec, **options: Any) -> diabolo.Recipe:
        return vae(spec, likelihood=likelihood, **options)

    again = diabolo.load(tmp_path / "run", recipe=built)
    np.testing.assert_array_equal(run.sample(3), again.sample(3))


def test_a_function_that_returns_no_recipe_is_refused(copy: Path) -> None:
    with pytest.raises(DiaboloError, match=r"returns diabolo.Recipe"):
        diabolo.load(copy, recipe=lambda spec, **options: None)


def test_float64_weights_stay_float64(tmp_path: Path) -> None:
    run = tiny("vae", False)
    run.model.double()
    run.save(tmp_path / "run")
    again = diabolo.load(tmp_path / "run")
    for name, value in run.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]), name


def test_data_of_a_loaded_run_are_read_again_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, bits())
    run = diabolo.fit(path, **SMALL)
    run.save(tmp_path / "run")
    again = diabolo.load(tmp_path / "run")
    for split in ("train", "valid"):
        mine, theirs = run.data(split), again.data(split)
        assert mine is not None
        assert theirs is not None
        assert torch.equal(mine.x, theirs.x)
        assert torch.equal(mine.rows, theirs.rows)
    assert again.data("test") is None
    np.save(path, 1 - bits())
    with pytest.raises(DiaboloError, match="are not those"):
        again.data("valid")
    path.unlink()
    with pytest.raises(DiaboloError, match="no file"):
        again.data("valid")


@pytest.mark.parametrize(
    "reading", [{"binarize": "dynamic"}, {"binarize": "static"}, {"dequantize": True}]
)
def test_numbers_name_the_draw_of_x_that_they_are_of(
    reading: dict[str, Any], tmp_path: Path
) -> None:
    path, other = tmp_path / "x.npy", tmp_path / "y.npy"
    for seed, place in enumerate((path, other)):
        np.save(place, np.random.default_rng(seed).integers(0, 256, (N, 4, 4), dtype=np.uint8))
    run = diabolo.fit(path, test=other, out=tmp_path / "run", **SMALL, **reading)
    again = diabolo.load(tmp_path / "run")
    for split in ("valid", "test"):
        data = run.data(split)
        assert data is not None
        assert again.prints[split]["x_sha256"] == data.digest()
    assert "x_sha256" not in again.prints["train"]
    assert again.evaluate(k=2).x == again.prints["test"]["x_sha256"]
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    facts["config"]["data"]["seed"] = 1  # the same grey levels, other bits or noise
    del facts["sha256"]
    (tmp_path / "run" / "run.json").write_text(json.dumps(facts))
    with pytest.raises(DiaboloError, match="are not those"):
        diabolo.load(tmp_path / "run").data("test")


def test_data_that_were_in_memory_are_gone_after_loading(copy: Path) -> None:
    run = diabolo.load(copy)
    assert run.data("valid") is None
    with pytest.raises(DiaboloError, match="passed in memory"):
        run.evaluate()
    assert run.evaluate(bits(), k=2).n == N


def test_data_that_have_moved_are_named_and_so_is_the_way_out(tmp_path: Path) -> None:
    place = tmp_path / "bits.npy"
    np.save(place, bits())
    diabolo.fit(place, "vae", **SMALL).save(tmp_path / "run")
    place.unlink()
    with pytest.raises(DiaboloError, match=r"valid data of this run .*bits\.npy.* pass data"):
        diabolo.load(tmp_path / "run").data("valid")

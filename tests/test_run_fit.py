"""The front door: what follows the data, what the user's word changes, and how training ends."""

from __future__ import annotations

import inspect
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import diabolo
from diabolo.config import DataConfig, RunConfig, TrainConfig
from diabolo.data.sets import SETS
from diabolo.errors import DiaboloError
from diabolo.recipes import RECIPES
from diabolo.recipes.vae import vae
from diabolo.registry import keywords
from diabolo.run import Interrupted
from diabolo.run.presets import PRESETS, Preset
from diabolo.train import Diverged, Row
from laws.recipes import width_of

SMALL: dict[str, Any] = {"net": "mlp(hidden=(8,))", "latent": 2, "epochs": 2, "batch_size": 32}


def table(n: int = 60) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, 5)).astype(np.float32)


def labels(n: int = 60) -> np.ndarray:
    return np.arange(n) % 3


def test_recipe_follows_the_data() -> None:
    assert diabolo.fit(table(), **SMALL).config.recipe == "vae"
    found = diabolo.fit(table(), labels=labels(), condition="labels", **SMALL)
    assert found.config.recipe == "cvae"
    assert found.spec.condition == 3
    values = np.linspace(0, 1, 60)
    assert diabolo.fit(table(), condition=values, **SMALL).spec.condition == 1
    assert diabolo.fit(table(), labels=labels(), **SMALL).spec.condition == 0


def test_a_list_of_columns_is_the_condition_as_a_tuple_is(tmp_path: Path) -> None:
    frame = pd.DataFrame(table(), columns=list("abcde"))
    frame.to_csv(tmp_path / "x.csv", index=False)
    frame.to_csv(tmp_path / "x.csv.gz", index=False)
    for data in (frame, tmp_path / "x.csv.gz", str(tmp_path / "x.csv")):
        for names in (["d", "e"], ("d", "e")):
            found = diabolo.fit(data, condition=names, **SMALL)
            assert found.spec.event == (3,)
            assert [c.name for c in found.schema.conditions] == ["d", "e"]
    words = ["d", "e"] * 30  # values, one a row
    found = diabolo.fit(table(), condition=words, **SMALL)
    assert found.schema.conditions[0].classes == ("d", "e")
    with pytest.raises(DiaboloError, match="'f'"):
        diabolo.fit(tmp_path / "x.csv", condition=["e", "f"], **SMALL)


@pytest.mark.parametrize(
    ("data", "told"),
    [(None, "got None"), ({"a": np.zeros((5, 2))}, r"mapping.*'a'"), ("", "empty"), (" ", "empty")],
)
def test_what_is_no_data_is_a_sentence(data: Any, told: str) -> None:
    with pytest.raises(DiaboloError, match=told):
        diabolo.fit(data, **SMALL)


def test_a_module_takes_a_condition() -> None:
    nets = {"net": nn.Linear(5, 4), "decoder": nn.Linear(2, 10)}
    with pytest.raises(DiaboloError, match=r"Linear\.forward takes .*wrap it.*\(h, c=None\)"):
        diabolo.fit(table(), latent=2, epochs=1, **nets)


@pytest.mark.parametrize("name", ["latent", "epochs", "limit"])
def test_true_is_no_number(name: str) -> None:
    with pytest.raises(DiaboloError, match=f"{name}.* true nor false, but got True"):
        diabolo.fit(table(), **{**SMALL, name: True})


def test_flat_options_find_their_place() -> None:
    found = diabolo.fit(table(), **SMALL, standardize=True, **{"data.seed": 3, "train.seed": 4})
    assert found.config.options == {"net": "mlp(hidden=(8,))", "latent": 2}
    assert (found.config.train.epochs, found.config.train.seed) == (2, 4)
    assert (found.config.data.standardize, found.config.data.seed) == (True, 3)
    assert found.config.data.source == "memory"


def test_a_repeated_fit_gives_the_same_weights_and_another_seed_others() -> None:
    def weights(**options: Any) -> torch.Tensor:
        model = diabolo.fit(table(), **SMALL, **options).model
        return nn.utils.parameters_to_vector(model.parameters()).detach()

    first = weights()
    torch.manual_seed(5)  # the caller's generator has no part in it
    assert torch.equal(first, weights())
    assert not torch.equal(first, weights(seed=1))


def test_network_weights_begin_from_the_seed() -> None:
    def start(**options: Any) -> torch.Tensor:
        # With a learning rate of nearly nothing the weights stay where they begin.
        model = diabolo.fit(table(), **SMALL, learning_rate=1e-30, **options).model
        return nn.utils.parameters_to_vector(model.parameters()).detach()

    assert torch.equal(start(), start())
    assert not torch.equal(start(seed=0), start(seed=1))


def test_progress_hears_notes_the_configuration_and_each_epoch() -> None:
    heard: list[Any] = []
    grey = np.random.default_rng(0).integers(0, 5, (60, 4, 4)) / 4.0
    found = diabolo.fit(grey, progress=heard.append, **SMALL)
    kinds = [type(e) for e in heard]
    assert kinds[-3:] == [RunConfig, Row, Row]
    assert any("5 equally spaced values" in e for e in heard if isinstance(e, str))
    assert found.notes == tuple(e for e in heard if isinstance(e, str))
    assert found.history.rows == heard[-2:]


def test_valid_and_test_may_be_given() -> None:
    found = diabolo.fit(table(), valid=table(7), test=table(9), **SMALL)
    parts = [found.data(s) for s in ("train", "valid", "test")]
    assert [len(p) for p in parts if p is not None] == [60, 7, 9]
    assert found.evaluate(k=2).n == 9
    assert len(diabolo.fit(table(), valid=0.5, **SMALL).data("valid") or ()) == 30
    given = {"labels": labels(), "condition": "labels", "valid": (table(7), labels(7))}
    assert len(diabolo.fit(table(), **given, **SMALL).data("valid") or ()) == 7


def test_splits_given_as_paths_are_read_again(tmp_path: Path) -> None:
    for name, n in (("train", 60), ("valid", 7), ("test", 9)):
        np.save(tmp_path / f"{name}.npy", table(n))
    paths = {n: tmp_path / f"{n}.npy" for n in ("valid", "test")}
    diabolo.fit(tmp_path / "train.npy", out=tmp_path / "run", **paths, **SMALL)
    again = diabolo.load(tmp_path / "run")
    assert [len(again.data(s) or ()) for s in ("train", "valid", "test")] == [60, 7, 9]
    diabolo.fit(tmp_path / "train.npy", valid=table(7), out=tmp_path / "other", **SMALL)
    again = diabolo.load(tmp_path / "other")
    assert [again.data(s) for s in ("train", "valid", "test")] == [None, None, None]


def test_a_run_starts_from_anothers_weights(tmp_path: Path) -> None:
    first = diabolo.fit(table(), "beta_vae", out=tmp_path / "run", **SMALL)
    still = {"learning_rate": 1e-30, "epochs": 1, "batch_size": 32}
    for start in (first, tmp_path / "run", str(tmp_path / "run")):
        second = diabolo.fit(table(), start=start, **still)
        assert second.config.recipe == "beta_vae"
        assert second.config.options == first.config.options
        # Within the learning rate: nothing has moved.
        np.testing.assert_array_equal(second.encode(table(3)), first.encode(table(3)))
    other = diabolo.fit(table(), "vae", start=first, latent=2, net=SMALL["net"], **still)
    np.testing.assert_array_equal(other.encode(table(3)), first.encode(table(3)))
    with pytest.raises(DiaboloError, match="do not fit this recipe"):
        diabolo.fit(table(), start=first, latent=3, **still)
    with pytest.raises(DiaboloError, match="do not fit this recipe"):
        diabolo.fit(table()[:, :4], start=first, **still)


class Stop:
    """Progress that does something at the end of an epoch."""

    def __init__(self, epoch: int, act: Any) -> None:
        self.epoch, self.act = epoch, act

    def __call__(self, event: Any) -> None:
        if isinstance(event, Row) and event.epoch == self.epoch:
            self.act()


def interrupt() -> None:
    raise KeyboardInterrupt


def test_an_interrupted_run_is_saved_and_the_interrupt_goes_on(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        diabolo.fit(table(), out=tmp_path / "run", progress=Stop(2, interrupt), **SMALL)
    assert isinstance(caught.value, Interrupted)
    assert caught.value.left == tmp_path / "run"
    again = diabolo.load(tmp_path / "run")
    assert again.history.stopped == "interrupt"
    assert len(again.history.rows) == 2
    np.testing.assert_array_equal(again.sample(3), caught.value.run.sample(3))
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    assert (tmp_path / "run" / "checkpoint").is_dir()


def test_an_interrupt_before_training_leaves_nothing(tmp_path: Path) -> None:
    def at_once(event: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        diabolo.fit(table(), out=tmp_path / "a" / "run", progress=at_once, **SMALL)
    assert not list(tmp_path.iterdir())


def poisoned(models: list[nn.Module]) -> Any:
    """A recipe that lets its model be seen."""

    def recipe(spec: diabolo.Spec, *, latent: int = 2, net: str = "mlp") -> diabolo.Recipe:
        built = vae(spec, latent=latent, net=net)
        models.append(built.model)
        return built

    return recipe


def test_a_diverged_run_keeps_the_last_good_weights(tmp_path: Path) -> None:
    models: list[nn.Module] = []

    def spoil() -> None:
        with torch.no_grad():
            next(models[0].parameters()).fill_(torch.nan)

    recipe = poisoned(models)
    options = {**SMALL, "epochs": 4}
    with pytest.raises(Diverged, match="diverged"):
        diabolo.fit(table(), recipe, out=tmp_path / "run", progress=Stop(2, spoil), **options)
    again = diabolo.load(tmp_path / "run", recipe=recipe)
    assert again.history.stopped == "diverged"
    assert len(again.history.rows) == 2
    assert np.isfinite(again.sample(3)).all()


def test_divergence_in_the_first_epoch_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(Diverged):
        diabolo.fit(table(), out=tmp_path / "run", learning_rate=1e30, clip=None, **SMALL)
    assert not list(tmp_path.iterdir())


def test_a_finished_run_lies_whole_in_its_folder(tmp_path: Path) -> None:
    seen: list[list[str]] = []

    def look(event: Any) -> None:
        seen.append(sorted(p.name for p in tmp_path.iterdir()))

    found = diabolo.fit(
        table(), out=tmp_path / "run", progress=look, checkpoint_minutes=1e-9, **SMALL
    )
    assert all(names == [".run.lock", ".run.part"] for names in seen)
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    assert found.folder == tmp_path / "run"
    assert not (tmp_path / "run" / "checkpoint").exists()
    np.testing.assert_array_equal(diabolo.load(found.folder).sample(3), found.sample(3))


def test_force_keeps_the_former_run_until_the_new_one_is_whole(tmp_path: Path) -> None:
    place = tmp_path / "run"
    first = diabolo.fit(table(), out=place, **SMALL)
    with pytest.raises(DiaboloError, match="holds a run already"):
        diabolo.fit(table(), out=place, **SMALL)
    there: list[bool] = []

    def look(event: Any) -> None:
        there.append(np.array_equal(diabolo.load(place).sample(2), first.sample(2)))

    second = diabolo.fit(table(), out=place, force=True, seed=1, progress=look, **SMALL)
    assert there
    assert all(there)
    np.testing.assert_array_equal(diabolo.load(place).sample(2), second.sample(2))
    with pytest.raises(DiaboloError, match="Unknown"):
        diabolo.fit(table(), out=place, force=True, latnet=3)
    np.testing.assert_array_equal(diabolo.load(place).sample(2), second.sample(2))


def never(event: Any) -> None:
    raise AssertionError("training was begun")


PLACES = {
    "in a file": ("file/run", "Cannot write"),
    "a file": ("file", "is a file"),
    "other files": ("full", "holds files but no run"),
    "nowhere": ("/proc/nothing/run", "Cannot write"),
}


@pytest.mark.parametrize(("place", "told"), PLACES.values(), ids=PLACES)
def test_a_place_that_cannot_be_is_refused_before_training(
    tmp_path: Path, place: str, told: str
) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("x")
    with pytest.raises(DiaboloError, match=told):
        diabolo.fit(table(), out=tmp_path / place, progress=never, force=True, **SMALL)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "full"]


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "option": ({"latnet": 3}, "Did you mean 'latent'"),
    "train option": ({"epoch": 3}, "Did you mean 'epochs'"),
    "part": ({"train.latent": 3}, "Unknown option"),
    "two names": ({"epochs": 3, "train.epochs": 2}, "'train.epochs' are the same option"),
    "value": ({"latent": "many"}, "Option 'latent' of recipe 'vae'"),
    "train value": ({"epochs": "many"}, "train.epochs"),
    "range": ({"epochs": 0}, "train.epochs must be positive"),
    "recipe": ({"recipe": "vea"}, "Did you mean 'vae'"),
    "recipe by module": ({"recipe": "os:system"}, "Pass the function itself"),
    "no recipe": ({"recipe": 3}, "a name or a function"),
    "likelihood": ({"likelihood": "Bernoulli"}, "these data are 'real'"),
    "labels": ({"labels": [1, 2]}, "60"),
    "no labels": ({"condition": "labels"}, "needs labels"),
    "start": ({"start": "nowhere"}, "no folder"),
    "source": ({"source": "digits"}, "first argument"),
}


@pytest.mark.parametrize(("options", "told"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_before_training(
    tmp_path: Path, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(DiaboloError, match=told) as caught:
        diabolo.fit(table(), out=tmp_path / "run", progress=never, **options)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_missing_data_are_refused() -> None:
    with pytest.raises(DiaboloError, match=r"nothing\.npy"):
        diabolo.fit("nothing.npy")


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_for_a_set_and_of_known_options(name: str) -> None:
    assert name in SETS.names()
    preset = PRESETS[name]
    DataConfig(**preset.data)
    TrainConfig(**preset.train)
    known = {o for r in RECIPES.names() for o in keywords(RECIPES.load(r))}
    assert set(preset.recipe) <= known


@pytest.mark.parametrize("recipe", RECIPES.names())
def test_every_recipe_takes_the_preset_of_digits(recipe: str) -> None:
    condition = "labels" if width_of(recipe) else None
    found = diabolo.fit("digits", recipe, condition=condition, epochs=1, limit=64)
    assert len(found.history.rows) == 1


def test_the_users_word_wins_over_the_preset() -> None:
    notes: list[Any] = []
    found = diabolo.fit("digits", "ae", latent=3, epochs=1, limit=50, progress=notes.append)
    assert found.config.options["latent"] == 3
    assert found.config.options["net"] == PRESETS["digits"].recipe["net"]
    assert found.config.train.epochs == 1
    assert found.config.train.ema == PRESETS["digits"].train["ema"]
    assert any("Defaults for 'digits'" in str(n) for n in notes)
    assert len(found.data("train") or ()) == 50


def test_defaults_give_way_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was never said is not refused for not going with what was."""
    preset = Preset(
        data={"binarize": "dynamic", "limit": 50},
        train={"optimizer": "adamw", "weight_decay": 0.1, "epochs": 1},
        gives_way=PRESETS["mnist"].gives_way,
    )
    monkeypatch.setitem(PRESETS, "digits", preset)
    small = {"net": "mlp(hidden=(8,))", "latent": 2}
    plain = diabolo.fit("digits", **small)
    assert (plain.config.train.weight_decay, plain.config.data.binarize) == (0.1, "dynamic")
    found = diabolo.fit("digits", optimizer="adam", **{"data.dequantize": True}, **small)
    assert (found.config.train.weight_decay, found.config.data.binarize) == (0.0, "no")
    with pytest.raises(DiaboloError, match="weight_decay has an effect"):
        diabolo.fit("digits", optimizer="adam", weight_decay=0.1, **small)


def test_a_preset_keeps_the_label_out_of_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """A learned prior would let the code carry it."""
    preset = Preset(
        recipe={"latent": 2, "net": "mlp(hidden=(8,))", "prior": "flow(transforms=2)"},
        conditional={"prior": "normal"},
        data={"limit": 50},
        train={"epochs": 1},
    )
    monkeypatch.setitem(PRESETS, "digits", preset)
    assert diabolo.fit("digits").config.options["prior"] == "flow(transforms=2)"
    found = diabolo.fit("digits", condition="labels")
    assert found.config.options["prior"] == "normal"
    asked = diabolo.fit("digits", condition="labels", prior="flow(transforms=3)")
    assert asked.config.options["prior"] == "flow(transforms=3)"


@pytest.mark.parametrize("name", PRESETS)
def test_what_gives_way_is_a_default(name: str) -> None:
    preset = PRESETS[name]
    assert set(preset.gives_way) <= {*preset.recipe, *preset.data, *preset.train}
    known = {f.name for c in (DataConfig, TrainConfig) for f in fields(c)}
    assert {o for others in preset.gives_way.values() for o in others} <= known


def test_documented_parameters_are_those_of_the_function() -> None:
    text = inspect.getdoc(diabolo.fit) or ""
    for name in inspect.signature(diabolo.fit).parameters:
        assert f"    {name}: " in text, name


def test_what_the_settings_came_to_is_told_and_kept(tmp_path: Path) -> None:
    told: list[Any] = []
    options = {**SMALL, "batch_size": 100, "accumulate": 2, "device": "cpu"}
    found = diabolo.fit(table(), out=tmp_path / "run", progress=told.append, **options)
    notes = [t for t in told if isinstance(t, str)]
    assert any(t.startswith("batch_size=100 is more than the ") for t in notes)
    assert any(t.startswith("accumulate=2 is more than the one batch") for t in notes)
    again = diabolo.load(tmp_path / "run")
    assert again.notes == found.notes == tuple(notes)
    chosen = {"device": "cpu", "precision": "float32", "compile": False}
    here = {"threads": torch.get_num_threads(), "torch": str(torch.__version__)}
    assert again.computing == {**chosen, **here}
    assert diabolo.fit(table(), **SMALL).notes == tuple(n for n in notes if "more than" not in n)

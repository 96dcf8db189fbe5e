"""What is exported gives what PyTorch gives, says what it is, or is refused in a sentence."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import diabolo
from diabolo.__main__ import main
from diabolo.exports import Exported, export, export_decoder, export_encoder
from diabolo.exports import _check as checking
from diabolo.exports._counterparts import cholesky, solve_triangular
from diabolo.exports._program import FORMATS, NotExported, Part, Program
from diabolo.exports._units import Writing
from diabolo.recipes import RECIPES
from diabolo.run import Run

runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")

NET = "mlp(hidden=(12,))"
LABELLED = {"cvae", "m2"}
REFUSED: dict[str, str] = {}  # recipes, and a word of the sentence that refuses them


def grey(n: int = 40, shape: tuple[int, ...] = (6, 6)) -> np.ndarray:
    """Grey levels 0 to 255, as bytes."""
    return np.random.default_rng(0).integers(0, 256, (n, *shape), dtype=np.uint8)


def fitted(x: Any, recipe: str = "vae", **options: Any) -> Run:
    """A run of one epoch."""
    return diabolo.fit(x, recipe, epochs=1, **{"net": NET, "latent": 3, **options})


def session(content: bytes) -> Any:
    """A session of onnxruntime."""
    return runtime.InferenceSession(content, providers=["CPUExecutionProvider"])


def told(exported: Exported) -> dict[str, Any]:
    """What `export.json` says."""
    return json.loads((exported.folder / "export.json").read_text())


def names(facts: dict[str, Any], file: str) -> tuple[list[str], list[str]]:
    """The names of a file's inputs and outputs."""
    found = facts["files"][file]
    return [t["name"] for t in found["inputs"]], [t["name"] for t in found["outputs"]]


@pytest.fixture(scope="module")
def images() -> Run:
    """A model of bits drawn from grey levels."""
    return fitted(grey(), binarize="dynamic").to("cpu")


@pytest.fixture(scope="module")
def exported(images: Run, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Its export, by the command line."""
    folder = tmp_path_factory.mktemp("images")
    images.save(folder / "run")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(["export", str(folder / "run"), "--json"]) == 0
    found = json.loads(printed.getvalue())
    return Exported(Path(found["out"]), found["files"], found["largest_difference"], ())


def check_recipe(name: str, folder: Path) -> None:
    """Exports a tiny model of a recipe, or sees that it is refused."""
    labels = np.arange(40) % 3
    more = {"labels": labels, "condition": "labels"} if name in LABELLED else {}
    run = diabolo.fit((grey() > 99).astype(np.uint8), name, epochs=1, net=NET, **more)
    if name in REFUSED:
        with pytest.raises(diabolo.DiaboloError, match=REFUSED[name]):
            export(run, folder)
        assert not folder.exists()
        return
    found = export(run, folder)
    print(name, found.difference, found.notes, told(found)["files"])
    assert found.difference <= checking.TOLERANCE
    x = grey(5) > 99
    z = run.encode(x.astype(np.uint8), labels=labels[:5] if more else None)
    given = {"z": z, **({"condition": np.eye(3, dtype=np.float32)[labels[:5]]} if more else {})}
    content = (folder / "decoder.onnx").read_bytes()
    wanted = run.decode(z, **({"label": labels[:5]} if more else {}))
    model = session(content)
    noise = {i.name: np.full((5, i.shape[1]), 0.5, np.float32) for i in model.get_inputs()}
    (got,) = model.run(["mean"], {**noise, **given})
    np.testing.assert_allclose(got, wanted, atol=1e-4)


@pytest.mark.parametrize("name", ["ae"])
def test_a_recipe_is_exported_or_refused(name: str, tmp_path: Path) -> None:
    check_recipe(name, tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in RECIPES.names() if n != "ae"])
def test_every_recipe_is_exported_or_refused(name: str, tmp_path: Path) -> None:
    check_recipe(name, tmp_path / "out")


def test_the_files_say_what_they_take_and_give(images: Run, exported: Exported) -> None:
    facts = told(exported)
    for file, size in exported.files.items():
        if file == "export.json":
            continue
        content = (exported.folder / file).read_bytes()
        assert len(content) == size == facts["files"][file]["bytes"]
        model = session(content)
        for sort, values in (("inputs", model.get_inputs()), ("outputs", model.get_outputs())):
            said = facts["files"][file][sort]
            assert [t["name"] for t in said] == [v.name for v in values]
            assert [t["shape"] for t in said] == [v.shape for v in values]
            kinds = {"float32": "tensor(float)", "uint8": "tensor(uint8)", "bool": "tensor(bool)"}
            assert [kinds[t["dtype"]] for t in said] == [v.type for v in values]
    assert facts["checked"]["on"] == "drawn data"  # the data were in memory
    assert facts["checked"]["batch_sizes"] == [1, 7]
    assert facts["checked"]["largest_difference"] == exported.difference <= 1e-4
    assert facts["data"]["values"].startswith("grey levels 0 to 255; inside, bits")
    assert facts["latent"]["order"] == images.latents.order
    np.testing.assert_allclose(facts["latent"]["sd"], images.latents.scale)


def test_bits_are_drawn_of_the_noise_that_is_given(images: Run, exported: Exported) -> None:
    """No noise above the grey value is the bit 0, none below it 1; the code is mean + sd * n."""
    model = session((exported.folder / "encoder.onnx").read_bytes())
    x, half = grey(4), np.full((4, 36), 0.5, np.float32)
    normal = np.random.default_rng(1).standard_normal((4, 3)).astype(np.float32)
    given = {"x": x, "uniform": half, "normal": normal}
    mean, variance, z = model.run(["mean", "variance", "z"], given)
    bits = torch.as_tensor(x[:, None] > 127.5).float()
    wanted, spread = images.model.encode(bits)
    np.testing.assert_allclose(mean, wanted.detach(), atol=1e-5)
    np.testing.assert_allclose(variance, spread.detach(), rtol=1e-4)
    np.testing.assert_allclose(z, mean + np.sqrt(variance) * normal, atol=1e-5)


def test_a_draw_is_made_of_its_noise(images: Run, exported: Exported) -> None:
    """A bit of p(x | z) is 1 where the uniform number lies below its probability."""
    model = session((exported.folder / "decoder.onnx").read_bytes())
    z = np.zeros((6, 3), np.float32)
    u = np.random.default_rng(2).random((6, 36), dtype=np.float32)
    mean, sd, draw = model.run(["mean", "sd", "draw"], {"z": z, "uniform": u})
    assert set(np.unique(draw)) <= {0.0, 255.0}
    np.testing.assert_array_equal(draw > 0, u.reshape(6, 6, 6) < mean / 255)
    p = mean / 255
    np.testing.assert_allclose(sd, 255 * np.sqrt(p * (1 - p)), rtol=1e-4)
    assert np.abs(np.rint(mean) - images.decode(z)).max() <= 1  # a rounding on the border


def test_a_table_keeps_its_columns_and_holes(tmp_path: Path) -> None:
    import pandas as pd

    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "height": rng.normal(170, 9, 60),
            "sort": rng.choice(["a", "b", "c"], 60),
            "sick": rng.random(60) < 0.5,
            "form": rng.choice(["p", "q", "r", "s"], 60),
            "same": "x",
        }
    )
    frame.loc[::7, "height"] = np.nan
    run = fitted(frame, kinds={"sick": "boolean"})
    found = export(run, tmp_path / "out")
    facts = told(found)
    columns = facts["data"]["columns"]
    assert [c["name"] for c in columns] == ["height", "sort", "sick", "form", "same"][
        : len(columns)
    ]
    assert columns[1]["levels"] == ["a", "b", "c"]
    assert columns[1]["probabilities"] == [0, 3]
    assert columns[3]["probabilities"] == [3, 7]

    numbers = run.schema.table.encode(diabolo.data.table.Frame.of(frame))
    model = session((found.folder / "encoder.onnx").read_bytes())
    given = {
        "x": np.nan_to_num(numbers, nan=-5.0).astype(np.float32),
        "mask": ~np.isnan(numbers),
        "normal": np.zeros((60, 3), np.float32),
    }
    (mean,) = model.run(["mean"], given)
    np.testing.assert_allclose(mean, run.encode(frame), atol=1e-4)

    decoder = session((found.folder / "decoder.onnx").read_bytes())
    noise = {
        i.name: np.full((60, i.shape[1]), 0.5, np.float32)
        for i in decoder.get_inputs()
        if i.name != "z"
    }
    decoded, sd, share = decoder.run(["mean", "sd", "probabilities"], {"z": mean, **noise})
    again = run.decode(mean)
    np.testing.assert_allclose(decoded[:, 0], again["height"], rtol=1e-4)
    assert [["a", "b", "c"][int(v)] for v in decoded[:, 1]] == list(again["sort"])
    for own, column in ((share[:, :3], 1), (share[:, 3:], 3)):  # one density serves for both
        np.testing.assert_allclose(own.sum(1), 1, atol=1e-5)
        np.testing.assert_array_equal(own.argmax(1), decoded[:, column])
    assert np.isnan(sd[:, 1]).all()
    assert np.isfinite(sd[:, 0]).all()


def refitted() -> tuple[Run, Any]:
    """A run whose prior was fitted to the codes afterwards, and data of its kind."""
    x = np.random.default_rng(0).normal(size=(60, 4))
    return diabolo.refit(fitted(x, "rae"), prior="mixture(components=2)"), x


def experts() -> tuple[Run, Any]:
    """A run whose posterior has a factor of each entry seen, and data with holes."""
    x = np.random.default_rng(0).normal(size=(60, 4))
    x[::3, 1] = np.nan
    return fitted(x, posterior="experts", missing="nan"), x


def product() -> tuple[Run, Any]:
    """A run of a table with columns of counts, which is a product of densities."""
    import pandas as pd

    rng = np.random.default_rng(0)
    columns = {"size": rng.normal(170, 9, 60), "visits": rng.poisson(3.0, 60)}
    frame = pd.DataFrame(columns | {"falls": rng.poisson(900.0, 60), "ill": rng.random(60) < 0.5})
    return fitted(frame, kinds={"visits": "count", "falls": "count"}), frame


@pytest.mark.parametrize("case", [refitted, experts, product])
def test_other_models_are_exported_as_they_are(case: Any) -> None:
    run, x = case()
    numbers = x if isinstance(x, np.ndarray) else x.to_numpy(np.float64)
    seen = ~np.isnan(numbers)
    encoder, decoder = session(export_encoder(run)), session(export_decoder(run))
    given = {"x": np.where(seen, numbers, -5.0).astype(np.float32), "mask": seen}
    (z, *_) = encoder.run(None, {i.name: given[i.name] for i in encoder.get_inputs()})
    np.testing.assert_allclose(z, run.encode(x), atol=1e-4)
    (mean,) = decoder.run(["mean"], {"z": z})
    with torch.no_grad():
        wanted = (
            run.to("cpu").model.decode(torch.as_tensor(z)).point
        )  # counts and bits are not rounded
    np.testing.assert_allclose(mean, wanted, rtol=1e-4, atol=1e-4)


def test_what_onnx_lacks_is_what_torch_computes() -> None:
    """Factors and solutions of positive matrices, to the rounding of float64."""
    root = torch.randn(5, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    a, b = root @ root.mT + torch.eye(4), root[:, :, :2]
    for upper in (False, True):
        low = cholesky(a, upper=upper)
        torch.testing.assert_close(low, torch.linalg.cholesky(a, upper=upper))
        for left, right in ((True, b), (False, b.mT)):
            for unit in (False, True):
                options = {"upper": upper, "left": left, "unitriangular": unit}
                wanted = torch.linalg.solve_triangular(low, right, **options)
                torch.testing.assert_close(solve_triangular(low, right, **options), wanted)


def test_the_bytes_for_a_browser_stand_alone() -> None:
    labels = np.array(list("abc"))[np.arange(40) % 3]
    x = np.random.default_rng(0).normal(3.0, 2.0, (40, 4))
    run = fitted(x, "cvae", condition="labels", labels=labels)
    decoder, encoder = session(export_decoder(run)), session(export_encoder(run))
    hot = run.schema.condition(labels[:5]).numpy()
    assert [i.name for i in decoder.get_inputs()] == ["z", "condition"]
    assert [o.name for o in decoder.get_outputs()] == ["mean"]
    assert [i.name for i in encoder.get_inputs()] == ["x", "condition"]
    z, _ = encoder.run(None, {"x": x[:5].astype(np.float32), "condition": hot})
    np.testing.assert_allclose(z, run.encode(x[:5], labels=labels[:5]), atol=1e-5)
    (mean,) = decoder.run(None, {"z": z, "condition": hot})
    np.testing.assert_allclose(mean, run.decode(z, label=labels[:5]), atol=1e-4)


def test_a_file_that_differs_is_not_written(
    images: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diabolo.exports import _folder as folder

    off = 0.0

    def same(part: Part) -> Program:
        def call(given: Any) -> Any:
            with torch.no_grad():
                found = part.module(*map(torch.as_tensor, given.values()))
            return {name: t.numpy() + off for name, t in zip(part.outputs, found, strict=True)}

        return Program(b"as PyTorch", ".onnx", call, {})

    monkeypatch.setattr(folder.FORMATS, "load", lambda name: same)
    assert export(images, tmp_path / "same").difference == 0
    off = 0.01
    with pytest.raises(diabolo.DiaboloError, match="encoder is not what PyTorch computes"):
        export(images, tmp_path / "new" / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["same"]


def test_what_is_decided_by_values_is_refused_without_a_graph_on_the_screen(
    capfd: pytest.CaptureFixture[str],
) -> None:
    class Decides(torch.nn.Module):
        def forward(self, *given: torch.Tensor) -> tuple[torch.Tensor, ...]:
            x = given[0]
            return (x if bool((x > 0).any()) else -x,)

    part = Part("decides", Decides(), {"x": torch.ones(3, 2)}, ("y",))
    with pytest.raises(NotExported, match=r"^[^(]* decides by values, as no graph can$"):
        FORMATS.load("onnx")(part)
    assert capfd.readouterr() == ("", "")


def test_other_files_are_never_replaced(exported: Exported, images: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(diabolo.DiaboloError, match="holds files but no export"):
        export(images, tmp_path, force=True)
    with pytest.raises(diabolo.DiaboloError, match="holds an export already"):
        export(images, exported.folder)
    with pytest.raises(diabolo.DiaboloError, match=r"Unknown format: 'onx'\. Did you mean 'onnx'"):
        export(images, tmp_path / "new", format="onx")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["notes.txt"]


def test_a_missing_package_is_told(
    images: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib

    module = importlib.import_module("diabolo.exports.onnx")
    monkeypatch.setattr(module, "find_spec", lambda package: None)
    with pytest.raises(diabolo.DiaboloError, match=r"pip install 'diabolo\[onnx\]'"):
        export(images, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_writes_beside_the_run(exported: Exported) -> None:
    assert exported.folder.name == "run-onnx"
    there = {p.name: p.stat().st_size for p in exported.folder.iterdir()}
    assert there == exported.files
    assert sorted(there) == ["decoder.onnx", "encoder.onnx", "export.json"]


CASES: dict[str, tuple[Any, dict[str, Any], set[str]]] = {
    "grey levels": (grey(30, (8, 8, 3)), {"net": "conv(channels=(4,), hidden=8)"}, {"draw", "sd"}),
    "a level and noise": (grey(), {"dequantize": True}, {"draw", "sd"}),
    "values of floats on a grid": (grey() / 255, {}, {"draw", "sd"}),
    "a flow": (grey() / 7.3, {"posterior": "flow(transforms=2)"}, {"draw", "sd"}),
    "a constant column": (
        np.concatenate([np.ones((40, 1)), np.random.default_rng(0).normal(size=(40, 3))], 1),
        {},
        {"draw", "sd"},
    ),
    "counts": (
        np.random.default_rng(0).poisson(3.0, (40, 4)),
        {"likelihood": "Poisson"},
        {"parameters.log_rate", "sd"},
    ),
}


def test_a_constant_column_keeps_its_value_and_has_no_spread() -> None:
    x = np.insert(np.random.default_rng(0).normal(size=(40, 2)), 1, 3.5, axis=1)
    writing, ones = Writing(diabolo.data.load(x).schema), torch.ones(2, 2)
    assert writing(ones, "value").tolist() == [[1.0, 3.5, 1.0]] * 2
    assert writing(ones, "spread").tolist() == [[1.0, 0.0, 1.0]] * 2


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_other_data_and_densities_come_and_go_in_their_own_units(case: str, tmp_path: Path) -> None:
    x, options, outputs = CASES[case]
    run = fitted(x, **options)
    found = export(run, tmp_path / "out")
    facts = told(found)
    assert outputs < set(names(facts, "decoder.onnx")[1])
    assert ("draw" in outputs) is not any(n.startswith("Decoder") for n in found.notes)
    encoder = session((found.folder / "encoder.onnx").read_bytes())
    given = {
        t["name"]: np.full((4, *t["shape"][1:]), 0.5, t["dtype"])
        for t in facts["files"]["encoder.onnx"]["inputs"]
    }
    given["x"] = x[:4].astype(given["x"].dtype)
    (mean,) = encoder.run(["mean"], given)
    if "uniform" not in given or case == "a flow":
        np.testing.assert_allclose(mean, run.encode(x[:4]), atol=1e-4)
    decoder = session((found.folder / "decoder.onnx").read_bytes())
    noise = {
        i.name: np.full((4, *i.shape[1:]), 0.5, np.float32)
        for i in decoder.get_inputs()
        if i.name != "z"
    }
    (decoded,) = decoder.run(["mean"], {"z": mean, **noise})
    rounding = 0.51 if x.dtype == np.uint8 else 1e-4 * np.abs(x).max()
    np.testing.assert_allclose(decoded, run.decode(mean), atol=rounding)

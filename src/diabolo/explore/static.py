"""The page as a folder that needs no server of ours: sliders decode in the browser."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DiaboloError
from ..run.folder import claim
from ..run.workshop import replace, workshop
from .guard import POLICY
from .page import INDEX, page
from .scene import Scene

if TYPE_CHECKING:
    from ..run import Run

__all__ = ["write_data", "write_folder"]

SCENE = "scene.json"
SCRIPTS = ("report.js",)  # of the page's folder, but of no use in an export
HEAD = "<head>"


def write_folder(
    run: Run,
    data: Any = None,
    folder: str | Path = "explorer",
    *,
    force: bool = False,
    n: int = 10_000,
    labels: Any = None,
    condition: Any = None,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Writes a folder for any web space, whole or not at all, and returns its full path.

    Its page decodes and encodes by the run's ONNX files; what needs a server is told there.

    Arguments:
        run: A fitted run.
        data: Rows, as `Run.encode` takes them; None takes the run's held-out data.
        folder: Where to.
        force: Whether such a folder that is there may be replaced.
        n: How many rows at most.
        labels: Labels of the data, where the model is conditional on labels.
        condition: Their conditions, where these are not labels.
        progress: Called with a sentence on what is being made.

    Raises:
        DiaboloError: If the page is not built, the model cannot be exported, something else is
            in the folder, or data are not like those that were fitted.
    """
    place = Path(folder).resolve()
    files = page()
    claim(place, "an exported page", _is_exported, force=force)
    tell = progress or (lambda _: None)
    tell("Measuring the rows")
    scene = Scene(run, data, n, labels=labels, condition=condition)
    contents = _exported(run, tell)
    tell("Mapping the rows")
    with workshop(place) as part:
        try:
            write_data(scene, part / "data", contents)
            for name, path in files.items():
                if name in SCRIPTS:
                    continue
                (part / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, part / name)
            index = (part / INDEX).read_text("utf-8")
            (part / INDEX).write_text(_with_policy(index), "utf-8")
        except OSError as error:
            raise DiaboloError(f"Cannot write to {place}: {error.strerror or error}.") from None
        replace(part, place)
    return place


def write_data(scene: Scene, folder: Path, contents: Mapping[str, bytes] | None = None) -> None:
    """Writes what a page without a server reads, `scene.json` and the arrays, into a new folder.

    Arguments:
        scene: The scene; all that comes later is made first.
        folder: Where to.
        contents: The files `decoder` and `encoder`, where there are such.
    """
    scene.work()
    folder.mkdir(parents=True)
    layout = scene.run.schema.layout
    told: dict[str, Any] = {}
    for name, content in (contents or {}).items():
        (folder / f"{name}.onnx").write_bytes(content)
        told[name] = {"file": f"data/{name}.onnx", "output": {"dtype": "f4", "layout": layout}}
    document = scene.document(live=False, **told)
    (folder / SCENE).write_text(json.dumps(document, allow_nan=False), "utf-8")
    for key in document["arrays"]:
        array = scene.array(key)
        assert array is not None
        (folder / f"{key}.bin").write_bytes(array.tobytes())


def _exported(run: Run, tell: Callable[[str], None]) -> dict[str, bytes]:
    """Returns decoder and encoder as ONNX files.

    Raises:
        DiaboloError: If the model cannot be exported.
    """
    from ..exports import export_decoder, export_encoder

    tell("Exporting the decoder and the encoder")
    return {"decoder": export_decoder(run), "encoder": export_encoder(run)}


def _is_exported(place: Path) -> bool:
    return (place / "data" / SCENE).is_file() and (place / INDEX).is_file()


def _with_policy(index: str) -> str:
    """Returns a page with the policy that a server would send in its head."""
    if HEAD not in index:
        raise DiaboloError("The explorer's page has no head: build it anew with `make web`.")
    tag = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    return index.replace(HEAD, f"{HEAD}\n    {tag}", 1)

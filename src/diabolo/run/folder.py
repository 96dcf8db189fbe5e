"""The folder of a run: written whole or not at all, read without running any of it.

`run.json` holds the configuration, the spec and schema of the data, versions, fingerprints and
numbers; `weights.safetensors` the tensors; `history.jsonl` a row for each epoch; `figures/` the
pictures; `checkpoint/` the state of a training that was stopped. `run.json` holds the SHA-256 of
the other two and its own, which are compared on reading; whoever changes it by hand removes the
line `sha256`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..checkpoint import atomic, states
from ..data import Data
from ..data.mapped import Mapped, pieces
from ..errors import DiaboloError

__all__ = [
    "FORMAT",
    "HISTORY",
    "KIND",
    "RUN",
    "STATE",
    "WEIGHTS",
    "Stored",
    "beside",
    "checksum",
    "digest",
    "facts_of",
    "fingerprint",
    "free",
    "is_run",
    "left",
    "read",
    "refuse",
    "rewrite",
    "write",
]

FORMAT = 1
KIND = "diabolo run"
STATE = Path("checkpoint") / "state.pt"  # of a training that was stopped
RUN, WEIGHTS, HISTORY = "run.json", "weights.safetensors", "history.jsonl"


class Stored(NamedTuple):
    """What a folder holds.

    Attributes:
        facts: The content of `run.json`.
        tensors: The weights by name.
        rows: The rows of the history.
    """

    facts: dict[str, Any]
    tensors: dict[str, Tensor]
    rows: list[dict[str, Any]]


def digest(facts: Mapping[str, Any]) -> str:
    """Returns the digest of what decides the shape of the weights: recipe, options, spec, prior."""
    config = facts["config"]
    parts = {"recipe": config["recipe"], "options": config["options"], "spec": facts["spec"]}
    if config.get("refit") is not None:
        parts["refit"] = config["refit"]["prior"]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def fingerprint(data: Data) -> str:
    """Returns a digest of a split's stored values, masks and conditions."""
    found = hashlib.sha256(f"{data.support} {data.levels} {data.decoder}".encode())
    for part in (data.x, data.mask, data.c):
        if part is not None:
            values = part if isinstance(part, Mapped) else part.cpu().numpy()
            found.update(f"{values.dtype} {values.shape}".encode())
            for _, block in pieces(values):
                found.update(np.ascontiguousarray(block).data)
    return found.hexdigest()


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run of ours, whatever its version."""
    try:
        facts = json.loads((folder / RUN).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(facts, dict) and facts.get("kind") == KIND


def refuse(folder: Path, *, force: bool) -> None:
    """Refuses a place where a run may not be written, as `claim` does."""
    on = f", or go on with its training: diabolo.resume('{folder}')"
    claim(folder, "a run", is_run, force=force, on=on if left(folder) else "")


def claim(
    folder: Path, what: str, ours: Callable[[Path], bool], *, force: bool, on: str = ""
) -> None:
    """Refuses a place where a folder may not be written.

    Arguments:
        folder: The place.
        what: What is to be there, `a run`.
        ours: Whether a folder with files is such a one.
        force: Whether one that is there may be replaced.
        on: What else could be done with it.

    Raises:
        DiaboloError: If something is there already that may not be replaced.
    """
    noun = what.partition(" ")[2]
    if folder.is_file():
        raise DiaboloError(f"{folder} is a file: name a folder for the {noun}.")
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not ours(folder):
        raise DiaboloError(
            f"{folder} holds files but no {noun}, and is never overwritten: name another folder."
        )
    if not force:
        raise DiaboloError(
            f"{folder} holds {what} already: name another folder, or replace it with force{on}."
        )


def beside(folder: Path) -> Path:
    """The hidden folder beside `folder` in which a run is put together."""
    return folder.with_name(f".{folder.name}.part")


def left(folder: Path) -> list[Path]:
    """Returns the folders with states of a training into `folder`, the newest first.

    The hidden one beside it is of a training that was killed, or that may not replace the run in
    `folder` yet; `folder` itself holds that of a training that was interrupted.
    """
    return [place for place in (beside(folder), folder) if states(place / STATE)]


def free(folder: Path) -> Path:
    """Returns the first of `folder`, `folder-2`, `folder-3`, ... that no run has or will have."""
    place, i = folder, 1
    while place.exists() or beside(place).exists():
        i += 1
        place = folder.with_name(f"{folder.name}-{i}")
    return place


def write(place: Path, stored: Stored) -> None:
    """Writes the files of a run into a folder.

    Raises:
        DiaboloError: If the folder cannot be written.
    """
    metadata = {"kind": KIND, "format": str(FORMAT), "config": digest(stored.facts)}
    metadata["diabolo"] = stored.facts["versions"]["diabolo"]
    # Clones part tensors that share memory, which safetensors refuses.
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in stored.tensors.items()}
    lines = "".join(json.dumps(row) + "\n" for row in stored.rows)
    try:
        contents = {WEIGHTS: save(tensors, metadata), HISTORY: lines.encode()}
        for name, content in contents.items():
            with atomic(place / name) as part:
                part.write_bytes(content)
        (place / "figures").mkdir(exist_ok=True)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DiaboloError(f"Cannot write the weights into {place}: {reason}.") from None
    files = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    _write_facts(place, {**stored.facts, "files": files})


def rewrite(place: Path, stored: Stored) -> None:
    """Writes the numbers of a run anew, and leaves its weights and its history.

    Raises:
        DiaboloError: If the folder holds no run any more, or cannot be written.
    """
    files = facts_of(place).get("files")
    _write_facts(place, {**stored.facts, **({} if files is None else {"files": files})})


def _write_facts(place: Path, facts: dict[str, Any]) -> None:
    content = {**facts, "sha256": checksum(facts)}
    try:
        with atomic(place / RUN) as part:
            part.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    except OSError as error:
        raise DiaboloError(f"Cannot write into {place}: {error.strerror or error}.") from None


def checksum(facts: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of JSON values, whatever their order, but for their own `sha256`."""
    others = {name: value for name, value in facts.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(others, sort_keys=True).encode()).hexdigest()


def read(folder: Path) -> Stored:
    """Reads the files of a run; nothing in them is run as code.

    Raises:
        DiaboloError: If the folder holds no run, a damaged one, or one of a later version.
    """
    if not folder.exists():
        raise DiaboloError(f"There is no folder {folder}.")
    if not folder.is_dir():
        raise DiaboloError(f"{folder} is a file, not the folder of a run.")
    facts = facts_of(folder)
    tensors, metadata = _weights(folder)
    if metadata.get("config") != digest(facts):
        raise DiaboloError(
            f"{folder / WEIGHTS} does not belong to {folder / RUN}: "
            "they were written for other recipes or data."
        )
    rows = _rows(folder)
    for name, wanted in dict(facts.get("files", {})).items():  # former runs have none
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != wanted:
            raise DiaboloError(f"{folder / name} is damaged: it was changed after it was written.")
    return Stored(facts, tensors, rows)


def facts_of(folder: Path) -> dict[str, Any]:
    """Returns the content of `run.json`.

    Raises:
        DiaboloError: If there is none, it is damaged, or of a later version.
    """
    path = folder / RUN
    try:
        facts = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise DiaboloError(f"{folder} is not the folder of a run: it has no {RUN}.") from None
    except OSError as error:
        raise DiaboloError(f"Cannot read {path}: {error.strerror or error}.") from None
    except ValueError as error:
        raise DiaboloError(f"{path} is damaged: it is not JSON ({error}).") from None
    if not isinstance(facts, dict) or facts.get("kind") != KIND:
        raise DiaboloError(f"{path} was not written by diabolo.")
    if facts.get("format") != FORMAT:
        raise DiaboloError(
            f"{path} has format {facts.get('format')}, but this diabolo reads format {FORMAT}: "
            f"it was written by diabolo {facts.get('versions', {}).get('diabolo', '?')}."
        )
    wanted = {"config": dict, "spec": dict, "schema": dict, "metrics": dict, "data": dict}
    for name, kind in {**wanted, "versions": dict, "opaque": dict, "notes": list}.items():
        if not isinstance(facts.get(name), kind):
            raise DiaboloError(f"{path} is damaged: its '{name}' is missing or no {kind.__name__}.")
    for name, kind in (("recipe", str), ("options", dict), ("data", dict), ("train", dict)):
        if not isinstance(facts["config"].get(name), kind):
            raise DiaboloError(
                f"{path} is damaged: its 'config.{name}' is missing or no {kind.__name__}."
            )
    if "sha256" in facts and facts["sha256"] != checksum(facts):
        raise DiaboloError(
            f"{path} is damaged: it was changed after it was written (if by you, remove its line "
            "'sha256')."
        )
    return facts


def _weights(folder: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    path = folder / WEIGHTS
    if not path.is_file():
        raise DiaboloError(f"{folder} is not whole: it has no {WEIGHTS}.")
    try:
        with safe_open(os.fspath(path), framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise DiaboloError(f"{path} is damaged: {error}.".split("\n")[0]) from None


def _rows(folder: Path) -> list[dict[str, Any]]:
    path = folder / HISTORY
    try:
        lines = path.read_text("utf-8").splitlines()
        return [dict(json.loads(line)) for line in lines]
    except FileNotFoundError:
        raise DiaboloError(f"{folder} is not whole: it has no {HISTORY}.") from None
    except (OSError, ValueError, TypeError) as error:
        raise DiaboloError(f"{path} is damaged: {error}.") from None

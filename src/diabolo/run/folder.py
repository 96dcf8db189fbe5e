"""The folder of a run: written whole or not at all, read without running any of it.

`run.json` holds the configuration, the spec and schema of the data, versions, fingerprints and
numbers; `weights.safetensors` the tensors; `history.jsonl` a row for each epoch; `figures/` the
pictures; `checkpoint/` the state of a training that was stopped.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..checkpoint import atomic
from ..data import Data
from ..data.mapped import Mapped, pieces
from ..errors import DiaboloError

__all__ = [
    "FORMAT",
    "KIND",
    "RUN",
    "STATE",
    "Stored",
    "digest",
    "fingerprint",
    "free",
    "is_run",
    "left_beside",
    "left_over",
    "publish",
    "read",
    "refuse",
    "replace",
    "rewrite",
    "workshop",
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
    """Returns the digest of what decides the shape of the weights: recipe, options and spec."""
    config = facts["config"]
    parts = {"recipe": config["recipe"], "options": config["options"], "spec": facts["spec"]}
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
    """Refuses a place where a run may not be written.

    Raises:
        DiaboloError: If something is there already that may not be replaced.
    """
    if folder.is_file():
        raise DiaboloError(f"{folder} is a file: name a folder for the run.")
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not is_run(folder):
        raise DiaboloError(
            f"{folder} holds files but no run, and is never overwritten: name another folder."
        )
    if not force:
        raise DiaboloError(
            f"{folder} holds a run already: name another folder, or replace it with force"
            f"{', or go on with its training with resume' if left_over(folder) else ''}."
        )


def _part(folder: Path) -> Path:
    """The hidden folder beside `folder` in which a run is put together."""
    return folder.with_name(f".{folder.name}.part")


def left_over(folder: Path) -> Path | None:
    """Returns the state of a training into `folder` that was killed, or else interrupted."""
    return next((p for b in (_part(folder), folder) if (p := b / STATE).is_file()), None)


def left_beside(folder: Path) -> Path | None:
    """Returns the hidden folder beside `folder` with the checkpoint of a training, if any."""
    place = _part(folder)
    return place if (place / STATE).is_file() else None


def free(folder: Path) -> Path:
    """Returns the first of `folder`, `folder-2`, `folder-3`, ... that no run has or will have."""
    place, i = folder, 1
    while place.exists() or _part(place).exists():
        i += 1
        place = folder.with_name(f"{folder.name}-{i}")
    return place


@contextlib.contextmanager
def workshop(folder: Path, *, force: bool = False, resume: bool = False) -> Iterator[Path]:
    """Yields a hidden folder beside `folder`, in which a run is put together.

    It is gone at the end, moved under its name or removed, with the parents made for it. What is
    left of a training that was killed or failed is its checkpoint.

    Arguments:
        folder: Where the run is to be.
        force: Whether a checkpoint that is left over may be removed.
        resume: Whether such a checkpoint is to stay.

    Raises:
        DiaboloError: If it cannot be made or written, is in use, or a checkpoint is left over.
    """
    made = []
    place = _part(folder)
    lock = FileLock(folder.with_name(f".{folder.name}.lock"), timeout=0)
    try:
        parent = folder.parent
        while not parent.exists():
            made.append(parent)
            parent = parent.parent
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        _probe(folder)  # a lock that cannot be made looks as if another held it
        raise DiaboloError(
            f"Another training is writing to {folder} at this moment: name another folder, or "
            "wait for its end."
        ) from None
    except OSError as error:
        _tidy(place, made)
        raise _unwritable(folder, error) from None
    try:
        state = place / STATE
        if state.is_file() and not resume and not force:
            raise DiaboloError(
                f"A training into {folder} was cut short, and its checkpoint is in {place}: go on "
                "with it with resume, or begin anew with force."
            )
        if not (state.is_file() and resume):
            shutil.rmtree(place, ignore_errors=True)
        try:
            place.mkdir(exist_ok=True)
        except OSError as error:
            raise _unwritable(folder, error) from None
        _probe(folder, place)
        yield place
    finally:
        with contextlib.suppress(OSError):  # Windows removes no open file
            Path(lock.lock_file).unlink()
        lock.release()
        _tidy(place, made)


def _probe(folder: Path, within: Path | None = None) -> None:
    """Refuses a folder in which, or beside which, no file can be made."""
    probe = (within or folder.parent) / f".{uuid.uuid4().hex[:8]}.probe"
    try:
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise _unwritable(folder, error) from None


def _unwritable(folder: Path, error: OSError) -> DiaboloError:
    return DiaboloError(f"Cannot write to {folder}: {error.strerror or error}.")


def _tidy(place: Path, made: list[Path]) -> None:
    if not (place / STATE).is_file():  # hours of work may be in a checkpoint
        shutil.rmtree(place, ignore_errors=True)
    with contextlib.suppress(OSError):  # a parent that holds something stays
        for parent in made:
            parent.rmdir()


def write(place: Path, stored: Stored) -> None:
    """Writes the files of a run into a folder.

    Raises:
        DiaboloError: If the folder cannot be written.
    """
    metadata = {"kind": KIND, "format": str(FORMAT), "config": digest(stored.facts)}
    metadata["diabolo"] = stored.facts["versions"]["diabolo"]
    # Clones part tensors that share memory, which safetensors refuses.
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in stored.tensors.items()}
    try:
        with atomic(place / WEIGHTS) as part:
            part.write_bytes(save(tensors, metadata))
        (place / "figures").mkdir(exist_ok=True)
    except (OSError, SafetensorError) as error:
        raise DiaboloError(f"Cannot write the weights into {place}: {error}.") from None
    rewrite(place, stored)


def rewrite(place: Path, stored: Stored) -> None:
    """Writes the numbers of a run anew, and leaves its weights.

    Raises:
        DiaboloError: If the folder cannot be written.
    """
    lines = "".join(json.dumps(row) + "\n" for row in stored.rows)
    try:
        with atomic(place / HISTORY) as part:
            part.write_text(lines, "utf-8")
        with atomic(place / RUN) as part:
            part.write_text(json.dumps(stored.facts, indent=2) + "\n", "utf-8")
    except OSError as error:
        raise DiaboloError(f"Cannot write into {place}: {error.strerror or error}.") from None


def replace(place: Path, folder: Path) -> None:
    """Gives a finished folder its name; a run that was there is removed after that.

    Raises:
        DiaboloError: If the folder cannot be moved; what was there is there still.
    """
    former = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.old")
    moved = False
    try:
        if folder.exists():
            folder.rename(former)
            moved = True
        place.rename(folder)
    except OSError as error:
        if moved and not folder.exists():
            former.rename(folder)
        raise DiaboloError(f"Cannot write {folder}: {error.strerror or error}.") from None
    shutil.rmtree(former, ignore_errors=True)


def publish(stored: Stored, folder: Path, *, force: bool) -> Path:
    """Writes a folder whole or not at all, and returns its full path.

    Raises:
        DiaboloError: If something is there that may not be replaced, or it cannot be written.
    """
    place = folder.resolve()
    refuse(place, force=force)
    with workshop(place, force=force) as part:
        write(part, stored)
        replace(part, place)
    return place


def read(folder: Path) -> Stored:
    """Reads the files of a run; nothing in them is run as code.

    Raises:
        DiaboloError: If the folder holds no run, a damaged one, or one of a later version.
    """
    if not folder.exists():
        raise DiaboloError(f"There is no folder {folder}.")
    if not folder.is_dir():
        raise DiaboloError(f"{folder} is a file, not the folder of a run.")
    facts = _facts(folder)
    tensors, metadata = _weights(folder)
    if metadata.get("config") != digest(facts):
        raise DiaboloError(
            f"{folder / WEIGHTS} does not belong to {folder / RUN}: "
            "they were written for other recipes or data."
        )
    return Stored(facts, tensors, _rows(folder))


def _facts(folder: Path) -> dict[str, Any]:
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

"""Where a run is put together: a hidden folder that gets its name when everything is in it.

One training at a time works at a folder; whatever kills it, the run that was there and the last
state of the new training stay.
"""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from ..checkpoint import states
from ..errors import DiaboloError
from .folder import HISTORY, RUN, STATE, WEIGHTS, Stored, beside, is_run, refuse, write

__all__ = ["publish", "replace", "workshop"]


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
    place = beside(folder)
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
        _unmake(made)
        raise _unwritable(folder, error) from None
    try:
        _mend(folder)
        if states(place / STATE) and not resume and not force:
            raise DiaboloError(
                f"A training into {folder} was cut short, and its checkpoint is in {place}: begin "
                f"anew with force, or go on with it: diabolo.resume('{folder}')."
            )
        _clear(place, keep=resume)
        try:
            place.mkdir(exist_ok=True)
        except OSError as error:
            raise _unwritable(folder, error) from None
        _probe(folder, place)
        yield place
    finally:
        _clear(place)  # while it is ours: the next one makes its own under this name
        with contextlib.suppress(OSError):  # Windows removes no open file
            Path(lock.lock_file).unlink()
        lock.release()
        _unmake(made)  # the lock lay in them


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


def _mend(folder: Path) -> None:
    """Sets right what a kill between the two renames of `replace` left; nobody else is at work."""
    start, end = f".{folder.name}.", ".old"
    for old in folder.parent.iterdir():
        if old.name.startswith(start) and old.name.endswith(end) and is_run(old):
            if folder.exists():
                shutil.rmtree(old, ignore_errors=True)
            else:
                old.rename(folder)


def _clear(place: Path, *, keep: bool = True) -> None:
    """Removes what a training that was cut short left, but for its states and its trackers'."""
    if not (keep and states(place / STATE)):
        shutil.rmtree(place, ignore_errors=True)
        return
    halves = [*place.glob(".*"), *(place / STATE).parent.glob(".*")]
    for path in [*halves, *(place / name for name in (RUN, WEIGHTS, HISTORY))]:
        with contextlib.suppress(OSError):  # on a disk that takes no changes it stays
            path.unlink(missing_ok=True)


def _unmake(made: list[Path]) -> None:
    with contextlib.suppress(OSError):  # a parent that holds something stays
        for parent in made:
            parent.rmdir()


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

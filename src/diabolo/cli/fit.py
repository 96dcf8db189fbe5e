"""The verb `fit`."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ..errors import DiaboloError, whole
from ..signals import Terminated
from ._ends import FAULT, ending, lost
from ._finish import cut_off, draw, interrupted, measure, report, shown, tracked
from ._launch import launch
from ._options import Flag, Force, Json, Several, pairs, parse_set, parse_value, reading
from ._output import writable
from ._talk import Training

if TYPE_CHECKING:
    from ..train import Diverged

__all__ = ["DataFlags", "fit"]


@Parameter(name="*", group="Data")
@dataclass(frozen=True, kw_only=True)
class DataFlags:
    """How the data are found and read; each is also `--set data.<name>=...`."""

    data_dir: Path | None = None
    """The folder in which named sets and their files are looked for."""
    support: str | None = None
    """What a value is: binary, byte:17, unit, real, count, mixed, ...; inferred if left out."""
    binarize: Literal["no", "dynamic", "static", "threshold"] | None = None
    """How grey levels become bits."""
    size: str | None = None
    """Height and width to which images of a folder are brought: 64 or 48,64."""
    color: Literal["auto", "grey", "rgb"] | None = None
    """The channels of a folder's images."""
    key: str | None = None
    """The name of the array in a .npz or .mat file."""
    missing: Literal["auto", "refuse", "nan"] | None = None
    """What NaN means: a mistake, or an entry that was not seen; auto: not seen, in tables."""
    kinds: Annotated[tuple[str, ...], Several] = ()
    """What columns of a table are: age=real sex=category size='ordinal:S<M<L' note=skip."""
    strict: Annotated[bool, Flag] = False
    """Refuse a folder with an unreadable image instead of skipping the image."""


def fit(
    data: str | None = None,
    /,
    *,
    recipe: str | None = None,
    set: Annotated[tuple[str, ...], Several] = (),
    out: Path | None = None,
    labels: str | None = None,
    condition: Annotated[tuple[str, ...], Several] = (),
    valid: str | None = None,
    test: str | None = None,
    start: Annotated[Path | None, Parameter(name="--from")] = None,
    track: Annotated[tuple[str, ...], Several] = (),
    k: int | None = None,
    force: Force = False,
    resume: Annotated[bool, Flag] = False,
    devices: int = 1,
    json: Json = False,
    flags: DataFlags = DataFlags(),
) -> int:
    """Trains a model on data, measures it and draws its figures.

    DATA is the name of a set (`diabolo list data`), an array (.npy, .npz, .mat), a table (.csv,
    .parquet), an IDX file or a folder of images. With --resume it is the folder of a run whose
    training was interrupted or killed, and no other word is needed.

    Args:
        data: What to fit.
        recipe: The model, from `diabolo list recipes`; vae, or cvae with --condition.
        set: Any option of the recipe, the training or the data: latent=16 train.epochs=20
            "net=mlp(hidden=(256,256))". See `diabolo list recipes` and `diabolo list settings`.
        out: The folder of the run; a new one in runs/ if left out.
        labels: Where the labels are: a column's name, an array's key, or none.
        condition: What a conditional model reads: labels, or names of columns.
        valid: The part of the data held out for validation, their number, or a file of data.
        test: A file of data for the final numbers.
        start: The folder of a run from whose weights to start.
        track: Who else is told of each epoch: csv, tensorboard, mlflow, wandb, trackio, with
            options as in "mlflow(uri='sqlite:///mlflow.db')". --resume goes on with them.
        k: Posterior samples of each datum for the final log-likelihood.
        force: Replace a run that is in --out already, or a checkpoint that was left there.
        resume: Go on with a training that was interrupted or killed: `diabolo fit --resume RUN`.
            What else is said is compared with what it began with; --set changes epochs, minutes,
            patience, device and checkpoint_minutes.
        devices: Train and measure on so many devices of this machine, a process for each; without
            GPUs they share the cores. batch_size stays that of all of them together.
        json: Print one JSON object at the end.
        flags: How the data are found and read.
    """
    from ..run.folder import free

    if k is not None:
        whole("--k", k, least=1)
    if resume and out is None:
        data, out = None, None if data is None else Path(data)
    if resume and out is None:
        raise DiaboloError("--resume goes on with a training: name its folder, fit --resume RUN.")
    if resume and force:
        raise DiaboloError("--force begins anew and --resume goes on: use one of them.")
    if resume and track:
        raise DiaboloError("--resume goes on with the trackers of the training: leave --track out.")
    if not resume and data is None:
        raise DiaboloError("DATA is missing: name a set, a file or a folder.")
    if data is not None and not data.strip():
        raise DiaboloError("DATA is empty: name a set, a file or a folder.")
    given = {f.name: getattr(flags, f.name) for f in fields(flags)}
    given["data_dir"] = None if flags.data_dir is None else str(flags.data_dir)
    given["kinds"] = pairs("--kinds", flags.kinds) or None
    given["size"] = None if flags.size is None else parse_value(flags.size)
    options = parse_set(set, **given)
    read = reading(options, labels=labels, condition=condition, valid=valid)
    place = out or free(Path("runs") / f"{Path(data or '').stem}-{recipe or 'vae'}")
    return launch(
        devices,
        train,
        data,
        place,
        options,
        k=k,
        json=json,
        recipe=recipe,
        **read,
        test=test,
        start=start,
        track=track,
        force=force,
        resume=resume,
    )


def train(
    data: str | None,
    place: Path,
    options: dict[str, Any],
    *,
    k: int | None,
    json: bool,
    recipe: str | None = None,
    labels: str | None = None,
    condition: str | tuple[str, ...] | None = None,
    valid: float | str | None = None,
    test: str | None = None,
    start: Path | None = None,
    track: tuple[str, ...] = (),
    force: bool = False,
    resume: bool = False,
) -> int:
    """Fits, measures, draws and reports; returns the exit code."""
    writable(place.parent)

    from .. import ranks
    from .. import run as runs
    from ..train import Diverged

    title = f"training on {data}" if not resume else f"going on in {shown(place.resolve())}"
    with ranks.joined():
        try:
            with Training(title) as progress:
                if resume:
                    run = runs.resume(
                        place,
                        data,
                        recipe=recipe,
                        labels=labels,
                        condition=condition,
                        valid=valid,
                        test=test,
                        start=start,
                        progress=progress,
                        **options,
                    )
                else:
                    run = runs.fit(
                        data,
                        recipe,
                        out=place,
                        labels=labels,
                        condition=condition,
                        valid=valid,
                        test=test,
                        start=start,
                        track=track,
                        force=force,
                        progress=progress,
                        **options,
                    )
        except runs.Interrupted as error:
            return interrupted(error)
        except KeyboardInterrupt as error:
            if lost(error):
                raise
            return cut_off(error, place)
        except Diverged as error:
            return _diverged(error, place)
        try:
            found = measure(run, k)
            if not ranks.lead():
                return 0
            with ranks.alone():
                figures = draw(run)
                tracked(run, figures)
        except KeyboardInterrupt as error:
            if lost(error):
                raise
            word, code = ending(isinstance(error, Terminated))
            if ranks.lead():
                told = f"diabolo: {word} after training; the run is in {shown(run.folder)}/"
                print(told, file=sys.stderr)
            return code
        report(run, found, figures, progress.notes, json=json)
    return 0


def _diverged(error: Diverged, place: Path) -> int:
    """Says that training diverged and what is left of it, and returns the exit code."""
    kept = "" if error.folder is None else f" They are in {shown(error.folder)}/."
    if error.folder not in (None, place.resolve()):
        kept += f" The former run in {shown(place.resolve())}/ stands."
    print(f"diabolo: {error}{kept}", file=sys.stderr)
    return FAULT

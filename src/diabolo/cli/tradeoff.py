"""The verb `tradeoff`."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ..errors import DiaboloError, missing_extra
from ._ends import ending
from ._finish import shown
from ._options import Flag, Json, Several, parse_set, reading
from ._study import go_on, place_of
from ._talk import Training, note, print_json, print_table, say

if TYPE_CHECKING:
    from ..evaluate import LinearOptimum
    from ..study import Point, Tradeoff

__all__ = ["tradeoff"]


def tradeoff(
    data: str,
    recipe: str | None = None,
    /,
    *,
    prices: Annotated[tuple[str, ...], Several] = (),
    rates: Annotated[tuple[str, ...], Several] = (),
    set: Annotated[tuple[str, ...], Several] = (),
    out: Path | None = None,
    warm: Annotated[bool, Flag] = False,
    resume: Annotated[bool, Flag] = False,
    labels: str | None = None,
    condition: Annotated[tuple[str, ...], Several] = (),
    valid: str | None = None,
    test: str | None = None,
    data_dir: Path | None = None,
    json: Json = False,
) -> int:
    """Traces the rate-distortion curve: one training for each price of a nat of rate.

    Each point is an ordinary run in --out, beside curve.json and curve.png. A point that another
    beats at its own price is told. For a linear net and a normal likelihood the theory's curve
    stands beside it.

    Args:
        data: What to fit, as for `diabolo fit`.
        recipe: The model: one with the option beta, beta_vae if left out; with --rates geco.
        prices: What a nat of rate costs, one for each point: 0.1,0.3,1,3,10.
        rates: Rates in nats to end at, instead: 2,5,10,20.
        set: Options that are the same for every point: epochs=30 latent=16.
        out: The folder of the curve; a new one in runs/ if left out.
        warm: Begin each training with the weights of the one before.
        resume: Go on with the curve in --out, also with further prices; what is done stays.
        labels: Where the labels are: a column's name, an array's key, or none.
        condition: What a conditional model reads: labels, or names of columns.
        valid: The part of the data held out for validation, their number, or a file of data.
        test: A file of data on which the points are measured.
        data_dir: The folder in which named sets and their files are looked for.
        json: Print one JSON object at the end.
    """
    named = recipe or ("geco" if rates else "beta_vae")
    place = place_of("curve", out, f"{Path(data).stem}-{named}-tradeoff", resume=resume)
    options = parse_set(set, data_dir=None if data_dir is None else str(data_dir))
    read = reading(options, labels=labels, condition=condition, valid=valid)

    from .. import study

    with _Telling() as tell:
        found = study.tradeoff(
            data,
            recipe,
            out=place,
            prices=_numbers("prices", prices),
            rates=_numbers("rates", rates),
            warm=warm,
            resume=resume,
            progress=tell,
            **read,
            test=test,
            **options,
        )
    picture = _draw(found)
    if json:
        print_json({**found.to_json(), "figure": None if picture is None else str(picture)})
    else:
        _report(found, picture)
    if found.stopped != "points":
        return ending(found.stopped == "terminate")[1]
    return 0


def _numbers(name: str, words: tuple[str, ...]) -> list[float] | None:
    """Returns the numbers of `0.1,1 10`, or None where nothing was said.

    Raises:
        DiaboloError: If one is no number.
    """
    if not words:
        return None
    try:
        return [float(part) for word in words for part in word.split(",") if part]
    except ValueError:
        told = " ".join(words)
        raise DiaboloError(f"--{name} takes numbers, such as 0.1,1,10, but got '{told}'.") from None


class _Telling(contextlib.ExitStack):
    """Tells on stderr how each training goes, and where its point lies."""

    training: Training | None = None

    def __call__(self, event: Any) -> None:
        """Shows a note, the beginning of a training, an epoch or a point."""
        from ..config import RunConfig
        from ..train import Row

        if isinstance(event, str):
            note(event)
        elif isinstance(event, RunConfig):
            self.close()
            self.training = self.enter_context(Training(_title(event)))
            self.training(event)
        elif isinstance(event, Row):
            assert self.training is not None
            self.training(event)
        else:
            self.close()


def _title(config: Any) -> str:
    """Returns what is trained, by the one option that differs."""
    told = [n for n in ("beta", "target", "capacity") if n in config.options]
    return " ".join(f"{n}={config.options[n]:g}" for n in told) or config.recipe


def _draw(found: Tradeoff) -> Path | None:
    """Draws the curve into its folder."""
    from importlib.util import find_spec

    from ..panels import NotApplicable, rate_distortion, save

    if find_spec("matplotlib") is None:
        note(str(missing_extra("matplotlib", "report", "A figure")))
        return None
    try:
        figure = rate_distortion(found)
    except NotApplicable as reason:
        note(f"No figure: {reason}")
        return None
    path = found.folder / "curve.png"
    save(figure, path)
    return path


def _report(found: Tradeoff, picture: Path | None) -> None:
    """Prints the points by their rate, what is to be said of them, and how to go on."""
    where = "test data" if found.split == "test" else "validation data"
    header = (found.option, "rate", "distortion", "stderr", "ELBO", "units", "buys", "hull")
    title = f"{found.recipe} on {where} ({found.n} data, nats per datum)"
    print_table(title, header, map(_row, found.points), numbers=(0, 1, 2, 3, 4, 5, 6))
    if found.points:
        say("  stderr  of the distortion, by the choice of the data")
        say("  units   active latent elements, Var_x(E_q[z]) > 0.01")
        say("  buys    nats of distortion that one more nat of rate buys, up to the next point")
        say("          (standard error): it has to lie between their prices, ! where it does not")
        say("  hull    whether the point lies on the lower convex hull")
        best = found.best
        say(f"The best ELBO is {best.elbo.value:.3f} nats, at {found.option}={best.value:g}.")
    theory = [_best(p.theory) for p in found.points if p.theory is not None]
    if theory:
        title = "The best linear-Gaussian models on the same data (reverse water-filling)"
        header = ("price", "rate", "distortion", "ELBO", "units", "noise variance")
        print_table(title, header, theory, numbers=(0, 1, 2, 3, 4, 5))
    for sentence in found.warnings:
        say(sentence)
    for value, why in found.failed.items():
        say(f"At {found.option}={value:g} there is no point: {why}")
    say(f"The curve is in {shown(found.folder)}/")
    if picture is not None:
        say(f"  {'picture':<16} {shown(picture)}")
    if found.stopped != "points":
        go_on("curve", found.folder)


def _row(p: Point) -> tuple[str, ...]:
    buys = ""
    if p.exchange is not None:
        mark = "! " if p.exchange.within is False else ""
        error = p.exchange.stderr
        told = f" ({error:.3f})" if math.isfinite(error) else ""
        buys = f"{mark}{p.exchange.price:.3f}{told}"
    spread = p.distortion.data_stderr
    return (
        f"{p.value:g}",
        f"{p.rate.value:.3f}",
        f"{p.distortion.value:.3f}",
        "" if spread is None else f"{spread:.3f}",
        f"{p.elbo.value:.3f}",
        "" if p.units is None else str(p.units),
        buys,
        "yes" if p.hull else "no",
    )


def _best(t: LinearOptimum) -> tuple[str, ...]:
    numbers = t.rate, t.distortion, t.elbo
    told = (f"{n:.3f}" for n in numbers)
    return (f"{t.price:.3g}", *told, str(t.units), f"{t.variance:.3g}")

"""A run's encoder and decoder in a folder of files, each compared with PyTorch before it is there.

`export.json` says what the numbers that go in and come out are; see `_facts`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from ..errors import DiaboloError
from ..model import LatentModel
from ..run.folder import claim
from ..run.workshop import replace, workshop
from ._check import TOLERANCE, Difference, Rows, differences, rows_of
from ._facts import FILE, KIND, facts
from ._noise import fresh
from ._parts import ROWS, Decoder, Encoder, frozen, levels_of, parameters
from ._program import FORMATS, NotExported, Part, Program

if TYPE_CHECKING:
    from ..run import Run

__all__ = ["Exported", "export", "export_decoder", "export_encoder"]


class Exported(NamedTuple):
    """What was written.

    Attributes:
        folder: Where to.
        files: The size of each file in bytes.
        difference: The largest difference from PyTorch, over the scale of its output.
        notes: Sentences on outputs that are not there.
    """

    folder: Path
    files: dict[str, int]
    difference: float
    notes: tuple[str, ...]


class Made(NamedTuple):
    """A part of a run, exported and checked.

    Attributes:
        function: What was exported.
        program: What came of it.
        left_out: Outputs that are not there, and why.
        differences: How far it is from PyTorch.
    """

    function: Encoder | Decoder
    program: Program
    left_out: dict[str, str]
    differences: list[Difference]


def export(run: Run, folder: str | Path, *, format: str = "onnx", force: bool = False) -> Exported:
    """Writes a run's encoder and decoder for other programs, whole or not at all.

    Both take and give data in the user's own units and layout, and any number of rows. Their random
    numbers are inputs. They are run by the format's own runtime and compared with PyTorch, on rows
    of the run's data where these can be read. `export.json` tells what each number is.

    Arguments:
        run: A fitted run.
        folder: Where to.
        format: What kind of files: a name of `exports.FORMATS`.
        force: Whether an export that is there already may be replaced.

    Returns:
        The files, and the largest difference.

    Raises:
        DiaboloError: If a part of the model cannot be exported, a file differs from PyTorch, a
            package is missing, or something else is in the folder.
    """
    place = Path(folder).resolve()
    claim(place, "an export", _is_export, force=force)
    FORMATS.load(format)
    model = frozen(run)
    rows = rows_of(run, model)
    parts = {
        "encoder": _encoder(run, model, rows, format, drawing=True),
        "decoder": _decoder(run, model, rows, format, drawing=True),
    }
    told = facts(run, format, parts, rows.source, TOLERANCE)
    contents = {
        f"{name}{made.program.suffix}": made.program.content for name, made in parts.items()
    }
    contents[FILE] = (json.dumps(told, indent=2) + "\n").encode()
    with workshop(place) as part:
        try:
            for name, content in contents.items():
                (part / name).write_bytes(content)
        except OSError as error:
            raise DiaboloError(f"Cannot write into {part}: {error.strerror or error}.") from None
        replace(part, place)
    return Exported(
        place,
        {name: len(content) for name, content in contents.items()},
        max(d.value for made in parts.values() for d in made.differences),
        tuple(
            f"{name.capitalize()}: there is no '{output}', as {why}."
            for name, made in parts.items()
            for output, why in made.left_out.items()
        ),
    )


def export_decoder(run: Run, *, format: str = "onnx") -> bytes:
    """Returns one file with the mean of p(x | z) alone, for a browser.

    Inputs are `z` (B, D), float32, and for a conditional model `condition` (B, C), float32, as
    `run.schema.condition` makes it. The output is `mean` (B, *S), float32: what `run.decode`
    returns, in the user's units and layout, grey levels not rounded; a table as numbers, codes for
    levels. The file has no other beside it, no random node, and any batch size B.

    Arguments:
        run: A fitted run.
        format: A name of `exports.FORMATS`.

    Raises:
        DiaboloError: As for `export`.
    """
    model = frozen(run)
    return _decoder(run, model, rows_of(run, model), format, drawing=False).program.content


def export_encoder(run: Run, *, format: str = "onnx") -> bytes:
    """Returns one file with the mean and variance of q(z | x), for a browser.

    Inputs are `x` (B, *S) in the user's units and layout (uint8 where the data are such grey
    levels, else float32); `mask` (B, *S), bool, True where an entry was seen, if the model was
    fitted to data with holes; `condition` as for `export_decoder`; and `uniform` (B, U), numbers
    in [0, 1), if the data's grey levels become bits or get noise. Outputs are `mean` (B, D) and,
    where it is not 0 and has a closed form, `variance` (B, D), float32.

    Arguments:
        run: A fitted run.
        format: A name of `exports.FORMATS`.

    Raises:
        DiaboloError: As for `export`.
    """
    model = frozen(run)
    return _encoder(run, model, rows_of(run, model), format, drawing=False).program.content


def _encoder(run: Run, model: LatentModel, rows: Rows, format: str, *, drawing: bool) -> Made:
    def make(outputs: tuple[str, ...]) -> Encoder:
        return Encoder(model, run.schema, outputs, masked=run.spec.missing)

    left_out: dict[str, str] = {}
    variance = make(("mean", "variance")).ask(rows.given)["variance"]
    if model.deterministic:
        left_out = dict.fromkeys(("variance", "z"), "codes are points")
    elif bool(variance.isnan().all()):
        left_out["variance"] = "this posterior has none in closed form"
    more = [o for o in ("variance", "z") if o not in left_out and (drawing or o != "z")]
    tries: list[tuple[str, ...]] = [("mean", *more[: len(more) - i]) for i in range(len(more) + 1)]
    return _made(run, make, tries, rows, rows.given, left_out if drawing else {}, format)


def _decoder(run: Run, model: LatentModel, rows: Rows, format: str, *, drawing: bool) -> Made:
    def make(outputs: tuple[str, ...]) -> Decoder:
        return Decoder(model, run.schema, outputs)

    given = {"z": rows.z, **{k: v for k, v in rows.given.items() if k == "condition"}}
    if not drawing:
        return _made(run, make, [("mean",)], rows, given, {}, format)
    left_out: dict[str, str] = {}
    likelihood = model.likelihood.family
    if likelihood.deterministic:
        left_out = dict.fromkeys(("sd", "draw"), "the decoder gives a point, no density")
    elif run.spec.support == "category":
        left_out["sd"] = "names have none"
    else:
        try:
            make(("sd",)).ask(given)
        except DiaboloError as error:
            left_out["sd"] = str(error).rstrip(".")
    plain = ["mean", *["sd"] * ("sd" not in left_out)]
    plain += ["probabilities"] * any(levels_of(run.schema))
    density = make(("mean",)).density(given)
    named = [f"parameters.{k}" for k in parameters(density)]
    tries: list[tuple[str, ...]] = [(*plain, "draw"), (*plain, *named), (*plain,), ("mean",)]
    if "draw" in left_out:
        tries = [(*plain,), ("mean",)]
    return _made(run, make, tries, rows, given, left_out, format)


def _made(
    run: Run,
    make: Callable[[tuple[str, ...]], Encoder | Decoder],
    tries: list[tuple[str, ...]],
    rows: Rows,
    given: Mapping[str, Tensor],
    left_out: dict[str, str],
    format: str,
) -> Made:
    """Returns the first of several choices of outputs that can be exported, checked."""
    reasons, name = list[str](), ""
    for outputs in tries:
        function = make(outputs)
        function.ask(dict(given))
        name = type(function).__name__.lower()
        example = function.example(ROWS)
        example |= fresh(function.sites, ROWS, torch.Generator().manual_seed(0))
        try:
            program = FORMATS.load(format)(Part(name, function.eval(), example, outputs))
        except NotExported as error:
            reasons.append(str(error))
            continue
        gone = {o: reasons[0] for o in tries[0] if o not in outputs}
        found = differences(run, function, program, rows)
        _agree(name, found)
        return Made(function, program, {**left_out, **gone}, found)
    raise DiaboloError(
        f"The {name} of this run cannot be exported to {format}: {reasons[-1]}. Use the run in "
        "Python, or fit one with another posterior or likelihood."
    )


def _agree(name: str, found: list[Difference]) -> None:
    """Refuses a file that is not what PyTorch computes.

    Raises:
        DiaboloError: Naming the output that is farthest off.
    """
    worst = max(found, key=lambda d: d.value)
    if not worst.value <= TOLERANCE:
        raise DiaboloError(
            f"The exported {name} is not what PyTorch computes: its '{worst.output}' is off by "
            f"{worst.value:.1e} of its scale, and {TOLERANCE:.0e} is allowed. Nothing is written."
        )


def _is_export(place: Path) -> bool:
    try:
        told: Any = json.loads((place / FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(told, dict) and told.get("kind") == KIND

"""Whether a file gives what PyTorch gives, on data like those of the run.

Shapes: B rows, E the event shape inside, S the layout of one datum as the user has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data import Batch, Data
from ..data.decode import AsFloat, Scale
from ..errors import DiaboloError
from ..evaluate.drawing import drawn
from ..model import LatentModel
from ..noise import MEAN
from ._noise import fresh
from ._parts import Encoder
from ._units import Writing, users

if TYPE_CHECKING:
    from ..run import Run
    from ._parts import Decoder
    from ._program import Program

__all__ = ["BATCHES", "TOLERANCE", "Difference", "Rows", "differences", "rows_of"]

BATCHES = (1, 7)
TOLERANCE = 1e-4
FLIPS = 1e-3  # of draws: where noise lies on the border of two values, rounding decides


class Rows(NamedTuple):
    """Data on which files are checked.

    Attributes:
        given: Inputs of the encoder: `x`, and `mask` and `condition` where there are such.
        z: Latent values of these data.
        mean: What the model itself makes of the data, where that is no draw: the codes' means.
        source: Where they come from.
    """

    given: dict[str, Tensor]
    z: Tensor
    mean: Tensor | None
    source: str


class Difference(NamedTuple):
    """How far a file is from PyTorch.

    Attributes:
        batch: The number of rows.
        output: Of which output.
        value: The largest absolute difference, over the scale of the output.
    """

    batch: int
    output: str
    value: float


def rows_of(run: Run, model: LatentModel) -> Rows:
    """Returns rows of the run's data, the held-out ones if there are; else drawn ones.

    Arguments:
        run: Whose data.
        model: The run's model, as `frozen` returns it.
    """
    n = max(BATCHES)
    for split in ("test", "valid", "train"):
        try:
            data = run.data(split)
        except DiaboloError:  # they were moved or changed since
            continue
        if data is not None:
            rows = data.take(torch.arange(n) % len(data)).to("cpu")
            return _real(run, model, rows, f"{split} data")
    c = None
    if run.schema.width:
        c = torch.eye(run.schema.width)[torch.arange(n) % run.schema.width]
    if model.generates:
        x = drawn(model, n, c)
    else:
        generator = torch.Generator().manual_seed(0)
        z = torch.randn(n, sum(model.groups), generator=generator)
        with torch.no_grad():
            x = model.decode(z, c).point
    return _rows(run, model, users(run.schema, x), None, c, "drawn data", None)


def _real(run: Run, model: LatentModel, rows: Data, source: str) -> Rows:
    schema, batch = run.schema, next(iter(rows.batches(len(rows))))
    plain = AsFloat() if schema.grey is None or schema.dequantize else Scale(schema.grey)
    stored = rows.x
    if not isinstance(stored, Tensor):  # data in files
        stored = torch.from_numpy(stored.gather(np.arange(len(rows))))
    seen = None if rows.decoder.random else batch
    return _rows(run, model, users(schema, plain(stored, MEAN)), batch.mask, batch.c, source, seen)


def _rows(
    run: Run,
    model: LatentModel,
    x: Tensor,
    mask: Tensor | None,
    c: Tensor | None,
    source: str,
    seen: Batch | None,
) -> Rows:
    """Returns rows with their codes: x (B, *S) as a graph takes it, mask (B, *E)."""
    encoder = Encoder(model, run.schema, ("mean",), masked=run.spec.missing)
    given = {"x": x}
    if "mask" in encoder.names:
        shown = torch.ones_like(x, dtype=torch.bool)
        if mask is not None:  # in the user's layout; a constant column counts as seen
            shown = Writing(run.schema)(mask.float(), "draw").nan_to_num(1.0) > 0
        given["mask"] = shown
    if c is not None:
        given["condition"] = c
    z = encoder.ask(given)["mean"]
    mean = None
    if seen is not None:
        with torch.no_grad():
            mean = model.encode(seen.x.float(), seen.c, mask=seen.mask)[0]
    return Rows(given, z, mean, source)


def differences(
    run: Run, function: Encoder | Decoder, program: Program, rows: Rows
) -> list[Difference]:
    """Returns how far a program is from its function, at each batch size and for each output.

    Arguments:
        run: Tells the scale of its data.
        function: What was exported.
        program: What came of it.
        rows: The data.
    """
    encodes = isinstance(function, Encoder)
    inputs = rows.given if encodes else {"z": rows.z, **rows.given}
    generator = torch.Generator().manual_seed(0)
    found = []
    for n in BATCHES:
        given = {name: inputs[name][:n] for name in function.names}
        given |= fresh(function.sites, n, generator)
        with torch.no_grad():
            wanted = function(*given.values())
        got = program.call({name: t.numpy() for name, t in given.items()})
        for name, reference in zip(function.outputs, wanted, strict=True):
            data = not encodes and name in ("mean", "sd", "draw")
            unit = _unit(run, name) if data else np.float64(0.0 if run.model.deterministic else 1.0)
            if not encodes and not data:
                unit = np.float64(1.0)
            away = _away(got[name], reference.numpy(), unit, by_element=data)
            if name in ("draw", "z") and np.mean(away > TOLERANCE) <= FLIPS:
                away = away[away <= TOLERANCE]
            found.append(Difference(n, name, float(away.max(initial=0.0))))
        if encodes and rows.mean is not None:
            away = _away(got["mean"], rows.mean[:n].numpy(), np.float64(1.0), by_element=False)
            found.append(Difference(n, "mean", float(away.max(initial=0.0))))
    return found


def _unit(run: Run, name: str) -> NDArray[np.float64]:
    """Returns the least scale of each element of data, (*S) or (): below it values are noise."""
    spec, schema = run.spec, run.schema
    if spec.scale is not None:
        scale = torch.where(spec.scale > 0, spec.scale, 1.0).float().cpu()
        return Writing(schema)(scale[None], "spread")[0].nan_to_num(0.0).double().numpy()
    if schema.source == "positive":
        return np.float64(0.0)  # type: ignore[return-value]
    levels = schema.units == "levels" and schema.grey is not None
    return np.float64(schema.grey - 1 if levels and schema.grey else 1.0)  # type: ignore[return-value]


def _away(
    got: NDArray[np.generic], wanted: NDArray[np.generic], unit: object, *, by_element: bool
) -> NDArray[np.float64]:
    """Returns how far each number is off, over the largest of its element or of all, or `unit`."""
    a, b = got.astype(np.float64), wanted.astype(np.float64)
    size = np.where(np.isfinite(b), np.abs(b), 0.0)
    largest = size.max(axis=0, keepdims=True) if by_element else size.max(initial=0.0)
    scale = np.maximum(np.maximum(largest, unit), np.finfo(np.float32).tiny)  # type: ignore[arg-type]
    with np.errstate(invalid="ignore"):
        away = np.abs(a - b) / scale
    away = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, away)
    return np.where(np.isnan(away), np.inf, away)

"""What panels ask of a run: data to show, codes, pictures in [0, 1].

Shapes: N data, D latent elements, E event shape, H and W the height and width of a picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..data.table.column import DAY
from ..distributions import ProductFamily
from ..evaluate.drawing import rows_of
from ..run import asked
from ._figure import NotApplicable, OtherData, literal

if TYPE_CHECKING:
    from torch import Tensor

    from ..data import Data
    from ..data.table import Column
    from ..distributions import Distribution
    from ..run import Run

__all__ = [
    "GIVEN",
    "bare",
    "by_name",
    "chances",
    "code_of",
    "condition_of",
    "continuous",
    "decoded",
    "held_out",
    "is_pictures",
    "likelihood_of",
    "measured",
    "one_datum",
    "only_pictures",
    "pictures",
    "shown",
    "source_of",
    "span",
    "which",
]

FAR = 1_000_000  # days from 1970 to which dates are told

GIVEN = "given"  # as the source of data that a user passed beside a run's own


def held_out(run: Run, split: str | None = None) -> Data:
    """Returns data that were not trained on: the test set, else the validation set.

    Raises:
        NotApplicable: If the data are out of reach.
    """
    try:
        return asked.held_out(run, split)[1]
    except asked.OutOfReach as error:
        raise NotApplicable(str(error)) from None


def which(run: Run) -> str:
    """Returns which data figures are of, for a caption: of a run's own splits or a user's."""
    given = run.prints.get("test", {}).get("source") == GIVEN
    return "that were given" if given else "that were not trained on"


def source_of(run: Run) -> str:
    """Returns what the data are called, without the folders that they lie in."""
    name = bare(run.config.data.source) if run.prints else "memory"
    return "arrays in memory" if name == "memory" else name


def bare(place: object) -> str:
    """Returns the last name of a path, which tells nobody where it lies."""
    return str(place).rstrip("/\\").replace("\\", "/").rpartition("/")[2]


def one_datum(run: Run) -> str:
    """Returns what one datum is, in words: its shape, and where its values may lie."""
    schema, event = run.schema, run.spec.event
    if schema.columns:
        n = len(schema.columns)
        return f"{n} column{'s' * (n > 1)}, {_values(run)}"
    if is_pictures(run):
        colour = "colour " if event[0] == 3 else ""
        return f"a {colour}picture of {event[1]} x {event[2]}, {_values(run)}"
    return f"{' x '.join(map(str, schema.shape))} values, {_values(run)}"


def likelihood_of(run: Run) -> str:
    """Returns the name of the likelihood; of a table of several kinds those of its columns."""
    family = run.model.likelihood.family
    if isinstance(family, ProductFamily):
        return f"{', '.join(dict.fromkeys(m.name for m in family.members))}, one for each column"
    return family.name


def code_of(run: Run) -> str:
    """Returns what a code is, in words: its elements, their levels, and where it lies."""
    model = run.model
    levels = sorted({n for n in model.levels if n})
    many = "1 element" if run.latent == 1 else f"{run.latent} elements"
    if len(model.groups) > 1:
        many += f" in {len(model.groups)} groups of {', '.join(map(str, model.groups))}"
    many += "" if not levels else f", discrete ones with {', '.join(map(str, levels))} values"
    return many if all(model.levels) else f"{many}: {model.space}"


def _values(run: Run) -> str:
    """Returns where one value may lie, in words."""
    schema = run.schema
    if schema.binarize != "no":
        return f"bits (binarize: {schema.binarize})"
    if schema.dequantize:
        return "grey levels with uniform noise"
    if schema.support == "byte":
        return f"{schema.levels} levels"
    if schema.levels:
        return f"{schema.support} of {schema.levels} levels"
    kinds = {c.kind for c in schema.table.columns} if schema.table is not None else set()
    if schema.support == "mixed" and len(kinds) == 1:
        return f"of the kind '{kinds.pop()}'"
    return {"real": "real numbers", "mixed": "of several kinds"}.get(schema.support, schema.support)


def is_pictures(run: Run) -> bool:
    """Whether one datum is a picture, grey or in colours."""
    event = run.spec.event
    return len(event) == 3 and event[0] in (1, 3) and run.schema.layout != "vector"


def only_pictures(run: Run, what: str) -> None:
    """Refuses runs whose data are no pictures.

    Raises:
        OtherData: With the shape that came instead.
    """
    if not is_pictures(run):
        shape = "x".join(map(str, run.spec.event))
        numbers = "number" if shape == "1" else "numbers"
        raise OtherData(f"{what} needs pictures, but one datum of this run is {shape} {numbers}.")


def pictures(run: Run, x: np.ndarray, like: np.ndarray | None = None) -> np.ndarray:
    """Returns pictures in [0, 1], (N, H, W) or (N, H, W, 3), out of the user's own arrays.

    Arguments:
        run: Knows the layout and the range.
        x: Pictures as the user knows them.
        like: Where values have no stated range, the pictures whose range to use.
    """
    x = np.asarray(x, dtype=np.float32)
    reference = x if like is None else np.asarray(like, dtype=np.float32)
    if run.schema.layout == "chw":
        x = np.moveaxis(x, 1, -1)
    if x.ndim == 4 and x.shape[-1] == 1:
        x = x[..., 0]
    low, high = span(run, reference)
    return np.clip((x - low) / max(high - low, 1e-9), 0.0, 1.0)


def span(run: Run, like: np.ndarray) -> tuple[float, float]:
    """Returns the values that are shown black and white: the range, or that of such pictures."""
    low, high = run.schema.span or np.quantile(like, [0.005, 0.995])
    return float(low), float(high)


def continuous(run: Run, what: str) -> list[int]:
    """Returns the latent elements that an axis may show: the others hold names, in no order.

    Raises:
        NotApplicable: If there is none.
    """
    found = [i for i, n in enumerate(run.model.levels) if not n]
    if not found:
        raise NotApplicable(
            f"{what} has axes of continuous latent elements, but this model's are all discrete: "
            "a traversal shows their values."
        )
    return found


def measured(run: Run, data: Data) -> Data:
    """Returns the data with the condition under which the model is measured."""
    return replace(data, c=run.model.given(data.c))


def shown(run: Run, data: Data, n: int) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Returns the first n data as the model sees them: x (n, *E), c and the mask."""
    batch = data.batch(torch.arange(min(n, len(data))))
    return batch.x, batch.c, batch.mask


def by_name(
    run: Run,
    x: Tensor,
    mask: Tensor | None = None,
    *,
    dates: bool = False,
    parts: bool = False,
) -> dict[str, np.ndarray]:
    """Returns the columns (n,) of data that are no pictures: numbers, or levels as text.

    Arguments:
        run: Knows the columns.
        x: Data as the model sees them, (n, *E).
        mask: What of them was seen; the rest is NaN, or None.
        dates: Whether dates are text too, for values that are read one by one.
        parts: Whether booleans are numbers, for means of them: how often each is true.
    """
    values = run.schema.array(x.cpu())
    if mask is not None:
        values = np.where(run.schema.outside(mask.cpu().numpy(), True), values, np.nan)
    values = values.reshape(len(x), -1)
    table = run.schema.table
    names = run.schema.columns or [f"x{i}" for i in range(values.shape[1])]
    shown = values if table is None else table.shown(values)
    found = {}
    for i, name in enumerate(names):
        title, values_of = str(name), values[:, i]
        if table is not None and table.mixed:
            column = table.columns[i]
            title, values_of = _column(column, values_of, shown[:, i])
            if parts and column.kind == "boolean":
                values_of = values[:, i]
            if dates and column.kind == "date":
                title, values_of = column.name, _dates(column, values[:, i])
        found[title] = values_of
    return found


def _column(column: Column, values: np.ndarray, shown: np.ndarray) -> tuple[str, np.ndarray]:
    """Returns a column's title and its values: numbers as they are shown, or levels as text."""
    if column.kind == "date":
        first = column.decode(np.zeros(1))[0].as_py()
        return f"{column.name}, days from {str(first)[:10]}", values
    if column.kind == "boolean":
        words = {True: "yes", False: "no"}
        found = [words.get(v) for v in column.decode(values).to_pylist()]
        return column.name, np.array(found, dtype=object)
    if not column.levels:
        return column.name, values
    if column.kind == "ordinal" and column.numeric:
        return column.name, shown
    return column.name, np.array(column.decode(values).to_pylist(), dtype=object)


def _dates(column: Column, values: np.ndarray) -> np.ndarray:
    """Returns days as dates, 2020-12-31; None for those that were not seen."""
    days = np.floor(column.origin / DAY + (np.rint(values) if column.daily else values))
    seen = np.isfinite(days)
    whole = np.where(seen, days, 0).clip(-FAR, FAR).astype(np.int64)
    text = whole.astype("datetime64[D]").astype(str).astype(object)
    text[~seen] = None
    return text


def condition_of(run: Run, data: Data) -> tuple[Tensor | None, str]:
    """Returns the condition of the first datum, (1, C), and what it is, for a caption."""
    if not run.model.condition:
        return None, ""
    assert data.c is not None
    name = ", all given the condition of the first datum"
    if data.labels is not None and data.classes and data.labels[0] >= 0:
        name = f", all given the class '{literal(data.classes[int(data.labels[0])])}'"
    return data.c[:1], name


@torch.inference_mode()
def decoded(run: Run, z: Tensor, c: Tensor | None = None) -> Tensor:
    """Returns the means of p(x | z, c), or what stands for them, (n, *E), on the CPU.

    Arguments:
        run: Whose model decodes.
        z: Codes (n, D).
        c: Conditions (n, C), or one for all, (1, C).
    """
    return torch.cat([px.point.cpu() for px in _densities(run, z, c)])


def _densities(run: Run, z: Tensor, c: Tensor | None) -> Iterator[Distribution]:
    """Yields p(x | z, c) of so many codes at once as there is memory for."""
    like = next(run.model.parameters())
    for rows in torch.arange(len(z)).split(rows_of(run.model, run.device)):
        given = None if c is None else c.expand(len(z), -1)[rows].to(like)
        yield run.model.decode(z[rows].to(like), given)


@torch.inference_mode()
def chances(run: Run, z: Tensor, c: Tensor | None = None) -> dict[str, dict[str, np.ndarray]]:
    """Returns how likely the levels of each column of words are, (n,), given codes.

    Arguments:
        run: Whose model decodes.
        z: Codes (n, D).
        c: Conditions (n, C), or one for all, (1, C).

    Returns:
        For each column its levels, and for each of them p(level | z, c); none for other data.
    """
    table = run.schema.table
    if table is None or not table.mixed:
        return {}
    named = [(i, table.columns[at]) for i, at in enumerate(run.schema.kept)]
    columns = [(i, k) for i, k in named if k.count > 1 and not k.numeric]
    if not columns:
        return {}
    parts = []
    for px in _densities(run, z, c):
        each = []
        for level in range(max(k.count for _, k in columns)):
            x = px.point.clone()
            for i, k in columns:
                x[:, i] = min(level, k.count - 1)
            each.append(px.log_prob_elements(x).exp().cpu())
        parts.append(torch.stack(each, dim=1))
    found = torch.cat(parts).numpy()  # (n, levels, columns)
    return {
        k.name: {
            **{str(level): found[:, j, i] for j, level in enumerate(k.levels)},
            **({"rare ones": found[:, len(k.levels), i]} if k.pooled else {}),
        }
        for i, k in columns
    }

"""What a user passes to a run, checked and brought to the model's tensors.

Shapes: n rows, C width of the condition.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data import Data, load, read
from ..data.hub import is_dataset
from ..data.table import is_frame, named
from ..errors import DiaboloError
from ..evaluate import draw_digest
from ..evaluate.passes import check_data
from .folder import fingerprint

if TYPE_CHECKING:
    from .run import Run

__all__ = [
    "OutOfReach",
    "as_code",
    "as_codes",
    "as_condition",
    "as_data",
    "held_out",
    "read_split",
    "refuse_alone",
    "refuse_labels",
]


def as_data(run: Run, x: Any, labels: Any, condition: Any, *, lacking: bool = False) -> Data:
    """Returns a user's data, or the path of a file of them, as the model's.

    Arguments:
        run: What the data are for.
        x: The data.
        labels: Their labels.
        condition: Their conditions, where these are not labels.
        lacking: Whether a conditional model's condition may be left out.

    Raises:
        DiaboloError: If they are not like the data that were fitted, or a condition is lacking.
    """
    if (labels is not None or condition is not None) and not run.spec.condition:
        raise _unwanted()
    if labels is not None:
        refuse_labels(run)
    if isinstance(x, Data):
        if labels is not None or condition is not None:
            raise DiaboloError("These data carry their own condition: leave labels out.")
        check_data(run.model, x)
        data = x
    elif isinstance(x, str | Path) or is_dataset(x):
        data = read(x, run.schema, config=run.config.data, labels=labels, condition=condition)
    else:
        data = run.schema.data(x, labels=labels, condition=condition)
    if data.c is None and run.spec.condition and run.model.unknown is None and not lacking:
        raise _lacking(run, "labels")
    return data


def refuse_alone(data: Any, labels: Any, condition: Any) -> None:
    """Refuses labels and conditions of data that are not given.

    Raises:
        DiaboloError: Asking for the data.
    """
    if data is None and (labels is not None or condition is not None):
        raise DiaboloError("Labels and conditions belong to data: give the data too.")


def refuse_labels(run: Run) -> None:
    """Refuses labels beside a condition that is something else.

    Raises:
        DiaboloError: Saying what the condition is.
    """
    names = [c.name for c in run.schema.conditions]
    if names and run.schema.label not in names:
        raise DiaboloError(
            f"This run's condition is {named(names)}, on which labels have no effect: leave labels "
            "out. A table has the condition in its columns; for an array give condition=."
        )


def as_condition(run: Run, n: int, label: Any, condition: Any) -> Tensor | None:
    """Returns conditions (n, C) from one value for all rows or one a row.

    Raises:
        DiaboloError: If one is lacking, not wanted, unknown, or there is another number of them.
    """
    if label is not None and condition is not None:
        raise DiaboloError("Give a label or a condition, not both.")
    given = label if condition is None else condition
    if given is None:
        if run.spec.condition and run.model.unknown is None:
            raise _lacking(run, "label")
        return None
    if not run.spec.condition:
        raise _unwanted()
    c = run.schema.condition(given)
    if len(c) not in (1, n):
        raise DiaboloError(f"Expected one condition or {n} of them, but got {len(c)}.")
    return c.expand(n, -1).to(run.device)


def as_codes(run: Run, z: Any) -> Tensor:
    """Returns codes (n, D) to decode, on the model's device and in its type.

    Raises:
        DiaboloError: If there are none, they have another shape, or are no codes of this model.
    """
    like = next(run.model.parameters())
    codes = torch.as_tensor(z if isinstance(z, Tensor) else np.array(z))
    codes = codes.to(like.device, like.dtype)
    if codes.ndim != 2 or codes.shape[1] != run.latent:
        raise DiaboloError(
            f"This model decodes codes of shape (n, {run.latent}), but got {tuple(codes.shape)}."
        )
    if not len(codes):
        raise DiaboloError("There is no code to decode: expected one row at least.")
    if not bool(codes.isfinite().all()):
        raise DiaboloError("Codes must be finite, but these hold NaN or infinity.")
    run.model.space.check(codes)
    return codes


def as_code(run: Run, x: Any, label: Any, condition: Any) -> NDArray[np.float32]:
    """Returns the code (D,) of one datum; what has that shape is a code already.

    Raises:
        DiaboloError: If it is neither one datum nor one code.
    """
    if not (isinstance(x, str | Path | Data) or is_dataset(x) or is_frame(x)):
        array = np.asanyarray(x.detach().cpu() if isinstance(x, Tensor) else x)
        if array.shape == (run.latent,):
            return array.astype(np.float32)
        if array.shape == run.schema.shape:
            x = array[None]
    labels = [label] if np.ndim(label) == 0 and label is not None else label
    code = run.encode(x, labels=labels, condition=condition)
    if len(code) != 1:
        raise DiaboloError(f"Expected one datum or one code, but got {len(code)} data.")
    return code[0]


def _lacking(run: Run, name: str) -> DiaboloError:
    names = [c.name for c in run.schema.conditions]
    if names == [run.schema.label]:
        known = ", ".join(run.schema.classes)
        return DiaboloError(f"This model is conditional: give {name}=, of {known}.")
    return DiaboloError(
        f"This model is conditional: give condition=, a value of {', '.join(names)} for each datum."
    )


def _unwanted() -> DiaboloError:
    return DiaboloError(
        "This model takes no condition: leave the label out, or fit a conditional model "
        "(condition='labels')."
    )


def read_split(run: Run, split: str) -> Data | None:
    """Returns a split of the data that a loaded run was fitted on, read again.

    Returns:
        The data, or None if they were passed in memory or there are none.

    Raises:
        DiaboloError: If they cannot be read, or are no longer the same.
    """
    source = run.config.data.source
    places = {name: print_["source"] for name, print_ in run.prints.items()}
    if places.get(split, "memory") == "memory":
        return None
    apart = {k: v for k, v in places.items() if k != "train" and v not in (source, "memory")}
    try:
        found = getattr(load(source, run.config.data, **apart).splits, split)
    except DiaboloError as error:
        raise DiaboloError(
            f"The {split} data of this run cannot be read again: {str(error).rstrip('.')}. Put "
            "them back, or pass data to this call."
        ) from None
    if found is None or not _is(found, run.prints[split]):
        raise DiaboloError(
            f"The {split} data read from '{places[split]}' are not those that this run was "
            "fitted on: put the former data back, or pass data to this call."
        )
    return found


def _is(data: Data, print_: Mapping[str, Any]) -> bool:
    """Whether data are those of a print: what is stored of them, and what is drawn from that."""
    drawn = print_.get("x_sha256")
    return fingerprint(data) == print_["sha256"] and (drawn is None or draw_digest(data) == drawn)


class OutOfReach(DiaboloError):
    """The data of a run are gone: they were passed in memory, or their source is."""


def held_out(run: Run, split: str | None = None) -> tuple[str, Data]:
    """Returns the name and the data of the test split, or else of the validation split.

    Arguments:
        run: Whose data.
        split: This split and no other.

    Raises:
        OutOfReach: If neither is to be had.
    """
    for name in ("test", "valid") if split is None else (split,):
        data = run.data(name)
        if data is not None:
            return name, data
    first = "valid" if split is None else split
    source = run.prints.get(first, {}).get("source", "memory")
    if source == "memory":
        raise OutOfReach(
            "This run's data were passed in memory and are gone: give data of your own."
        )
    which = {"train": "training", "valid": "validation"}.get(first, first)
    raise OutOfReach(
        f"The {which} data of this run, of '{source}', are not at hand: give your own."
    )

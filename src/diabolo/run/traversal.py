"""Moving one latent element at a time, over numbers or over names.

Shapes: D latent elements, S the layout of one datum as the user gave it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..errors import DiaboloError
from .asked import as_code

if TYPE_CHECKING:
    from .run import Run

__all__ = ["moving", "path", "traverse"]

STEPS, SPAN = 9, 3.0  # of a continuous element


def moving(run: Run, dims: Sequence[int] | None, given: bool) -> list[int]:
    """Returns the elements that are to move, in their order.

    Arguments:
        run: Knows the rates of the elements.
        dims: Those asked for; None for all that can.
        given: Whether a condition is: then a class that the model finds out is settled.

    Raises:
        DiaboloError: If an element does not exist, or is a class that is given.
    """
    levels = run.model.levels
    settled = {d for d, n in enumerate(levels) if n and given and run.model.classifies}
    if dims is None:
        return [d for d in run.latents.order if d not in settled]
    chosen = [int(d) for d in dims]
    for d in chosen:
        if not 0 <= d < run.latent:
            raise DiaboloError(
                f"This model has latent elements 0 to {run.latent - 1}, but got {d}."
            )
        if d in settled:
            raise DiaboloError(
                f"Latent element {d} is the class, which does not move where it is given: leave "
                "out the label or this element."
            )
    return chosen


def traverse(
    run: Run,
    x: Any,
    dims: Sequence[int] | None,
    steps: int | None,
    span: float | None,
    label: Any,
    condition: Any,
) -> Any:
    """Returns what `Run.traverse` promises, (dims, steps, *S), or a frame of as many rows."""
    chosen = moving(run, dims, label is not None or condition is not None)
    start = None if x is None else as_code(run, x, label, condition)
    codes = path(run, chosen, start, steps, span)
    flat = run.decode(codes.flatten(0, 1), label=label, condition=condition)
    if run.schema.table is not None:
        return flat
    return flat.reshape(*codes.shape[:2], *flat.shape[1:])


def path(
    run: Run,
    chosen: Sequence[int],
    start: Any = None,
    steps: int | None = None,
    span: float | None = None,
) -> Tensor:
    """Returns the codes along which each chosen element moves, (dims, steps, D).

    Arguments:
        run: Knows how far each element reaches.
        chosen: Which elements, from `moving`.
        start: The code (D,) whose other elements stay; None takes their means.
        steps: As in `Run.traverse`.
        span: Likewise.

    Raises:
        DiaboloError: If span has no effect, or there are too few steps.
    """
    found, levels = run.latents, run.model.levels
    if span is not None and all(levels[d] for d in chosen):
        raise DiaboloError(
            "span is for continuous elements, but these are discrete: they take their values in "
            "order. Leave it out."
        )
    if steps is None:
        steps = max((levels[d] or STEPS for d in chosen), default=STEPS)
    if steps < 2:
        raise DiaboloError(f"A traversal has 2 steps at least, not {steps}.")
    start = found.mean if start is None else start
    point = torch.from_numpy(np.asarray(start, dtype=np.float32))
    reach = (SPAN if span is None else span) * found.scale
    rows = []
    for d in chosen:
        if levels[d]:
            values = np.arange(steps).clip(max=levels[d] - 1)
        else:
            values = np.linspace(found.mean[d] - reach[d], found.mean[d] + reach[d], steps)
        rows.append(run.model.space.put(point, d, torch.from_numpy(values).float()))
    return torch.stack(rows)

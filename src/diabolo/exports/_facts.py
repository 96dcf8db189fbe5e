"""`export.json`: what the numbers are that go into exported files and come out of them.

Shapes: B rows (the axis called `batch`), S the layout of one datum as the user has it, D latent
elements, C width of the condition.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch

from ..data import Schema
from ..run.store import plain
from ._noise import widths
from ._parts import levels_of

if TYPE_CHECKING:
    from ..run import Run
    from ._folder import Made

__all__ = ["FILE", "KIND", "facts"]

FILE = "export.json"
KIND = "diabolo export"
FORMAT = 1

TOLD = {
    "x": "data in the user's own layout and units; see data",
    "mask": "true where an entry of x was seen; what stands in x elsewhere has no influence",
    "condition": "what the model is conditional on; see condition",
    "normal": "independent standard normal numbers",
    "uniform": "independent uniform numbers in [0, 1)",
    "z": "latent values; see latent",
    "variance": "variance of q(z|x) of each latent element",
    "sd": "standard deviation of p(x|z) of each element of a datum, NaN for names",
    "draw": "a draw from p(x|z) made of the noise",
    "probabilities": "of each code of the columns with levels, in their order, end to end",
}
MEANS = {
    "encoder": "mean of q(z|x); of a discrete latent element its most probable value",
    "decoder": "mean of p(x|z), not rounded; for levels the code that stands for it",
}
DRAWN = {"encoder": "a draw from q(z|x) made of the noise", "decoder": TOLD["z"]}


def facts(
    run: Run, format: str, parts: Mapping[str, Made], source: str, tolerance: float
) -> dict[str, Any]:
    """Returns what `export.json` holds.

    Arguments:
        run: The run.
        format: The format's name.
        parts: What was exported, by name.
        source: On what data the files were checked.
        tolerance: The largest difference that was allowed.
    """
    found = [d for made in parts.values() for d in made.differences]
    worst = max(found, key=lambda d: d.value)
    return plain(
        {
            "kind": KIND,
            "version": FORMAT,
            "format": format,
            "diabolo": version("diabolo"),
            "torch": torch.__version__,
            "recipe": run.config.name,
            "files": {
                f"{name}{made.program.suffix}": _file(name, made) for name, made in parts.items()
            },
            "checked": {
                "on": source,
                "batch_sizes": sorted({d.batch for d in found}),
                "tolerance": tolerance,
                "largest_difference": worst.value,
                "of_output": worst.output,
                "unit": "the scale of the output",
            },
            "data": _data(run.schema),
            "condition": [
                {
                    "name": c.name,
                    "width": c.width,
                    "classes": list(c.classes),
                    "reads": "one-hot, zeros where the label is not known"
                    if c.classes and run.schema.labelled == "some"
                    else "one-hot"
                    if c.classes
                    else f"(value - {c.mean!r}) / {c.scale!r}",
                }
                for c in run.schema.conditions
            ],
            "labels": {"name": run.schema.label, "classes": list(run.schema.classes)},
            "latent": _latent(run),
        }
    )


def _file(name: str, made: Made) -> dict[str, Any]:
    function, content = made.function, made.program.content
    inputs = function.example(2)
    noise = widths(function.sites)
    tensors = [
        {"name": k, "shape": ["batch", *t.shape[1:]], "dtype": str(t.dtype).removeprefix("torch.")}
        for k, t in inputs.items()
    ]
    tensors += [{"name": k, "shape": ["batch", w], "dtype": "float32"} for k, w in noise.items()]
    given = [*inputs.values(), *(torch.zeros(2, w) for w in noise.values())]
    with torch.no_grad():
        outputs = function(*given)
    return {
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        **made.program.version,
        "inputs": [{**t, "what": _what(name, t["name"], given=True)} for t in tensors],
        "outputs": [
            {
                "name": k,
                "shape": ["batch", *t.shape[1:]],
                "dtype": str(t.dtype).removeprefix("torch."),
                "what": _what(name, k, given=False),
            }
            for k, t in zip(function.outputs, outputs, strict=True)
        ],
        "left_out": made.left_out,
    }


def _what(part: str, name: str, *, given: bool) -> str:
    if name == "mean":
        return MEANS[part]
    if name == "z" and not given:
        return DRAWN["encoder"]
    if name.startswith("parameters."):
        return "of p(x|z), in the model's own layout and units"
    return TOLD[name]


def _data(schema: Schema) -> dict[str, Any]:
    """Returns what x is."""
    found: dict[str, Any] = {
        "shape": list(schema.shape),
        "axes": {"vector": "columns", "hw": "height, width", "hwc": "height, width, channels"}.get(
            schema.layout, "channels, height, width"
        ),
        "dtype": schema.dtype,
        "support": schema.source,
        "seen_as": schema.support,
        "values": _values(schema),
        "missing": schema.missing,
        "constants": [{"element": i, "value": v} for i, v in schema.constants],
    }
    if schema.grey is not None:
        found["levels"] = schema.grey
    elif schema.levels is not None:
        found["levels"] = schema.levels
    if schema.columns:
        found["columns"] = _columns(schema)
    return found


def _values(schema: Schema) -> str:
    if schema.units == "levels" and schema.grey is not None:
        text = f"grey levels 0 to {schema.grey - 1}"
    elif schema.units == "grid" and schema.grey is not None:
        text = f"grey levels as j / {schema.grey - 1}, j = 0 to {schema.grey - 1}"
    elif schema.support == "mixed":
        text = "numbers; codes 0, 1, ... for levels, see columns"
    else:
        text = f"numbers as they are ({schema.source})"
    if schema.dequantize:
        return f"{text}; inside, uniform noise is added, which is an input of the encoder"
    if schema.binarize == "threshold":
        return f"{text}; inside, bits that say whether they exceed one half of the range"
    if schema.binarize != "no":
        return (
            f"{text}; inside, bits that are 1 where the uniform number, an input of the encoder, "
            "is below the grey value in [0, 1]"
        )
    return text


def _columns(schema: Schema) -> list[dict[str, Any]]:
    table = schema.table
    if table is None or not table.mixed:
        return [{"name": name} for name in schema.columns]
    counts = dict(zip(schema.kept, levels_of(schema), strict=False)) if schema.kinds else {}
    at, found = 0, list[dict[str, Any]]()
    for i, column in enumerate(table.columns):
        told: dict[str, Any] = {"name": column.name, "kind": column.kind}
        if column.levels:
            told["levels"] = [str(v) for v in column.levels]
            if column.pooled:
                told["pooled"] = [str(v) for v in column.pooled]
        if column.kind == "date":
            told["reads"] = f"days since {column.origin} microseconds after 1970-01-01"
        if column.step is not None:
            told["step"] = column.step  # draws are rounded to its multiples outside
        if counts.get(i):
            told["probabilities"] = [at, at + counts[i]]
            at += counts[i]
        found.append(told)
    return found


def _latent(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = {
        "size": run.latent,
        "groups": list(run.model.groups),
        "levels": list(run.model.levels),
        "space": str(run.model.space),
    }
    if "latents" in run.metrics:
        kept = run.latents
        found["order"] = kept.order  # the most used first
        for name, values in (("rate", kept.rate), ("mean", kept.mean), ("sd", kept.scale)):
            found[name] = [None if math.isnan(v) else float(v) for v in values]
    return found

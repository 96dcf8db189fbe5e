"""The encoder and the decoder of a run as functions of tensors, in the user's own units.

Shapes: B rows, S the layout of one datum as the user has it, D latent elements of all groups
together, C width of the condition, N normal and U uniform numbers of a row.
"""

from __future__ import annotations

import copy
from dataclasses import fields
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..data import Schema
from ..distributions import Distribution, Product
from ..model import LatentModel
from ..noise import Noise
from ._noise import Asked, Given, Site, widths
from ._units import Reading, Writing, dtype_in

if TYPE_CHECKING:
    from ..run import Run

__all__ = ["ROWS", "Decoder", "Encoder", "frozen", "levels_of", "parameters"]

ROWS = 3  # of an example: none of the sizes that a tracer takes for constants


def frozen(run: Run) -> LatentModel:
    """Returns a copy of a run's model for use, in float32 on the CPU."""
    return copy.deepcopy(run.model).cpu().float().eval().requires_grad_(False)


def levels_of(schema: Schema) -> list[int]:
    """Returns how many codes each column of a mixed table has, 0 where its values are no codes."""
    kinds = [schema.kinds[i] for i in schema.kept] if schema.kinds else []
    named = (k.partition(":") for k in kinds)
    return [int(n) if kind in ("category", "ordinal") else 0 for kind, _, n in named]


def parameters(p: Distribution, prefix: str = "") -> dict[str, Tensor]:
    """Returns the tensors of a density and of those within it, by their names, each (B, *)."""
    found: dict[str, Tensor] = {}
    if isinstance(p, Product):  # column by column, however columns are joined
        for i, inner in enumerate(p.columns):
            found |= parameters(inner, f"{prefix}columns.{i}.")
        return found
    batch = p.batch_shape
    for f in fields(p):  # type: ignore[arg-type]
        value, name = getattr(p, f.name), f"{prefix}{f.name}"
        if isinstance(value, Tensor) and value.is_floating_point():
            axes = p.parameter_axes(f.name)
            own = value.shape[max(0, value.ndim - axes) :]
            found[name] = value.expand(*batch, *own)
        elif isinstance(value, Distribution):
            found |= parameters(value, f"{name}.")
        elif isinstance(value, tuple):
            for i, inner in enumerate(value):
                found |= parameters(inner, f"{name}.{i}.")
    return found


class _Function(nn.Module):
    """A function of named tensors.

    Arguments:
        model: As `frozen` returns it.
        schema: How data are read and restored.
        outputs: What to return.
    """

    names: tuple[str, ...]  # of inputs that are no noise

    def __init__(self, model: LatentModel, schema: Schema, outputs: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self.schema, self.outputs = model, schema, outputs
        self.sites: tuple[Site, ...] = ()

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of all inputs, in their order."""
        return (*self.names, *widths(self.sites))

    def values(self, given: dict[str, Tensor], noise: Noise) -> dict[str, Tensor]:
        """Returns the outputs by name."""
        raise NotImplementedError

    @torch.no_grad()
    def ask(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        """Learns what noise is asked for, and returns the outputs at fresh noise."""
        asked = Asked(next(iter(given.values())).shape[0])
        found = self.values(given, asked)
        self.sites = tuple(asked.sites)
        return found

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        """Returns the outputs in their order from the inputs in theirs."""
        named = dict(zip(self.inputs, given, strict=True))
        noise = Given(self.sites, {k: named[k] for k in widths(self.sites)})
        found = self.values(named, noise)
        return tuple(found[name] for name in self.outputs)


class Encoder(_Function):
    """From data to the posterior: `x` (B, *S) [, `mask`] [, `condition`] and noise.

    Outputs are `mean` and `variance` (B, D), as `Run.encode` returns, and `z` (B, D), a draw.

    Arguments:
        model: As `frozen` returns it.
        schema: How data are read.
        outputs: What to return.
        masked: Whether a mask is an input, True where an entry was seen.
    """

    def __init__(
        self, model: LatentModel, schema: Schema, outputs: tuple[str, ...], *, masked: bool
    ) -> None:
        super().__init__(model, schema, outputs)
        self.names = ("x", *["mask"] * masked, *["condition"] * (schema.width > 0))
        self.reading = Reading(schema)

    def example(self, rows: int) -> dict[str, Tensor]:
        """Returns inputs of the right shapes and types."""
        s, dtype = self.schema, dtype_in(self.schema)
        found = {"x": torch.ones(rows, *s.shape).to(dtype)}
        if "mask" in self.names:
            found["mask"] = torch.ones(rows, *s.shape, dtype=torch.bool)
        if "condition" in self.names:
            found["condition"] = torch.eye(s.width)[torch.arange(rows) % s.width]
        return found

    def values(self, given: dict[str, Tensor], noise: Noise) -> dict[str, Tensor]:
        """Returns the outputs by name."""
        x, mask, c = self.reading(given["x"], noise), given.get("mask"), given.get("condition")
        mask = None if mask is None else self.reading.arranged(mask)
        mean, variance = self.model.encode(x, c, mask=mask)
        found = {"mean": mean, "variance": variance}
        if "z" in self.outputs:
            draws = self.model.infer(x, c, mask=mask, noise=noise)[0].draws
            found["z"] = torch.cat([d.z[0].flatten(1) for d in draws], dim=1)
        return found


class Decoder(_Function):
    """From latent values to data: `z` (B, D) [, `condition`] and noise.

    Outputs are `mean`, `sd` and `draw` (B, *S): of p(x | z) what `Run.decode` returns, the
    standard deviation, and a draw; `probabilities`, of the codes of a table's columns, end to end;
    and `parameters.*`, those of the density, in the model's own layout and units.

    Arguments:
        model: As `frozen` returns it.
        schema: How data are restored.
        outputs: What to return.
    """

    def __init__(self, model: LatentModel, schema: Schema, outputs: tuple[str, ...]) -> None:
        super().__init__(model, schema, outputs)
        self.names = ("z", *["condition"] * (schema.width > 0))
        self.writing = Writing(schema)
        named = torch.tensor([k.startswith("category") for k in self._kinds])
        self.register_buffer("named", named, persistent=False)

    @property
    def _kinds(self) -> tuple[str, ...]:
        return tuple(self.schema.kinds[i] for i in self.schema.kept) if self.schema.kinds else ()

    def example(self, rows: int) -> dict[str, Tensor]:
        """Returns inputs of the right shapes and types."""
        found = {"z": torch.ones(rows, sum(self.model.groups))}
        if "condition" in self.names:
            width = self.schema.width
            found["condition"] = torch.eye(width)[torch.arange(rows) % width]
        return found

    def density(self, given: dict[str, Tensor]) -> Distribution:
        """Returns p(x | z)."""
        return self.model.decode(given["z"], given.get("condition"))

    def values(self, given: dict[str, Tensor], noise: Noise) -> dict[str, Tensor]:
        """Returns the outputs by name."""
        px = self.density(given)
        found = {"mean": self.writing(px.point, "value")}
        if "sd" in self.outputs:
            spread = px.variance.sqrt()
            if self._kinds:  # names have none
                spread = torch.where(self.get_buffer("named"), torch.nan, spread)
            found["sd"] = self.writing(spread, "spread")
        if "draw" in self.outputs:
            found["draw"] = self.writing(px.sample((), noise), "draw")
        if "probabilities" in self.outputs and isinstance(px, Product):
            found["probabilities"] = _probabilities(px, levels_of(self.schema))
        if any(name.startswith("parameters.") for name in self.outputs):
            found |= {f"parameters.{k}": v for k, v in parameters(px).items()}
        return found


def _probabilities(px: Product, levels: list[int]) -> Tensor:
    """Returns the probability of each code of each column that has such, (B, sum of levels)."""
    found = []
    for p, count in zip(px.columns, levels, strict=True):
        if count:
            codes = torch.arange(float(count))[:, None, None].expand(-1, px.batch_shape[0], 1)
            found.append(p.log_prob_elements(codes).exp()[..., 0].T)
    return torch.cat(found, 1)

"""What was learnt of a source when it was first read, so that new data are read alike.

Shapes: N or n data, E event (one datum inside), C width of a condition.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from math import prod
from typing import Any, Literal

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from ..errors import DiaboloError, DiaboloWarning, unknown
from ..spec import Support
from .conditions import Condition, codes, encode, label_column
from .data import Data
from .decode import AsFloat, Binarize, Decoder, Dequantize, Scale, Threshold
from .found import Array, Rows, Values
from .infer import Layout, Units, to_inside, to_outside
from .mapped import Mapped, pieces
from .memory import from_memory
from .table import Table, named, numbers_of
from .values import element_name, refuse_infinite, refuse_missing, stored_values

__all__ = ["Schema"]


@dataclass(frozen=True, kw_only=True)
class Schema:
    """How a user's data become a model's, and back.

    Arguments:
        shape: The shape of one datum as the user has it.
        layout: What its axes are.
        dtype: The user's type.
        event: The shape E of one datum inside, constant columns left out.
        support: The support of a value as a model sees it.
        levels: The number of values, where that support has levels.
        kinds: Of `mixed` data, the support of each column, as in a `Spec`.
        source: The support of a value as it is stored.
        grey: The number of grey levels as stored; None where there are none.
        units: How the user writes grey levels: 0, 1, ... (`levels`), j / (levels - 1) (`grid`).
        binarize: How grey levels become bits.
        dequantize: Whether noise is added to grey levels; likelihoods are lower bounds then.
        standardize: Whether the model is to standardise.
        missing: What NaN means; `auto`, of a table, is `nan` where there is one.
        seed: Keys the noise of decoding.
        columns: The names of a table's features; () where they have none.
        constants: The columns that are left out, and their only value; None if never seen.
        label: What the labels are called.
        classes: The names of the labels' codes.
        conditions: What a conditional model reads.
        labelled: Whether all data have the label that is their condition, or some.
        table: What the columns of a table are, and how they become numbers; None for arrays.
    """

    shape: tuple[int, ...]
    layout: Layout
    dtype: str
    event: tuple[int, ...]
    support: Support
    levels: int | None = None
    kinds: tuple[str, ...] = ()
    source: Support = "real"
    grey: int | None = None
    units: Units = "plain"
    binarize: Literal["no", "dynamic", "static", "threshold"] = "no"
    dequantize: bool = False
    standardize: bool = False
    missing: Literal["refuse", "nan", "auto"] = "refuse"
    seed: int = 0
    columns: tuple[str, ...] = ()
    constants: tuple[tuple[int, float | None], ...] = ()
    label: str = "labels"
    classes: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()
    labelled: Literal["all", "some"] = "all"
    table: Table | None = None

    @property
    def width(self) -> int:
        """The width C of the condition, 0 for none."""
        return sum(c.width for c in self.conditions)

    @property
    def span(self) -> tuple[float, float] | None:
        """The least and greatest value that restored data can have; None without such limits."""
        if self.units == "levels" and self.grey is not None:
            return 0.0, self.grey - 1.0
        return (0.0, 1.0) if self.source in ("binary", "byte", "unit") else None

    @property
    def kept(self) -> list[int]:
        """The positions of the columns that a model sees, for tables."""
        gone = {i for i, _ in self.constants}
        return [i for i in range(prod(self.shape)) if i not in gone]

    @property
    def decoder(self) -> Decoder:
        """What turns stored values into x."""
        base: Decoder = AsFloat() if self.grey is None else Scale(self.grey)
        if self.dequantize:
            return Dequantize()
        if self.binarize == "threshold":
            return Threshold(base)
        return base if self.binarize == "no" else Binarize(base)

    def to_json(self) -> dict[str, Any]:
        """Returns values that JSON can hold."""
        return asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Schema:
        """Returns the schema that `to_json` wrote.

        Raises:
            DiaboloError: If a part is unknown, lacking or of another type.
        """
        known = {f.name for f in fields(Schema)}
        for key in value:
            if key not in known:
                raise unknown("part of the schema", key, known)
        lacking = {"shape", "layout", "dtype", "event", "support"} - set(value)
        if lacking:
            raise DiaboloError(f"The schema lacks '{sorted(lacking)[0]}'.")
        try:
            found = TypeAdapter(Schema).validate_python(dict(value))
            np.dtype(found.dtype)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise DiaboloError(f"The schema is damaged: {where}: {first['msg']}.") from None
        except TypeError as error:
            raise DiaboloError(f"The schema is damaged: dtype: {error}.") from None
        if prod(found.event) + len(found.constants) != prod(found.shape):
            raise DiaboloError(
                f"The schema is damaged: data of shape {found.shape} do not become {found.event}."
            )
        return found

    def condition(self, values: Any) -> Tensor:
        """Returns conditions (n, C), floats, from what a user writes.

        Arguments:
            values: Labels by name or code, or numbers: one or a sequence of them; for several
                columns a mapping of their names to values, or rows of values.

        Raises:
            DiaboloError: At a value that is none of the column's, or another number of columns.
        """
        return encode(self.conditions, values, some=self.labelled == "some")

    def unlabelled(self, data: Data) -> int | None:
        """Returns how many data lack the label that is their condition; None if it is no label."""
        if data.c is None or len(self.conditions) != 1 or not self.conditions[0].classes:
            return None
        return int((~data.c.any(1)).sum())

    def _labels(self, values: Any, count: int | None) -> Array:
        return label_column(values, self.label, count, some=self.labelled == "some")

    def data(
        self, x: Any, *, labels: Any = None, condition: Any = None, index: Tensor | None = None
    ) -> Data:
        """Returns a user's new array, tensor or data frame as `Data`, checked.

        Arguments:
            x: The rows (n, *), in the layout and units of the training data.
            labels: A label for each row; they are the condition too where that is the labels.
            condition: What a conditional model reads, as for `condition`.
            index: The row index of each datum, which keys its noise; None counts from 0.

        Raises:
            DiaboloError: If shape, type, support, names or numbers differ from training.
        """
        label = None if labels is not None else self.label
        names = tuple(c.name for c in self.conditions)
        found = from_memory(x, columns=self.columns, label=label, conditions=names).train
        found = self.numbered(found)
        if labels is None:
            labels = found.labels
        rows = Rows(found.x, None if labels is None else self._labels(labels, None))
        if condition is None and found.conditions:
            condition = found.conditions
        data = self.read(rows, condition=condition, index=index)
        moved = self.moved(rows.x)
        if moved:
            raise DiaboloError(moved)
        return data

    def numbered(self, rows: Rows) -> Rows:
        """Returns rows of a table as numbers, (n, *shape), each column read as in training.

        A column that training had not is passed over, with a warning.

        Raises:
            DiaboloError: If a column is lacking, or holds a value that it cannot have.
        """
        frame, table = rows.frame, self.table
        if frame is None and table is None:
            return rows
        if frame is None:
            assert table is not None
            x = rows.x
            mapped = x.then(lambda v, _: table.numbers(v)) if isinstance(x, Mapped) else None
            return replace(rows, x=table.numbers(x) if mapped is None else mapped)  # type: ignore[arg-type]
        if table is None:
            return replace(rows, x=numbers_of(frame), frame=None)
        aside = (self.label, *(c.name for c in self.conditions))
        extra = table.extra(frame, aside)
        if extra:
            many = "Columns" if len(extra) > 1 else "Column"
            warnings.warn(
                f"{many} {named(extra)} {'were' if len(extra) > 1 else 'was'} not there in "
                "training: passed over.",
                DiaboloWarning,
                stacklevel=2,
            )
        never = [self.columns[i] for i, value in self.constants if value is None]
        return replace(rows, x=table.encode(frame, never), frame=None)

    def moved(self, x: Values) -> str | None:
        """Returns a sentence if a column that was constant in training has another value."""
        fixed = [(i, value) for i, value in self.constants if value is not None]
        for first, block in pieces(x) if fixed else ():
            flat = block.reshape(len(block), -1)
            for i, value in fixed:
                column = flat[:, i].astype(np.float64)
                other = ~(np.isclose(column, value, rtol=1e-6, atol=0) | np.isnan(column))
                if other.any():
                    row = int(other.nonzero()[0][0])
                    return (
                        f"{self.column(i).capitalize()} was always {self._shown(i, value)} in "
                        "training and is left out of the model, but is "
                        f"{self._shown(i, float(column[row]))} in row {first + row}: train without "
                        "it."
                    )
        return None

    def _shown(self, i: int, value: float) -> str:
        """Returns a value of a column as the user has it."""
        if self.table is None or not self.table.mixed:
            return f"{value:g}"
        return str(self.table.columns[i].decode(np.array([value]))[0].as_py())

    def column(self, i: int) -> str:
        """Returns what to call the i-th element of a datum in a sentence."""
        return element_name(i, self.shape, self.columns)

    def read(self, rows: Rows, *, condition: Any = None, index: Tensor | None = None) -> Data:
        """Returns rows in the user's layout as `Data`; the constant columns are not looked at."""
        x = rows.x
        if x.shape[1:] != self.shape:
            axes = ", ".join(("n", *map(str, self.shape)))
            raise DiaboloError(
                f"Expected data of shape ({axes}) as in training, but got {x.shape}. Reshape them "
                "to that; one datum alone needs x[None]."
            )
        if not len(x):
            raise DiaboloError("Expected at least one row, but the data are empty.")
        stored, mask = self._in_files(x) if isinstance(x, Mapped) else self._in_memory(x)
        labels = None
        if rows.labels is not None:
            column = self._labels(rows.labels, len(x))
            if self.classes:
                labels = codes(column, self.classes, self.label)
            elif column.dtype.kind in "biuf":
                labels = torch.as_tensor(column.astype(np.float32))
            else:
                raise DiaboloError(
                    f"This run was fitted without labels such as '{column[0]}': leave labels out; "
                    "a condition is read of the table's own columns."
                )
        if condition is None and [c.name for c in self.conditions] == [self.label]:
            condition = rows.labels
        c = None if condition is None else self.condition(condition)
        if c is not None and len(c) != len(x):
            raise DiaboloError(f"Expected {len(x)} conditions, one a row, but got {len(c)}.")
        if index is not None and len(index) != len(x):
            raise DiaboloError(f"Expected {len(x)} row indices, but got {len(index)}.")
        data = Data(
            x=stored,
            support=self.support,
            levels=self.levels,
            kinds=tuple(self.kinds[i] for i in self.kept) if self.kinds else (),
            decoder=self.decoder,
            c=c,
            mask=mask,
            labels=labels,
            classes=self.classes,
            fixed=self.binarize == "static",
            seed=self.seed,
            index=index,
            names=rows.names,
        )
        return data.drawn() if self.binarize == "static" else data

    def _stored(self, x: Array, first: int = 0) -> tuple[Array, Array | None]:
        """Returns what to store of rows, and what was seen of them; `first` rows came before."""
        levels = self.grey or self.levels
        stored, mask = stored_values(
            x, self.source, levels, self.units, self.missing, self.column, first, self.kinds
        )
        return self.inside(stored), None if mask is None else self.inside(mask)

    def inside(self, values: Array) -> Array:
        """Returns values in the user's layout (n, *S) as a model has elements, (n, *E)."""
        values = to_inside(values, self.layout)
        return values[:, self.kept] if self.constants else values

    def outside(self, values: Array, fill: Any) -> Array:
        """Returns values of elements (n, *E) in the user's layout, (n, *S), `fill` at constants."""
        if self.constants:
            whole = np.empty((len(values), prod(self.shape)), values.dtype)
            whole[:, self.kept] = values
            whole[:, [i for i, _ in self.constants]] = fill
            values = whole
        return to_outside(values, self.layout).reshape(len(values), *self.shape)

    def _in_memory(self, x: Array) -> tuple[Tensor, Tensor | None]:
        stored, mask = self._stored(x)
        if np.may_share_memory(stored, x):
            stored = stored.copy()  # The user may change the array later.
        seen = None if mask is None else torch.from_numpy(np.ascontiguousarray(mask))
        return torch.from_numpy(np.ascontiguousarray(stored)), seen

    def _in_files(self, x: Mapped) -> tuple[Mapped, Mapped | None]:
        """Returns what `_in_memory` does, left in files: each value is looked at, none is kept."""
        if x.dtype.kind == "f":
            refuse_infinite(x, self.column)
            if self.missing == "refuse":
                refuse_missing(x, self.column)
        types, masked = set(), False
        for first, block in pieces(x):
            stored, mask = self._stored(block, first)
            types.add(stored.dtype)
            masked = masked or mask is not None
        dtype = np.result_type(*types)  # counts take the type of the largest

        def values(block: Array, rows: Array) -> Array:
            return self._stored(block)[0].astype(dtype, copy=False)

        def seen(block: Array, rows: Array) -> Array:
            stored, mask = self._stored(block)
            return np.ones(stored.shape, bool) if mask is None else mask

        return x.then(values), x.then(seen) if masked else None

    def restore(
        self, x: Tensor, like: Any = None, *, mask: Tensor | None = None, drawn: bool = False
    ) -> Any:
        """Returns model values (n, *E) as the user has data: a data frame, or what `array` returns.

        Arguments:
            x: The values.
            like: A data frame of the user whose library and row names to take.
            mask: Which of them to give, (n, *E); the others are missing. None gives all.
            drawn: Whether they are draws, which take the steps of their columns as means do not.
        """
        values = self.array(x, mask=mask)
        values = self.stepped(values) if drawn else values
        return values if self.table is None else self.table.decode(values, like)

    def stepped(self, values: Array, at: Sequence[int] | None = None) -> Array:
        """Returns drawn values (n, D) on the steps of a table's columns, all or those `at`."""
        if self.table is None or self.grey is not None or self.binarize != "no":
            return values
        return self.table.stepped(values, self.support, at)

    def array(self, x: Tensor, *, mask: Tensor | None = None) -> Array:
        """Returns model values (n, *E) in the user's layout, type and grey levels, (n, *shape).

        Grey levels of an integer type are rounded. Other values that the user's integer type
        cannot hold, such as the mean of bits or counts, come back as float32. Values that need
        no change share the memory of x.
        """
        values = x.detach().cpu().float().numpy()
        if self.dequantize and self.grey is not None:
            values = np.clip(np.floor(values), 0, self.grey - 1) / (self.grey - 1)
        values = self.outside(values, [np.nan if v is None else v for _, v in self.constants])
        dtype = np.dtype(self.dtype)
        if self.units == "levels" and self.grey is not None:
            values = values * (self.grey - 1)
            if dtype.kind in "iu" and mask is None:
                return np.clip(np.rint(values), 0, self.grey - 1).astype(dtype)
        if dtype.kind == "f":
            return values.astype(dtype, copy=False)
        with np.errstate(invalid="ignore"):  # NaN is no whole number
            exact = values.astype(dtype)
        if (exact == values).all():
            return np.ascontiguousarray(exact)
        return np.ascontiguousarray(values.astype(np.float32))

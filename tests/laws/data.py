"""Laws of data sets and of whatever is read: small types, honest supports, disjoint splits."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import torch

from diabolo.config import DataConfig
from diabolo.data import Data, Loaded, Schema, load
from diabolo.data.infer import parse_support
from diabolo.noise import KeyedNoise, mix_seed

SMALL = {torch.uint8: 1, torch.int16: 2, torch.int32: 4, torch.float32: 4}


@cache
def named(name: str, data_dir: str | None, **options: str) -> Loaded:
    """A named set, read once in a session."""
    return load(name, DataConfig(source=name, data_dir=data_dir, **options))


def parts(loaded: Loaded) -> list[Data]:
    return [d for d in loaded.splits if d is not None]


def values_lie_in_their_support(loaded: Loaded) -> None:
    """Decoded values are what the support says, in every part."""
    for data in parts(loaded):
        rows = torch.arange(0, len(data), max(1, len(data) // 500))
        batch = data.batch(rows)
        x = batch.x
        assert x.is_floating_point()
        assert bool(torch.isfinite(x).all())
        if data.support == "binary":
            assert bool(((x == 0) | (x == 1)).all())
        elif data.support == "byte":
            assert data.levels is not None
            j = x * (data.levels - 1)
            # j / (levels - 1) in float32 is off by 2^-24 of at most 255.
            assert bool(((j - j.round()).abs() < 1e-4).all())
            assert bool((x >= 0).all() and (x <= 1).all())
        elif data.support == "unit":
            assert bool((x >= 0).all() and (x <= 1).all())
        elif data.support == "count":
            assert bool((x >= 0).all() and (x == x.round()).all())
        elif data.support == "mixed":
            for kind, column in zip(data.kinds, x.T, strict=True):
                _, levels = parse_support(kind)
                whole = levels is not None or kind in ("count", "binary")
                assert not whole or bool(((column >= 0) & (column == column.round())).all())
                assert levels is None or bool((column < levels).all())
        else:
            assert data.support == "real"


def types_are_small(loaded: Loaded) -> None:
    """Nothing is stored wider than it needs: bits and grey levels in one byte."""
    for data in parts(loaded):
        assert data.x.dtype in SMALL
        if loaded.schema.grey is not None or data.support == "binary":
            assert data.x.dtype == torch.uint8


def splits_are_disjoint(loaded: Loaded) -> None:
    """No training row is a validation row; rows keep their places in the source, in order."""
    train, valid = loaded.splits.train.rows, loaded.splits.valid.rows
    if loaded.splits.valid.x.data_ptr() and len(torch.unique(train)) < len(train):
        raise AssertionError("a row is twice in the training part")
    assert len(torch.unique(valid)) == len(valid)
    assert bool((train.diff() > 0).all())


def a_seed_fixes_the_split(source: object, **options: object) -> None:
    """The same seed gives the same split, another seed another, of the same sizes."""
    a, b, c = (load(source, DataConfig(seed=s, **options)).splits for s in (0, 0, 1))  # type: ignore[arg-type]
    assert torch.equal(a.train.rows, b.train.rows)
    assert torch.equal(a.valid.rows, b.valid.rows)
    assert not torch.equal(a.valid.rows, c.valid.rows)
    assert len(a.valid) == len(c.valid)
    joined = torch.cat([a.train.rows, a.valid.rows])
    assert len(torch.unique(joined)) == len(joined)


def restoring_inverts_reading(x: np.ndarray, loaded: Loaded) -> None:
    """`array` gives back what was read: values, type, layout and constant columns."""
    for data in (loaded.splits.train, loaded.splits.valid):
        rows = data.rows.numpy()
        back = loaded.schema.array(data.batch(torch.arange(len(data))).x)
        assert back.shape == x[rows].shape
        assert back.dtype == x.dtype or back.dtype == np.float32
        # Values pass through float32 and, for grey levels, a division: 1e-6 of their size.
        np.testing.assert_allclose(back.astype(float), x[rows].astype(float), rtol=1e-6, atol=1e-6)
        assert torch.equal(loaded.schema.data(x[rows], index=data.rows).x, data.x)


def a_schema_survives_json(schema: Schema) -> None:
    """JSON and back is the same schema."""
    assert Schema.from_json(json.loads(json.dumps(schema.to_json(), allow_nan=False))) == schema


def evaluation_sees_the_same_x_in_any_batch(data: Data) -> None:
    """x is a function of (seed, row): batch sizes, order and subsets change nothing."""
    whole = data.batch(torch.arange(len(data))).x
    for size in (1, 7, len(data)):
        assert torch.equal(torch.cat([b.x for b in data.batches(size)]), whole)
    some = torch.tensor([5, 2, 11])
    assert torch.equal(data.take(some).batch(torch.arange(3)).x, whole[some])
    # The noise of decoding is apart from that of a model evaluated with the same seed.
    like = torch.zeros(1)
    model = KeyedNoise(data.seed, data.rows, lead=1).uniform((len(data), 4), like)
    own = KeyedNoise(mix_seed(data.seed, 0x64617461), data.rows, lead=1)
    assert not torch.equal(model, own.uniform((len(data), 4), like))

"""Batches in a true random order, from memory or from files, and from the middle of an epoch."""

from __future__ import annotations

from itertools import islice

import pytest
import torch

from diabolo.data import Data

N = 103


def small() -> Data:
    """Each value tells its row."""
    return Data(torch.arange(N, dtype=torch.float32)[:, None] * torch.tensor([1.0, -1.0]))


@pytest.mark.parametrize("shuffled", [True, False])
@pytest.mark.parametrize("start", [0, 1, 7, 10, 11, 30])
def test_start_skips_batches_without_decoding_them(start, shuffled, monkeypatch):
    def seed():
        return torch.Generator().manual_seed(3) if shuffled else None

    data = small()
    whole = list(data.batches(10, seed()))
    asked = []
    plain = Data.batch

    def counted(self, rows, **how):
        asked.append(len(rows))
        return plain(self, rows, **how)

    monkeypatch.setattr(Data, "batch", counted)
    late = list(data.batches(10, seed(), start=start))
    assert len(asked) == len(late) == max(0, len(whole) - start)
    for a, b in zip(islice(whole, start, None), late, strict=True):
        assert a.x.equal(b.x)
        assert a.index.equal(b.index)

"""A table of a million rows is read and fitted in the memory that the pages state."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

ROWS = 1_000_000
MOST = 1.5  # GB: 0.3 of the program and 0.4 of reading, as measured, and as much again for the rest
CODE = r"""
import re, sys
from pathlib import Path
import torch
import diabolo
torch.set_num_threads(1)
run = diabolo.fit(
    sys.argv[1], latent=2, net="mlp(hidden=(16,))", epochs=1, batch_size=8192, compile="off"
)
rows = sum(len(run.data(split)) for split in ("train", "valid"))
# Not `ru_maxrss`: a child begins with its parent's.
peak = int(re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[1])
print(rows, run.history.rows[-1].step, peak * 1024 / 1e9)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="this system does not tell a process's memory"
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_million_rows_are_fitted_in_little_memory(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    columns = {f"x{i}": pa.array(rng.normal(size=ROWS)) for i in range(8)}
    for name, words in (("city", ["Bern", "Oslo", "Rome"]), ("size", ["S", "M", "L", "XL"])):
        columns[name] = pa.array(np.array(words)[rng.integers(0, len(words), ROWS)])
    path = tmp_path / f"x.{kind}"
    write = pyarrow.csv.write_csv if kind == "csv" else pyarrow.parquet.write_table
    write(pa.table(columns), path)
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(path)], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    rows, steps, peak = map(float, done.stdout.split())
    assert rows == ROWS
    assert steps >= 100
    assert peak < MOST, f"{peak:.2f} GB"

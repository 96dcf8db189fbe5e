"""Data larger than memory: peak anonymous memory and seconds an epoch, from files and in memory.

python benchmarks/scale.py                                         all sources, three rounds
python benchmarks/scale.py --sources npy --rounds 1 --append       one more round of one source
python benchmarks/scale.py --rows 20000 --limit 40                 a small trial

Made-up data, by default 1.3 GB for a limit of 400 MB, are written in pieces. Each training is a
fresh process that takes its turn. Anonymous memory is what the process holds beyond what the
imports took, page cache excluded (RssAnon of /proc, sampled every 5 ms).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

WIDTH = 784
PIECE = 10_000  # rows that are made at once
SOURCES = ("npy", "shards", "parquet")
OUT = Path(__file__).resolve().parents[1] / "docs" / "results" / "scale.json"


def rows(count: int) -> Any:
    """Yields pieces (n, WIDTH) of noisy points of a plane of 10 dimensions."""
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(10, WIDTH)).astype(np.float32)
    for first in range(0, count, PIECE):
        n = min(PIECE, count - first)
        z = rng.normal(size=(n, 10)).astype(np.float32)
        yield z @ plane + rng.normal(size=(n, WIDTH)).astype(np.float32)


def make(kind: str, count: int, folder: Path) -> Path:
    """Writes the data as one file, shards or Parquet, a piece at a time, and returns where."""
    place = folder / kind / ("x.npy" if kind == "npy" else "parts")
    if place.exists():
        return place
    part = folder / f"{kind}.part"
    part.mkdir(parents=True)
    if kind == "npy":
        x = np.lib.format.open_memmap(
            part / "x.npy", mode="w+", dtype=np.float32, shape=(count, WIDTH)
        )
        for i, piece in enumerate(rows(count)):
            x[i * PIECE : i * PIECE + len(piece)] = piece
        x.flush()
    elif kind == "shards":
        (part / "parts").mkdir()
        for i, piece in enumerate(rows(count)):
            np.save(part / "parts" / f"part-{i:04d}.npy", piece)
    else:
        import pyarrow as pa
        import pyarrow.parquet

        (part / "parts").mkdir()
        names = [f"x{i}" for i in range(WIDTH)]
        for i, piece in enumerate(rows(count)):
            table = pa.Table.from_arrays([pa.array(c) for c in piece.T.copy()], names)
            pyarrow.parquet.write_table(table, part / "parts" / f"part-{i:04d}.parquet")
    part.rename(folder / kind)
    return place


def anonymous() -> float:
    """Returns the megabytes of anonymous memory of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def train(source: str, memory: str, compiled: str) -> dict[str, Any]:
    """Trains one epoch in this process, and returns what it took."""
    import torch

    import diabolo
    from diabolo.config import DataConfig

    DataConfig()
    torch.nn.functional.linear(torch.zeros(64, 64), torch.zeros(64, 64))
    before, peak, ended = anonymous(), 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.005):
            peak = max(peak, anonymous())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    began = time.monotonic()
    run = diabolo.fit(
        source,
        "vae",
        latent=10,
        net="mlp(hidden=(256,))",
        epochs=1,
        valid=0.02,
        memory=memory,
        compile=compiled,
        precision="float32",
    )
    wall = time.monotonic() - began
    ended.set()
    thread.join()
    (row,) = run.history.rows
    return {
        "anonymous_MB": round(peak - before, 1),
        "epoch_s": round(row.seconds, 3),
        "open_s": round(wall - row.seconds, 3),
        "valid_elbo": row.valid_elbo,
        "notes": list(run.notes),
    }


def machine() -> dict[str, Any]:
    """Returns what the figures depend on."""
    import pyarrow
    import torch

    cpu = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            li.split(":")[1].strip() for li in info.read_text().splitlines() if "model name" in li
        ]
        cpu = names[0] if names else cpu
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "pyarrow": pyarrow.__version__,
    }


def summary(record: dict[str, Any]) -> dict[str, Any]:
    """Returns the medians of each source, and the ratio of an epoch from files to one in memory."""
    found = {}
    for kind in SOURCES:
        calls = {
            m: [c for c in record["calls"] if (c["source"], c["memory"]) == (kind, m)]
            for m in ("mapped", "whole")
        }
        if not all(calls.values()):
            continue
        epoch = {m: statistics.median(c["epoch_s"] for c in cs) for m, cs in calls.items()}
        found[kind] = {
            "mapped_epoch_s": epoch["mapped"],
            "whole_epoch_s": epoch["whole"],
            "ratio": round(epoch["mapped"] / epoch["whole"], 3),
            "mapped_anonymous_MB": max(c["anonymous_MB"] for c in calls["mapped"]),
            "whole_anonymous_MB": max(c["anonymous_MB"] for c in calls["whole"]),
            "mapped_open_s": [c["open_s"] for c in calls["mapped"]],
            "same_elbo": len({c["valid_elbo"] for cs in calls.values() for c in cs}) == 1,
        }
    return found


def main() -> None:
    """Runs the trainings in turns, and writes what they took."""
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("--sources", nargs="+", choices=SOURCES, default=SOURCES)
    ask.add_argument("--rounds", type=int, default=3)
    ask.add_argument("--rows", type=int, default=420_000)
    ask.add_argument("--limit", type=float, default=400, help="megabytes of anonymous memory")
    ask.add_argument("--compile", choices=("on", "off"), default="off")
    ask.add_argument("--folder", type=Path, help="where the data are made; else a temporary one")
    ask.add_argument("--out", type=Path, default=OUT)
    ask.add_argument("--append", action="store_true", help="add to what the file holds")
    ask.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    args = ask.parse_args()
    if args.one:
        print(json.dumps(train(*args.one, args.compile)))
        return
    record: dict[str, Any] = {"calls": []}
    if args.append and args.out.exists():
        record = json.loads(args.out.read_text())
    size = args.rows * WIDTH * 4 / 1e6
    record |= {"machine": machine(), "rows": args.rows, "data_MB": size, "limit_MB": args.limit}
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.folder or Path(scratch)
        env = {**os.environ, "DIABOLO_CACHE": str(folder / "cache")}
        for kind in args.sources:
            source = make(kind, args.rows, folder)
            for _ in range(args.rounds):
                for memory in ("mapped", "whole"):
                    command = [sys.executable, __file__, "--compile", args.compile]
                    done = subprocess.run(
                        [*command, "--one", str(source), memory],
                        env=env,
                        capture_output=True,
                        text=True,
                        check=False,
                    )
                    if done.returncode:
                        sys.exit(f"{kind}, {memory}: {done.stderr}")
                    found = json.loads(done.stdout.splitlines()[-1])
                    record["calls"].append({"source": kind, "memory": memory, **found})
                    print(
                        kind, memory, {k: v for k, v in found.items() if k != "notes"}, flush=True
                    )
    record["summary"] = summary(record)
    args.out.write_text(json.dumps(record, indent=1) + "\n")
    for kind, s in record["summary"].items():
        word = "within" if s["mapped_anonymous_MB"] <= args.limit else "ABOVE"
        print(
            f"{kind}: {size:.0f} MB of data, {s['mapped_anonymous_MB']:.0f} MB anonymous "
            f"({word} {args.limit:g}), epoch {s['ratio']:.2f} of in memory"
        )


if __name__ == "__main__":
    main()

"""Kills a training with SIGKILL at random moments and goes on with it, again and again.

python benchmarks/kill.py --kills 20 --out docs/results/kill.json

One training is begun with `diabolo fit`, killed, and gone on with by `diabolo fit --resume` until
it has been killed so often; the last process ends it. A state is written after each step, so that
the interval is one step and most kills fall into the writing of a state. Shown: the steps that
each process took again, where each kill fell, and whether weights and history (without its clock)
are those of a training that was never stopped, bit for bit.

The killed processes run this file's `--child`, which is the command line with counters in a file.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import platform
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

COUNTERS = ("step", "writing", "saved", "from", "stage")  # stage: 1 training, 2 after it
SIZE = 8 * len(COUNTERS)


def child(counters: Path, words: list[str]) -> int:
    """Runs the command line, counting in a file that outlives the process."""
    from diabolo.__main__ import main
    from diabolo.train import loop

    with counters.open("r+b") as file:
        shared = mmap.mmap(file.fileno(), SIZE)

    def put(name: str, value: int) -> None:
        struct.pack_into("q", shared, 8 * COUNTERS.index(name), value)

    take, load, run, save = loop._Loop._take, loop._Loop.load, loop._Loop.run, loop.save_state

    def counted(self: Any, batches: Any) -> Any:
        found = take(self, batches)
        put("step", self.step + 1)
        return found

    def loaded(self: Any, state: dict[str, Any]) -> None:
        load(self, state)
        put("from", self.step)

    def ran(self: Any, on_epoch: Any) -> Any:
        put("stage", 1)
        try:
            return run(self, on_epoch)
        finally:
            put("stage", 2)

    def saved(path: Path, state: dict[str, Any]) -> None:
        put("writing", 1)
        save(path, state)
        put("saved", state["step"])
        put("writing", 0)

    loop._Loop._take, loop._Loop.load, loop._Loop.run = counted, loaded, ran
    loop.save_state = saved
    return main(words)


def read(counters: Path) -> dict[str, int]:
    """Returns the counters of a process, dead or alive."""
    return dict(
        zip(COUNTERS, struct.unpack(f"{len(COUNTERS)}q", counters.read_bytes()), strict=True)
    )


def start(counters: Path, words: list[str]) -> subprocess.Popen[bytes]:
    """Starts a process that counts in a new file."""
    counters.write_bytes(bytes(SIZE))
    own = [sys.executable, __file__, "--child", str(counters), *words]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(own, stdout=quiet, stderr=subprocess.PIPE, start_new_session=True)


def descendants(process: int) -> list[int]:
    """Returns the processes that a process has started, and theirs (Linux)."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
        parents.setdefault(parent, []).append(int(path.parent.name))
    found = parents.get(process, [])
    return [*found, *(d for p in found for d in descendants(p))]


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kills a process and all that it has started."""
    for number in [process.pid, *descendants(process.pid)]:
        try:
            os.kill(number, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.communicate()


def result(place: Path) -> tuple[bytes, list[dict[str, Any]]]:
    """Returns the weights of a run, and its history without the clock."""
    rows = [json.loads(line) for line in (place / "history.jsonl").read_text().splitlines()]
    for row in rows:
        row.pop("seconds")
    from safetensors.torch import load_file

    weights = load_file(place / "weights.safetensors")
    return b"".join(weights[n].numpy().tobytes() for n in sorted(weights)), rows


def trial(folder: Path, kills: int, seed: int, epochs: int, devices: int) -> dict[str, Any]:
    """Returns what happened to one training that was killed so often."""
    from diabolo.run.folder import left

    draw = random.Random(seed)
    place, counters = folder / "killed", folder / "counters"
    settings = ["--set", "latent=8", "net=mlp(hidden=(64,))", f"train.epochs={epochs}"]
    settings += ["train.ema=0.99", "train.schedule=cosine"]
    if devices > 1:
        settings = ["--devices", str(devices), *settings]
    tail = ["--k", "2", *settings]
    expected = folder / "whole"
    whole = [sys.executable, "-m", "diabolo", "fit", "digits", "--out", str(expected), *tail]
    subprocess.run(whole, check=True, capture_output=True)
    begin = ["fit", "digits", "--out", str(place), *tail, "train.checkpoint_minutes=1e-9"]
    on = ["fit", "--resume", str(place), "--k", "2"]
    if devices > 1:
        on += ["--devices", str(devices)]
    found: list[dict[str, Any]] = []
    done = 0
    while len(found) < kills:
        process = start(counters, on if left(place) else begin)
        early = draw.random() < 0.15  # before training: imports, data, the reading of the state
        wait = draw.uniform(0.0, 3.0 if early else 1.2)
        while not early and not read(counters)["stage"] and process.poll() is None:
            time.sleep(0.005)
        time.sleep(wait)
        if process.poll() is not None:
            told = process.communicate()[1].decode()[-500:]
            raise SystemExit(f"It ended after {len(found)} kills; more epochs are needed: {told}")
        kill(process)
        now = read(counters)
        trained = now["stage"] > 0 and now["step"] > 0
        again = max(0, done - now["from"]) if now["stage"] else None
        done = max(done, now["step"]) if trained else done
        moment = ("before training", "training", "after training")[now["stage"]]
        if now["writing"]:
            moment = "writing a state"
        found.append({"moment": moment, "step": done, "steps_again": again})
    process = start(counters, on if left(place) else begin)
    told = process.communicate()[1].decode()
    if process.returncode:
        raise SystemExit(told)
    last = max(0, done - read(counters)["from"])
    equal = [a == b for a, b in zip(result(expected), result(place), strict=True)]
    return {
        "seed": seed,
        "kills": found,
        "steps_again_by_the_last": last,
        "steps": read(counters)["step"],
        "weights_equal": equal[0],
        "history_equal": equal[1],
        "left": sorted(p.name for p in folder.iterdir() if p.name not in ("whole", "counters")),
    }


def main() -> None:
    """Prints the result, and writes it where that is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = trial(Path(folder), asked.kills, asked.seed, asked.epochs, asked.devices)
    import torch

    moments = [k["moment"] for k in found["kills"]]
    counts = {name: moments.count(name) for name in sorted(set(moments))}
    again = [k["steps_again"] for k in found["kills"] if k["steps_again"] is not None]
    summary = {
        "kills": len(moments),
        "moments": counts,
        "most_steps_again": max([*again, found["steps_again_by_the_last"]]),
        "interval_in_steps": 1,
        "devices": asked.devices,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}",
    }
    text = json.dumps({**summary, **{k: v for k, v in found.items() if k != "kills"}}, indent=1)
    print(text)
    if asked.out is not None:
        whole = {**json.loads(text), "each": found["kills"]}
        asked.out.write_text(json.dumps(whole, indent=1) + "\n", "utf-8")
    if not (found["weights_equal"] and found["history_equal"]):
        raise SystemExit("The killed training is not the whole one.")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        sys.exit(child(Path(sys.argv[2]), sys.argv[3:]))
    main()

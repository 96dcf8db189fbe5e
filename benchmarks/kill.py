"""Kills a training with SIGKILL at random moments and goes on with it, again and again.

python benchmarks/kill.py --kills 20 --out docs/results/kill.json
python benchmarks/kill.py --kills 20 --devices 2 --epochs 60 --out docs/results/kill_2.json

One training is begun with `diabolo fit`, killed, and gone on with by `diabolo fit --resume` until
it has been killed so often; the last process ends it. A state is written after each step, so that
the interval is one step and most kills fall into the writing of a state. Shown: the steps that
each process took again, where each kill fell, and whether weights and history (without its clock)
are those of a training that was never stopped, bit for bit.

Of several processes (`--devices`) either all are killed, with the agent that started them, and
`--resume` goes on; or one of them alone, and the agent starts all anew, three times at most.

The killed processes run this file's `--child`, the command line with counters in files.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import platform
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# stage: 1 training, 2 after it; start: how often an agent had started all anew
COUNTERS = ("step", "writing", "saved", "from", "stage", "start", "world")
SIZE = 8 * len(COUNTERS)
PLACE = "KILL_COUNTERS"  # the variable that names the folder of the counters
ANEW = 3  # how often an agent starts all anew


def count(folder: Path) -> None:
    """Makes this process count what its training does, in a file that outlives it."""
    from diabolo import ranks
    from diabolo.train import loop

    path = folder / str(os.getpid())
    path.write_bytes(bytes(SIZE))
    with path.open("r+b") as file:
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
        put("start", ranks.restarts())
        put("world", ranks.count())
        put("stage", 1)
        found = run(self, on_epoch)
        put("stage", 2)
        return found

    def saved(path: Path, state: dict[str, Any]) -> None:
        put("writing", 1)
        save(path, state)
        put("saved", state["step"])
        put("writing", 0)

    loop._Loop._take, loop._Loop.load, loop._Loop.run = counted, loaded, ran
    loop.save_state = saved


def child(folder: Path, words: list[str]) -> int:
    """Runs the command line, counting, and so do the processes that it spawns."""
    from diabolo.__main__ import main

    os.environ[PLACE] = str(folder)
    count(folder)
    return main(words)


def each(folder: Path) -> list[dict[str, int]]:
    """Returns the counters of all processes that have counted there, dead or alive."""
    found = (path.read_bytes() for path in folder.iterdir())
    return [
        dict(zip(COUNTERS, struct.unpack(f"{len(COUNTERS)}q", content), strict=True))
        for content in found
        if len(content) == SIZE
    ]


def read(folder: Path, start: int = 0) -> dict[str, int]:
    """Returns how far the processes of one start have come; all zero before they train."""
    those = [c for c in each(folder) if c["stage"] and c["start"] == start]
    return {name: max((c[name] for c in those), default=0) for name in COUNTERS}


def start(folder: Path, words: list[str]) -> subprocess.Popen[bytes]:
    """Starts a process that counts in an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    own = [sys.executable, __file__, "--child", str(folder), *words]
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
    """Kills a process and all that it has started, these first: they would hear of its end."""
    for number in [*descendants(process.pid), process.pid]:
        try:
            os.kill(number, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.communicate()


def workers(process: int) -> list[int]:
    """Returns the processes that an agent has spawned."""
    found = []
    for number in descendants(process):
        try:
            words = Path(f"/proc/{number}/cmdline").read_bytes()
        except OSError:  # it has ended
            continue
        if b"spawn_main" in words:
            found.append(number)
    return sorted(found)


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
    process: subprocess.Popen[bytes] | None = None
    done = anew = 0  # the steps that were taken, and how often this agent has started all anew
    while len(found) < kills:
        if process is None:
            process, anew = start(counters, on if left(place) else begin), 0
        early = draw.random() < 0.15  # before training: imports, data, the reading of the state
        wait = draw.uniform(0.0, 3.0 if early else 1.2)
        while not early and not read(counters, anew)["stage"] and process.poll() is None:
            time.sleep(0.005)
        time.sleep(wait)
        if process.poll() is not None:
            told = process.communicate()[1].decode()[-500:]
            raise SystemExit(f"It ended after {len(found)} kills; more epochs are needed: {told}")
        one = devices > 1 and not early and anew < ANEW and draw.random() < 0.5
        if one:
            os.kill(draw.choice(workers(process.pid)), signal.SIGKILL)
        else:
            kill(process)
        now = read(counters, anew)
        if anew:  # what is left of a start may take its step to the end after the kill of one
            done = max(done, read(counters, anew - 1)["step"])
        again = max(0, done - now["from"]) if now["stage"] else None
        done = max(done, now["step"])
        moment = ("before training", "training", "after training")[now["stage"]]
        if now["writing"]:
            moment = "writing a state"
        killed = {"killed": "one" if one else "all"} if devices > 1 else {}
        found.append({"moment": moment, "step": done, "steps_again": again, **killed})
        process, anew = (process, anew + 1) if one else (None, 0)
    if process is None:
        process = start(counters, on if left(place) else begin)
    told = process.communicate()[1].decode()
    if process.returncode:
        raise SystemExit(told)
    if anew:
        done = max(done, read(counters, anew - 1)["step"])
    now = read(counters, anew)
    last = max(0, done - now["from"])
    equal = [a == b for a, b in zip(result(expected), result(place), strict=True)]
    return {
        "seed": seed,
        "kills": found,
        "steps_again_by_the_last": last,
        "steps": now["step"],
        "processes_at_the_end": now["world"],
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
elif __name__ == "__mp_main__" and PLACE in os.environ:  # spawned by such a child
    count(Path(os.environ[PLACE]))

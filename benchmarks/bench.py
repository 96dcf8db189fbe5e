"""Diabolo beside Pythae, Lightning and PyTorch's example, and beside the machine's limit.

make bench                                                          everything, five rounds
make bench BENCH="--rounds 3 --data-dir DATA"                       on MNIST instead of made-up bits
python benchmarks/bench.py --only train-mlp --rounds 3              some sections
python benchmarks/bench.py --out FILE --append --rounds 1 ...       more rounds into the same file
python benchmarks/bench.py --rounds 0 --append --out FILE           only show what a file holds

It runs in an environment of its own (`make bench` makes it: benchmarks/.venv-peers). Each call is
a fresh process; the calls of a round take turns, and ratios are taken within rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from beside import extra, machine, plan, report  # noqa: E402  (its folder is no package's)

CACHE = HERE / ".cache"
LIMIT = 900  # seconds for one call


class Bench:
    """Runs calls and keeps what they took.

    Arguments:
        args: What was asked for on the command line.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.out: Path = args.out or CACHE / "last.json"
        self.source = "MNIST, cut at one half" if args.data_dir else "made-up bits of MNIST's shape"
        self.data = CACHE / ("mnist" if args.data_dir else "made-up")
        self.record: dict[str, Any] = {"calls": [], "failed": [], "curves": []}
        if args.append and self.out.exists():
            self.record = json.loads(self.out.read_text())
            kept = {k: self.record.get(k, v) for k, v in self.kind().items()}
            if args.rounds and kept != self.kind():
                sys.exit(f"{self.out} holds calls of {kept}: not to be mixed with {self.kind()}.")
        self.grown: list[dict[str, Any]] = []
        self.grown_file = self.out.parent / "growth.json"
        if args.growth and args.append and self.grown_file.exists():
            self.grown = json.loads(self.grown_file.read_text())["points"]
        self.warmed: set[str] = set()
        self.began = time.monotonic()

    def prepare(self) -> None:
        """Has the data and the trained weights written, once."""
        weights = self.data / "weights.pt"
        if weights.exists():
            return
        task = {"who": "diabolo", "task": "prepare", "batch": 128, "epochs": 3, "compile": "off"}
        more = {"n": plan.N["mlp"], "save": str(weights), "data_dir": self.args.data_dir}
        self.tell(f"preparing {self.source}")
        found = self.work({**task, **more, "seed": 0})
        if "error" in found:
            sys.exit(f"The data cannot be prepared: {found['error']}")

    def work(self, task: dict[str, Any], *, cold: bool = False) -> dict[str, Any]:
        """Does a task in a fresh process; returns what it took, or `error`."""
        task = {"seed": 0, "data": str(self.data), **task}
        if task["task"] in ("likelihood", "sampling", "encoding"):
            task["weights"] = str(self.data / "weights.pt")
        with tempfile.TemporaryDirectory() as folder:
            result = Path(folder) / "result.json"
            command = [sys.executable, "-m", "beside.work", json.dumps(task), str(result)]
            cache = Path(folder) / "inductor" if cold else CACHE / "inductor"
            found = self.command(command, cache=cache)
            if result.exists():
                return {**json.loads(result.read_text()), "wall": found["seconds"]}
            return {"error": found.get("error", "no result was written")}

    def command(self, command: list[str], *, cache: Path | None = None) -> dict[str, Any]:
        """Runs a command and returns its wall time, or `error`."""
        environment = {**os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parent / 'src'}"}
        environment["TORCHINDUCTOR_CACHE_DIR"] = str(cache or CACHE / "inductor")
        at = time.perf_counter()
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=LIMIT
            )
        except subprocess.TimeoutExpired:
            return {"seconds": float(LIMIT), "error": f"took more than {LIMIT} s"}
        found: dict[str, Any] = {"seconds": time.perf_counter() - at, "count": 1}
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.strip()]
            found["error"] = said[-1].strip() if said else f"exit code {done.returncode}"
        return found

    def call(self, entry: plan.Entry, number: int) -> None:
        """Measures one entry once and keeps the call, or its failure."""
        at = time.monotonic()
        if entry.command:
            found = self.command(list(entry.command))
        else:
            task = plan.quicker(entry) if self.args.quick else entry.task
            task = {**task, "seed": number}
            if entry.warm and entry.key not in self.warmed:
                self.warmed.add(entry.key)
                self.work(task)
            found = self.work(task, cold=entry.cold)
            if "error" not in found and task["task"] == "step":
                found.update(seconds=found.pop("wall"), count=1, faults=None, first=None)
            elif "error" not in found and entry.section == "memory":
                found.update(seconds=found["memory"], count=1, faults=None, first=None, gemm=None)
        if "error" in found:
            failure = {"entry": entry.key, "round": number, "error": found["error"]}
            self.record["failed"].append(failure)
            self.tell(f"{entry.key}: FAILED: {found['error']}")
            return
        self.record["failed"] = [f for f in self.record["failed"] if f["entry"] != entry.key]
        call = {"section": entry.section, "entry": entry.name, "round": number, **found}
        self.record["calls"].append({**call, "load": os.getloadavg()[0]})
        took = time.monotonic() - at
        cost = report.cost(call)
        told = f"{cost:.4g}" if call["count"] == 1 else f"{1e6 * cost:.1f} us a datum"
        self.tell(f"{entry.key}: {told} ({took:.0f} s in all)")

    def rounds(self) -> None:
        """Measures the chosen entries; every second round goes through them backwards."""
        if not self.args.rounds:
            return
        entries = plan.choose(self.args.only, self.args.who)
        done = {}
        for c in self.record["calls"]:
            key = f"{c['section']}: {c['entry']}"
            done[key] = max(done.get(key, 0), c["round"] + 1)
        for i in range(self.args.rounds):
            for entry in entries[:: -1 if i % 2 else 1]:
                self.call(entry, done.get(entry.key, 0) + i)
                self.save()

    def curves(self) -> None:
        """Measures the learning curves that are not there yet."""
        there = {(r["entry"], r["seed"]) for r in self.record["curves"]}
        for name, seed, task in extra.curves(self.args.seeds, self.args.epochs):
            if (name, seed) in there or self.skipped(name):
                continue
            found = self.work({**task, "seed": seed})
            if "error" in found:
                failure = {"entry": f"curves: {name}", "round": seed, "error": found["error"]}
                self.record["failed"].append(failure)
                self.tell(f"curves: {name}: FAILED: {found['error']}")
                continue
            run = {"entry": name, "seed": seed, "elbo": found["elbo"]}
            self.record["curves"].append(run)
            self.tell(f"curves: {name}, seed {seed}: {found['elbo'][-1]:.2f}")
            self.save()

    def growth(self) -> None:
        """Measures the points of growth that are not there yet."""
        there = {(p["way"], p["axis"], p["value"]) for p in self.grown}
        for way, axis, value, task in extra.growth():
            if (way, axis, value) in there or self.skipped(f"{axis} {way}"):
                continue
            found = self.work(task)
            point = {"way": way, "axis": axis, "value": value, "n": task["n"]}
            keys = ("seconds", "memory", "gemm", "first", "error")
            point.update((k, found[k]) for k in keys if k in found)
            if "error" in found:
                failure = {"entry": f"growth: {way} {axis}={value}", "round": 0}
                self.record["failed"].append({**failure, "error": found["error"]})
                self.tell(f"growth: {axis}={value}, {way}: FAILED: {found['error']}")
                continue
            self.grown.append(point)
            self.tell(
                f"growth: {axis}={value}, {way}: {point['seconds']:.2f} s, "
                f"{point['memory'] or 0:.0f} MiB"
            )
            self.save()

    def skipped(self, name: str) -> bool:
        """Whether --who leaves a curve or a point of growth out."""
        who = self.args.who
        return bool(who) and not any(w.lower() in name.lower() for w in who)

    def tell(self, text: str) -> None:
        """Says what was done, with the time since the start."""
        print(f"[{time.monotonic() - self.began:5.0f} s] {text}", file=sys.stderr, flush=True)

    def about(self) -> dict[str, Any]:
        """Returns what belongs to every file."""
        return {**machine.describe(), **self.kind()}

    def kind(self) -> dict[str, Any]:
        """Returns what calls must have in common to be compared."""
        return {"data": self.source, "quick": self.args.quick}

    def save(self) -> None:
        """Writes the record, a line a call, and the points of growth beside it."""
        measured = self.args.rounds > 0 or self.args.curves
        about = (
            self.about()
            if measured
            else {k: v for k, v in self.record.items() if k in {*self.about()}}
        )
        parts = {k: json.dumps(v) for k, v in about.items()}
        self.record["rows"] = rows_of(self.record["calls"])
        for name in ("rows", "calls", "failed", "curves"):
            lines = ",\n  ".join(json.dumps(_short(c)) for c in self.record.get(name, []))
            parts[name] = f"[\n  {lines}\n ]" if lines else "[]"
        if measured or self.record["calls"]:
            _write(self.out, parts)
        if self.args.growth:
            points = ",\n  ".join(json.dumps(_short(p)) for p in self.grown)
            head = {k: json.dumps(v) for k, v in self.about().items()}
            _write(self.grown_file, {**head, "points": f"[\n  {points}\n ]"})

    def finish(self, before: list[dict[str, Any]] | None) -> int:
        """Prints what was found; returns the exit code."""
        self.save()
        rows = self.record["rows"]
        print(shown(self.record, self.about()))
        if not self.record["calls"] and not self.record["curves"] and not self.grown:
            return 1
        if before is None:
            return 0
        worse = report.regressions(rows, before)
        for r in worse:
            print(
                f"WORSE: {r['section']}: {r['entry']}: ratio {r['before']:.2f} -> {r['after']:.2f} "
                f"({-r['loss']:.0%}; the rounds' own spread is {r['spread']:.0%})"
            )
        if not worse:
            print("No ratio is worse than before by more than 10 % and the rounds' own spread.")
        return int(bool(worse))


def _short(value: Any) -> Any:
    """The same with numbers of five digits."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {k: _short(v) for k, v in value.items()}
    return [_short(v) for v in value] if isinstance(value, list | tuple) else value


def _write(file: Path, parts: dict[str, str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    text = ",\n ".join(f"{json.dumps(k)}: {v}" for k, v in parts.items())
    part = file.with_suffix(".part")
    part.write_text("{\n " + text + "\n}\n")
    os.replace(part, file)


def rows_of(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the rows of the table, sections and entries in the order of the plan."""
    order = {(e.section, e.name): i for i, e in enumerate(plan.ENTRIES)}
    known = [c for c in calls if (c["section"], c["entry"]) in order]
    known.sort(key=lambda c: order[c["section"], c["entry"]])
    return report.summary(
        known,
        {e.section: e.name for e in plan.ENTRIES if e.baseline},
        {(e.section, e.name): e.floor for e in plan.ENTRIES if e.floor},
        {(e.section, e.name): e.goal for e in plan.ENTRIES if e.goal},
    )


def committed(path: Path, machine: str) -> dict[str, Any]:
    """Returns the record to compare with: in a folder this machine's, or else the newest."""
    files = sorted(path.glob("bench*.json")) if path.is_dir() else [path]
    records = [json.loads(file.read_text()) for file in files]
    found = max(records, key=lambda r: (r.get("machine") == machine, r.get("date", "")))
    if found.get("machine", machine) != machine:
        print(f"Compared with another machine, {found['machine']}: ratios differ for that too.")
    return found


def shown(record: dict[str, Any], about: dict[str, Any]) -> str:
    """Returns all that a record says, as text."""
    about = {**about, **{k: v for k, v in record.items() if k in about}}
    versions = ", ".join(f"{k} {v}" for k, v in about["versions"].items())
    lines = [f"{about['machine']}; Python {about['python']}, {versions}"]
    lines.append(f"{about['date']}, commit {about['commit']}; data: {about['data']}")
    floors = [c for c in record["calls"] if c["section"] == "floor"]
    if floors:
        peak = {k: max(c["peak_gflops"][k] for c in floors) for k in floors[0]["peak_gflops"]}
        rates = ", ".join(f"{k} {v:.0f} GFLOP/s" for k, v in peak.items())
        copy = max(c["copy_gb"] for c in floors)
        adam = min(c["adam_us"]["mlp"] for c in floors)
        lines.append(f"limits: {rates}, copy {copy:.0f} GB/s, fused Adam {adam:.0f} us a step")
    rows = record.get("rows") or rows_of(record["calls"])
    lines += ["", report.table(rows), ""]
    for a in report.agreement(rows):
        word = "agrees" if a["agrees"] else "DISAGREES"
        lines.append(
            f"likelihood of {a['entry']}: {word} ({a['gap']:+.3f} nats, error {a['error']:.3f})"
        )
    for v in report.curve_verdicts(record["curves"], extra.BASE):
        word = "MOVED" if v["moved"] else "within seed noise"
        lines.append(
            f"learning curve of {v['entry']} ({v['seeds']} seeds): {word}; last epoch "
            f"{v['gap'][-1]:+.3f} +- {v['error'][-1]:.3f} nats, least p {min(v['p']):.3f}"
        )
    lines += [f"FAILED: {f['entry']} (round {f['round']}): {f['error']}" for f in record["failed"]]
    return "\n".join(lines)


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Returns what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="more rounds of each entry (5)")
    parser.add_argument("--only", nargs="+", default=[], help="sections that begin so")
    parser.add_argument("--who", nargs="+", help="entries with one of these in their name")
    parser.add_argument("--quick", action="store_true", help="a quarter of the data, one epoch")
    parser.add_argument("--data-dir", help="the folder that holds mnist/; else bits are made up")
    parser.add_argument("--out", type=Path, help="write all calls to this file")
    parser.add_argument("--append", action="store_true", help="add to what the file holds")
    parser.add_argument(
        "--against",
        type=Path,
        help="exit 1 where a ratio is worse than in this file, or in the "
        "bench*.json of this folder that is of the same machine",
    )
    parser.add_argument("--curves", action="store_true", help="learning curves over seeds too")
    parser.add_argument("--seeds", type=int, default=5, help="how many seeds (5)")
    parser.add_argument("--epochs", type=int, default=10, help="how many epochs a curve has (10)")
    parser.add_argument("--growth", action="store_true", help="growth.json beside the file too")
    parser.add_argument("--list", action="store_true", help="list the entries and end")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    """Measures, prints and writes; returns the exit code."""
    args = arguments(words)
    try:
        entries = plan.choose(args.only, args.who if args.rounds else None)
    except ValueError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    if args.list:
        print("\n".join(e.key for e in entries))
        return 0
    bench = Bench(args)
    before = None
    if args.against is not None and args.against.exists():  # read before it is written over
        record = committed(args.against, bench.about()["machine"])
        before = rows_of(record["calls"])
    if args.rounds or args.curves or args.growth:
        bench.prepare()
    try:
        bench.rounds()
        if args.curves:
            bench.curves()
        if args.growth:
            bench.growth()
    except KeyboardInterrupt:
        print("Interrupted: here is what there is.", file=sys.stderr)
    return bench.finish(before)


if __name__ == "__main__":
    sys.exit(main())

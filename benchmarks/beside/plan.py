"""What is compared: entries in sections, each with the goal that it is to reach.

A section compares entries with one another, by the cost of one datum, and one of them is the
baseline. The first word of an entry's name is who does it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ENTRIES", "WHOLE", "Entry", "choose", "quicker"]

STEPS = 240  # of 128, or 60 of 512: no batch is incomplete, so that nobody does a step less
N = {"mlp": STEPS * 128, "conv": 40 * 128}
WHOLE = 468 * 128  # all of MNIST but 96 images, likewise


@dataclass(frozen=True)
class Entry:
    """One thing to measure.

    Arguments:
        section: What it is compared within.
        name: Who does it, and how.
        task: What `work` is asked to do; empty for a command.
        command: A command whose wall time is measured instead.
        baseline: Whether the section's ratios are to this entry.
        floor: The machine's floor that its time is a multiple of.
        goal: The least ratio to the baseline that is wanted, and the one that is aimed at.
        cold: Whether the compiler starts with an empty cache.
        warm: Whether the call is repeated once before it counts, to fill the compiler's cache.
    """

    section: str
    name: str
    task: dict[str, Any] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    baseline: bool = False
    floor: str | None = None
    goal: tuple[float, float] | None = None
    cold: bool = False
    warm: bool = False

    @property
    def key(self) -> str:
        """Its name among all entries."""
        return f"{self.section}: {self.name}"


ALLOCATOR = "+ allocator"  # glibc keeps freed memory, as on Diabolo's command line
PRECISIONS = {"float32": "float32", "bf16": "bfloat16"}
WAYS = {"off": "eager", "on": "compiled"}


def _training(net: str, batch: int, goals: dict[str, tuple[float, float]]) -> list[Entry]:
    section = f"train-{net}" + (f"-b{batch}" if net == "mlp" else "")
    work = {"task": "train", "net": net, "batch": batch, "n": N[net], "epochs": 5}

    def entry(name: str, who: str, allocator: bool = False, **more: Any) -> Entry:
        precision = more.get("precision", "float32")
        return Entry(
            section,
            f"{name} {ALLOCATOR}" if allocator else name,
            {**work, "who": who, "allocator": allocator, **more},
            baseline=name == "Pythae" and not allocator,
            floor=f"{net}-b{batch}-{precision}",
            goal=goals.get(f"{name} {ALLOCATOR}" if allocator else name),
        )

    found = [
        entry("plain PyTorch loop", "plain"),
        entry("Pythae", "pythae"),
        entry("Pythae", "pythae", allocator=True),
        entry("Lightning", "lightning"),
    ]
    ways = [(p, c, True) for p in PRECISIONS for c in WAYS]
    if (net, batch) == ("mlp", 128):  # what the allocator's setting is worth, once
        ways += [("float32", "off", False), ("bf16", "on", False)]
        found.append(entry("diabolo fit, bfloat16 compiled", "command", **_way("bf16", "on")))
    found += [
        entry(f"Diabolo {PRECISIONS[p]} {WAYS[c]}", "diabolo", s, **_way(p, c)) for p, c, s in ways
    ]
    return found


def _holding() -> list[Entry]:
    """What is held while all of MNIST is trained on for an epoch."""
    work = {"task": "train", "net": "mlp", "batch": 128, "n": WHOLE, "epochs": 1}
    ours = {**work, "who": "diabolo", "allocator": True}
    return [
        Entry("memory", "plain PyTorch loop", {**work, "who": "plain"}),
        Entry("memory", "Pythae", {**work, "who": "pythae"}, baseline=True),
        Entry("memory", "Lightning", {**work, "who": "lightning"}),
        *(
            Entry("memory", f"Diabolo {PRECISIONS[p]} {WAYS[c]}", {**ours, **_way(p, c)})
            for p, c in (("float32", "off"), ("bf16", "on"))
        ),
    ]


def _way(precision: str, compile_: str) -> dict[str, str]:
    return {"precision": precision, "compile": compile_}


def _using(
    task: str,
    peers: dict[str, dict[str, Any]],
    ours: dict[str, Any],
    goals: dict[str, tuple[float, float]],
) -> list[Entry]:
    """Entries of a trained network's use; the first of the peers is the baseline."""
    found = []
    for i, (name, more) in enumerate(peers.items()):
        found.append(Entry(task, name, {"task": task, "who": "pythae", **more}, baseline=i == 0))
    for precision, allocator in (("float32", True), ("bf16", True), ("bf16", False)):
        name = f"Diabolo {PRECISIONS[precision]}" + (f" {ALLOCATOR}" if allocator else "")
        job = {"task": task, "who": "diabolo", "precision": precision, "allocator": allocator}
        floor = f"decode-{precision}" if task == "likelihood" else None
        found.append(Entry(task, name, {**job, **ours}, goal=goals.get(name), floor=floor))
    return found


def _starting() -> list[Entry]:
    python = sys.executable
    imports = {
        "Pythae": "import pythae.models, pythae.trainers",
        "Lightning": "import lightning",
        "torch alone": "import torch",
        "Diabolo": "import diabolo; diabolo.fit, diabolo.build, diabolo.TrainConfig",
    }
    found = [
        Entry("startup-import", name, command=(python, "-c", code), baseline=name == "Pythae")
        for name, code in imports.items()
    ]
    step = {"task": "step", "net": "mlp", "batch": 128, "n": 128, "epochs": 1}
    section = "startup-first-step"
    found += [
        Entry(section, "Pythae", {**step, "who": "pythae"}, baseline=True),
        Entry(section, "Lightning", {**step, "who": "lightning"}),
        Entry(section, "plain PyTorch loop", {**step, "who": "plain"}),
    ]
    ours = {**step, "who": "diabolo", "allocator": True, "precision": "bf16"}
    found += [
        Entry(section, "Diabolo bfloat16 eager", {**ours, "compile": "off"}),
        Entry(section, "Diabolo bfloat16 compiled", {**ours, "compile": "on"}, warm=True),
        Entry(section, "Diabolo bfloat16 compiled, cold", {**ours, "compile": "on"}, cold=True),
    ]
    help_ = (python, "-m", "diabolo", "--help")
    found.append(Entry("startup-help", "diabolo --help", command=help_))
    return found


_BF16 = f"Diabolo bfloat16 compiled {ALLOCATOR}"
_FP32 = f"Diabolo float32 compiled {ALLOCATOR}"
_USE = f"Diabolo bfloat16 {ALLOCATOR}"

ENTRIES: tuple[Entry, ...] = (
    Entry("floor", "this machine", {"task": "floor", "who": "floor"}),
    *_training("mlp", 128, {_FP32: (2.1, 2.5), _BF16: (3.5, 4.5)}),
    *_training("mlp", 512, {_BF16: (3.2, 4.0)}),
    *_training("conv", 128, {_BF16: (1.7, 2.0)}),
    *_using(
        "likelihood",
        {
            "Pythae, without gradients": {"k": 1000, "batch": 100, "n": 48},
            "Pythae as it comes": {"k": 1000, "batch": 100, "n": 48, "gradients": True},
            f"Pythae, without gradients {ALLOCATOR}": {
                **{"k": 1000, "batch": 100, "n": 48, "allocator": True}
            },
        },
        {"k": 1000, "n": 5000},  # enough to be compiled, as by default
        goals={_USE: (7.0, 10.0)},
    ),
    *_using(
        "sampling",
        {"Pythae": {"n": 10_000}, f"Pythae {ALLOCATOR}": {"n": 10_000, "allocator": True}},
        {"n": 10_000},
        goals={_USE: (1.8, 1.8)},
    ),
    *_using(
        "encoding",
        {
            "Pythae embed": {"n": 10_000},
            "Pythae's encoder alone": {"n": 10_000, "alone": True},
            f"Pythae embed {ALLOCATOR}": {"n": 10_000, "allocator": True},
        },
        {"n": 10_000},
        goals={_USE: (7.0, 7.0)},
    ),
    *_holding(),
    *_starting(),
)


def choose(only: list[str], who: list[str] | None = None) -> list[Entry]:
    """Returns the entries of the sections that begin with one of these words.

    Arguments:
        only: Beginnings of sections; none takes all.
        who: Parts of entries' names, any of which is enough; none takes all.

    Raises:
        ValueError: If a word is the beginning of no section, or no entry is left.
    """
    sections = sorted({e.section for e in ENTRIES})
    for word in only:
        if not any(s.startswith(word) for s in sections):
            raise ValueError(f"No section begins with '{word}': there are {', '.join(sections)}.")
    found = [e for e in ENTRIES if not only or any(e.section.startswith(w) for w in only)]
    if who:
        found = [e for e in found if any(w.lower() in e.name.lower() for w in who)]
    if not found:
        raise ValueError(f"No entry of these sections has {' or '.join(who or [])} in its name.")
    return found


def quicker(entry: Entry) -> dict[str, Any]:
    """Returns a task of the same kind with a quarter of the training data, for a first look."""
    task = dict(entry.task)
    if task.get("task") == "train":
        task["n"] = task["n"] // 2048 * 512
        task["epochs"] = 3
    return task

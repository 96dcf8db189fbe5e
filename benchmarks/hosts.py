"""Loses one of two hosts in the middle of a training, which goes on and ends as if undisturbed.

python benchmarks/hosts.py --out docs/results/hosts.json     as root, on Linux with iproute2
python benchmarks/hosts.py --cases cut --append --out docs/results/hosts.json   one case anew

A host is a network namespace with an address and a route of its own; all see the same files. A
third one forwards between the two. On each of the two `torchrun --nnodes 1:2` starts one process.
A host is lost when SIGKILL ends all that runs on it, agent and all; in `cut` its cable is pulled
first, so that nobody hears of its end. The cases:

    second   The rendezvous lies with the agent of the first host; the second is lost.
    first    The rendezvous lies on the third host; the first, which writes, is lost.
    back     As `second`, and after a hundred steps the host is back.
    cut      As `second`, without a word. Linux gives a silent peer up after a quarter of an hour,
             or here, by net.ipv4.tcp_retries2=5, after some seconds.
    rendezvous   The first host is lost, and the rendezvous with it: the training ends, and
             `diabolo fit --resume` on the second goes on with it.

Shown: the steps that were taken again, how long nobody trained, and how the end differs from that
of two hosts that were not disturbed, of one process, and of one process that goes on from the
checkpoint that the other host found.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kill

CASES = ("second", "first", "back", "cut", "rendezvous")
PORT = "29500"
ALONE = 100  # steps that one host takes before the other is back
LONG = 300.0  # seconds after which what is waited for is not to come
STORE = """
import sys, time
from torch.distributed import TCPStore
store = TCPStore(sys.argv[1], int(sys.argv[2]), is_master=True, wait_for_workers=False)
time.sleep(86400)
"""


def ip(*words: str) -> str:
    """Runs the command `ip`."""
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


def refusal() -> str | None:
    """Returns why there can be no hosts here; None where there can."""
    if shutil.which("ip") is None:
        return "Not here: there is no command ip, of iproute2."
    name = f"diabolo-{os.getpid()}"
    try:
        ip("netns", "add", name)
        try:
            ip("-n", name, "link", "add", "name", "one", "type", "veth", "peer", "name", "two")
        finally:
            ip("netns", "del", name)
    except subprocess.CalledProcessError as error:
        return f"Not here: network namespaces are not allowed: {error.stderr.strip()}"
    return None


class Host:
    """A network namespace.

    Arguments:
        name: Its name.
        address: Its address.
    """

    def __init__(self, name: str, address: str) -> None:
        self.name, self.address = name, address
        self.space = f"diabolo-{os.getpid()}-{name}"

    def start(self, words: list[str], said: Path) -> subprocess.Popen[bytes]:
        """Starts a process on it."""
        environment = {
            **os.environ,
            "GLOO_SOCKET_IFNAME": "wire",
            "OMP_NUM_THREADS": "1",
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
        }
        command = ["ip", "netns", "exec", self.space, *words]
        with said.open("ab") as file:
            return subprocess.Popen(
                command, stdout=file, stderr=file, env=environment, start_new_session=True
            )

    def lose(self) -> None:
        """Ends all that runs on it, at once."""
        for number in ip("netns", "pids", self.space).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(number), signal.SIGKILL)


@contextlib.contextmanager
def network() -> Iterator[tuple[Host, Host, Host]]:
    """Yields two hosts, and a third one that forwards between them."""
    hosts = (Host("first", "10.77.1.2"), Host("second", "10.77.2.2"), Host("third", "10.77.1.1"))
    *ends, middle = hosts
    try:
        for host in hosts:
            ip("netns", "add", host.space)
            ip("-n", host.space, "link", "set", "dev", "lo", "up")
        write(middle, "ip_forward", 1)
        for i, host in enumerate(ends, 1):
            other = ["peer", "name", "wire", "netns", host.space]
            ip("-n", middle.space, "link", "add", "name", host.name, "type", "veth", *other)
            for space, end, last in ((middle.space, host.name, 1), (host.space, "wire", 2)):
                ip("-n", space, "addr", "add", f"10.77.{i}.{last}/24", "dev", end)
                ip("-n", space, "link", "set", "dev", end, "up")
            ip("-n", host.space, "route", "add", "default", "via", f"10.77.{i}.1")
        yield hosts
    finally:
        for host in hosts:
            with contextlib.suppress(subprocess.CalledProcessError):
                host.lose()
                ip("netns", "del", host.space)


def write(host: Host, name: str, value: int) -> None:
    """Sets an option of the network of a host."""
    script = f"echo {value} > /proc/sys/net/ipv4/{name}"
    subprocess.run(["ip", "netns", "exec", host.space, "sh", "-c", script], check=True)


def until(true: Callable[[], object], what: str, said: Path) -> None:
    """Waits.

    Raises:
        SystemExit: If it takes too long.
    """
    end = time.monotonic() + LONG
    while not true():
        if time.monotonic() > end:
            raise SystemExit(f"Not within {LONG:.0f} s: {what}. {said.read_text()[-3000:]}")
        time.sleep(0.01)


class Launch:
    """One training on two hosts.

    Arguments:
        hosts: The two and the one between them.
        folder: Where it writes.
        settings: Options of `diabolo fit digits`.
        apart: Whether the rendezvous lies on the third host, or else with the first one's agent.
    """

    def __init__(
        self, hosts: tuple[Host, Host, Host], folder: Path, settings: list[str], apart: bool
    ) -> None:
        self.place, self.said, self.folder = folder / "run", folder / "said", folder
        self.apart, self.settings = apart, settings
        self.first, self.second, self.third = hosts
        self.store = self.third if apart else self.first
        self.agents: dict[str, subprocess.Popen[bytes]] = {}
        folder.mkdir()
        if apart:
            words = [sys.executable, "-c", STORE, self.third.address, PORT]
            self.third.start(words, self.said)
        for host in (self.first, self.second):
            (folder / host.name).mkdir()
            self.start(host)

    def start(self, host: Host) -> None:
        """Starts the agent of a host."""
        own = ["--rdzv-conf", f"is_host={int(host is self.store)}", "--local-addr", host.address]
        words = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "1:2", *own]
        words += ["--nproc-per-node", "1", "--max-restarts", "3", "--rdzv-backend", "c10d"]
        words += ["--rdzv-endpoint", f"{self.store.address}:{PORT}", "--rdzv-id", self.folder.name]
        words += [kill.__file__, "--child", str(self.folder / host.name)]
        words += ["fit", "digits", "--out", str(self.place), *self.settings]
        self.agents[host.name] = host.start(words, self.said)

    def resume(self, host: Host) -> None:
        """Waits until the agent of a host has given up, and goes on in one process."""
        agent = self.agents[host.name]
        until(lambda: agent.poll() is not None, "the agent gives up", self.said)
        words = [sys.executable, kill.__file__, "--child", str(self.folder / host.name)]
        words += ["fit", "--resume", str(self.place), "--k", "2"]
        self.agents[host.name] = host.start(words, self.said)

    def now(self, host: Host, world: int) -> dict[str, int]:
        """Returns the counters of a host's process in a world of so many; zero without one."""
        those = [c for c in kill.each(self.folder / host.name) if c["world"] == world]
        return {name: max((c[name] for c in those), default=0) for name in kill.COUNTERS}

    def reach(self, host: Host, world: int, step: int) -> None:
        """Waits until a host has taken a step, one of so many."""
        what = f"step {step} by {world} on the {host.name} host"
        until(lambda: self.now(host, world)["step"] >= step, what, self.said)

    def end(self, *hosts: Host) -> None:
        """Waits for the end of the agents of some hosts."""
        for host in hosts:
            agent = self.agents[host.name]
            until(lambda a=agent: a.poll() is not None, f"the {host.name} host ends", self.said)
            if agent.returncode:
                raise SystemExit(self.said.read_text()[-3000:])


def alone(place: Path, words: list[str]) -> Path:
    """Runs the command line in one process with one thread, and returns the folder of the run."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "diabolo", "fit", *words]
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return place


def difference(one: Path, other: Path) -> dict[str, Any]:
    """Returns how far two runs differ."""
    from safetensors.torch import load_file

    a, b = (load_file(p / "weights.safetensors") for p in (one, other))
    rows, others = (kill.result(p)[1] for p in (one, other))
    return {
        "equal": kill.result(one) == kill.result(other),
        "steps_equal": [r["step"] for r in rows] == [r["step"] for r in others],
        "largest_in_weights": max(float((a[n] - b[n]).abs().max()) for n in a),
        "largest_in_validation_elbo": max(
            abs(r["valid_elbo"] - o["valid_elbo"]) for r, o in zip(rows, others, strict=True)
        ),
    }


def lose(
    case: str, hosts: tuple[Host, Host, Host], folder: Path, settings: list[str], at: int
) -> tuple[dict[str, Any], Path]:
    """Returns what happened to a training of which a host was lost, and its run."""
    launch = Launch(hosts, folder / case, settings, apart=case == "first")
    gone, left = hosts[:2] if case in ("first", "rendezvous") else hosts[1::-1]
    launch.reach(gone, 2, at)
    if case == "cut":
        for host in hosts:
            write(host, "tcp_retries2", 5)
        ip("-n", hosts[2].space, "link", "set", "dev", gone.name, "down")
    gone.lose()
    began = time.monotonic()
    time.sleep(3)  # what was under way has come to its end
    done = max(launch.now(h, 2)["step"] for h in (gone, left))
    copy = folder / f"{case}-copy"
    shutil.copytree(launch.place.with_name(".run.part"), copy / ".run.part")
    if case == "rendezvous":
        launch.resume(left)
    until(lambda: launch.now(left, 1)["stage"], "one host goes on", launch.said)
    since = time.monotonic() - began
    start = launch.now(left, 1)["from"]
    found: dict[str, Any] = {"case": case, "lost": gone.name, "steps_before": done}
    found |= {"steps_again": done - start, "seconds_without_training": round(since, 1)}
    if case == "back":
        launch.reach(left, 1, start + ALONE)
        for path in (folder / case / gone.name).iterdir():
            path.unlink()
        launch.start(gone)
        until(lambda: launch.now(gone, 2)["stage"], "both go on", launch.said)
        found["back_at_step"] = launch.now(gone, 2)["from"]
        found["steps_again_when_back"] = launch.now(left, 1)["step"] - found["back_at_step"]
        launch.end(left, gone)
    else:
        launch.end(left)
        resumed = alone(copy / "run", ["--resume", str(copy / "run"), "--k", "2"])
        found["from_the_same_checkpoint_in_one_process"] = difference(resumed, launch.place)
    hosts[2].lose()
    return found, launch.place


def trial(cases: list[str], folder: Path, epochs: int, at: int) -> Iterator[dict[str, Any]]:
    """Yields what happened so far, after each case."""
    settings = ["--k", "2", "--set", "latent=8", "net=mlp(hidden=(64,))", f"train.epochs={epochs}"]
    settings += ["train.ema=0.99", "train.schedule=cosine", "train.checkpoint_minutes=1e-9"]
    one = alone(folder / "one", ["digits", "--out", str(folder / "one"), *settings])
    with network() as hosts:
        launch = Launch(hosts, folder / "two", settings, apart=False)
        launch.end(*hosts[:2])
        two = launch.place
    row = kill.result(two)[1][-1]
    found: dict[str, Any] = {"last_validation_elbo": row["valid_elbo"]}
    found |= {"two_hosts_from_one_process": difference(one, two), "cases": []}
    for case in cases:
        with network() as hosts:
            facts, place = lose(case, hosts, folder, settings, at)
        facts["steps"] = row["step"]
        facts["from_two_hosts_undisturbed"] = difference(two, place)
        facts["from_one_process_undisturbed"] = difference(one, place)
        found["cases"].append(facts)
        yield found


def main() -> None:
    """Prints the result, and writes it where that is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--at", type=int, default=300, help="the step at which a host is lost")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--append", action="store_true", help="keep other cases that lie there")
    asked = parser.parse_args()
    why = refusal()
    if why is not None:
        raise SystemExit(why)
    import torch

    machine = f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
    with tempfile.TemporaryDirectory() as folder:
        for found in trial(asked.cases, Path(folder), asked.epochs, asked.at):
            print(json.dumps(found["cases"][-1], indent=1), flush=True)
            if asked.out is not None:
                whole = {"machine": machine, "interval_in_steps": 1, **found}
                if asked.append and asked.out.exists():
                    former = json.loads(asked.out.read_text("utf-8"))["cases"]
                    others = [c for c in former if c["case"] not in asked.cases]
                    whole["cases"] = [*others, *found["cases"]]
                asked.out.write_text(json.dumps(whole, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()

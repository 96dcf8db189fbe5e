"""What every test has: fixed seeds, the caller's settings given back, the data folder, the count.

At its end a session prints members x laws (how often each law ran, and over how many members) and
fails on a skip that no line of `EXPLAINED` explains.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

EXPLAINED = (
    "DIABOLO_DATA is not set",  # sets that are not shipped lie in a folder
    "DIABOLO_DATA has no",
    "no GPU",
    "not installed",  # an optional package
    "the processor time of children is POSIX",
    "root may write anywhere",  # file permissions do not bind root
    "no Chromium was found",  # the explorer's page is looked at in the machine's own browser
    "the explorer's page is not built",  # Node builds it
    "SCIPY_ARRAY_API is not set",  # scikit-learn asks for it to try arrays of other libraries
)
BROAD = 4  # laws over at least so many members are worth a line of the report


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with the data sets that are not shipped."""
    folder = os.environ.get("DIABOLO_DATA")
    if not folder:
        pytest.skip("DIABOLO_DATA is not set: it names the folder with mnist/, omniglot/, ...")
    return Path(folder)


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    """Fixed seeds before, torch's global settings as they were after."""
    import numpy as np
    import torch

    torch.manual_seed(0)
    np.random.seed(0)
    dtype = torch.get_default_dtype()
    yield
    torch.set_default_dtype(dtype)
    torch.set_grad_enabled(True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium; `browsing` says where it is looked for, and when its tests are skipped."""
    from browsing import chromium

    with chromium() as found:
        yield found


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line draws no figures, which take longer than all else of a small training."""
    monkeypatch.setattr("diabolo.cli.fit.draw", lambda run: {})


@pytest.fixture
def hardly_tuned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chains are tuned by a few moves: for tests that ask for no accuracy, or for invariances."""
    monkeypatch.setattr("diabolo.evaluate.hamiltonian.FEWEST", 20)


@pytest.fixture(scope="session")
def mlflow_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database of MLflow's, made once for all processes of a session: it takes long."""
    import warnings

    from filelock import FileLock

    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    root = tmp_path_factory.getbasetemp()
    place = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "empty-mlflow.db"
    with FileLock(f"{place}.lock"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of SQLAlchemy and the like, which are none of ours
        if not place.exists():
            part = place.with_suffix(".part")
            mlflow.MlflowClient(tracking_uri=f"sqlite:///{part}").search_experiments()
            part.rename(place)
    return place


def _skips(reporter: pytest.TerminalReporter) -> list[tuple[str, str]]:
    """Each skipped test with its reason."""
    found = []
    for report in reporter.stats.get("skipped", []):
        reason = report.longrepr
        text = reason[2] if isinstance(reason, tuple) else str(reason)
        found.append((report.nodeid, text.removeprefix("Skipped: ")))
    return found


def unexplained(skips: list[tuple[str, str]]) -> list[str]:
    """The skips whose reason no line of `EXPLAINED` covers."""
    return [f"{n}: {r}" for n, r in skips if not any(e in r for e in EXPLAINED)]


def _reporter(config: pytest.Config) -> pytest.TerminalReporter | None:
    return config.pluginmanager.get_plugin("terminalreporter")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fails the session on an unexplained skip (on the process that sees all reports)."""
    reporter = _reporter(session.config)
    if hasattr(session.config, "workerinput") or reporter is None:
        return
    if exitstatus == 0 and unexplained(_skips(reporter)):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints members x laws, and the unexplained skips."""
    laws: dict[str, set[str]] = defaultdict(set)
    members: set[str] = set()
    for report in terminalreporter.stats.get("passed", []):
        match = re.fullmatch(r".*/(test_\w+)\.py::(\w+)\[(.+)\]", report.nodeid)
        if match and report.when == "call":
            laws[f"{match[1]}::{match[2]}"].add(match[3])
    broad = {law: cases for law, cases in laws.items() if len(cases) >= BROAD}
    for cases in broad.values():
        members |= cases
    if broad:
        count = sum(map(len, broad.values()))
        terminalreporter.section("members x laws")
        rooms: dict[str, list[str]] = defaultdict(list)
        for law, cases in sorted(broad.items()):
            room, name = law.split("::")
            rooms[room].append(f"{name.removeprefix('test_')} {len(cases)}")
        for room, lines in rooms.items():
            terminalreporter.write_line(f"{room}: {', '.join(lines)}")
        terminalreporter.write_line(f"{len(broad)} laws, {len(members)} members, {count} checks")
    bad = unexplained(_skips(terminalreporter))
    if bad:
        terminalreporter.section("unexplained skips")
        for line in bad:
            terminalreporter.write_line(line)

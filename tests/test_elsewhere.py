"""Every job is done on another device than the processor: see `laws.elsewhere_jobs`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

JOBS = Path(__file__).parent / "laws" / "elsewhere_jobs.py"


def test_every_job_is_done_on_another_device() -> None:
    """In a process of its own, as torch learns of a device before it computes any gradient."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, str(JOBS)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-1000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout

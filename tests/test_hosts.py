"""One of two hosts is lost, and the training goes on: network namespaces stand for the hosts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HOSTS = Path(__file__).parents[1] / "benchmarks" / "hosts.py"


@pytest.mark.slow
@pytest.mark.timeout(600)  # torchrun waits 45 seconds before it goes on without a host
def test_a_lost_host_costs_a_step_and_changes_only_the_rounding(tmp_path: Path) -> None:
    out = tmp_path / "hosts.json"
    words = ["--cases", "second", "--epochs", "20", "--at", "60", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, str(HOSTS), *words], capture_output=True, text=True, check=False
    )
    if done.stderr.startswith("Not here:"):
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr[-3000:]
    (found,) = json.loads(out.read_text())["cases"]
    assert found["steps_again"] <= 1
    assert found["from_the_same_checkpoint_in_one_process"]["equal"]
    for end in ("from_two_hosts_undisturbed", "from_one_process_undisturbed"):
        assert found[end]["steps_equal"]
        assert found[end]["largest_in_validation_elbo"] < 1e-3

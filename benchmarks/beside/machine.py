"""Which machine, which versions, which code: what a number is worth nothing without."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["describe"]

ROOT = Path(__file__).parents[2]
PACKAGES = ("diabolo", "torch", "pythae", "lightning", "numpy")


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line for line in lines if line.startswith("flags")), "").split()
    kinds = [f for f in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f in flags]
    return f"{names[0] if names else platform.machine()} ({', '.join(kinds)})"


def describe() -> dict[str, Any]:
    """Returns the machine, the versions, the commit and the date."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    changed = _git("status", "--porcelain", "--untracked-files=no", "src")
    return {
        "machine": f"{os.cpu_count()} cores of {_cpu()}, {pages / 2**30:.0f} GiB, "
        f"{platform.system()}",
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "commit": (_git("rev-parse", "--short", "HEAD") or "")
        + (" and changes" if changed else ""),
        "date": datetime.now(UTC).date().isoformat(),
    }

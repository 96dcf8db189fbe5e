"""Runs the gallery's experiments at full size: their records and figures are renewed."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "examples" / "experiments"


def main() -> None:
    """Runs those that are named, or all; goes on past one that fails, and says so at the end."""
    names = [f.stem.removeprefix("plot_") for f in sorted(FOLDER.glob("plot_*.py"))]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", help="which; all if left out")
    parser.add_argument("--data-dir", help="where MNIST and its like lie")
    asked = parser.parse_args()
    if unknown := set(asked.name) - set(names):
        parser.error(f"no experiment {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    failed = []
    for name in asked.name or names:
        print(f"== {name}", flush=True)
        began = time.perf_counter()
        command = [sys.executable, str(FOLDER / f"plot_{name}.py"), "--full"]
        if asked.data_dir is not None:
            command += ["--data-dir", asked.data_dir]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
        print(f"-- {name}: {time.perf_counter() - began:.0f} s", flush=True)
    if failed:
        sys.exit(f"These did not end: {', '.join(failed)}.")


if __name__ == "__main__":
    main()

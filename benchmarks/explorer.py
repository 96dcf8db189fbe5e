"""How fast the explorer is for models of MNIST: from an input event to pixels, and the first view.

python benchmarks/explorer.py --data-dir DATA --out docs/results/explorer.json

A dense model (784-200-200-50) and a convolutional one are trained briefly and shown with the
10,000 test images by the commands that a user types, `diabolo explore` and `diabolo report
--interactive`. Headless Chromium drags the sliders of the three elements of greatest rate. The page
itself takes the time, by `performance.now()`, from each input event to when the pixels that show it
are written; an event that a later one has overtaken shows nothing and has no latency. The first
view is from the page's request to all points drawn. Live pages are measured twice: right after they
were opened, while slow maps are made behind, and when these are ready.

The last picture of each drag is compared with what PyTorch decodes: a page that is fast and wrong
has no figure.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from recipes import machine

import diabolo

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from browsing import chromium, opened, pixels, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser

MODELS: dict[str, dict[str, Any]] = {
    "dense": {"net": "mlp(hidden=(200, 200))", "latent": 50},
    "conv": {"net": "conv", "latent": 32},
}
TARGETS = {"live": 30.0, "static": 16.0, "first_view": 2000.0}  # milliseconds
ROWS = 10_000
SLIDERS, STEPS, WARM = 3, 120, 20
VIEWS = 5
PACE = 0.016  # seconds between two steps of the pointer: a screen's
SETTLED = 900.0  # seconds until slow maps are there, at most


def trained(name: str, folder: Path, data_dir: str | None) -> Any:
    """Returns a briefly trained run, saved in a folder."""
    data = {"data_dir": data_dir} if data_dir else {}
    run = diabolo.fit("mnist", epochs=1, device="cpu", **MODELS[name], **data)
    run.save(folder, force=True)
    return run


@contextmanager
def live(folder: Path) -> Iterator[str]:
    """The address of `diabolo explore` in a process of its own."""
    command = [sys.executable, "-m", "diabolo", "explore", str(folder), "--no-open"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        try:
            assert process.stdout is not None
            address = next((line for line in process.stdout if "token=" in line), "")
            yield address[address.index("http") :].strip()
        finally:
            process.terminate()


@contextmanager
def static(folder: Path, place: Path) -> Iterator[str]:
    """The address of an exported folder behind Python's own web server."""
    export = [sys.executable, "-m", "diabolo", "report", str(folder), "--interactive"]
    subprocess.run([*export, "--out", str(place)], check=True, stdout=subprocess.DEVNULL)
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen([*command, "--directory", str(place)], **pipes) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().split("port ")[1].split()[0]
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.terminate()


def drag(page: Any, run: Any, index: int) -> None:
    """Drags a slider to and fro, and checks the picture at the end."""
    slider = page.slider(index)
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    y, left, width = box["y"] + box["height"] / 2, box["x"] + 10, box["width"] - 20
    mouse = page.page.mouse
    mouse.move(left + width / 2, y)
    mouse.down()
    for k in range(STEPS):
        began = time.perf_counter()
        mouse.move(left + width * (0.5 + 0.45 * np.sin(6.3 * k / STEPS)), y)
        time.sleep(max(0.0, PACE - (time.perf_counter() - began)))
    mouse.up()
    until(lambda: check(page, run))


def check(page: Any, run: Any) -> None:
    """Compares what is seen with what PyTorch decodes from the page's code."""
    code = page.page.evaluate("[...window.__diabolo.explorer.z]")
    with torch.inference_mode():
        mean = run.model.decode(torch.tensor([code])).mean.reshape(28, 28).numpy()
    gap = np.abs(pixels(page.see("decoded"))[..., 0] / 255.0 - mean).max()
    assert gap < 1.2 / 255, gap


def latencies(page: Any, run: Any) -> dict[str, Any]:
    """Returns milliseconds from event to pixels over drags of the first sliders."""
    order = [int(i) for i in run.latents.order[:SLIDERS]]
    page.slider(order[0]).focus()
    for _ in range(WARM):
        page.page.keyboard.press("ArrowRight")
    page.page.evaluate("window.__diabolo.latencies.length = 0")
    for index in order:
        drag(page, run, index)
    found = np.array(page.page.evaluate("window.__diabolo.latencies"))
    median, p95 = np.percentile(found, [50, 95])
    return {"n": len(found), "median": float(median), "p95": float(p95), "max": float(found.max())}


def first_views(browser: Browser, address: str) -> list[float]:
    """Returns milliseconds from the page's request to all points drawn, once a fresh profile."""
    found = []
    for _ in range(VIEWS):
        with opened(browser, address) as page:
            until(lambda page=page: seen(page), 60)
            found.append(float(page.page.evaluate("window.__diabolo.firstView")))
    return found


def seen(page: Any) -> None:
    """Fails until the first view is there."""
    assert page.page.evaluate("window.__diabolo?.firstView ?? 0") > 0


def settle(page: Any) -> bool:
    """Waits until all maps and colours are made; whether they are."""
    waiting = page.page.locator("select option:disabled")
    end = time.monotonic() + SETTLED
    while waiting.count() and time.monotonic() < end:
        time.sleep(1)
    return not waiting.count()


def measure(browser: Browser, run: Any, address: str, is_live: bool) -> list[dict[str, Any]]:
    """Returns the rows of one page: what was measured on it, in milliseconds."""
    rows = []
    with opened(browser, address) as page:
        until(lambda: ready(page, is_live))
        where = page.text("where")
        kind = "live" if is_live else "static"
        rows.append({"page": kind, "moment": "at once", **latencies(page, run)})
        if is_live and settle(page):
            rows.append({"page": kind, "moment": "later", **latencies(page, run)})
    for row in rows:
        row |= {"where": where, "target": TARGETS[kind], "met": row["p95"] <= TARGETS[kind]}
    return rows


def ready(page: Any, is_live: bool) -> None:
    """Fails until the page decodes where it shall."""
    page.chosen(0)
    assert page.text("where") == (
        "Decoding by the server" if is_live else "Decoding in this browser"
    )


def main() -> None:
    """Writes the figures, and prints a line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", help="the folder that holds mnist/")
    parser.add_argument("--out", type=Path, help="write the figures to this file")
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS))
    given = parser.parse_args()
    record: dict[str, Any] = {"machine": machine(), "rows": [], "first_views": []}
    with tempfile.TemporaryDirectory() as name, chromium() as browser:
        record["browser"] = f"Chromium {browser.version}, headless"
        for model in given.models:
            folder = Path(name) / model
            run = trained(model, folder, given.data_dir)
            for is_live in (True, False):
                kind = "live" if is_live else "static"
                place = live(folder) if is_live else static(folder, Path(name) / f"{model}-page")
                with place as address:
                    load = os.getloadavg()[0]
                    rows = measure(browser, run, address, is_live)
                    views = first_views(browser, address)
                about = {"model": model, **MODELS[model], "load": round(load, 1)}
                record["rows"] += [{**about, **row} for row in rows]
                most = TARGETS["first_view"]
                view = {**about, "page": kind, "points": ROWS, "ms": views, "target": most}
                record["first_views"].append({**view, "met": max(views) <= most})
                for row in rows:
                    print(
                        f"{model} {kind} {row['moment']}: median {row['median']:.1f} ms, 95 % "
                        f"within {row['p95']:.1f} ms (target {row['target']:.0f}), "
                        f"{row['n']} events, load {load:.1f}"
                    )
                print(f"{model} {kind}: first views {sorted(map(round, views))} ms", flush=True)
                if given.out:
                    given.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""The explorer's pictures in these pages, by `make explorer-pictures`.

Two small runs are trained, shown by the live page and photographed in the machine's Chromium: wide
and light, wide and dark, narrow, and a table.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

import diabolo
from diabolo.explore import Scene
from diabolo.explore.server import Serving

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from browsing import Watched, chromium, opened, until

PLACE = Path(__file__).parent / "_static"
MOST = 150_000  # bytes of a picture
WIDE, NARROW = {"width": 1180, "height": 720}, {"width": 400, "height": 860}


def people(n: int = 2000) -> pd.DataFrame:
    """Returns a made-up table of numbers, levels and a yes or no."""
    rng = np.random.default_rng(0)
    work = rng.choice(["farm", "office", "school", "shop"], n, p=[0.2, 0.4, 0.15, 0.25])
    age = rng.gamma(18, 2.3, n).clip(18, 80)
    base = pd.Series(work).map({"farm": 1900, "office": 2900, "school": 2600, "shop": 2100})
    income = base + 28 * (age - 40) + rng.normal(0, 260, n)
    rooms = (income / 900 + rng.normal(0, 0.6, n)).round().clip(1, 7)
    owns = rng.random(n) < 1 / (1 + np.exp(-(age - 45) / 6))
    return pd.DataFrame(
        {
            "age": age.round(),
            "work": work,
            "income": income.round(-1),
            "rooms": rooms.astype(int),
            "owns_home": owns,
        }
    )


def settled(page: Watched) -> None:
    """Waits for maps and colours that are made behind."""
    until(lambda: _none(page.page.locator("select option:disabled").count()), 300)


def _none(found: int) -> None:
    assert found == 0


def photograph(page: Watched, name: str) -> None:
    """Writes a picture, and refuses a large one."""
    page.page.mouse.move(1, 1)
    page.page.wait_for_timeout(400)
    shot = Image.open(io.BytesIO(page.page.screenshot())).convert("RGB")
    file = PLACE / f"explorer-{name}.png"
    shot.save(file, optimize=True)
    size = file.stat().st_size
    print(f"{file.name}: {size / 1000:.0f} kB")
    if size > MOST:
        sys.exit(f"{file} has {size} bytes, more than {MOST}.")


def digits(page: Watched) -> None:
    """The map by neighbours, an item that was moved, the latent sliders."""
    settled(page)
    page.see("map-select").select_option("tsne")
    index = int(page.page.locator("[data-testid^=latent-]").first.get_attribute("data-testid")[7:])
    slider = page.slider(index)
    for _ in range(30):
        slider.press("ArrowRight")


def near(page: Watched) -> None:
    """The neighbours of an item."""
    settled(page)
    page.see("colour-select").select_option("log_likelihood")
    page.press("tab-near")
    page.see("neighbours").locator("li").first.wait_for()


def table(page: Watched) -> None:
    """A row whose income is filled in."""
    settled(page)
    page.see("colour-select").select_option(label="work")
    page.press("tab-fill")
    page.page.get_by_label("Clear income").click()
    page.see("filled").wait_for(timeout=60_000)


def main() -> None:
    """Writes all pictures."""
    with tempfile.TemporaryDirectory() as place, chromium() as browser:
        run = diabolo.fit("digits", latent=8, epochs=150, device="cpu", out=Path(place) / "digits")
        rows = diabolo.fit(people(), "vae", latent=4, epochs=60, device="cpu")
        shots: list[tuple[Any, str, Callable[[Watched], None], dict[str, int], str]] = [
            (run, "light", digits, WIDE, "light"),
            (run, "dark", near, WIDE, "dark"),
            (run, "narrow", digits, NARROW, "light"),
            (rows, "table", table, WIDE, "light"),
        ]
        scenes = {id(r): Scene(r) for r in (run, rows)}
        for shown, name, act, window, scheme in shots:
            options = {"viewport": window, "color_scheme": scheme}
            with (
                Serving(scenes[id(shown)]) as serving,
                opened(browser, f"{serving.address}#row=12", **options) as page,
            ):
                page.chosen(12)
                act(page)
                photograph(page, name)


if __name__ == "__main__":
    main()

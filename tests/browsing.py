"""The explorer's page in a real browser: how tests open it, act on it, and read what is seen.

The browser is the machine's own: DIABOLO_BROWSER, or else chromium, chromium-browser or
google-chrome. Where it or the built page is lacking, tests that need them are skipped with the
reason; with DIABOLO_REQUIRE_BROWSER=1 they fail instead.

Every page is watched from its first byte: what it writes to the console as an error, what its
policy refuses, what it asks of other hosts and how far its layout shifts are faults at its end.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import numpy as np
import pytest
from numpy.typing import NDArray

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

T = TypeVar("T")

AXE = Path(__file__).parents[1] / "web" / "node_modules" / "axe-core" / "axe.min.js"
NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 15.0  # seconds until what shall be seen is seen
SHIFT = 0.1  # of the layout, at most: what Chromium's own metric calls good
STRANGER = "stranger.example"  # a name that the browser takes for this machine, as after rebinding

WATCH = """
window.__seen = {shift: 0, refused: []};
new PerformanceObserver((list) => {
  for (const e of list.getEntries()) if (!e.hadRecentInput) window.__seen.shift += e.value;
}).observe({type: "layout-shift", buffered: true});
document.addEventListener("securitypolicyviolation", (e) => {
  window.__seen.refused.push(`${e.violatedDirective}: ${e.blockedURI}`);
});
"""


def lacks(reason: str) -> None:
    """Skips a test, or fails it where everything must be there."""
    if os.environ.get("DIABOLO_REQUIRE_BROWSER") == "1":
        pytest.fail(f"DIABOLO_REQUIRE_BROWSER is set, but {reason}.")
    pytest.skip(f"{reason}.")


def binary() -> str:
    """The browser of this machine."""
    found = os.environ.get("DIABOLO_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        lacks(f"no Chromium was found under the names {', '.join(NAMES)} or DIABOLO_BROWSER")
    return str(found)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Headless Chromium, with the explorer's page built and a server to be had."""
    from diabolo.explore.page import INDEX, PLACE

    if not (PLACE / INDEX).is_file():
        lacks("the explorer's page is not built: say `make web`")
    for name in ("playwright", "starlette", "uvicorn", "websockets"):
        pytest.importorskip(name, reason=f"{name} is not installed")
    from playwright.sync_api import sync_playwright

    place = binary()
    options = ["--no-sandbox", f"--host-resolver-rules=MAP {STRANGER} 127.0.0.1"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=place, args=options)
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """One page: what tests do on it and see.

    Arguments:
        page: The page.
        address: What it shows.
    """

    def __init__(self, page: Page, address: str) -> None:
        self.page, self.address = page, address
        self.faults: list[str] = []
        self.hosts: set[str] = set()
        page.on("console", self._console)
        page.on("pageerror", lambda e: self.faults.append(f"error: {e.stack or e}"))
        page.on("request", self._request)
        page.on("websocket", lambda w: self.hosts.add(urlsplit(w.url).netloc))

    def _console(self, message: Any) -> None:
        if message.type == "error":
            self.faults.append(f"console: {message.text}")

    def _request(self, request: Any) -> None:
        where = urlsplit(request.url)
        if where.scheme not in ("data", "blob"):
            self.hosts.add(where.netloc)

    def check(self) -> None:
        """Fails if anything was wrong with the page."""
        seen = self.page.evaluate("window.__seen")
        assert self.faults == [], self.faults
        assert seen["refused"] == [], seen["refused"]
        assert self.hosts == {urlsplit(self.address).netloc}
        assert seen["shift"] < SHIFT

    def see(self, name: str) -> Locator:
        """What has this test id."""
        return self.page.get_by_test_id(name)

    def text(self, name: str) -> str:
        """The text of what has this test id, as it is seen."""
        return self.see(name).inner_text().strip()

    def press(self, name: str) -> None:
        """Clicks what has this test id."""
        self.see(name).click()

    def slider(self, index: int) -> Locator:
        """The slider of a latent element."""
        return self.see(f"latent-{index}").locator("input[type=range]")

    def code(self) -> NDArray[np.float32]:
        """The code that the number boxes of all sliders show, rounded as they are."""
        boxes = self.page.locator("[data-testid^=latent-]:has(input[type=number])")
        found = {
            int(box.get_attribute("data-testid").removeprefix("latent-")): float(  # type: ignore[union-attr]
                box.locator("input[type=number]").input_value()
            )
            for box in boxes.all()
        }
        return np.array([found[i] for i in sorted(found)], np.float32)

    def chosen(self, index: int) -> None:
        """Waits until a row of the data is shown, with all that is told of it."""
        until(lambda: self._told(f"Item {index}"))

    def _told(self, start: str) -> None:
        text = self.text("chosen")
        assert text == start or text.startswith(f"{start},"), text
        assert self.see("notice").text_content() == f"{start} chosen."

    def mark(self, name: str = "chosen") -> tuple[float, float]:
        """Where a mark lies, in pixels of the map."""
        told = self.see(f"mark-{name}").get_attribute("transform") or ""
        x, y = told.removeprefix("translate(").rstrip(")").split()
        return float(x), float(y)

    def at(self, place: tuple[float, float]) -> tuple[float, float]:
        """A place of the map in pixels of the window."""
        box = self.see("map-canvas").bounding_box()
        assert box is not None
        return box["x"] + place[0], box["y"] + place[1]


@contextmanager
def opened(
    browser: Browser, address: str, ready: str = "chosen", **options: Any
) -> Iterator[Watched]:
    """A page in a profile of its own, once an item is chosen on it; checked at the end."""
    settings: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}, **options}
    context = browser.new_context(**settings)
    context.set_default_timeout(1000 * PATIENCE)
    try:
        context.add_init_script(WATCH)
        page = Watched(context.new_page(), address)
        page.page.goto(address)
        page.see(ready).wait_for()
        yield page
        page.check()
    finally:
        context.close()


def until(law: Callable[[], T], seconds: float = PATIENCE) -> T:
    """Waits for a law to hold; its last failure is the test's."""
    end = time.monotonic() + seconds
    while True:
        try:
            return law()
        except AssertionError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


def pixels(canvas: Locator) -> NDArray[np.uint8]:
    """What a canvas holds, (H, W, 3)."""
    width, height, raw = canvas.evaluate(
        """c => [c.width, c.height,
                 [...c.getContext("2d").getImageData(0, 0, c.width, c.height).data]]"""
    )
    return np.array(raw, np.uint8).reshape(height, width, 4)[..., :3]


def seen_as(values: NDArray[Any], low: float, high: float) -> NDArray[np.float64]:
    """Grey values (H, W) in the user's range as pixels (H, W, 3)."""
    grey = np.clip((np.asarray(values, np.float64) - low) / (high - low), 0, 1) * 255
    return np.repeat(grey[..., None], 3, axis=-1)


def same(canvas: Locator, picture: NDArray[Any], tolerance: float = 1.0) -> None:
    """Waits until a canvas shows a picture: one level of 255, since pixels are rounded."""
    until(lambda: np.testing.assert_allclose(pixels(canvas), picture, rtol=0, atol=tolerance))


def numeral(text: str) -> float:
    """The first number that a text tells."""
    return float(text.split()[0].replace("\u2212", "-"))


def told(text: str, value: float, digits: int = 4) -> None:
    """Checks that a text tells a number, as far as its figures go."""
    assert numeral(text) == pytest.approx(value, rel=0.6 * 10 ** (1 - digits), abs=1e-4), text


def faults_of(page: Watched) -> list[str]:
    """What an accessibility checker calls serious or critical on the page as it is now."""
    if not AXE.is_file():
        lacks("axe-core is not installed: say `make web`")
    if not page.page.evaluate("'axe' in window"):
        page.page.evaluate(f"{AXE.read_text('utf-8')};0")
    found = page.page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
    return [
        f"{v['id']}: {n['html']}: {n['failureSummary']}"
        for v in found
        if v["impact"] in ("serious", "critical")
        for n in v["nodes"]
    ]

"""The exported folder in Chromium with any web server: codes are decoded in the browser."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose
from PIL import Image

import diabolo
from browsing import faults_of, opened, pixels, same, seen_as, until
from diabolo.explore import write_folder
from diabolo.panels._rows import rows

N = 60
TINY: dict[str, Any] = {"net": "mlp(hidden=(16,))", "latent": 3, "epochs": 3, "device": "cpu"}


def holed() -> pd.DataFrame:
    """A table with holes in one column of numbers and one of levels."""
    generator = np.random.default_rng(0)
    numbers = generator.normal(50, 10, (300, 3))
    frame = pd.DataFrame(numbers, columns=["age", "weight", "pulse"])
    frame["town"] = generator.choice(["Bonn", "Kiel", "Ulm"], 300)
    frame.loc[::5, "weight"] = np.nan
    return frame


class Space:
    """A web space with exported folders, each made when it is first asked for.

    Arguments:
        place: The folder that the server gives away.
    """

    def __init__(self, place: Path) -> None:
        self.place, self.asked, self.runs = place, [], {}  # type: ignore[var-annotated]
        asked = self.asked

        class Noting(SimpleHTTPRequestHandler):
            def log_request(self, *_: Any) -> None:
                asked.append(self.path)

        handler = partial(Noting, directory=str(place))
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def of(self, kind: str) -> tuple[Any, str]:
        """A run and the address of its folder."""
        if kind not in self.runs:
            label = {"recipe": "cvae", "condition": "labels"} if kind == "conditional" else {}
            data = holed() if kind == "table" else "digits"
            self.runs[kind] = diabolo.fit(data, **label, **TINY)
            write_folder(self.runs[kind], folder=self.place / "under" / kind, n=N)
        return self.runs[kind], f"http://127.0.0.1:{self.server.server_port}/under/{kind}/"


@pytest.fixture(scope="module")
def space(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    made = Space(tmp_path_factory.mktemp("space"))
    yield made
    made.server.shutdown()
    made.server.server_close()


# an export takes longer than all that is done with it here
each = pytest.mark.parametrize(
    "kind", ["conditional", pytest.param("plain", marks=pytest.mark.slow)]
)


def decoded(run: Any, code: Any, label: int | None = None) -> Any:
    """The mean of a code's density by PyTorch, as pixels."""
    c = None if label is None else torch.eye(10)[[label]]
    with torch.inference_mode():
        px = run.model.decode(torch.from_numpy(np.asarray(code, np.float32)[None]), c)
    return seen_as(px.mean.reshape(8, 8).numpy(), 0, 1)


def _is(found: Any, wanted: Any) -> None:
    assert found == wanted


def _loaded(page: Any) -> None:
    page.chosen(0)
    until(lambda: _is(page.text("where"), "Decoding in this browser"))


def test_a_folder_says_when_it_is_not_served_and_is_never_that_of_before(
    browser: Any, space: Space
) -> None:
    """Of an old file without a term browsers keep what they have, unless they are told to ask."""
    address = space.of("conditional")[1]
    place = space.place / "under" / "conditional"
    told = place / "data" / "scene.json"
    before, now = told.read_text("utf-8"), time.time()
    context = browser.new_context()
    try:
        page = context.new_page()
        page.goto((place / "index.html").as_uri())
        assert "it needs a web server" in page.inner_text("body")
        for title, days in (("the first", 400), ("the second", 200)):
            told.write_text(json.dumps({**json.loads(before), "title": title}), "utf-8")
            os.utime(told, (now - 86400 * days,) * 2)
            page.goto(address)
            until(lambda title=title: _is(page.locator("h1").inner_text(), title))
    finally:
        told.write_text(before, "utf-8")
        context.close()


def given(run: Any, known: Any, i: int) -> int | None:
    """The label of a row, where the model reads one."""
    return int(known.labels[i]) if run.schema.conditions else None


@each
def test_sliders_decode_without_a_server(browser: Any, space: Space, kind: str) -> None:
    run, address = space.of(kind)
    known = rows(run, n=N)
    code, label = known.codes[0].copy(), given(run, known, 0)
    with opened(browser, address) as page:
        _loaded(page)
        same(page.see("decoded"), decoded(run, code, label))
        for index in run.latents.order[:2]:
            page.slider(index).press("End")
            code[index] = float(page.slider(index).input_value())
            same(page.see("decoded"), decoded(run, code, label))
        assert len(page.page.evaluate("window.__diabolo.latencies")) >= 2
    assert f"/under/{kind}/data/decoder.onnx" in space.asked
    assert all(path.startswith("/under/") for path in space.asked)


@each
def test_an_item_of_ones_own_is_encoded_without_a_server(
    browser: Any, space: Space, kind: str, tmp_path: Path
) -> None:
    run, address = space.of(kind)
    known = rows(run, n=N)
    i = 0 if kind == "conditional" else 7  # the label that is given is that of the first row
    x = run.schema.array(known.data.batch(torch.arange(N)).x)[i]
    Image.fromarray(np.rint(x / 16 * 255).astype(np.uint8)).save(tmp_path / "own.png")
    with opened(browser, f"{address}#tab=yours") as page:
        _loaded(page)
        page.see("upload").set_input_files(tmp_path / "own.png")
        until(lambda: _is(page.text("chosen"), "Your picture"))
        same(page.see("decoded"), decoded(run, known.codes[i], given(run, known, i)))
        page.press("tab-latents")
        assert_allclose(page.code(), known.codes[i], atol=1e-3)


def test_a_label_is_given_without_a_server(browser: Any, space: Space) -> None:
    run, address = space.of("conditional")
    known = rows(run, n=N)
    own = int(known.labels[0])
    other = (own + 3) % 10
    with opened(browser, address) as page:
        _loaded(page)
        same(page.see("decoded"), decoded(run, known.codes[0], own))
        before = pixels(page.see("decoded"))
        page.see("condition").get_by_role("button", name=str(other), exact=True).click()
        same(page.see("decoded"), decoded(run, known.codes[0], other))
        assert np.abs(pixels(page.see("decoded")).astype(int) - before).max() > 5


@pytest.mark.slow
def test_a_cell_that_is_emptied_is_a_hole_without_a_server(browser: Any, space: Space) -> None:
    run, address = space.of("table")
    known = rows(run, n=N)
    x = known.data.take(torch.tensor([0]))
    seen = x.mask.clone()
    seen[0, 0] = False
    code = run.encode(replace(x, mask=seen))
    with opened(browser, address) as page:
        _loaded(page)
        box = page.see("row-form").get_by_label("age", exact=True)
        box.fill("")
        box.press("Tab")
        until(lambda: _is(page.text("chosen"), "Your row"))
        page.press("tab-latents")
        assert_allclose(page.code(), code[0], atol=1e-3)
        assert np.abs(code[0] - known.codes[0]).max() > 0.01


def test_what_needs_a_server_is_told_and_the_rest_is_there(browser: Any, space: Space) -> None:
    address = space.of("conditional")[1]
    narrow = {"width": 400, "height": 800}
    with opened(browser, address, viewport=narrow, color_scheme="dark") as page:
        _loaded(page)
        for tab, name in (("samples", "sample"), ("fill", "impute")):
            page.press(f"tab-{tab}")
            assert "diabolo explore" in page.text(f"cannot-{name}")
            assert page.page.evaluate("document.scrollingElement.scrollWidth") <= 400
        assert faults_of(page) == []
        for name in ("log_likelihood", "rate"):  # all that comes later on a live page is there
            assert page.see("colour-select").locator(f"option[value={name}]").is_enabled()
        page.see("map-select").select_option("tsne")
        page.see("item-number").fill("9")
        page.see("item-number").press("Enter")
        page.chosen(9)
        policy = page.page.locator("meta[http-equiv=Content-Security-Policy]")
        assert "default-src 'none'" in str(policy.get_attribute("content"))

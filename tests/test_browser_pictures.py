"""The explorer's live page of pictures in Chromium: what is seen is what PyTorch says."""

from __future__ import annotations

import csv
import io
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

import diabolo
from browsing import faults_of, numeral, opened, pixels, same, seen_as, told, until
from diabolo.panels._rows import plane, rows

N, LOW, HIGH = 250, 0, 16
LEVELS = (  # the page's colours of the first ten labels on light ground
    (0, 114, 178), (230, 159, 0), (0, 158, 115), (213, 94, 0), (86, 180, 233),
    (204, 121, 167), (180, 170, 30), (136, 34, 85), (102, 102, 204), (120, 130, 140),
)  # fmt: skip
TABS = ("latents", "between", "near", "samples", "yours", "fill", "basket", "run")


class Model:
    """A run, its page's address, and what PyTorch says of the rows that are shown."""

    def __init__(self) -> None:
        self.run = diabolo.fit("digits", net="mlp(hidden=(32,))", latent=4, epochs=4, device="cpu")
        self.rows = rows(self.run, n=N)
        self.x = self.run.schema.array(self.rows.data.batch(torch.arange(N)).x)
        self.codes = self.run.encode(self.x)
        self.places = plane(self.rows).points
        self.address = ""

    def picture(self, x: Any) -> Any:
        return seen_as(x, LOW, HIGH)

    def of(self, code: Any) -> Any:
        """The mean of a code's density as pixels; `run.decode` rounds it to whole grey levels."""
        z = np.asarray(code, np.float32)[None]
        with torch.inference_mode():
            mean = self.run.model.decode(torch.from_numpy(z)).mean[0].numpy()
        whole = self.run.decode(z)[0]
        assert np.abs(mean.reshape(whole.shape) * HIGH - whole).max() < 0.501
        return seen_as(mean.reshape(whole.shape), 0, 1)

    def apart(self, n: int = 1) -> list[int]:
        """The rows whose points lie farthest from those of others."""
        gaps = np.linalg.norm(self.places[:, None] - self.places[None], axis=-1)
        np.fill_diagonal(gaps, np.inf)
        return [int(i) for i in np.argsort(-gaps.min(1))[:n]]

    def screen(self, width: float, height: float) -> Any:
        """Where all points lie on a map of this size that shows them all, in pixels."""
        low, high = self.places.min(0), self.places.max(0)
        scale = min((width - 48) / (high - low)[0], (height - 48) / (high - low)[1])
        gap = (self.places - (low + high) / 2) * scale
        return np.array([width / 2, height / 2]) + gap * [1, -1]


@pytest.fixture(scope="module")
def model(browser: Any) -> Iterator[Model]:
    from diabolo.explore import Scene
    from diabolo.explore.server import Serving

    made = Model()
    with Serving(Scene(made.run, n=N)) as serving:
        made.address = serving.address
        yield made


def places(model: Model, page: Any) -> Any:
    box = page.see("map-canvas").bounding_box()
    return model.screen(box["width"], box["height"])


def test_the_first_view_has_every_point_in_the_colour_of_its_label(
    browser: Any, model: Model
) -> None:
    with opened(browser, model.address) as page:
        page.chosen(0)
        until(lambda: _points_are_coloured(page, model))
        first = page.page.evaluate("window.__diabolo.firstView")
        assert 0 < first < page.page.evaluate("performance.now()")
        assert "token" not in page.page.url  # nobody passes it on with the address
        assert page.text("where") == "Decoding by the server"
        for name in model.rows.classes:
            assert name in page.text("legend")


def _points_are_coloured(page: Any, model: Model) -> None:
    shot = Image.open(io.BytesIO(page.see("map-canvas").screenshot())).convert("RGB")
    labels = model.rows.labels
    assert labels is not None
    at = places(model, page)
    for i in model.apart(40):
        x, y = map(int, at[i])
        if i == 0:  # is marked as chosen
            continue
        gap = np.abs(np.array(LEVELS) - shot.getpixel((x, y))).sum(1)
        assert gap.argmin() == labels[i], (i, shot.getpixel((x, y)))
        assert gap.min() < 90  # the paper shines through a little


def test_a_click_on_a_point_shows_that_row(browser: Any, model: Model) -> None:
    with opened(browser, model.address) as page:
        page.chosen(0)
        for i in model.apart(2):
            at = tuple(places(model, page)[i])
            page.page.mouse.click(*page.at(at))
            page.chosen(i)
            assert page.text("chosen") == f"Item {i}, {model.rows.classes[model.rows.labels[i]]}"
            until(lambda at=at: assert_allclose(page.mark(), at, atol=1.5))  # with the next frame
            same(page.see("item"), model.picture(model.x[i]), tolerance=0.5)
            same(page.see("decoded"), model.of(model.codes[i]))
            for name in ("rate", "distortion", "bound"):
                text, each = page.text(f"measure-{name}"), model.rows.estimate(name)
                told(text, each.per_datum[i].item())
                assert ("\u00b1" in text) == (name != "rate"), text  # of which it is known exactly
                if name != "rate":
                    told(text.split("\u00b1")[1], each.per_datum_stderr[i].item(), 2)
            assert_allclose(page.code(), model.codes[i], atol=6e-4)


def test_a_slider_changes_the_picture_to_the_mean_of_its_code(browser: Any, model: Model) -> None:
    with opened(browser, model.address) as page:
        page.chosen(0)
        code = model.codes[0].copy()
        order = model.run.latents.order
        names = page.page.locator("[data-testid^=latent-]").evaluate_all(
            "list => list.map((e) => e.dataset.testid)"
        )
        assert names == [f"latent-{i}" for i in order]
        for index, part in ((order[0], 0.9), (order[-1], 0.2)):
            slider = page.slider(index)
            box = slider.bounding_box()
            y = box["y"] + box["height"] / 2
            page.page.mouse.move(box["x"] + box["width"] / 2, y)
            page.page.mouse.down()
            page.page.mouse.move(box["x"] + box["width"] * part, y, steps=5)
            page.page.mouse.up()
            code[index] = float(slider.input_value())
            assert abs(code[index] - model.codes[0][index]) > 0.2
            same(page.see("decoded"), model.of(code))
        box = page.see(f"latent-{order[1]}").locator("input[type=number]")
        box.fill("1.25")
        box.press("Enter")
        code[order[1]] = 1.25
        same(page.see("decoded"), model.of(code))
        assert page.text("chosen").endswith(", moved")
        same(page.see("item"), model.picture(model.x[0]), tolerance=0.5)  # it stays beside
        page.press("reset")
        same(page.see("decoded"), model.of(model.codes[0]))


def test_an_empty_place_is_decoded_and_a_drag_joins_two_items(browser: Any, model: Model) -> None:
    flat = plane(model.rows)
    a, b = model.apart(2)
    with opened(browser, model.address) as page:
        page.chosen(0)
        page.press("mode-decode")
        x, y = (float(v) for v in np.quantile(places(model, page), [0.4, 0.6], axis=0)[:, 0])
        page.page.mouse.click(*page.at((x, y)))
        until(lambda: _is(page.text("chosen"), "A place on the map"))
        at = places(model, page)
        scale = (
            np.abs(at[a] - at[b]).max()
            / np.abs(model.places[a] - model.places[b])[np.abs(at[a] - at[b]).argmax()]
        )
        where = model.places[a] + (np.array([x, y]) - at[a]) / scale * [1, -1]
        same(page.see("decoded"), model.of(flat.mean + where @ flat.axes), tolerance=1.6)
        page.press("mode-join")
        page.page.mouse.move(*page.at(tuple(at[a])))
        page.page.mouse.down()
        page.page.mouse.move(*page.at(tuple(at[b])), steps=4)
        page.page.mouse.up()
        until(lambda: _is(page.text("end-b"), f"item {b}"))
        assert page.text("end-a") == f"item {a}"
        steps = page.see("strip").locator("canvas")
        until(lambda: _is(steps.count(), 9))
        for part, k in ((0.0, 0), (0.5, 4), (1.0, 8)):
            code = (1 - part) * model.codes[a] + part * model.codes[b]
            same(steps.nth(k), model.of(code))
        scrubber = page.see("scrubber")
        scrubber.focus()
        scrubber.press("End")
        same(page.see("decoded"), model.of(model.codes[b]))


def _is(found: Any, wanted: Any) -> None:
    assert found == wanted


def test_neighbours_are_those_of_brute_force(browser: Any, model: Model) -> None:
    i = 17
    gaps = np.linalg.norm(model.codes - model.codes[i], axis=1)
    gaps[i] = np.inf
    wanted = np.argsort(gaps, kind="stable")[:12]
    with opened(browser, f"{model.address}#row={i}&tab=near") as page:
        page.chosen(i)
        found = page.see("neighbours").locator("li")
        until(lambda: _is(found.count(), 12))
        texts = [found.nth(k).locator("button").text_content() for k in range(12)]
        assert [int(re.search(r"Item (\d+)", t)[1]) for t in texts] == list(wanted)
        gap = [float(re.search(r"distance\s*([\d.]+)", t)[1]) for t in texts]
        assert_allclose(gap, gaps[wanted], rtol=6e-3)  # as they are written
        same(found.nth(3).locator("canvas"), model.picture(model.x[wanted[3]]), tolerance=0.5)
        found.nth(3).locator("button").click()
        page.chosen(int(wanted[3]))


def test_a_drawing_gets_its_code_and_likelihood(browser: Any, model: Model) -> None:
    with opened(browser, f"{model.address}#tab=yours") as page:
        page.chosen(0)
        pad = page.see("pad")
        pad.scroll_into_view_if_needed()
        box = pad.bounding_box()
        page.page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.15 * box["height"])
        page.page.mouse.down()
        page.page.mouse.move(
            box["x"] + 0.55 * box["width"], box["y"] + 0.8 * box["height"], steps=6
        )
        page.page.mouse.up()
        until(lambda: _is(page.text("chosen"), "Your drawing"))
        drawn = pixels(pad)
        assert drawn.max() == 255
        assert (drawn > 100).any(axis=(1, 2)).sum() >= 4  # rows that the stroke crosses
        _is_told_of(page, model, np.rint(drawn[..., 0] / 255 * HIGH))
        assert page.see("mark-own").get_attribute("class").split()[-1] == "on"


def _is_told_of(page: Any, model: Model, x: Any) -> None:
    """Checks code, picture and likelihood of an item that is not the run's own."""
    one = np.asarray(x, model.x.dtype)[None]
    code = model.run.encode(one)[0]
    same(page.see("decoded"), model.of(code))
    page.press("tab-latents")
    assert_allclose(page.code(), code, atol=6e-4)
    mine = model.run.score(one, k=50)[0]
    text = page.text("measure-log_likelihood")
    spread = float(text.split("±")[1])
    assert numeral(text) == pytest.approx(mine, abs=max(8 * spread, 0.1))
    alone = rows(model.run, one)
    told(page.text("measure-distortion"), alone.distortion[0])
    assert float(page.text("measure-bound").split("±")[1]) > 0
    told(page.text("measure-rate"), alone.rate[0])
    assert page.text("below").startswith("In nats. Likelier than ")


def _blank(side: int) -> bytes:
    """A black PNG of so many pixels on a side, one bit each: a few kilobytes."""
    head = b"IHDR" + struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    pixels = b"IDAT" + zlib.compress(bytes(side * (1 + side // 8)))
    parts = [
        struct.pack(">I", len(p) - 4) + p + struct.pack(">I", zlib.crc32(p))
        for p in (head, pixels, b"IEND")
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_a_picture_that_is_opened_is_seen_and_scored(
    browser: Any, model: Model, tmp_path: Path
) -> None:
    i = 5
    grey = np.rint(model.x[i] / HIGH * 255).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "seven.png")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "bomb.png").write_bytes(_blank(8000))
    with opened(browser, f"{model.address}#tab=yours") as page:
        page.chosen(0)
        page.see("upload").set_input_files(tmp_path / "text.png")
        problem = page.page.get_by_role("alert").filter(has_text="no picture that the browser")
        problem.wait_for()
        page.see("upload").set_input_files(tmp_path / "bomb.png")
        page.page.get_by_role("alert").filter(has_text="8000 \u00d7 8000 pixels").wait_for()
        page.see("upload").set_input_files(tmp_path / "seven.png")
        until(lambda: _is(page.text("chosen"), "Your picture"))
        assert_array_equal(pixels(page.see("pad"))[..., 0], grey)
        assert_allclose(page.mark("own"), places(model, page)[i], atol=1.5)
        _is_told_of(page, model, model.x[i])
        same(page.see("decoded"), model.of(model.codes[i]))


def test_what_is_seen_stays_where_the_rest_is_filled_in(browser: Any, model: Model) -> None:
    i = 9
    with opened(browser, f"{model.address}#row={i}&tab=fill") as page:
        page.chosen(i)
        page.press("impute")  # nothing is hidden yet
        page.page.get_by_role("alert").filter(has_text="Nothing is hidden").wait_for()
        page.press("hide-below")
        page.press("impute")
        drawn = page.see("filled").locator("canvas")
        until(lambda: _is(drawn.count(), 9))
        item = model.picture(model.x[i])
        found = [pixels(drawn.nth(k)).astype(float) for k in range(9)]
        for one in found:
            assert_allclose(one[:4], item[:4], atol=1)
        below = np.stack([one[4:] for one in found])
        assert below[1:].std(0).max() > 10  # draws differ
        assert "Method: " in page.text("filled")


def test_the_basket_gives_pictures_and_codes(browser: Any, model: Model) -> None:
    with opened(browser, f"{model.address}#row=3") as page:
        page.chosen(3)
        same(page.see("item"), model.picture(model.x[3]), tolerance=0.5)
        page.press("basket-add")
        index = model.run.latents.order[0]
        page.slider(index).press("End")
        code = model.codes[3].copy()
        code[index] = float(page.slider(index).input_value())
        same(page.see("decoded"), model.of(code))
        page.press("basket-add")
        page.press("tab-basket")
        _is(page.see("basket").locator("li").count(), 2)
        with page.page.expect_download() as waiting:
            page.press("basket-csv")
        table = list(csv.DictReader(io.StringIO(Path(waiting.value.path()).read_text())))
        assert waiting.value.suggested_filename == "basket.csv"
        assert [r["row"] for r in table] == ["3", ""]
        codes = [[float(r[f"z{j}"]) for j in range(4)] for r in table]
        assert_allclose(codes, [model.codes[3], code], rtol=1e-5, atol=1e-6)
        with page.page.expect_download() as waiting:
            page.press("basket-png")
        sheet = np.asarray(Image.open(waiting.value.path()).convert("RGB"))
        tile, gap = 96, 4
        assert sheet.shape == (tile + 2 * gap, 2 * tile + 3 * gap, 3)
        for k, wanted in enumerate((model.picture(model.x[3]), model.of(code))):
            left = gap + k * (tile + gap)
            middle = sheet[gap + 6 : gap + tile : 12, left + 6 : left + tile : 12]
            assert_allclose(middle, wanted, atol=1)


def test_a_link_restores_the_view(browser: Any, model: Model) -> None:
    with opened(browser, f"{model.address}#row=8") as page:
        page.chosen(8)
        index = model.run.latents.order[1]
        page.slider(index).press("Home")
        page.see("colour-select").select_option("rate")
        page.press("tab-near")
        until(lambda: _moved(page.page.evaluate("location.href")))
        address, seen = page.page.evaluate("location.href"), pixels(page.see("decoded"))
        page.page.goto("about:blank")
        page.page.goto(address)  # the cookie lets it in
        page.chosen(8)
        same(page.see("decoded"), seen)
        assert page.see("colour-select").input_value() == "rate"
        assert page.see("tab-near").get_attribute("aria-selected") == "true"
        page.press("tab-latents")
        least = float(page.slider(index).get_attribute("min"))
        assert float(page.slider(index).input_value()) == pytest.approx(least, abs=1e-3)


def _moved(url: str) -> None:
    assert "z=" in url
    assert "colour=rate" in url
    assert "tab=near" in url


def test_samples_are_those_of_the_prior(browser: Any, model: Model) -> None:
    with opened(browser, f"{model.address}#tab=samples") as page:
        page.chosen(0)
        page.press("sample")
        drawn = page.see("samples").locator("li")
        until(lambda: _is(drawn.count(), 16))
        wanted = model.run.sample(16, mean=True, seed=0)  # in whole grey levels
        for k in (0, 7, 15):
            same(
                drawn.nth(k).locator("canvas"),
                model.picture(wanted[k]),
                tolerance=255 / HIGH / 2 + 1,
            )
        drawn.nth(7).locator("button").click()
        until(lambda: _is(page.text("chosen"), "Sample 8"))
        page.press("tab-latents")
        until(lambda: assert_allclose(pixels(page.see("decoded")), model.of(page.code()), atol=2))


def test_slow_maps_and_colours_arrive_while_one_looks(browser: Any, model: Model) -> None:
    with opened(browser, model.address) as page:
        page.chosen(0)
        for box, name in (("colour-select", "log_likelihood"), ("map-select", "tsne")):
            option = page.see(box).locator(f"option[value={name}]")
            until(lambda option=option: _is(option.is_enabled(), True), seconds=60)
            page.see(box).select_option(name)
        until(lambda: _is(page.see("map").get_attribute("aria-label"), f"{N} items, t-SNE"))
        before = page.mark()
        page.see("item-number").fill("11")
        page.see("item-number").press("Enter")
        page.chosen(11)
        until(lambda: _differs(page.mark(), before))
        x, y = page.mark()
        page.page.mouse.click(*page.at((x, y)))
        page.chosen(11)


def _differs(a: Any, b: Any) -> None:
    assert a != b


def test_keys_are_enough(browser: Any, model: Model) -> None:
    with opened(browser, model.address) as page:
        page.chosen(0)
        keyboard = page.page.keyboard
        _tab_to(page, "document.activeElement.dataset.testid === 'map'")
        keyboard.press("ArrowRight")
        until(lambda: _differs(page.text("chosen").split(",")[0], "Item 0"))
        i = int(re.search(r"\d+", page.text("chosen"))[0])
        assert model.places[i][0] > model.places[0][0]
        same(page.see("decoded"), model.of(model.codes[i]))
        keyboard.press("a")
        keyboard.press("ArrowLeft")
        keyboard.press("b")
        _tab_to(page, "document.activeElement.id === 'tab-latents'")
        keyboard.press("ArrowRight")
        page.see("panel-between").wait_for()
        assert page.text("end-a") == f"item {i}"
        keyboard.press("ArrowLeft")
        _tab_to(page, "document.activeElement.type === 'range'")
        before = float(page.page.evaluate("document.activeElement.value"))
        shown = pixels(page.see("decoded"))
        for _ in range(20):
            keyboard.press("ArrowUp")
        assert float(page.page.evaluate("document.activeElement.value")) > before
        until(lambda: _differs(pixels(page.see("decoded")).tobytes(), shown.tobytes()))


def _tab_to(page: Any, there: str) -> None:
    for _ in range(40):
        page.page.keyboard.press("Tab")
        if page.page.evaluate(there):
            outline = page.page.evaluate("getComputedStyle(document.activeElement).boxShadow")
            assert outline != "none"  # where the focus is can be seen
            return
    pytest.fail(f"Forty steps of Tab do not lead to {there}.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_accessibility_checker_finds_no_serious_fault(
    browser: Any, model: Model, scheme: str
) -> None:
    with opened(browser, model.address, color_scheme=scheme) as page:
        page.chosen(0)
        for tab in TABS if scheme == "light" else ("latents", "yours"):
            page.press(f"tab-{tab}")
            page.see(f"panel-{tab}").wait_for()
            assert faults_of(page) == []
        dark = page.page.evaluate("document.documentElement.dataset.theme")
        assert dark == scheme
        page.press("theme")
        page.press("tab-latents")
        assert page.page.evaluate("document.documentElement.dataset.theme") != scheme


def test_a_narrow_window_is_never_scrolled_sideways(browser: Any, model: Model) -> None:
    with opened(browser, model.address, viewport={"width": 400, "height": 800}) as page:
        page.chosen(0)
        for tab in TABS:
            page.press(f"tab-{tab}")
            page.see(f"panel-{tab}").wait_for()
            width = page.page.evaluate("document.scrollingElement.scrollWidth")
            assert width <= 400, tab
        page.press("tab-latents")
        index = model.run.latents.order[0]
        slider = page.slider(index)
        slider.scroll_into_view_if_needed()
        assert slider.bounding_box()["width"] >= 60
        slider.press("End")
        code = model.codes[0].copy()
        code[index] = float(slider.input_value())
        same(page.see("decoded"), model.of(code))

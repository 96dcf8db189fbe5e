"""The explorer's live page in Chromium for other models: conditional, deterministic, of a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose

import diabolo
from browsing import faults_of, numeral, opened, pixels, same, seen_as, told, until
from diabolo.panels._rows import rows

N = 60
PASTE = """(box, text) => {
  const data = new DataTransfer();
  data.setData("text/plain", text);
  const facts = { clipboardData: data, bubbles: true, cancelable: true };
  box.dispatchEvent(new ClipboardEvent("paste", facts));
}"""
TINY: dict[str, Any] = {"net": "mlp(hidden=(16,))", "latent": 3, "device": "cpu"}


def people() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    age = rng.normal(40, 10, 300).round(1)
    return pd.DataFrame(
        {
            "age": age,
            "town": rng.choice(["Ulm", "Bonn", "Kiel"], 300),
            "smokes": rng.random(300) < 0.5,
            "income": (1000 + 40 * age + rng.normal(0, 100, 300)).round(0),
        }
    )


@pytest.fixture(scope="module")
def runs(browser: Any) -> dict[str, Any]:
    return {
        "conditional": diabolo.fit("digits", "cvae", condition="labels", epochs=4, **TINY),
        "deterministic": diabolo.fit("digits", "ae", epochs=1, **TINY),
        "table": diabolo.fit(people(), "vae", epochs=40, **TINY),
    }


@pytest.fixture(scope="module")
def addresses(runs: dict[str, Any]) -> Iterator[dict[str, str]]:
    from diabolo.explore import Scene
    from diabolo.explore.server import Serving

    with ExitStack() as stack:
        serving = {k: stack.enter_context(Serving(Scene(r, n=N))) for k, r in runs.items()}
        yield {k: s.address for k, s in serving.items()}


def decoded(run: Any, code: Any, label: str | None = None) -> Any:
    """The mean of a digit as pixels."""
    z = torch.from_numpy(np.asarray(code, np.float32)[None])
    c = None
    if label is not None:
        classes = run.schema.conditions[0].classes
        c = torch.eye(len(classes))[[classes.index(label)]]
    with torch.inference_mode():
        mean = run.model.decode(z, c).point.reshape(-1, 8, 8)[0].numpy()
    return seen_as(mean, 0, 1)


def _is(found: Any, wanted: Any) -> None:
    assert found == wanted


def test_a_label_changes_what_a_code_is_decoded_to(
    browser: Any, runs: dict[str, Any], addresses: dict[str, str]
) -> None:
    run = runs["conditional"]
    known = rows(run, n=N)
    with opened(browser, addresses["conditional"]) as page:
        page.chosen(0)
        own = known.classes[known.labels[0]]
        buttons = page.see("condition").get_by_role("button")
        pressed = buttons.and_(page.page.locator("[aria-pressed=true]"))
        assert pressed.inner_text() == own
        same(page.see("decoded"), decoded(run, known.codes[0], own))
        before = pixels(page.see("decoded"))
        other = next(c for c in known.classes if c != own)
        page.see("condition").get_by_role("button", name=other, exact=True).click()
        same(page.see("decoded"), decoded(run, known.codes[0], other))
        assert np.abs(pixels(page.see("decoded")).astype(int) - before).max() > 10
        page.press("tab-samples")
        page.press("sample")
        drawn = page.see("samples").locator("canvas")
        until(lambda: _is(drawn.count(), 16))
        wanted = run.sample(16, label=other, mean=True, seed=0)[3]  # in whole grey levels
        same(drawn.nth(3), seen_as(wanted, 0, 16), 255 / 16 / 2 + 1)
        until(lambda: _has(page.page.evaluate("location.href"), "c=", "tab=samples"))
        address = page.page.evaluate("location.href")
        page.page.goto("about:blank")
        page.page.goto(address)
        same(page.see("decoded"), decoded(run, known.codes[0], other))
        assert pressed.inner_text() == other


def _has(text: str, *parts: str) -> None:
    assert [p for p in parts if p not in text] == []


def test_what_a_model_cannot_do_is_told(
    browser: Any, runs: dict[str, Any], addresses: dict[str, str]
) -> None:
    run = runs["deterministic"]
    with opened(browser, addresses["deterministic"]) as page:
        page.chosen(0)
        for tab, name in (("samples", "sample"), ("fill", "impute"), ("yours", "score")):
            page.press(f"tab-{tab}")
            text = page.text(f"cannot-{name}")
            assert text.startswith("The codes of a deterministic autoencoder have no density")
            assert text.endswith(".")
        page.press("tab-run")
        assert "decode a code\nyes" in page.text("can").lower()
        assert page.see("measure-distortion").count() == 1
        assert page.see("measure-bound").count() == 0
        page.press("tab-latents")
        index = run.latents.order[0]
        page.slider(index).press("End")
        code = rows(run, n=N).codes[0].copy()
        code[index] = float(page.slider(index).input_value())
        same(page.see("decoded"), decoded(run, code))


class Form:
    """The form of a table's item, as it is seen."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def value(self, name: str) -> Any:
        box = self.page.see("row-form").get_by_label(name, exact=True)
        if box.evaluate("b => b.tagName") == "SELECT":
            return box.evaluate("b => b.selectedOptions[0].textContent")
        return box.input_value()

    def box(self, name: str) -> Any:
        return self.page.see("row-form").get_by_label(name, exact=True)

    def decoded(self) -> list[str]:
        cells = self.page.see("row-form").locator("td.decoded > span")
        return [t.strip() for t in cells.all_inner_texts()]


def _tells(texts: list[str], row: pd.Series) -> None:
    """Checks that texts tell the values of a row."""
    for text, (name, value) in zip(texts, row.items(), strict=True):
        if name == "town":
            assert text == value
        elif name == "smokes":
            assert text == ("yes" if value else "no")
        else:
            assert numeral(text) == pytest.approx(float(value), rel=1e-3), name


def frame(values: Any) -> pd.DataFrame:
    """A table as a data frame, whatever the run makes of tables."""
    return values if isinstance(values, pd.DataFrame) else values.to_pandas()


def test_a_cell_that_is_changed_moves_the_row(
    browser: Any, runs: dict[str, Any], addresses: dict[str, str]
) -> None:
    run = runs["table"]
    known = rows(run, n=N)
    with opened(browser, addresses["table"]) as page:
        page.chosen(0)
        form = Form(page)
        was = {c: form.value(c) for c in people().columns}
        until(lambda: _tells(form.decoded(), frame(run.decode(known.codes[:1])).iloc[0]))
        form.box("age").fill("71.5")
        form.box("age").press("Enter")
        form.box("town").select_option("Kiel")  # before the first change is answered
        until(lambda: _is(page.text("chosen"), "Your row"))
        until(lambda: _is(form.value("town"), "Kiel"))
        mine = pd.DataFrame(
            {
                "age": [71.5],
                "town": ["Kiel"],
                "smokes": [was["smokes"] == "yes"],
                "income": [float(was["income"])],
            }
        )
        code = run.encode(mine)
        until(lambda: _tells(form.decoded(), frame(run.decode(code)).iloc[0]))
        assert_allclose(page.code(), code[0], atol=6e-4)
        alone = rows(run, mine)
        told(page.text("measure-rate"), alone.rate[0], 3)
        told(page.text("measure-distortion"), alone.distortion[0])
        mine_is = float(run.score(mine, k=50)[0])
        assert numeral(page.text("measure-log_likelihood")) == pytest.approx(mine_is, abs=0.3)
        form.box("age").fill("old")
        form.box("age").press("Enter")
        page.page.get_by_role("alert").filter(has_text="takes a number").wait_for()


def test_a_cell_that_is_cleared_is_filled_in(browser: Any, addresses: dict[str, str]) -> None:
    with opened(browser, f"{addresses['table']}#row=2&tab=fill") as page:
        page.chosen(2)
        form = Form(page)
        kept = form.value("age")
        page.page.get_by_label("Clear income").click()
        page.see("filled").wait_for()
        cells = page.see("filled").locator("tbody td").all_inner_texts()
        assert cells[0] == "income"
        best = numeral(cells[1])
        draws = [float(v) for v in cells[2].replace("\u2212", "-").split(", ")]
        assert len(draws) == 8
        low, high = people()["income"].min(), people()["income"].max()
        assert low - 500 < best < high + 500
        assert len(set(draws)) > 1
        assert (form.value("income"), form.value("age")) == ("", kept)


def test_a_table_of_ones_own_is_read(
    browser: Any, runs: dict[str, Any], addresses: dict[str, str], tmp_path: Path
) -> None:
    run = runs["table"]
    mine = people().iloc[[4, 7, 9]]
    mine.to_csv(tmp_path / "mine.csv", index=False)
    with opened(browser, f"{addresses['table']}#tab=yours") as page:
        page.chosen(0)
        page.see("upload").set_input_files(tmp_path / "mine.csv")
        until(lambda: _is(page.see("csv-rows").locator("li").count(), 3))
        page.see("csv-rows").locator("li").nth(1).get_by_role("button").click()
        until(lambda: _is(page.text("chosen"), "Your row 2"))
        form = Form(page)
        _tells([form.value(c) for c in mine.columns], mine.iloc[1])
        until(lambda: _tells(form.decoded(), frame(run.reconstruct(mine)).iloc[1]))
        page.see("csv").fill("age,town\n1,Atlantis")
        page.press("csv-read")
        page.page.locator("[role=alert]:not(:empty)").wait_for()
        _is(page.text("chosen"), "Your row 2")
        many = pd.concat([mine] * 2000).to_csv(index=False)
        assert len(many) > 100_000  # too long for a box, in which browsers are slow
        page.see("csv").evaluate(PASTE, many)
        page.page.get_by_text("The first 1000 of 6000 rows.").wait_for()
        _is(page.see("csv").input_value(), "")
        _is(page.text("chosen"), "Your row 1")
        large = tmp_path / "large.csv"  # more than a frame holds
        large.write_text("age,town\n" + "1,Ulm\n" * 700_000)
        page.see("upload").set_input_files(large)
        page.page.get_by_role("alert").filter(has_text="This table has 4.2 MB, but").wait_for()
        assert page.text("where") == "Decoding by the server"


def test_a_basket_of_rows_is_a_table_again(
    browser: Any, runs: dict[str, Any], addresses: dict[str, str]
) -> None:
    with opened(browser, addresses["table"]) as page:
        page.chosen(0)
        page.see("colour-select").select_option(label="town")
        for town in ("Ulm", "Bonn", "Kiel"):
            assert town in page.text("legend")
        page.press("basket-add")
        page.press("tab-basket")
        with page.page.expect_download() as waiting:
            page.press("basket-csv")
        found = list(csv.DictReader(io.StringIO(Path(waiting.value.path()).read_text())))
        form = Form(page)
        assert {k: found[0][k] for k in ("town", "smokes")} == {
            k: form.value(k) for k in ("town", "smokes")
        }
        assert float(found[0]["age"]) == pytest.approx(float(form.value("age")), rel=1e-4)
        code = rows(runs["table"], n=N).codes[0]
        assert_allclose([float(found[0][f"z{j}"]) for j in range(3)], code, rtol=1e-5)


@pytest.mark.parametrize("kind", ["conditional", "table"])
def test_forms_and_labels_are_accessible_and_narrow(
    browser: Any, addresses: dict[str, str], kind: str
) -> None:
    window = {"width": 400, "height": 800}
    with opened(browser, addresses[kind], viewport=window, color_scheme="dark") as page:
        page.chosen(0)
        assert faults_of(page) == []
        for tab in ("yours", "fill", "samples"):
            page.press(f"tab-{tab}")
            page.see(f"panel-{tab}").wait_for()
            assert page.page.evaluate("document.scrollingElement.scrollWidth") <= 400

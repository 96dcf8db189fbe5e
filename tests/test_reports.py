"""Pages on runs: one file that needs no other, whatever the run, and whatever its words."""

from __future__ import annotations

import base64
import hashlib
import importlib
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import diabolo
from diabolo.__main__ import main
from diabolo.evaluate import diagnosis as diagnoses
from diabolo.panels._rows import plane, rows
from diabolo.reports._svg import plain, subscripts

TINY = {"net": "mlp(hidden=(8,))", "epochs": 1, "device": "cpu", "valid": 24}
EVIL = "<script>alert(1)</script>"
FEW = {"CLIMB": 2, "DRAWN": 4, "SIMULATED": 40, "RANKED": 9}  # steps and draws of a diagnosis
SOME = {  # which panels stand for all, since each costs a third of a second
    "class": ("samples", "traversals"),
    "point": ("samples", "rates"),
    "groups": ("aggregate",),
    "table": ("extremes", "column_errors", "marginals", "strangest", "latent_map"),
    "map": ("latent_map",),
    "given": ("reconstructions",),
    "gone": ("neighbours", "rates"),
}
VOID = {"meta", "link", "br", "img", "input", "hr"}
RNG = np.random.default_rng(0)


def pictures(n: int = 60) -> np.ndarray:
    x = np.random.default_rng(0).integers(0, 60, (n, 8, 8))
    x[np.arange(n), np.arange(n) % 8] += 190
    return x.astype(np.uint8)


LABELS = [("<b>left", "right")[i % 2] for i in range(60)]


def make(kind: str) -> diabolo.Run:
    numbers = np.random.default_rng(0).normal(size=(60, 5)) * [1, 2, 3, 4, 5]
    if kind == "pictures":
        return diabolo.fit(pictures(), labels=LABELS, latent=3, **TINY)
    if kind == "class":
        given = {"labels": LABELS, "condition": "labels"}
        return diabolo.fit(pictures(), "cvae", latent=3, **given, **TINY)
    if kind == "point":
        return diabolo.fit(pictures(), "ae", latent=3, **TINY)
    if kind == "groups":
        return diabolo.fit(numbers, "hierarchical", **TINY)
    if kind == "vector":
        return diabolo.fit(numbers, latent=3, **TINY)
    table = pd.DataFrame({EVIL: numbers[:, 0], "a $\\x$ & b": numbers[:, 1]})
    table["level"] = [("<i>one", "two", "three")[i % 3] for i in range(60)]
    return diabolo.fit(table, latent=2, **TINY)


def cheap(patch: pytest.MonkeyPatch, of: str) -> None:
    """Takes few steps where numbers do not matter, few panels, and a diagnosis of one alone."""
    for name, few in FEW.items():
        patch.setattr(diagnoses, name, few)
    if of in SOME:
        module = importlib.import_module("diabolo.reports.report")
        patch.setattr(module, "CHAPTERS", (module.Chapter("all", "All", SOME[of]),))
        patch.setattr(module, "_diagnosis", lambda *_: (None, "Nobody asked for it."))


KINDS = ("pictures", "class", "point", "groups", "table")


@pytest.fixture(scope="module")
def pages():
    """Each kind's report, made once, with few steps and draws where numbers do not matter."""
    made = {}

    def get(kind: str) -> diabolo.Report:
        if kind not in made:
            with pytest.MonkeyPatch.context() as patch:
                cheap(patch, kind)
                made[kind] = diabolo.report(make(kind))
        return made[kind]

    return get


class Page(HTMLParser):
    """What a page holds: elements with their attributes, and the text of each."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []  # the innermost element, its text
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def text(self, *within: str) -> str:
        return " ".join(t for tag, t in self.texts if not within or tag in within)

    def named(self, tag: str) -> list[dict[str, str]]:
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_needs_no_other_file_and_runs_nothing_foreign(kind, pages):
    page = Page(pages(kind).html)
    assert page.open == []
    (meta,) = [m for m in page.named("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    policy = meta["content"]
    assert policy.startswith("default-src 'none';")
    for tag, attrs in page.elements:
        assert "style" not in attrs
        assert not [name for name in attrs if name.startswith("on")]
        for name, value in attrs.items():
            if name in ("src", "href", "xlink:href", "data", "action", "poster", "srcset"):
                assert value.startswith(("#", "data:image/png;base64,")), (tag, value[:80])
            for address in re.findall(r"url\(([^)]*)\)", value or ""):
                assert address.startswith("#")
    assert not page.named("link")
    (style,) = [t for tag, t in page.texts if tag == "style"]
    assert "url(" not in style
    assert "@import" not in style
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    kinds = [s.get("type") for s in page.named("script")]
    assert set(kinds) <= {None, "application/json"}
    assert ("script-src" in policy) == (None in kinds)
    assert "http:" not in pages(kind).html
    assert "https:" not in page.text()


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_can_be_read_and_walked_through(kind, pages):
    page = Page(pages(kind).html)
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    for _, attrs in page.elements:
        for name in ("href", "xlink:href", "aria-labelledby", "data-json"):
            if attrs.get(name, "data:").startswith("data:"):
                continue
            assert attrs[name].removeprefix("#") in ids
        for value in attrs.values():
            assert {a for a in re.findall(r"url\(#([^)]*)\)", value or "")} <= set(ids)
    drawings = [attrs for _, attrs in page.elements if attrs.get("role") == "img"]
    assert len(drawings) == len(page.named("figure")) == len(pages(kind).figures)
    assert all(len(d["aria-label"]) > 40 for d in drawings)
    assert len(page.named("figcaption")) == len(drawings)
    assert len(page.named("h1")) == 1
    sections = [a["aria-labelledby"] for a in page.named("section")]
    links = [a["href"][1:] for a in page.named("a")]
    assert links == ["main", *sections]
    assert "$" not in page.text("figcaption", "h3", "sub").replace("a $\\x$ & b", "")
    assert page.named("html")[0]["lang"] == "en"


@pytest.mark.parametrize("kind", ["table", "class"])
def test_words_of_the_user_stay_words(kind, pages):
    page = Page(pages(kind).html)
    word = EVIL if kind == "table" else "<b>left"
    assert word in page.text()
    assert page.named("b") == [{}] * len([t for t, _ in page.elements if t == "b"])
    assert not page.named("i")
    assert EVIL not in page.text("script")
    held = [t for tag, t in page.texts if tag == "script" and t.startswith("{")]
    assert not [t for t in held if "<" in t]  # what the map's script reads


def test_a_page_tells_what_the_run_is_and_what_was_found(pages, monkeypatch):
    page = Page(pages("pictures").html)
    text = " ".join(page.text().split())
    for word in ("of which the decoder has", "fingerprint", "latent", "Settings that are not the"):
        assert word in text
    cheap(monkeypatch, "pictures")
    run = make("pictures")
    found = diagnoses.diagnose(run.model, run.data("valid"))
    assert all(" ".join(str(f).split()) in text for f in found.verdict)
    assert "lower bound on log p(x)" in text
    tiles = " ".join(page.text("dt", "dd", "b", "small").split())
    for name in ("log-likelihood", "ELBO", "distortion", "rate"):
        assert re.search(rf"{name} -?[0-9.]+ ± [0-9.e-]+ nats", tiles), tiles
    assert "They chose the weights" in text
    point = " ".join(Page(pages("point").html).text().split())
    assert "no likelihood" in point
    assert "log-likelihood ±" not in point


def test_what_cannot_be_shown_is_told(pages):
    told = pages("point").left_out
    assert "samples" in told
    assert told["samples"] in " ".join(Page(pages("point").html).text().split())
    assert "manifold" not in pages("table").left_out  # nobody expects that of a table


def test_a_page_of_given_data_says_so_and_changes_nothing(pages, monkeypatch):
    cheap(monkeypatch, "given")
    run = make("vector")
    run.evaluate(k=2)  # of the validation data, whose numbers are not those of other data
    before = dict(run.metrics)
    found = diabolo.report(run, RNG.normal(size=(30, 5)))
    assert "30 data that were given" in found.html
    assert "the data given: 30 data, means per datum" in found.html
    assert "not trained on:" not in found.html
    assert "They chose the weights" not in found.html
    assert run.metrics == before


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"out": "page.txt"}, "HTML file"),
        ({"labels": [1, 2]}, "give the data too"),
        ({"data": np.zeros((3, 4))}, "5"),
        ({"seed": -1.5}, "whole number"),
    ],
)
def test_a_page_that_cannot_be_is_refused(options, word, pages, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(diabolo.DiaboloError, match=word):
        diabolo.report(make("vector"), **options)
    assert not list(tmp_path.iterdir())


def test_the_command_line_writes_a_page_a_browser_opens(tmp_path, monkeypatch, capsys):
    cheap(monkeypatch, "map")
    monkeypatch.chdir(tmp_path)
    diabolo.fit("digits", latent=3, limit=200, **TINY).save("<i>run")
    assert main(["report", "<i>run", "--json"]) == 0
    page = tmp_path / "<i>run" / "report.html"
    html = page.read_text("utf-8")
    assert "&lt;i&gt;run: a report" in html
    # The page tells nobody where the run lies, and so no command that only works beside it.
    assert "folder, which was called &lt;i&gt;run." in html
    assert "diabolo report RUN" in html
    assert re.search(r'(<title>|")row 0\b', html)  # of a point of the map
    assert len(html) < 3e6
    assert main(["report", "<i>run", "--out", "there.txt"]) == 2
    assert main(["report", "nowhere"]) == 2
    for bad in (
        ["--force"],
        ["--interactive", "--out", "x.html"],
        ["--interactive", "--seed", "1"],
    ):
        assert main(["report", "<i>run", *bad]) == 2
    seen = {}
    monkeypatch.setattr(
        "diabolo.explore.write_folder", lambda run, data, folder, **o: seen.update(o) or folder
    )
    assert main(["report", "<i>run", "--interactive", "--force", "--out", "folder", "--json"]) == 0
    assert seen == {"force": True, "progress": None}
    assert not (tmp_path / "there.txt").exists()
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("Chromium is not installed")
    target = tmp_path / "page.png"
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"]
    words += [f"--screenshot={target}", "--window-size=800,1500", f"file://{page}"]
    shutil.copy(page, tmp_path / "plain.html")
    words[-1] = f"file://{tmp_path / 'plain.html'}"
    done = subprocess.run([browser, *words], capture_output=True, text=True, timeout=120)
    assert target.stat().st_size > 20_000
    assert "Content Security Policy" not in done.stderr


def test_symbols_become_text():
    assert plain("Over $z_{0}$ and $z_{12}$.") == "Over z0 and z12."
    assert subscripts("$z_{0}$ and $z_{12}$.") == [("z", "0"), (" and z", "12"), (".", "")]


def test_the_map_is_drawn_by_a_script_where_it_is_built(pages, tmp_path, monkeypatch):
    """The script that is built with the explorer is put into the page, and nothing else runs."""
    from diabolo.reports import _page, report

    built = tmp_path / "report.js"
    built.write_text('console.log("</script><b>");', "utf-8")
    module = importlib.import_module("diabolo.reports.report")
    for where in (_page, module):
        monkeypatch.setattr(where, "MAP", built)
    cheap(monkeypatch, "map")
    for kind in ("pictures", "table"):
        run = make(kind)
        page = Page(report(run).html)
        scripts = [t for tag, t in page.texts if tag == "script"]
        told, script = json.loads(scripts[0]), scripts[1]
        assert script == 'console.log("<\\/script><b>");'
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"script-src 'sha256-{digest}'" in page.named("meta")[1]["content"]
        (host,) = [a for _, a in page.elements if a.get("class") == "diabolo-map"]
        assert {"id": host["data-json"], "type": "application/json"} in page.named("script")
        found = rows(run)
        points = np.frombuffer(base64.b64decode(told["points"]), "<f4").reshape(-1, 2)
        np.testing.assert_array_equal(points, plane(found).points)
        colours = {
            c["name"]: np.frombuffer(base64.b64decode(c["values"]), "<f4") for c in told["colours"]
        }
        np.testing.assert_allclose(colours["rate"], found.rate, rtol=1e-6)
        assert len(told["text"]) == len(points)
        if kind == "table":
            assert told["colours"][-1]["levels"] == ["<i>one", "three", "two"]
            continue
        sheet = Image.open(io.BytesIO(base64.b64decode(told["sprite"].partition(",")[2])))
        assert told["tile"] == [8, 8]
        first = np.asarray(sheet)[:8, :8]
        np.testing.assert_array_equal(first, found.data.x[0, 0])


def test_a_run_whose_data_are_gone_needs_data(tmp_path, monkeypatch):
    cheap(monkeypatch, "gone")
    make("vector").save(tmp_path / "run")
    run = diabolo.load(tmp_path / "run")
    with pytest.raises(diabolo.DiaboloError, match="gone: give data of your own"):
        diabolo.report(run)
    found = diabolo.report(run, RNG.normal(size=(2, 5)), out=tmp_path / "new" / "page.html")
    assert found.figures == ("rates",)
    assert "gone" in found.left_out["neighbours"]
    assert (tmp_path / "new" / "page.html").read_text("utf-8") == found.html
    alone = diabolo.report(run, RNG.normal(size=(1, 5)))
    assert len(alone.left_out) == 2
    assert "\u00b1  nats" not in alone.html  # one datum has no error


def test_a_page_that_is_sent_on_tells_no_folders(tmp_path, monkeypatch):
    cheap(monkeypatch, "map")
    folder = tmp_path / "private"
    folder.mkdir()
    pd.DataFrame(RNG.normal(size=(60, 3)), columns=list("abc")).to_csv(folder / "mine.csv")
    run = diabolo.fit(folder / "mine.csv", latent=2, **TINY)
    found = diabolo.report(run).html
    assert "fitted to mine.csv" in found
    assert "private" not in found
    assert "3 columns, real numbers" in " ".join(Page(found).text().split())

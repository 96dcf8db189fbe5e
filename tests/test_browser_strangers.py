"""Pages of other origins in the same Chromium as the explorer's: they learn and change nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pytest

import diabolo
from browsing import STRANGER, opened, until

TRY = """async ({place}) => {
  const found = {};
  const get = async (name, options) => {
    try {
      const answer = await fetch(`http://${place}/data/scene.json`, options);
      found[name] = answer.type === "opaque" ? "opaque" : (await answer.text()).slice(0, 40);
    } catch (e) { found[name] = "refused"; }
  };
  await get("cors", {credentials: "include"});
  await get("no-cors", {mode: "no-cors", credentials: "include"});
  await get("post", {method: "POST", mode: "no-cors", credentials: "include", body: "x"});
  found.socket = await new Promise((resolve) => {
    const socket = new WebSocket(`ws://${place}/socket`);
    socket.onopen = () => resolve("open");
    socket.onerror = () => resolve("refused");
  });
  const load = (tag, path) => new Promise((resolve) => {
    const made = document.createElement(tag);
    made.onload = () => resolve("loaded");
    made.onerror = () => resolve("refused");
    if (tag === "link") made.rel = "stylesheet";
    made[tag === "link" ? "href" : "src"] = `http://${place}/${path}`;
    document.body.append(made);
  });
  found.script = await load("script", "data/scene.json");
  found.image = await load("img", "icon.svg");
  found.style = await load("link", "data/scene.json");
  const frame = document.createElement("iframe");
  frame.src = `http://${place}/`;
  document.body.append(frame);
  await new Promise((resolve) => { frame.onload = resolve; setTimeout(resolve, 2000); });
  try { found.frame = frame.contentDocument?.body.innerText ?? "closed"; }
  catch { found.frame = "closed"; }
  const other = window.open(`http://${place}/`);
  await new Promise((resolve) => setTimeout(resolve, 300));
  try { found.window = other?.document.body?.innerText || "closed"; }
  catch { found.window = "closed"; }
  other?.close();
  return found;
}"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def serving(browser: Any) -> Iterator[Any]:
    from diabolo.explore import Scene
    from diabolo.explore.server import Serving

    x = np.random.default_rng(0).integers(0, 2, (40, 6), dtype=np.uint8)
    run = diabolo.fit(x, net="mlp(hidden=(8,))", latent=3, epochs=1, device="cpu")
    with Serving(Scene(run)) as found:
        yield found


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A web server on another port, with a page of its own."""
    folder = tmp_path_factory.mktemp("evil")
    (folder / "index.html").write_text("<!doctype html><title>evil</title><body>evil</body>")
    handler = partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", STRANGER])
def test_a_page_of_another_origin_reads_nothing(
    browser: Any, serving: Any, evil: int, name: str
) -> None:
    with opened(browser, serving.address) as page:
        page.chosen(0)
        context = page.page.context
        cookies = context.cookies()
        assert [c["name"] for c in cookies] == [f"diabolo-{serving.port}"]
        assert cookies[0]["httpOnly"]
        assert cookies[0]["sameSite"] == "Strict"
        stranger = context.new_page()
        stranger.goto(f"http://{name}:{evil}/")
        for place in ("127.0.0.1", "localhost", STRANGER):
            found = stranger.evaluate(TRY, {"place": f"{place}:{serving.port}"})
            opaque = {found.pop("no-cors"), found.pop("post")}
            assert opaque <= {"refused", "opaque"}
            assert found.pop("frame").strip() in ("", "closed")
            assert found.pop("window") == "closed"
            assert set(found.values()) == {"refused"}, (place, found)
        stranger.close()
        page.press("mode-decode")  # the page and its server live on
        before = page.text("chosen")
        page.see("item-number").fill("3")
        page.see("item-number").press("Enter")
        page.chosen(3)
        assert page.text("chosen") != before


def test_a_name_that_turns_to_this_machine_is_refused(browser: Any, serving: Any) -> None:
    context = browser.new_context()
    token = serving.guard.token
    page = context.new_page()
    answer = page.goto(f"http://{STRANGER}:{serving.port}/?token={token}")
    assert answer is not None
    assert answer.status == 403
    assert "under another name" in page.locator("body").inner_text()
    context.close()


@pytest.mark.parametrize("query", ["", "?token=", "?token=wrong", "?token=%00"])
def test_without_the_token_there_is_a_sentence_alone(
    browser: Any, serving: Any, query: str
) -> None:
    place = urlsplit(serving.address).netloc
    context = browser.new_context()
    page = context.new_page()
    answer = page.goto(f"http://{place}/{query}")
    assert answer is not None
    assert answer.status == 403
    text = page.locator("body").inner_text()
    assert text.startswith("This address lacks its token")
    assert "diabolo explore" in text
    assert page.locator("script").count() == 0
    context.close()


def test_text_of_the_data_is_never_script(browser: Any) -> None:
    from diabolo.explore import Scene
    from diabolo.explore.server import Serving

    bad = "<img src=x onerror='window.hit = 1'>"
    x = pd.DataFrame({bad: np.linspace(0, 1, 60), "level": [bad, "</script><b>"] * 30})
    run = diabolo.fit(x, net="mlp(hidden=(8,))", latent=2, epochs=1, device="cpu")
    with Serving(Scene(run, title=bad)) as found, opened(browser, found.address) as page:
        page.chosen(0)
        assert bad in page.text("row-form")
        assert page.page.title().startswith(bad)
        page.see("colour-select").select_option(label="level")
        until(lambda: _in("</script><b>", page.text("legend")))
        page.press("tab-near")
        page.see("neighbours").locator("li").first.wait_for()
        page.press("tab-run")
        assert page.page.locator("img").count() == 0
        assert page.page.evaluate("window.hit === undefined")


def _in(part: str, text: str) -> None:
    assert part in text


def test_a_server_that_has_gone_is_told(browser: Any, serving: Any, tmp_path: Path) -> None:
    from diabolo.explore.server import Serving

    with Serving(serving.desk.scene) as gone, opened(browser, gone.address) as page:
        page.chosen(0)
        gone.__exit__()
        until(lambda: _lost(page))
        page.faults.clear()  # the browser tells of the connection that it lost


def _lost(page: Any) -> None:
    assert page.text("where") == "No connection"

"""The explorer's server under attack: strangers get a refusal, and it lives on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import diabolo
from diabolo.explore import Scene, server
from diabolo.explore.answers import ASKS, Answer
from diabolo.explore.guard import HEADERS, POLICY, Guard
from diabolo.explore.page import page
from diabolo.explore.server import SOCKETS, Serving, application
from diabolo.explore.wire import pack, parse

pytest.importorskip("starlette", reason="starlette is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")
client = pytest.importorskip("websockets.sync.client", reason="websockets is not installed")
errors = pytest.importorskip("websockets.exceptions", reason="websockets is not installed")

SECRET = "what is outside"


@pytest.fixture(scope="module")
def scene() -> Scene:
    x = np.random.default_rng(0).integers(0, 2, (40, 6), dtype=np.uint8)
    options: dict[str, Any] = {"net": "mlp(hidden=(8,))", "latent": 3, "epochs": 1}
    return Scene(diabolo.fit(x, device="cpu", **options))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page as it would be built, with things beside it that are nobody's business."""
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.txt").write_text(SECRET)
    place = outside / "page"
    (place / "assets").mkdir(parents=True)
    (place / "index.html").write_text("<!doctype html><html><head></head><body>page</body></html>")
    (place / "assets" / "app.js").write_text("'app'")
    (place / "assets" / "link.js").symlink_to(outside / "secret.txt")
    (place / "assets" / "source.py").write_text(SECRET)
    (place / ".env.txt").write_text(SECRET)
    (place / "linked").symlink_to(outside)
    return place


@pytest.fixture(scope="module")
def serving(scene: Scene, built: Path) -> Iterator[Serving]:
    with Serving(scene, files=page(built)) as found:
        yield found


def request(
    serving: Serving, path: str = "/", method: str = "GET", body: bytes = b"", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """One request over a raw socket, so that no client mends what is sent."""
    own = {"Host": f"127.0.0.1:{serving.port}", "Cookie": cookie(serving), "Connection": "close"}
    given = {k: v for k, v in {**own, **headers}.items() if v}
    lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in given.items()), "", ""]
    with socket.create_connection(("127.0.0.1", serving.port), 10) as s:
        s.sendall("\r\n".join(lines).encode("latin-1") + body)
        raw = b""
        while part := s.recv(1 << 16):
            raw += part
    head, _, content = raw.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(": ") for line in rest)
    return int(first.split()[1]), {k.lower(): v for k, _, v in pairs}, content


def cookie(serving: Serving) -> str:
    return f"{serving.guard.cookie}={serving.guard.token}"


def open_socket(serving: Serving, **headers: str) -> Any:
    own = {"Cookie": cookie(serving)}
    given = {k: v for k, v in {**own, **headers}.items() if v and k not in ("Origin", "Host")}
    origin = headers.get("Origin", f"http://127.0.0.1:{serving.port}")
    return client.connect(
        f"ws://127.0.0.1:{serving.port}/socket",
        origin=origin or None,
        additional_headers=given,
        max_size=None,
        proxy=None,
    )


def asked(ws: Any, frame: bytes | str) -> dict[str, Any]:
    ws.send(frame)
    return header(ws.recv(timeout=20))


def header(raw: bytes) -> dict[str, Any]:
    (length,) = struct.unpack_from("<I", raw)
    return json.loads(raw[4 : 4 + length])


DECODE = pack({"id": 1, "ask": "decode"}, {"z": np.zeros((1, 3), np.float32)})


def lives(serving: Serving) -> None:
    with open_socket(serving) as ws:
        assert asked(ws, DECODE)["ok"]


def test_the_page_enters_with_its_token_and_stays_with_a_cookie(serving: Serving) -> None:
    token = serving.guard.token
    assert serving.address == f"http://127.0.0.1:{serving.port}/?token={token}"
    status, headers, content = request(serving, f"/?token={token}", Cookie="")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"page" in content
    assert headers["set-cookie"] == f"{cookie(serving)}; Path=/; HttpOnly; SameSite=Strict"
    status, headers, _ = request(serving, "/assets/app.js")
    assert (status, headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert "set-cookie" not in headers
    assert len(token) >= 32


def test_what_is_told_is_the_scene(serving: Serving, scene: Scene) -> None:
    status, headers, content = request(serving, "/data/scene.json")
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(content)["live"] is True
    for key, facts in scene.document(live=True)["arrays"].items():
        if scene.array(key) is None:
            continue
        status, _, content = request(serving, f"/data/{key}.bin")
        assert status == 200
        kind = {"f4": "<f4", "u1": "u1", "i4": "<i4"}[facts["dtype"]]
        found = np.frombuffer(content, kind).reshape(facts["shape"])
        np.testing.assert_array_equal(found, scene.array(key))
    assert request(serving, "/data/scene.json", "HEAD")[2] == b""


WRONG = {
    "no token": {"Cookie": ""},
    "another token": {"Cookie": "diabolo-{port}=" + "x" * 32},
    "an empty token": {"Cookie": "diabolo-{port}="},
    "a cookie of another port": {"Cookie": "diabolo-1={token}"},
    "a broken cookie": {"Cookie": '"=;=;,"'},
    "another origin": {"Origin": "http://evil.example"},
    "no origin to speak of": {"Origin": "null"},
    "this origin, but another port": {"Origin": "http://127.0.0.1:1"},
    "another scheme": {"Origin": "https://127.0.0.1:{port}"},
    "a name that resolves to here": {"Host": "evil.example:{port}"},
    "another port": {"Host": "127.0.0.1:1"},
    "no port": {"Host": "127.0.0.1"},
    "a longer name": {"Host": "localhost.evil.example:{port}"},
    "another site": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    "another site's script": {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
}


@pytest.mark.parametrize("path", ["/", "/data/scene.json", "/data/items.bin", "/assets/app.js"])
@pytest.mark.parametrize("case", WRONG)
def test_strangers_get_a_refusal(serving: Serving, case: str, path: str) -> None:
    facts = {"port": serving.port, "token": serving.guard.token}
    headers = {k: v.format(**facts) for k, v in WRONG[case].items()}
    status, found, content = request(serving, path, **headers)
    assert status == 403
    assert content.endswith(b".\n")
    assert {k: found[k] for k in HEADERS} == HEADERS
    assert "set-cookie" not in found


@pytest.mark.parametrize("case", [c for c in WRONG if "Cookie" not in WRONG[c]])
def test_the_token_alone_lets_no_stranger_in(serving: Serving, case: str) -> None:
    facts = {"port": serving.port, "token": serving.guard.token}
    headers = {k: v.format(**facts) for k, v in WRONG[case].items()}
    status, found, _ = request(serving, f"/?token={serving.guard.token}", Cookie="", **headers)
    assert status == 403
    assert "set-cookie" not in found


@pytest.mark.parametrize("case", [c for c in WRONG if "Host" not in WRONG[c]])
def test_strangers_open_no_socket(serving: Serving, case: str) -> None:
    facts = {"port": serving.port, "token": serving.guard.token}
    headers = {k: v.format(**facts) for k, v in WRONG[case].items()}
    with pytest.raises(errors.InvalidStatus) as info, open_socket(serving, **headers):
        pass
    found = info.value.response
    assert found.status_code == 403
    assert {k: found.headers[k] for k in HEADERS} == HEADERS
    lives(serving)


def test_a_socket_says_where_it_comes_from(serving: Serving) -> None:
    with pytest.raises(errors.InvalidStatus), open_socket(serving, Origin=""):
        pass


def test_a_link_from_elsewhere_needs_the_token(serving: Serving) -> None:
    arrives = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Cookie": ""}
    assert request(serving, **arrives)[0] == 403
    assert request(serving, f"/?token={serving.guard.token}", **arrives)[0] == 200
    assert request(serving, f"/data/scene.json?token={serving.guard.token}", Cookie="")[0] == 403


def test_two_names_are_one_too_many(serving: Serving) -> None:
    with socket.create_connection(("127.0.0.1", serving.port), 10) as s:
        own = f"127.0.0.1:{serving.port}"
        names = f"Host: evil.example\r\nHost: {own}\r\nCookie: {cookie(serving)}"
        s.sendall(f"GET / HTTP/1.1\r\n{names}\r\n\r\n".encode())
        assert s.recv(1 << 16).split()[1] in (b"400", b"403")
    sent: list[Any] = []  # where a server lets both pass

    async def send(message: Any) -> None:
        sent.append(message)

    guard = Guard(None, 80, "127.0.0.1", "t" * 32)  # type: ignore[arg-type]
    names = [(b"host", b"evil.example"), (b"host", b"127.0.0.1:80")]
    headers = [*names, (b"cookie", b"diabolo-80=" + b"t" * 32)]
    scope = {"type": "http", "path": "/", "query_string": b"", "headers": headers}
    asyncio.run(guard(scope, None, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 403


PATHS = (
    "/../secret.txt",
    "/assets/../../secret.txt",
    "/%2e%2e/secret.txt",
    "/..%2fsecret.txt",
    "/assets/..%2f..%2fsecret.txt",
    "/..%5csecret.txt",
    "/%252e%252e/secret.txt",
    "//etc/passwd",
    "/%2fetc%2fpasswd",
    "/etc/passwd",
    "/assets/link.js",
    "/assets/source.py",
    "/linked/secret.txt",
    "/.env.txt",
    "/assets",
    "/assets/",
    "/index.html%00.js",
    "/data/../../secret.txt",
    "/data/..%2f..%2fsecret.txt",
    "/data/nothing.bin",
    "/data/map.__class__.bin",
    "/data/.bin",
    "/data/",
    "/socket",
    "/docs",
    "/openapi.json",
)


@pytest.mark.parametrize("path", PATHS)
def test_no_other_file_is_read(serving: Serving, path: str) -> None:
    status, headers, content = request(serving, path)
    assert status == 404
    assert SECRET.encode() not in content
    assert {k: headers[k] for k in HEADERS} == HEADERS


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_nothing_is_changed(serving: Serving, method: str) -> None:
    length = {"Content-Length": "3"} if method in ("POST", "PUT", "PATCH") else {}
    for path in ("/", "/data/scene.json", "/socket"):
        status, headers, _ = request(serving, path, method, b"abc" if length else b"", **length)
        assert status in (404, 405)
        assert {k: headers[k] for k in HEADERS} == HEADERS


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 200_000,
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_request_ends_its_connection_only(serving: Serving, raw: bytes) -> None:
    with socket.create_connection(("127.0.0.1", serving.port), 10) as s:
        try:
            s.sendall(raw)
            s.shutdown(socket.SHUT_WR)
            first = s.recv(64)
        except OSError:  # it hung up before all was said
            first = b""
    assert not first or first.split()[1] in (b"400", b"403", b"404", b"405", b"431")
    lives(serving)


FRAMES = {
    "text": "hello",
    "nothing": b"",
    "a length that lies": struct.pack("<I", 2**32 - 4) + b"{}  ",
    "no JSON": struct.pack("<I", 4) + b"{{{{",
    "deep JSON": struct.pack("<I", 60_000) + b"[" * 60_000,
    "an unknown question": pack({"id": 1, "ask": "rm -rf"}),
    "a private name": pack({"id": 1, "ask": "__class__"}),
    "another shape": pack({"id": 1, "ask": "decode"}, {"z": np.zeros((2, 2), np.float32)}),
    "NaN": pack({"id": 1, "ask": "decode"}, {"z": np.full((1, 3), np.nan, np.float32)}),
    "too many": pack({"id": 1, "ask": "decode"}, {"z": np.zeros((5000, 3), np.float32)}),
    "a far row": pack({"id": 1, "ask": "row", "index": 10**9}),
    "a table of nothing": pack({"id": 1, "ask": "parse"}, {"text": np.zeros(0, np.uint8)}),
}


def test_bad_frames_get_a_sentence_on_one_open_socket(serving: Serving) -> None:
    with open_socket(serving) as ws:
        for name, frame in FRAMES.items():
            told = asked(ws, frame)
            assert told["ok"] is False, name
            assert told["error"].endswith((".", "?")), name
            assert "Traceback" not in told["error"]
            assert str(Path(diabolo.__file__).parent) not in told["error"]
        assert asked(ws, DECODE)["ok"]


def test_a_huge_frame_ends_its_socket_only(serving: Serving, scene: Scene) -> None:
    with open_socket(serving) as ws:
        with contextlib.suppress(errors.ConnectionClosed):  # it hangs up before all is sent
            ws.send(bytes(scene.limits.upload_bytes + 1))
        with pytest.raises(errors.ConnectionClosed) as info:
            ws.recv(timeout=20)
    closed = info.value.rcvd  # lost where the system resets what was still to come
    assert closed is None or closed.code == 1009
    lives(serving)


def test_sliders_do_not_wait_for_what_takes_long(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()

    def long(*_: Any) -> Answer:
        gate.wait(20)
        return Answer({})

    monkeypatch.setitem(ASKS, "sample", long)
    with open_socket(serving) as ws:
        ws.send(pack({"id": 2, "ask": "sample"}))
        assert asked(ws, DECODE)["id"] == 1
        gate.set()
        assert header(ws.recv(timeout=20))["id"] == 2


def test_so_many_pages_and_no_more(serving: Serving) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(SOCKETS):
            assert asked(stack.enter_context(open_socket(serving)), DECODE)["ok"]
        with pytest.raises(errors.InvalidStatus):
            stack.enter_context(open_socket(serving))
    deadline = time.monotonic() + 10
    while serving.desk.open and time.monotonic() < deadline:
        time.sleep(0.01)
    lives(serving)


def test_one_that_takes_no_answers_holds_up_nobody(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "SLOW", 0.3)
    request_ = (
        f"GET /socket HTTP/1.1\r\nHost: 127.0.0.1:{serving.port}\r\nCookie: {cookie(serving)}\r\n"
        f"Origin: http://127.0.0.1:{serving.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    z = np.zeros((512, 3), np.float32)
    frame = pack({"id": 1, "ask": "decode", "sd": True}, {"z": z})
    masked = bytes([0x82, 0xFE]) + struct.pack(">H", len(frame)) + bytes(4) + frame
    with socket.create_connection(("127.0.0.1", serving.port), 10) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.sendall(request_.encode())
        assert b"101" in s.recv(1 << 12)
        s.settimeout(0.2)
        try:
            for _ in range(2000):
                s.sendall(masked)
        except OSError:  # the server reads no more of it
            pass
        lives(serving)


def test_pages_are_told_of_what_comes_later_and_of_the_end(scene: Scene, built: Path) -> None:
    with contextlib.ExitStack() as stack:
        with Serving(scene, files=page(built)) as serving:
            ws = stack.enter_context(open_socket(serving))
            assert asked(ws, DECODE)["ok"]
            serving.desk.told("map", "tsne", "ready")
            found = header(ws.recv(timeout=20))
            assert (found["event"], found["name"], found["state"]) == ("map", "tsne", "ready")
        assert header(ws.recv(timeout=20))["event"] == "bye"
        with pytest.raises(errors.ConnectionClosed):
            ws.recv(timeout=20)


def test_a_fault_of_ours_tells_no_traceback(
    scene: Scene, built: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from starlette.testclient import TestClient

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError(SECRET)

    app, _ = application(scene, page(built))
    guard = Guard(app, 80, "127.0.0.1", "t" * 32)
    headers = {"Host": "127.0.0.1:80", "Cookie": f"diabolo-80={'t' * 32}"}
    monkeypatch.setattr(scene, "document", broken)
    found = TestClient(guard).get("/data/scene.json", headers=headers)
    assert found.status_code == 500
    assert SECRET not in found.text
    assert {k: found.headers[k] for k in HEADERS} == HEADERS
    monkeypatch.setitem(ASKS, "decode", broken)
    told = header(server.reply(scene, parse(DECODE)))
    assert (told["id"], told["ok"]) == (1, False)
    assert SECRET not in told["error"]
    assert SECRET in caplog.text  # the terminal tells


def test_all_addresses_of_a_machine_are_numbers_or_its_name() -> None:
    guard = Guard(None, 80, "0.0.0.0", "t")  # type: ignore[arg-type]
    assert guard._is_own("192.168.0.7:80")
    assert guard._is_own(f"{socket.gethostname()}:80")
    assert not guard._is_own("evil.example:80")
    loopback = Guard(None, 80, "127.0.0.1", "t")  # type: ignore[arg-type]
    assert not loopback._is_own("192.168.0.7:80")
    assert loopback._is_own("[::1]:80")
    assert loopback._is_own("LOCALHOST:80")


def test_scripts_of_a_page_are_its_own_files() -> None:
    parts = dict(p.strip().split(" ", 1) for p in POLICY.split(";"))
    assert parts["default-src"] == "'none'"
    assert "unsafe-inline" not in POLICY
    assert parts["script-src"] == "'self' 'wasm-unsafe-eval'"


def test_answers_are_closed_to_other_pages() -> None:
    assert HEADERS["content-security-policy"] == f"{POLICY}; frame-ancestors 'none'"
    assert HEADERS["x-frame-options"] == "DENY"
    assert HEADERS["x-content-type-options"] == "nosniff"
    assert HEADERS["referrer-policy"] == "no-referrer"  # the address holds the token
    for what in ("opener-policy", "resource-policy"):
        assert HEADERS[f"cross-origin-{what}"] == "same-origin"


def test_a_page_that_is_not_built_is_told(tmp_path: Path) -> None:
    with pytest.raises(diabolo.DiaboloError, match="make web"):
        page(tmp_path)


def test_an_address_that_is_not_to_be_had_is_told(scene: Scene, built: Path) -> None:
    files = page(built)
    with Serving(scene, files=files) as first, pytest.raises(diabolo.DiaboloError, match="--port"):
        Serving(scene, port=first.port, files=files)
    for host, port in (("203.0.113.1", 0), ("127.0.0.1", 10**6), ("no such name", 0)):
        with pytest.raises(diabolo.DiaboloError, match=r"Cannot listen.*[^.]\. Name"):
            Serving(scene, host, port, files)

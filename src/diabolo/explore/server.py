"""The live page: files, arrays and a socket, on one address of this machine.

One thread decodes, one answers what takes longer, and one makes what comes later. What a page sends
is checked before anything is computed (`wire`), and what is wrong with it is told in a sentence.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DiaboloError, lacks_memory, missing_extra
from ..signals import Terminated
from .answers import answer
from .guard import Guard
from .page import INDEX, KINDS, page
from .scene import Scene
from .wire import Query, identity, pack, parse

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.websockets import WebSocket

__all__ = [
    "LOOPBACK",
    "Serving",
    "application",
    "browse",
    "listening",
    "packages",
    "read",
    "reply",
    "serve",
]

LOOPBACK = "127.0.0.1"
LONG = 500  # letters of a sentence, which may name all columns
SOCKETS = 16  # pages at once
SWITCH = 5e-4  # seconds after which a thread of slow work gives Python to one that answers
PENDING = 8  # questions of one page that wait for answers
SLOW = 20.0  # seconds in which a page must take an answer
FIRST = 1.0  # seconds after the first view before slow work begins


def read(frame: bytes | None) -> Query | bytes:
    """Returns the question of a frame, or the answer that refuses it; None is a text."""
    if frame is None:
        return _refusal(None, "The socket takes frames of bytes.")
    try:
        return parse(frame)
    except DiaboloError as error:
        return _refusal(identity(frame), str(error))


def reply(scene: Scene, query: Query) -> bytes:
    """Returns the answer to a question, whatever it is.

    Nothing that is asked ends the server, and no answer tells of its folders.
    """
    scene.asked = time.monotonic()
    try:
        found = answer(scene, query)
        return pack({**found.facts, "id": query.id, "ok": True}, found.arrays)
    except DiaboloError as error:
        return _refusal(query.id, str(error))
    except Exception as error:
        if lacks_memory(error):
            return _refusal(query.id, "There is too little memory for this.")
        logging.getLogger(__name__).exception("A question failed.")
        told = "This question failed: the terminal of the server tells why."
        return _refusal(query.id, told)
    finally:
        scene.asked = time.monotonic()


def _refusal(name: int | str | None, told: str) -> bytes:
    told = told if len(told) <= LONG else f"{told[:LONG]} ..."
    return pack({"id": name, "ok": False, "error": told})


class _Desk:
    """The pages that are open, and the threads that answer them.

    Arguments:
        scene: What they show.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        # Sliders do not wait for what takes seconds.
        self.quick = ThreadPoolExecutor(1, "diabolo-decodes")
        self.slow = ThreadPoolExecutor(1, "diabolo-answers")
        self.open: dict[WebSocket, asyncio.Lock] = {}
        self.loop: asyncio.AbstractEventLoop | None = None
        self.seen = threading.Event()

    async def talk(self, ws: WebSocket) -> None:
        """Answers the frames of one page: those of a kind one after the other."""
        if len(self.open) >= SOCKETS:
            await ws.close(1013, "Too many pages are open.")
            return
        await ws.accept()
        self.open[ws] = asyncio.Lock()
        free, tasks = asyncio.Semaphore(PENDING), set[asyncio.Task[None]]()
        try:
            while True:
                await free.acquire()
                message = await ws.receive()
                if message["type"] != "websocket.receive":
                    return
                task = asyncio.create_task(self._answer(ws, message.get("bytes"), free))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        except RuntimeError:  # it was closed meanwhile
            return
        finally:
            self.open.pop(ws, None)
            for task in tasks:
                task.cancel()

    async def _answer(self, ws: WebSocket, frame: bytes | None, free: asyncio.Semaphore) -> None:
        """Answers one frame; a page that does not take the answer is closed."""
        try:
            found = read(frame)
            if isinstance(found, Query):
                worker = self.quick if found.ask == "decode" else self.slow
                loop = asyncio.get_running_loop()
                found = await loop.run_in_executor(worker, reply, self.scene, found)
            await self._send(ws, self.open[ws], found)
        except (KeyError, RuntimeError):  # the page has gone
            return
        except TimeoutError:
            self.open.pop(ws, None)
            with contextlib.suppress(Exception):
                await asyncio.wait_for(ws.close(1008, "Answers were not taken."), SLOW)
        finally:
            free.release()

    async def _send(self, ws: WebSocket, lock: asyncio.Lock, frame: bytes) -> None:
        async with asyncio.timeout(SLOW), lock:
            await ws.send_bytes(frame)

    async def tell(self, event: Mapping[str, Any]) -> None:
        """Sends an event to every page."""
        for ws, lock in list(self.open.items()):
            with contextlib.suppress(Exception):  # a page that has gone
                await self._send(ws, lock, pack(event))

    def told(self, kind: str, name: str, state: str) -> None:
        """Tells every page, from any thread, that a map or colour is there."""
        if self.loop is not None and not self.loop.is_closed():
            event = {"event": kind, "name": name, "state": state}
            asyncio.run_coroutine_threadsafe(self.tell(event), self.loop)

    @contextlib.asynccontextmanager
    async def lifespan(self, _: Any) -> AsyncIterator[None]:
        """Begins with slow work once somebody looks."""
        self.loop = asyncio.get_running_loop()

        def later() -> None:
            self.seen.wait()
            time.sleep(FIRST)
            self.scene.begin(self.told)

        threading.Thread(target=later, name="diabolo-waits", daemon=True).start()
        yield
        for worker in (self.quick, self.slow):
            worker.shutdown(wait=False, cancel_futures=True)


def application(scene: Scene, files: Mapping[str, Path]) -> tuple[Starlette, _Desk]:
    """Returns what answers requests that the guard lets pass.

    Arguments:
        scene: What is shown.
        files: The files of the page by address.
    """
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.responses import PlainTextResponse, Response
    from starlette.routing import Route, WebSocketRoute

    desk = _Desk(scene)
    nothing = PlainTextResponse("There is nothing under this address.\n", 404)

    def data(request: Request) -> Response:
        name = request.path_params["name"]
        if name == "scene.json":
            desk.seen.set()
            text = json.dumps(scene.document(live=True), allow_nan=False)
            return Response(text, media_type="application/json")
        array = scene.array(name.removesuffix(".bin")) if name.endswith(".bin") else None
        if array is None:
            return PlainTextResponse("There is no such array, or not yet.\n", 404)
        return Response(array.tobytes(), media_type="application/octet-stream")

    def file(request: Request) -> Response:
        path = files.get(request.path_params["name"] or INDEX)
        if path is None:
            return nothing
        try:
            content = path.read_bytes()
        except OSError:  # built anew meanwhile
            return nothing
        return Response(content, media_type=KINDS[path.suffix])

    def refuse(_: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        return PlainTextResponse("This is not what is asked here.\n", status)

    routes = [
        Route("/data/{name}", data),
        WebSocketRoute("/socket", desk.talk),
        Route("/{name:path}", file),
    ]
    app = Starlette(
        routes=routes, exception_handlers={HTTPException: refuse}, lifespan=desk.lifespan
    )
    return app, desk


class Serving:
    """A server in a thread of its own.

    Arguments:
        scene: What it shows.
        host: The address of this machine to listen at.
        port: The port; 0 takes any that is free.
        files: The files of the page; None takes those that were built.

    Raises:
        DiaboloError: If a package is not installed, the page is not built, or the address is
            taken or not one of this machine.
    """

    def __init__(
        self,
        scene: Scene,
        host: str = LOOPBACK,
        port: int = 0,
        files: Mapping[str, Path] | None = None,
    ) -> None:
        packages()
        import uvicorn

        found = page() if files is None else files
        self.socket = listening(host, port)
        self.port = self.socket.getsockname()[1]
        app, self.desk = application(scene, found)
        self.guard = Guard(app, self.port, host)
        name = f"[{host}]" if ":" in host else host
        name = {"0.0.0.0": socket.gethostname(), "[::]": socket.gethostname()}.get(name, name)
        self.address = f"http://{name}:{self.port}/?token={self.guard.token}"
        config = uvicorn.Config(
            self.guard,
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="websockets-sansio",
            ws_max_size=scene.limits.upload_bytes,
            ws_max_queue=4,
            ws_per_message_deflate=False,
            limit_concurrency=64,
            timeout_graceful_shutdown=2,
        )
        self.server = uvicorn.Server(config)
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, name="diabolo-server", daemon=True)

    def _run(self) -> None:
        try:
            asyncio.run(self.server.serve(sockets=[self.socket]))
        finally:
            self.ended.set()

    def __enter__(self) -> Serving:
        self.thread.start()
        while not self.server.started and not self.ended.is_set():
            time.sleep(0.005)
        return self

    def __exit__(self, *_: object) -> None:
        if self.desk.loop is not None and not self.ended.is_set():
            bye = asyncio.run_coroutine_threadsafe(self.desk.tell({"event": "bye"}), self.desk.loop)
            with contextlib.suppress(Exception):
                bye.result(0.5)
        self.server.should_exit = True
        if self.ended.wait(10):
            self.socket.close()


def packages() -> None:
    """Refuses to serve without the packages that it takes.

    Raises:
        DiaboloError: Naming the package that is not installed.
    """
    for name in ("starlette", "uvicorn", "websockets"):
        try:
            __import__(name)
        except ImportError:
            raise missing_extra(name, "explore", "The explorer") from None


def listening(host: str, port: int) -> socket.socket:
    """Returns a socket that is bound to an address.

    Raises:
        DiaboloError: If it cannot be.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        if not 0 <= port <= 65535:
            raise OverflowError("a port is from 0 to 65535")
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host.strip("[]"), port))
    except (OSError, OverflowError) as error:
        found.close()
        told = str(getattr(error, "strerror", None) or error).rstrip(".")
        raise DiaboloError(
            f"Cannot listen at {host}, port {port}: {told}. Name another --port, or none, and an "
            "address of this machine."
        ) from None
    return found


def serve(
    scene: Scene,
    *,
    host: str = LOOPBACK,
    port: int = 0,
    show: Callable[[str], None] | None = None,
    told: Callable[[str], None] = print,
) -> None:
    """Serves a scene until the process is interrupted.

    Arguments:
        scene: What is shown.
        host: The address of this machine to listen at; the loopback address is for this machine's
            users alone.
        port: The port; 0 takes any that is free.
        show: Called with the address when the page can be looked at: opens a browser, say.
        told: Called with the address before that.

    Raises:
        DiaboloError: As for `Serving`.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)
    with Serving(scene, host, port) as serving:
        told(serving.address)
        try:
            if show is not None:
                show(serving.address)
            while not serving.ended.wait(0.5):  # a join that is interrupted takes it for ended
                pass
        except Terminated:
            raise
        except KeyboardInterrupt:  # how one leaves
            return
        finally:
            sys.setswitchinterval(before)


def browse(address: str) -> None:
    """Opens a browser in a window, where there are windows."""
    if sys.platform.startswith("linux"):
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            return
    with contextlib.suppress(webbrowser.Error):
        webbrowser.open(address)

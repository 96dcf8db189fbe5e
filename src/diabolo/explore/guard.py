"""Who may ask: the holder of the token, from a page of this server, under this server's name.

A page of another origin can make a browser send requests here, and a name that is resolved anew to
this machine can make it read the answers (DNS rebinding): both are refused by their headers.
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

__all__ = ["POLICY", "Guard"]

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# What a page may load. `frame-ancestors` is left out of a page's own tag, where it has no effect.
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'; worker-src 'self' blob:; font-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)
HEADERS = {
    "content-security-policy": f"{POLICY}; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-resource-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}
STARTS = ("http.response.start", "websocket.http.response.start", "websocket.accept")
OWN = ("same-origin", "none")  # what browsers say of requests of the page itself, or of the user


class Guard:
    """Refuses what does not come from the page, and sets the headers of every answer.

    Arguments:
        app: What answers the rest.
        port: Where the server listens.
        host: The address that it listens at, as the user gave it.
        token: The secret; None makes one.
    """

    def __init__(self, app: App, port: int, host: str, token: str | None = None) -> None:
        self.app, self.port, self.host = app, port, host
        self.token = secrets.token_urlsafe(24) if token is None else token
        self.cookie = f"diabolo-{port}"  # cookies know no ports
        own = {host.strip("[]").lower(), "localhost", "127.0.0.1", "::1"}
        self.names = own | {socket.gethostname().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or answers it with a refusal."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        begun = False
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        several = sum(k.lower() == b"host" for k, _ in scope["headers"]) != 1
        enters = self._enters(scope)

        async def guarded(message: Message) -> None:
            nonlocal begun
            begun = True
            if message["type"] in STARTS:
                message = {**message, "headers": self._dressed(message, enters)}
            await send(message)

        refusal = "This server has one name." if several else self._refusal(scope, headers, enters)
        if refusal:
            enters = False  # who is refused gets no cookie
            await _refuse(scope, guarded, refusal)
            return
        try:
            await self.app(scope, receive, guarded)
        except Exception:
            logging.getLogger(__name__).exception("A request failed.")
            if not begun:
                await _refuse(scope, guarded, "Something went wrong here: see the terminal.", 500)

    def _dressed(self, message: Message, enters: bool) -> list[tuple[bytes, bytes]]:
        """Returns the headers of an answer with ours; at the entrance a cookie with the token."""
        found = [(k, v) for k, v in message.get("headers", []) if k.decode().lower() not in HEADERS]
        found += [(k.encode(), v.encode()) for k, v in HEADERS.items()]
        if enters:
            cookie = f"{self.cookie}={self.token}; Path=/; HttpOnly; SameSite=Strict"
            found.append((b"set-cookie", cookie.encode()))
        return found

    def _enters(self, scope: Scope) -> bool:
        """Whether a request is for the page, with the token in its address."""
        if scope["type"] != "http" or scope["path"] != "/":
            return False
        try:
            given = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=10)
        except ValueError:
            return False
        return any(self._is_token(v) for v in given.get("token", []))

    def _is_token(self, word: str) -> bool:
        return hmac.compare_digest(word.encode(), self.token.encode())

    def _refusal(self, scope: Scope, headers: Mapping[str, str], enters: bool) -> str:
        """Returns why a request is refused, or nothing."""
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._is_own(host):
            return "This server is asked under another name than its own."
        socket_ = scope["type"] == "websocket"
        if origin is None and socket_:
            return "A socket is opened by the page of this server, which says so."
        if origin is not None and origin != f"http://{host}":
            return "This server answers its own page only, not those of other origins."
        site = headers.get("sec-fetch-site", "none")
        arrives = scope.get("path") == "/" and headers.get("sec-fetch-mode") == "navigate"
        if site not in OWN and not arrives:
            return "This server answers its own page only, not those of other sites."
        if not enters and not self._knows(headers.get("cookie", "")):
            return (
                "This address lacks its token, or has that of another server: open the address "
                "that `diabolo explore` printed."
            )
        return ""

    def _knows(self, header: str) -> bool:
        """Whether a cookie of the request holds the token."""
        try:
            found = SimpleCookie(header).get(self.cookie)
        except CookieError:
            return False
        return found is not None and self._is_token(found.value)

    def _is_own(self, host: str) -> bool:
        """Whether a Host header names this server: its port, and a name that is its own.

        Where it listens at all addresses of the machine, that may be any of them as a number; a
        name in the DNS could be anyone's.
        """
        name, colon, port = host.rpartition(":")
        if not colon or port != str(self.port):
            return False
        name = name.lower()
        if name.startswith("[") and name.endswith("]"):
            name = name[1:-1]
        if name in self.names:
            return True
        try:
            wild = ipaddress.ip_address(self.host.strip("[]")).is_unspecified
            return wild and bool(ipaddress.ip_address(name))
        except ValueError:
            return False


async def _refuse(scope: Scope, send: Send, sentence: str, status: int = 403) -> None:
    """Answers with a sentence; a socket that is not open yet is answered as a request is."""
    kind = "http.response"
    if scope["type"] == "websocket":
        kind = "websocket.http.response"
        if kind not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1008, "reason": sentence[:100]})
            return
    text = f"{sentence}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    headers.append((b"content-length", str(len(text)).encode()))
    await send({"type": f"{kind}.start", "status": status, "headers": headers})
    body = b"" if scope.get("method") == "HEAD" else text
    await send({"type": f"{kind}.body", "body": body})

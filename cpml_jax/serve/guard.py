"""Before any request: who may ask, and from where; after it: what a browser may do with the answer.

- Host: only this machine's names and addresses. A page of a stranger's whose name begins to lead here (DNS rebinding)
  asks under that name, and gets nothing.
- Origin: what changes something comes from this server's own page, or from no page at all (curl).
- Token: where the server listens beyond this machine. A browser brings it once in the address it was given, and then as
  a cookie; a program brings it as `Authorization: Bearer`. Compared in constant time.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cpml_jax.serve import refusal
from cpml_jax.serve.refusal import Refused

COOKIE = "cpml-token-{port}"  # browsers keep no cookies apart by port: two servers would forget each other's
SAFE = ("GET", "HEAD")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# A result's page carries all that it shows, and has no scripts; the page above frames it.
RESULT_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox allow-same-origin allow-popups"
)
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """An ASGI middleware.

    Args:
      host: as --host gave it; "": this machine alone, without a token.
      token: to be brought with every request; "": none.
    """

    def __init__(self, app: ASGIApp, host: str = "", token: str = "") -> None:
        self._app, self._token, self._local = app, token, not host
        self._names = {"localhost"} if self._local else {"localhost", host.lower(), socket.gethostname().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            response = self._check(scope)
        except Refused as refused:
            response = refusal.said(refused.status, refused.sentence)
        await (response or self._app)(scope, receive, with_headers)

    def _check(self, scope: Scope) -> Response | None:
        """None: go on. Raises Refused: do not."""
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            raise Refused(421, "This server is not asked under that name: open the address that it printed.")
        if scope["method"] not in SAFE:
            check_origin(headers, hosts[0])
        if not self._token:
            return None
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        name = COOKIE.format(port=scope["server"][1])
        if scope["path"] == "/" and given and self._is_token(given):
            # Lax, not Strict: who follows the link from a message would else arrive without it.
            cookie = f"{name}={quote(self._token)}; Path=/; HttpOnly; SameSite=Lax"
            return RedirectResponse("/", status_code=303, headers={"Set-Cookie": cookie})
        if not any(self._is_token(each) for each in brought(headers, name)):
            raise Refused(401, "A token is needed: open the whole address that the server printed when it was started.")
        return None

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), self._token.encode())

    def _is_ours(self, host: str) -> bool:
        """Whether a Host header is a name or address of this machine. An address cannot be another's name for it."""
        name = host_name(host)
        if name is None:
            return False
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return name in self._names
        return address.is_loopback or not self._local


def host_name(host: str) -> str | None:
    """The name or address in a Host header, small and without port; None if it is none."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return None
    return parts.hostname if parts.netloc == host and "@" not in host else None


def check_origin(headers: Headers, host: str) -> None:
    """Raises Refused where a page of another place asks. Browsers send Origin with all that is neither GET nor HEAD."""
    origins, sites = headers.getlist("origin"), headers.getlist("sec-fetch-site")
    same = all(urlsplit(origin).netloc.lower() == host.lower() for origin in origins)
    if not same or any(site not in ("same-origin", "none") for site in sites):
        raise Refused(403, "Another web page asked for this, and may not.")


def brought(headers: Headers, cookie: str) -> list[str]:
    """The tokens that a request has. cookie: its name."""
    tokens = [value[7:].strip() for value in headers.getlist("authorization") if value[:7].lower() == "bearer "]
    for line in headers.getlist("cookie"):
        try:
            cookies = SimpleCookie(line)
        except CookieError:
            continue
        tokens += [cookies[cookie].value] if cookie in cookies else []
    return tokens

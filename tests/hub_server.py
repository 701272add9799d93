"""A hub of one's own on a port of this machine: huggingface_hub itself asks it for listings and files."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
# Status and X-Error-Code of a repository that is not given.
GATED, ABSENT, BROKEN = (403, "GatedRepo"), (401, "RepoNotFound"), (500, "")


class Hub:
    """Repositories of data sets: name -> {path: content}, or the refusal that stands for it; and what was asked for.

    Attributes:
      tags: revisions beside main.
      sent: paths of the files that were sent.
    """

    def __init__(self, repositories: Mapping[str, Mapping[str, bytes] | tuple[int, str]], tags: tuple[str, ...]):
        self.repositories, self.tags = dict(repositories), tags
        self.sent: list[str] = []

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body for an address."""
        words = urllib.parse.unquote(urllib.parse.urlsplit(path).path).strip("/").split("/")
        api = words[0] == "api"
        name, rest = "/".join(words[1 + api : 3 + api]), words[3 + api :]
        files = self.repositories.get(name, ABSENT)
        if isinstance(files, tuple):
            return files[0], {"X-Error-Code": files[1]}, b"{}"
        if api and rest[0] == "revision" and rest[1] not in ("main", COMMIT, *self.tags):
            return 404, {"X-Error-Code": "RevisionNotFound"}, b"{}"
        if api and rest[0] == "revision":
            return 200, {}, json.dumps({"id": name, "sha": COMMIT, "siblings": []}).encode()
        if api and rest[0] == "tree":
            listed = [{"type": "file", "path": p, "size": len(c), "oid": blob(c)} for p, c in files.items()]
            return 200, {}, json.dumps(listed).encode()
        if rest[0] == "resolve" and "/".join(rest[2:]) in files:
            content = files["/".join(rest[2:])]
            return 200, {"ETag": f'"{blob(content)}"', "X-Repo-Commit": COMMIT}, content
        return 404, {"X-Error-Code": "EntryNotFound"}, b"{}"


def blob(content: bytes) -> str:
    """git's name of a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@contextlib.contextmanager
def serving(
    repositories: Mapping[str, Mapping[str, bytes] | tuple[int, str]], tags: tuple[str, ...] = ()
) -> Iterator[tuple[Hub, str]]:
    """The hub, and the address to be HF_ENDPOINT."""
    hub = Hub(repositories, tags)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.reply(body=False)

        def do_GET(self) -> None:
            self.reply(body=True)

        def reply(self, body: bool) -> None:
            status, headers, content = hub.answer(self.path)
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(key, value)
            self.end_headers()
            if body:
                self.wfile.write(content)
                if "/resolve/" in self.path and status == 200:
                    hub.sent.append(urllib.parse.unquote(self.path).split(f"/resolve/{COMMIT}/")[1])

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield hub, f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def tree(root: Path) -> dict[str, bytes]:
    """A folder's files as a repository."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}

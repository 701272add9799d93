"""The API, with a worker that needs no model: uploads, the queue, limits, names, and what is described."""

import asyncio
import json
import re
import threading
import time

import jsonschema
import pytest
from serve_case import RESULT, Scripted
from starlette.testclient import TestClient

from cpml_jax.errors import UserError
from cpml_jax.serve import api, app, jobs, openapi, uploads
from cpml_jax.serve.settings import Settings

PLACE = "http://127.0.0.1:8765"


class Server:
    def __init__(self, folder, **settings):
        self.worker, self.folder = Scripted(), folder
        self.app = app.build(self.worker, folder, Settings(**settings), model="<b>tiny")
        self.client = TestClient(self.app, base_url=PLACE)

    def post(self, content=b"video", name="a.mp4", **more):
        return self.client.post("/api/videos", params={"name": name}, content=content, **more)

    def wait(self, id, *states):
        deadline = time.monotonic() + 20
        while (video := self.show(id))["state"] not in (states or jobs.FINISHED):
            assert time.monotonic() < deadline, video
            time.sleep(0.002)
        return video

    def show(self, id):
        return checked("Video", self.client.get(f"/api/videos/{id}"))

    def files(self):
        return [path for path in self.folder.rglob("*") if path.is_file()]


def checked(schema, response, status=200):
    """A response's JSON, as openapi.json says it is."""
    assert response.status_code == status, response.text
    described = json.loads(openapi.stored())
    whole = {"$ref": f"#/components/schemas/{schema}", "components": described["components"]}
    jsonschema.Draft202012Validator(whole).validate(response.json())
    return response.json()


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setattr(api, "LINGER", 0.05)
    server = Server(tmp_path, megabytes=1, videos=3)
    with server.client:
        yield server


def test_a_video_goes_its_way_and_leaves_its_results_alone(server):
    server.worker.hold.clear()
    response = server.post(b"whole video")
    first = checked("Video", response, 201)
    assert response.headers["location"] == f"/api/videos/{first['id']}"
    running = server.wait(first["id"], "faces")
    while not running["progress"]["total"]:
        running = server.show(first["id"])
    assert running["progress"] == {"done": 30, "total": 60} and running["result"] is None
    second, third = (checked("Video", server.post(name=name), 201) for name in ("b", "c"))
    assert (second["position"], third["position"]) == (1, 2) and second["state"] == "waiting"
    assert "not scored yet" in checked("Error", server.client.get(f"/api/videos/{first['id']}/page"), 409)["error"]
    checked("Error", server.client.get(f"/api/videos/{first['id']}/answer"), 409)
    server.worker.hold.set()
    done = server.wait(first["id"])
    assert done["result"] == RESULT and done["progress"] is done["position"] is done["error"] is None
    assert checked("Answer", server.client.get(f"/api/videos/{first['id']}/answer"))["video"] == "a.mp4"
    assert "what it rests on" in server.client.get(f"/api/videos/{first['id']}/page").text
    server.wait(third["id"])
    assert server.worker.seen == [b"whole video", b"video", b"video"]
    assert {path.name for path in server.files()} == {"answer.json", "page.html"}  # no upload is left
    listed = checked("Videos", server.client.get("/api/videos"))
    assert [video["name"] for video in listed["videos"]] == ["a.mp4", "b", "c"] and listed["room"] == 3


def test_a_video_that_cannot_be_scored_says_why_and_the_next_goes_on(server):
    bad, good = (server.post(content).json()["id"] for content in (b"broken", b"video"))
    assert server.wait(bad)["error"] == "it is no video" and server.wait(good)["state"] == "done"
    assert checked("Answer", server.client.get(f"/api/videos/{bad}/answer")) == {
        "video": "a.mp4", "error": "it is no video",
    }  # fmt: skip
    assert "it is no video" in checked("Error", server.client.get(f"/api/videos/{bad}/page"), 409)["error"]


@pytest.mark.parametrize("at", ["waiting", "faces", "done"])
def test_what_is_deleted_is_gone_with_its_files(server, at):
    server.worker.hold.clear()
    ids = [server.post().json()["id"] for _ in range(2)]
    server.wait(ids[0], "faces")
    id = ids[1] if at == "waiting" else ids[0]
    if at == "done":
        server.worker.hold.set()
        server.wait(id)
    assert server.client.delete(f"/api/videos/{id}").status_code == 204
    checked("Error", server.client.get(f"/api/videos/{id}"), 404)
    checked("Error", server.client.delete(f"/api/videos/{id}"), 404)
    deadline = time.monotonic() + 10
    while (server.folder / id).exists():
        assert time.monotonic() < deadline
    server.worker.hold.set()
    other = next(each for each in ids if each != id)
    assert server.wait(other)["state"] == "done"


def test_too_much_is_refused_with_a_sentence_and_nothing_is_left(server):
    def parts(count):
        for _ in range(count):
            yield b"x" * 100_000

    declared = server.post(b"x" * 1_000_001)
    assert "at most 1 MB here. This one has 1 MB" in checked("Error", declared, 413)["error"]
    counted = server.post(parts(11))  # no Content-Length
    assert "at most 1 MB here" in checked("Error", counted, 413)["error"]
    assert "empty" in checked("Error", server.post(b""), 400)["error"]
    assert "empty" in checked("Error", server.post(parts(0)), 400)["error"]
    for length in ("-1", "1e3", "\u0661"):
        response = server.post(parts(1), headers={"Content-Length": length.encode()})
        assert "no number" in checked("Error", response, 400)["error"]
    assert server.files() == [] and server.client.get("/api/videos").json() == {"videos": [], "room": 3}
    assert server.wait(server.post(parts(10)).json()["id"])["state"] == "done"  # exactly as much as may be


def test_ten_gigabytes_are_refused_before_any_of_it_is_read(server):
    sent = []

    async def ask():
        async def receive():
            sent.append("asked")
            return {"type": "http.disconnect"}

        said = []
        headers = [(b"host", b"localhost"), (b"content-length", b"10000000000"), (b"expect", b"100-continue")]
        scope = {"type": "http", "method": "POST", "path": "/api/videos", "query_string": b"", "headers": headers}
        await server.app(scope, receive, lambda message: said.append(message) or asyncio.sleep(0))
        return said

    said = asyncio.run(ask())
    assert said[0]["status"] == 413 and b"This one has 10 GB" in said[1]["body"] and sent == []


def test_more_videos_than_may_be_wait_elsewhere(server):
    server.worker.hold.clear()
    ids = [server.post().json()["id"] for _ in range(3)]
    assert "no more are taken at a time" in checked("Error", server.post(), 429)["error"]
    assert server.client.get("/api/videos").json()["room"] == 0
    server.worker.hold.set()
    server.wait(ids[-1])
    assert server.post().status_code == 201


def test_a_full_disk_is_a_sentence(server, monkeypatch):
    monkeypatch.setattr(uploads, "RESERVE", 10**18)
    assert "no room" in checked("Error", server.post(), 507)["error"]
    monkeypatch.setattr(uploads, "RESERVE", 0)

    def full(descriptor, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(uploads, "_write", full)
    assert "no room" in checked("Error", server.post(), 507)["error"] and server.files() == []


def test_an_upload_that_stands_still_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "GRACE", 0.05)

    async def stalls():
        yield b"first"
        await asyncio.sleep(60)

    with pytest.raises(uploads.Refused, match="stood still"):
        asyncio.run(uploads.receive(stalls(), tmp_path / "video", Settings(), lambda count: None))


def test_an_upload_follows_no_link_and_replaces_nothing(tmp_path):
    async def bytes_of(text):
        yield text

    (tmp_path / "other").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "other")
    for name in ("other", "link"):
        with pytest.raises(FileExistsError):
            asyncio.run(uploads.receive(bytes_of(b"x"), tmp_path / name, Settings(), lambda count: None))
    assert (tmp_path / "other").read_text() == "kept"
    asyncio.run(uploads.receive(bytes_of(b"x"), tmp_path / "new", Settings(), lambda count: None))
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600


def test_of_many_results_the_oldest_goes(server, monkeypatch):
    monkeypatch.setattr(jobs, "KEPT", 2)
    ids = []
    for _ in range(4):
        ids.append(server.post().json()["id"])
        server.wait(ids[-1])
    assert [video["id"] for video in server.client.get("/api/videos").json()["videos"]] == ids[2:]
    assert {path.name for path in server.folder.iterdir()} == set(ids[2:])


NAMES = (
    "../../etc/passwd", "/etc/passwd", "..", ".", "", "a/b\\c", "C:\\x.mp4", "nul\0l", "line\nbreak\r\nSet-Cookie: a=b",
    "\x1b[2J", "\u202ecod.exe", "<img src=x onerror=alert(1)>", '"; filename=x', "x" * 5000, "ünï 顔 😀", "%2e%2e%2f",
    "\udcff".encode("utf-8", "surrogateescape").decode("latin-1"), "~root", "$(id)", "CON", "{model}",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_data_and_nothing_else(server, name):
    before = set(server.folder.iterdir())
    video = checked("Video", server.post(name=name), 201)
    assert video["name"].isprintable() and 0 < len(video["name"]) <= jobs.LONGEST_NAME
    (folder,) = set(server.folder.iterdir()) - before
    assert folder.name == video["id"] and re.fullmatch(r"[\w-]{16}", video["id"])
    server.wait(video["id"])
    saved = server.client.get(f"/api/videos/{video['id']}/page?download").headers["content-disposition"]
    assert re.fullmatch(r"attachment; filename\*=UTF-8''[\w.~%-]+\.html", saved, re.ASCII)
    assert not re.search("%2F|%5C|%00|%0A|%22", saved) and "''." not in saved


@pytest.mark.parametrize("id", ["..", "%2e%2e", "../x", "%2e%2e%2fx", "a%00b", "x" * 5000, "é"])
def test_an_address_leads_to_no_file(server, id):
    (server.folder / "x").write_text("secret")
    for path in (f"/api/videos/{id}/answer", f"/api/videos/{id}/page", f"/{id}/x", f"/api/{id}/x"):
        response = server.client.get(path)
        assert response.status_code in (404, 405) and "secret" not in response.text


def test_other_methods_and_addresses_are_json_errors(server):
    for method, path, status in (("GET", "/docs", 404), ("PUT", "/api/videos", 405), ("POST", "/", 405)):
        checked("Error", server.client.request(method, path), status)


def test_a_tab_that_is_closed_ends_its_upload(server):
    """Through the application itself: a client of tests cannot hang up."""
    came = threading.Event()

    async def ask():
        messages = [{"type": "http.request", "body": b"half", "more_body": True}, {"type": "http.disconnect"}]

        async def receive():
            if len(messages) == 1:
                assert server.client.get("/api/videos").json()["videos"][0]["progress"] == {"done": 4, "total": 8}
                came.set()
            return messages.pop(0)

        async def send(message):
            pass

        headers = [(b"host", b"localhost"), (b"content-length", b"8")]
        scope = {"type": "http", "method": "POST", "path": "/api/videos", "query_string": b"", "headers": headers}
        await server.app(scope, receive, send)

    asyncio.run(ask())
    assert came.is_set() and server.client.get("/api/videos").json() == {"videos": [], "room": 3}
    assert list(server.folder.iterdir()) == []


def test_the_end_of_the_server_ends_the_worker_and_all_files(tmp_path):
    server = Server(tmp_path)
    with server.client:
        server.worker.hold.clear()
        server.wait(server.post().json()["id"], "faces")
        server.post()
    assert server.worker.stopped and server.files() == []


def test_twenty_clients_at_once_are_all_answered(server):
    answers = []

    def one(number):
        response = server.post(b"%d" % number * 1000, name=str(number))
        answers.append((response.status_code, number, response.json()))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = [(number, answer["id"]) for status, number, answer in answers if status == 201]
    assert len(answers) == 20 and {status for status, *_ in answers} <= {201, 429} and len(taken) >= 3
    for number, id in taken:
        assert server.wait(id)["state"] == "done" and b"%d" % number * 1000 in server.worker.seen
    assert server.client.get("/api/videos").json()["room"] == 3


def test_settings_that_cannot_be_are_one_line():
    for wrong in ({"port": 70000}, {"megabytes": 0}, {"seconds": float("nan")}, {"videos": -1}, {"seconds": 1e400}):
        with pytest.raises(UserError, match=f"--(max_)?{next(iter(wrong))}="):
            Settings(**wrong)

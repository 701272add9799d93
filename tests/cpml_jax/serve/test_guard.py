"""Who may ask, from where, and what a browser is told it may do."""

import pytest
from serve_case import Scripted
from starlette.testclient import TestClient

from cpml_jax.serve import app, guard
from cpml_jax.serve.settings import Settings

TOKEN = "t" * 43
COOKIE = guard.COOKIE.format(port=8765)


@pytest.fixture
def served(tmp_path):
    """(settings, token) -> a client that asks under a name of this machine."""

    def serve(token="", **settings):
        built = app.build(Scripted(), tmp_path, Settings(**settings), token=token)
        return TestClient(built, base_url="http://127.0.0.1:8765", follow_redirects=False)

    return serve


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost", "LocalHost:1", "[::1]:8765", "127.9.9.9"])
def test_this_machine_is_asked_under_its_own_names(served, host):
    assert served().get("/api/videos", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8765", "localhost.evil.example", "127.0.0.1.evil.example", "192.168.1.2:8765", "",
     "0.0.0.0", "localhost@evil.example", "evil.example#localhost", "localhost/", "localhost:x", "[::1",
     "user:@localhost", "localhost,evil.example", "localhost evil"],
)  # fmt: skip
def test_a_name_that_began_to_lead_here_gets_nothing(served, host):
    for method, path in (("GET", "/"), ("GET", "/api/videos"), ("POST", "/api/videos"), ("GET", "/nothing")):
        answer = served().request(method, path, headers={"Host": host})
        assert answer.status_code == 421 and "address that it printed" in answer.json()["error"], path


def test_with_a_host_addresses_are_asked_and_names_of_others_are_not(served):
    client, bearer = served(TOKEN, host="desk.example"), {"Authorization": f"Bearer {TOKEN}"}
    for host in ("192.168.1.2:8765", "desk.example", "DESK.example:80", "[fe80::1]"):
        assert client.get("/api/videos", headers={"Host": host} | bearer).status_code == 200, host
    assert client.get("/api/videos", headers={"Host": "evil.example"} | bearer).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1"}, {"Origin": ""},
     {"Origin": "http://127.0.0.1:8765.evil.example"}, {"Origin": "http://evil.example@127.0.0.1:9"},
     {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
     {"Origin": "http://127.0.0.1:8765", "Sec-Fetch-Site": "cross-site"}],
)  # fmt: skip
def test_another_page_changes_nothing(served, headers):
    with served() as client:
        id = client.post("/api/videos", content=b"video").json()["id"]
        for method, path in (("POST", "/api/videos"), ("DELETE", f"/api/videos/{id}")):
            answer = client.request(method, path, headers=headers)
            assert answer.status_code == 403 and "Another web page" in answer.json()["error"]
        assert [video["id"] for video in client.get("/api/videos", headers=headers).json()["videos"]] == [id]


@pytest.mark.parametrize("headers", [{}, {"Origin": "http://127.0.0.1:8765", "Sec-Fetch-Site": "same-origin"}])
def test_its_own_page_and_no_page_do(served, headers):
    with served() as client:
        assert client.post("/api/videos", content=b"video", headers=headers).status_code == 201


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer "}, {"Authorization": f"Bearer {TOKEN[:-1]}"}, {"Authorization": f"Basic {TOKEN}"},
     {"Authorization": f"Bearer {TOKEN}x"}, {"Cookie": f"{COOKIE}=x"}, {"Cookie": f"{COOKIE}="},
     {"Cookie": f"other={TOKEN}"}, {"Cookie": f"{COOKIE}0={TOKEN}"},
     {"Cookie": '"; \x01=,,=;;'}, {"Authorization": "Bearer \xff\xfe"}],
)  # fmt: skip
def test_without_the_token_there_is_nothing_not_even_the_page(served, headers):
    client = served(TOKEN, host="0.0.0.0")
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    for method, path in (
        ("GET", "/"), ("GET", "/serve.js"), ("GET", "/openapi.json"), ("GET", "/api/videos"), ("POST", "/api/videos"),
        ("DELETE", "/api/videos/x"), ("GET", f"/api/videos?token={TOKEN}"), ("GET", "/?token=x"), ("GET", "/?token="),
        ("GET", f"/?token=x&token={TOKEN}"), ("GET", "/?token=%ff%ed%a0%80"),
    ):  # fmt: skip
        answer = client.request(method, path, headers=encoded)
        assert answer.status_code == 401 and "whole address that the server printed" in answer.json()["error"], path
        assert "set-cookie" not in answer.headers


def test_a_browser_brings_the_token_once_and_a_program_every_time(served):
    client = served(TOKEN, host="0.0.0.0")
    assert client.get("/api/videos", headers={"Authorization": f"bearer {TOKEN}"}).status_code == 200
    answer = client.get(f"/?token={TOKEN}")
    assert answer.status_code == 303 and answer.headers["location"] == "/"  # it does not stay in the address
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(answer.headers["set-cookie"].split("; "))
    assert client.get("/").status_code == 200 and "?token" not in client.get("/").text


def test_the_token_is_compared_in_constant_time(served, monkeypatch):
    compared = []
    monkeypatch.setattr(guard.hmac, "compare_digest", lambda a, b: compared.append((a, b)) or a == b)
    client = served(TOKEN, host="0.0.0.0")
    assert client.get("/api/videos", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert client.get("/api/videos", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert compared == [(b"wrong", TOKEN.encode()), (TOKEN.encode(), TOKEN.encode())]


def policy(response):
    return dict(part.strip().split(" ", 1) for part in response.headers["content-security-policy"].split(";"))


def test_every_answer_forbids_what_comes_from_elsewhere(served):
    with served() as client:
        answers = [client.get(path) for path in ("/", "/serve.js", "/style.css", "/openapi.json", "/api/videos", "/no")]
        for answer in [*answers, client.post("/api/videos"), client.get("/", headers={"Host": "evil.example"})]:
            rules = policy(answer)
            assert rules["default-src"] == "'none'" and rules["script-src"] == "'self'" == rules["connect-src"]
            assert rules["frame-ancestors"] == "'none'" and "unsafe" not in answer.headers["content-security-policy"]
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer" and answer.headers["cache-control"] == "no-store"
            assert "access-control-allow-origin" not in answer.headers


def test_a_result_runs_no_scripts_and_fetches_nothing(served):
    with served() as client:
        id = client.post("/api/videos", content=b"video").json()["id"]
        while client.get(f"/api/videos/{id}").json()["state"] != "done":
            pass
        rules = policy(client.get(f"/api/videos/{id}/page"))
    assert rules["default-src"] == "'none'" and rules["frame-ancestors"] == "'self'" and rules["img-src"] == "data:"
    assert "script-src" not in rules and "connect-src" not in rules and "allow-scripts" not in rules["sandbox"]

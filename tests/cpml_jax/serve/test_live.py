"""Servers in processes of their own, as they are run: crashes, kills, clients that misbehave, and a browser."""

import signal
import socket
import stat
import threading
import time

import pytest
import serve_case
from command import run_main

from cpml_jax.errors import UserError
from cpml_jax.serve import command
from cpml_jax.serve.settings import Settings


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Whose worker does what the upload says."""
    server = serve_case.start(tmp_path_factory.mktemp("told"), megabytes=3, seconds=20, videos=8)
    yield server
    server.process.kill()
    server.process.wait()


def sent(server, body, *states, **more):
    status, _, video = server.post(body, **more)
    assert status == 201, video
    return server.wait(video["id"], *states)


def until(true, what):
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_uploads_lie_in_a_folder_of_this_user_alone(server):
    video = sent(server, b"slow", "faces")
    (upload,) = server.files()
    assert upload.read_bytes() == b"slow" and stat.S_IMODE(upload.stat().st_mode) == 0o600
    for folder in (upload.parent, upload.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert server.ask("DELETE", f"/api/videos/{video['id']}")[0] == 204
    until(lambda: not upload.parent.exists(), "the files of a removed video")


def test_a_video_that_kills_the_decoder_takes_nothing_with_it(server):
    statuses = [server.post(body, name=f"{n}.mp4") for n, body in enumerate([b"crash", b"odd", b"broken"])]
    crash, odd, broken = (server.wait(video["id"]) for _, _, video in statuses)
    assert "was ended by SIGSEGV, most likely because of this video" in crash["error"]
    assert server.ask("GET", f"/api/videos/{crash['id']}/answer")[2] == {"video": "0.mp4", "error": crash["error"]}
    assert odd["error"] == "ValueError: a decoder's own error in 1.mp4"  # and not the place of the upload
    assert broken["error"] == "2.mp4: no frame can be decoded"
    assert {path.name for path in server.files()} == {"answer.json"}


def test_a_video_that_is_too_long_is_refused_as_it_turns_out_to_be(server):
    assert sent(server, b"long")["error"] == "it is longer than 20 seconds, the most that is taken here; cut it"


@pytest.mark.parametrize("body", [b"slow", b"hang"])
def test_what_is_cancelled_stops_and_the_next_is_scored(server, body):
    """One stops by itself, the other has to be killed."""
    video = sent(server, body, "faces")
    _, _, after = server.post(b"broken")
    assert server.ask("GET", f"/api/videos/{after['id']}")[2]["position"] == 1
    assert server.ask("DELETE", f"/api/videos/{video['id']}")[0] == 204
    assert server.wait(after["id"])["state"] == "failed"


def test_the_server_answers_while_the_worker_holds_all_it_has(server):
    video = sent(server, b"hang", "faces")
    begun = time.monotonic()
    assert all(server.ask("GET", "/")[0] == 200 for _ in range(20)) and time.monotonic() - begun < 15
    server.ask("DELETE", f"/api/videos/{video['id']}")


def raw(server, head, body=b""):
    """(connection, what came back within some seconds) of a request written by hand."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    connection.sendall(head.replace("\n", "\r\n").encode() + body)
    return connection


def test_ten_gigabytes_are_refused_at_once_with_the_sentence(server):
    """Also where the client sends on without asking: it can still read why."""
    until(lambda: server.files_of_uploads() == [], "the end of what was there before")
    head = "POST /api/videos HTTP/1.1\nHost: localhost\nContent-Length: 10000000000\n"
    with raw(server, head + "Expect: 100-continue\n\n") as connection:
        assert b"HTTP/1.1 413" in connection.recv(4000) and server.files_of_uploads() == []
    with raw(server, head + "\n") as connection:
        until(lambda: _keeps_sending(connection), "an end of the connection")
        said = b""
        while chunk := connection.recv(4000):
            said += chunk
        assert b"HTTP/1.1 413" in said and b"at most 3 MB here. This one has 10 GB" in said
    with raw(server, head.replace("Content-Length: 10000000000", "Transfer-Encoding: chunked") + "\n") as connection:
        for _ in range(40):
            connection.sendall(b"186a0\r\n" + b"x" * 100_000 + b"\r\n")
        assert b"HTTP/1.1 413" in connection.recv(4000)
    until(lambda: server.files_of_uploads() == [], "nothing left")


def _keeps_sending(connection):
    connection.sendall(b"x" * 1_000_000)
    return True


def test_a_client_that_hangs_up_leaves_nothing(server):
    connection = raw(
        server, "POST /api/videos HTTP/1.1\nHost: localhost\nContent-Length: 2000000\n\n", b"x" * 1_500_000
    )
    until(
        lambda: any(video["state"] == "uploading" and video["progress"]["done"] for video in server.videos()), "bytes"
    )
    connection.close()
    until(lambda: not server.files_of_uploads() and server.videos()[-1]["state"] != "uploading", "its end")


@pytest.mark.parametrize(
    "head",
    ["GET / HTTP/1.1\n\n", "POST /api/videos HTTP/1.1\nHost: localhost\nHost: evil.example\nContent-Length: 1\n\nx",
     "POST /api/videos HTTP/1.1\nHost: localhost\nContent-Length: 5\nContent-Length: 1\n\nx", "\x16\x03\x01\x02\n\n",
     "GET http://evil.example/ HTTP/1.1\nHost: evil.example\n\n"],
)  # fmt: skip
def test_what_is_no_proper_request_is_refused(server, head):
    with raw(server, head) as connection:
        first = connection.recv(4000).split(b"\r\n")[0]
    assert first.split(b" ")[1] in (b"400", b"421"), first
    assert server.ask("GET", "/api/videos")[0] == 200


def test_twenty_clients_at_once_are_answered_and_what_was_taken_is_scored(server):
    answers = []

    def client(number):
        answers.append(server.post(b"broken" + b"%d" % number * 10_000, name=f"{number}.mp4"))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 20 and {status for status, *_ in answers} <= {201, 429}
    taken = [video["id"] for status, _, video in answers if status == 201]
    assert len(taken) >= 8 and all(server.wait(id)["state"] == "failed" for id in taken)
    assert server.files_of_uploads() == []


@pytest.mark.parametrize(
    ("numbers", "status"),
    [
        ((signal.SIGTERM,), 128 + signal.SIGTERM),
        ((signal.SIGINT, signal.SIGINT), 130),
        ((signal.SIGHUP,), 128 + signal.SIGTERM),
        ((signal.SIGKILL,), -signal.SIGKILL),
    ],
)
def test_however_it_ends_no_upload_and_no_process_is_left(tmp_path, numbers, status):
    server = serve_case.start(tmp_path)
    assert sent(server, b"broken")["state"] == "failed"
    sent(server, b"hang", "faces")
    server.post(b"waiting")
    connection = raw(
        server, "POST /api/videos HTTP/1.1\nHost: localhost\nContent-Length: 9000000\n\n", b"x" * 2_000_000
    )
    until(lambda: any(video["state"] == "uploading" for video in server.videos()), "an upload")
    children = serve_case.children(server.process.pid)
    assert len(server.files()) >= 3 and children
    assert server.stop(*numbers) == status
    connection.close()
    until(lambda: list(tmp_path.iterdir()) == [], "what it left")
    until(lambda: not any(map(serve_case.alive, children)), "its processes")
    assert "Traceback" not in server.process.stderr.read()


def test_with_a_host_there_is_a_token_in_the_address_that_is_printed(tmp_path):
    server = serve_case.start(tmp_path, host="127.0.0.1")
    path, token = server.address.split(f":{server.port}")[1].split("?token=")
    assert path == "/" and len(token) >= 43
    assert server.ask("GET", "/api/videos")[0] == server.post(b"broken")[0] == 401
    status, headers, _ = server.ask("GET", f"/?token={token}")
    assert status == 303 and server.ask("GET", "/", headers={"Cookie": headers["Set-Cookie"].split(";")[0]})[0] == 200
    assert server.post(b"broken", Authorization=f"Bearer {token}")[0] == 201
    assert server.stop() == 128 + signal.SIGTERM
    assert token not in server.process.stderr.read()  # no log of requests


def test_a_model_that_cannot_be_loaded_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(command.tempfile, "tempdir", None)
    with pytest.raises(UserError, match="^no checkpoint here$"):
        command.serve(serve_case.refuses, Settings(port=0), "tiny")
    assert list(tmp_path.iterdir()) == [] and capsys.readouterr().out == ""


def test_a_place_that_is_taken_is_one_line(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run_main("serve", "--model=model", f"--port={port}") == 2
    assert f"port {port}: cannot be listened at" in capsys.readouterr().err
    assert run_main("serve", "--model=model", "--host=no.such.host.invalid") == 2
    assert "no address of this machine" in capsys.readouterr().err
    for wrong, said in (("--max_videos=0", "more than 0"), ("--port=-1", "a port is"), ("a.mp4", "takes no files")):
        assert run_main("serve", "--model=model", wrong) == 2
        assert said in capsys.readouterr().err
    assert run_main("train", "--port=1", "--config=configs/synthetic.py") == 2
    assert "--port goes with serve" in capsys.readouterr().err

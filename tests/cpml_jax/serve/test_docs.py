"""The examples of docs/serve.md, as they are written, and its tables."""

import os
import re
import shutil
import subprocess
import sys
import threading
import time

import pytest
import uvicorn
from serve_case import ROOT, Scripted

from cpml_jax import options
from cpml_jax.serve import app, jobs
from cpml_jax.serve.settings import PORT, Settings

PAGE = (ROOT / "docs/serve.md").read_text()


@pytest.fixture
def address(tmp_path):
    """Of a server in a thread of this process."""
    worker = Scripted()
    built = app.build(worker, tmp_path, Settings())
    server = uvicorn.Server(uvicorn.Config(built, port=0, log_config=None, lifespan="on"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(30)
    assert worker.seen == [b"a video"] and worker.stopped and list(tmp_path.iterdir()) == []


def run(kind, interpreter, address, folder):
    """What a block prints."""
    (block,) = re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.M | re.S)
    (folder / "video.mp4").write_bytes(b"a video")
    text = block.replace("http://127.0.0.1:8765", address)
    assert text != block
    done = subprocess.run([*interpreter, text], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout


def test_the_python_example_prints_the_label(address, tmp_path_factory):
    assert run("python", [sys.executable, "-c"], address, tmp_path_factory.mktemp("client")) == "real\n"


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
def test_the_curl_example_prints_the_answer_and_writes_the_page(address, tmp_path_factory):
    folder = tmp_path_factory.mktemp("client")
    assert '"video": "video.mp4"' in run("bash", ["bash", "-euc"], address, folder)
    assert "what it rests on" in (folder / "page.html").read_text()
    assert sorted(os.listdir(folder)) == ["page.html", "video.mp4"]


def test_the_table_of_flags_is_complete_and_has_the_defaults():
    rows = dict(re.findall(r"^\| `--(\w+)` \| ([\d]+|.*?) \|", PAGE, re.M))
    assert set(rows) == {flag.name for flag, owners in options.OWNERS if owners == ("serve",)}
    defaults = Settings()
    numbers = [int(rows[name]) for name in ("port", "max_megabytes", "max_seconds", "max_videos")]
    assert numbers == [PORT, defaults.megabytes, defaults.seconds, defaults.videos]
    assert all(f"`{state}`" in PAGE for state in jobs.State)

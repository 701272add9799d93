"""Servers for tests: workers that need no model, in this process or in one of their own, and a server as it is run.

What such a worker does is what the upload says: "crash", "hang", "slow", "long", "broken", "odd"; a video is scored by
its frames' brightness.
"""

import atexit
import dataclasses
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlencode

from cpml_jax.errors import UserError
from cpml_jax.serve import command, uploads, worker
from cpml_jax.serve.settings import Settings

ROOT = Path(__file__).parents[1]
RESULT = {
    "label": "real", "leaning": "real", "score": 0.2, "threshold": 0.5, "windows": 2, "faces": 1,
    "sentences": ["Called real.", "Near.", "Guaranteed."],
}  # fmt: skip


class Scripted:
    """A worker without a process. `hold` keeps it from finishing."""

    def __init__(self):
        self.hold, self.seen, self.stopped = threading.Event(), [], False
        self.hold.set()

    def start(self):
        pass

    def stop(self):
        self.stopped = True
        self.hold.set()

    def score(self, task, report, cancelled):
        self.seen.append(task.video.read_bytes())
        report("faces", 30, 60)
        while not self.hold.wait(0.01):
            if cancelled.is_set():
                return "cancelled", None
        if self.seen[-1] == b"broken":
            return "failed", "it is no video"
        report("scoring", 1, 2)
        task.answer.write_text(json.dumps({"video": task.name, "error": "only a test"}))
        task.page.write_text("<!DOCTYPE html><title>page</title><p>what it rests on")
        return "done", RESULT


class Told:
    """A detector that does what the upload says, without any of the packages of a model."""

    window_s = 1.0

    def warm_up(self):
        pass

    def answer(self, video, evidence, progress):
        said = Path(video).read_bytes()[:20].decode("latin-1")
        progress("faces", 1, 300)
        if said == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        while said == "hang":
            time.sleep(0.05)
        for count in range(2, 10**9) if said in ("slow", "long") else ():
            progress("faces", count * (30 if said == "long" else 1), 300)
            time.sleep(0.002)
        if said == "odd":
            raise ValueError(f"a decoder's\nown error in {video}")
        raise UserError(f"{video}: no frame can be decoded")


def told():
    return Told()


def refuses():
    raise UserError("no checkpoint here")


def bright():
    """A detector of real videos."""
    from hostile.worker import FRAMES, Brightness

    from cpml_jax.data.input_size import InputSize
    from cpml_jax.evaluation.verdict import Verdict
    from cpml_jax.prediction.detector import Detector, load_video_clips

    Brightness.saliency = lambda self, batch: batch["frames"][:, 0, 0, ..., 0] / 255.0
    size = InputSize(FRAMES, frame_size=32, num_stills=1, batch_size=8, inputs=("frames", "landmarks"))
    return Detector(Brightness(), Verdict(), size, load_video_clips())


def main(load, write_s=0.0, **settings):
    """In a process of its own: a server until it is stopped. write_s: s that the disk takes longer for each MB."""
    worker.PATIENCE = 1.0
    write = uploads._write
    uploads._write = lambda *given: (time.sleep(write_s), write(*given))
    sys.exit(command.serve({"told": told, "bright": bright, "refuses": refuses}[load], Settings(**settings), "tiny"))


@dataclasses.dataclass
class Server:
    """A server in a process of its own. temporary: its folder for temporary files."""

    process: subprocess.Popen
    port: int
    address: str
    temporary: Path

    def ask(self, method, path, body=None, headers=None, timeout=30):
        """(status, headers, body: parsed if it is JSON)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            data = response.read()
            kind = response.getheader("Content-Type", "")
            return response.status, response.headers, json.loads(data) if "json" in kind else data
        finally:
            connection.close()

    def post(self, body, name="a.mp4", **headers):
        return self.ask("POST", f"/api/videos?{urlencode({'name': name})}", body, headers)

    def wait(self, id, *states):
        """The video, as soon as its state is one of these (a finished one, if none is given)."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            status, _, video = self.ask("GET", f"/api/videos/{id}")
            assert status == 200, video
            if video["state"] in (states or ("done", "failed")):
                return video
            time.sleep(0.05)
        raise AssertionError(video)

    def files(self):
        """Whatever lies in its temporary folder."""
        return sorted(path for path in self.temporary.rglob("*") if path.is_file())

    def files_of_uploads(self):
        return [path for path in self.files() if path.name == "video"]

    def videos(self):
        return self.ask("GET", "/api/videos")[2]["videos"]

    def stop(self, *numbers):
        """Exit status after these signals, SIGTERM if none is given."""
        for number in numbers or (signal.SIGTERM,):
            self.process.send_signal(number)
            time.sleep(0.02)
        return self.process.wait(60)


def children(pid):
    """Processes that a process started."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid):
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def start(temporary, load="told", **settings):
    """A running server. settings: Settings', with port 0."""
    code = "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # which nohup ignores
    code += f"import serve_case; serve_case.main({load!r}, **{ ({'port': 0} | settings)!r})"
    environment = os.environ | {
        "TMPDIR": str(temporary),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    atexit.register(process.kill)  # where a test fails before it stops it
    line = process.stdout.readline()
    assert line.startswith("Open http://"), process.communicate()
    address = line.split()[1]
    port = int(address.split("/")[2].rpartition(":")[2])
    return Server(process, port, address, Path(temporary))

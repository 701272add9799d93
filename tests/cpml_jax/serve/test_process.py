"""What the scoring process says of a drawn video as it goes, in this process."""

import json
import multiprocessing

import published
import pytest
import serve_case
from hostile.worker import FRAMES
from odd.encoder import draw, encode

from cpml_jax.errors import UserError
from cpml_jax.report import canvas
from cpml_jax.serve import process
from cpml_jax.serve.process import Task, Watch

NAME = "<b>holiday</b>.mp4"
WINDOWS = 3


@pytest.fixture(scope="module")
def detector():
    return serve_case.bright()


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("upload") / "video"  # without a suffix, as uploads are
    encode(path, draw(WINDOWS * FRAMES + 4), format="mp4")
    return path


@pytest.fixture
def task(video, tmp_path, monkeypatch):
    monkeypatch.setattr(canvas, "svg", lambda figure, name: "<svg></svg>")
    return Task(video, NAME, tmp_path / "answer.json", tmp_path / "page.html")


def test_progress_counts_frames_then_windows_and_the_answer_has_the_clients_name(detector, task):
    told = []
    kind, result = process.answer(detector, task, lambda *said: told.append(said))
    assert kind == "done"
    frames = [(done, total) for state, done, total in told if state == "faces"]
    windows = [(done, total) for state, done, total in told if state == "scoring"]
    count = WINDOWS * FRAMES + 4
    assert frames == [(n, count) for n in range(1, count + 1)]
    assert windows == [(n, WINDOWS) for n in range(WINDOWS + 1)] and told == sorted(told, key=lambda each: each[0])
    answer = json.loads(task.answer.read_text())
    published.check("predict", answer)
    assert answer["video"] == NAME and str(task.video) not in task.answer.read_text() + task.page.read_text()
    assert "&lt;b&gt;holiday" in task.page.read_text() and "<b>holiday" not in task.page.read_text()
    assert result["label"] == answer["label"] and result["score"] == answer["score"]
    assert result["windows"] == WINDOWS and len(result["sentences"]) == 3 and result["threshold"] == 0.5


def test_without_progress_nothing_changes(detector, task):
    process.answer(detector, task, lambda *said: None)
    told = json.loads(task.answer.read_text())
    untold, _ = detector.answer(str(task.video))
    assert untold | {"video": NAME} == told


@pytest.mark.parametrize("at", ["faces", "scoring"])
def test_it_stops_where_it_is_cancelled(detector, task, at):
    here, there = multiprocessing.Pipe()
    watch = Watch(there, 60)

    def cancels(state, done, total):
        if state == at:
            here.send(None)
        watch(state, done, total)

    assert process.answer(detector, task, cancels) == ("cancelled", None)
    assert not task.answer.exists() and not task.page.exists()
    assert not there.poll()  # the next video is not cancelled


def test_what_goes_wrong_is_a_line_and_an_answer_without_the_uploads_place(detector, task, tmp_path):
    here, there = multiprocessing.Pipe()
    kind, said = process.answer(detector, task, Watch(there, 1))
    assert (kind, said) == ("failed", "it is longer than 1 seconds, the most that is taken here; cut it")
    published.check("predict", json.loads(task.answer.read_text()))
    assert here.poll()

    def fails(*_):
        raise ValueError(f"a\nlibrary's words on {task.video}")

    kind, said = process.answer(detector, task, fails)
    assert said == f"ValueError: a library's words on {NAME}"
    assert json.loads(task.answer.read_text()) == {"video": NAME, "error": said}


def test_reports_are_few_and_each_state_has_one():
    here, there = multiprocessing.Pipe()
    watch = Watch(there, 1000)
    for done in range(5000):
        watch("faces", done, 5000)
    watch("scoring", 0, 2)
    there.close()
    told = []
    with pytest.raises(EOFError):
        while True:
            told.append(here.recv()[1])
    assert told[0] == ("faces", 0, 5000) and told[-1] == ("scoring", 0, 2) and len(told) < 50
    other = multiprocessing.Pipe()
    with pytest.raises(UserError, match="longer than 2 minutes"):
        Watch(other[0], 120)("faces", 120 * 30 + 1, 0)

"""predict --out through Beam, on its local runner: the same answers, and what a broken pipeline left is not lost."""

import importlib.util
import json

import many_case
import pytest
from many_case import answer, detector, write

from cpml_jax.errors import UserError
from cpml_jax.prediction import answers_file, beam, many
from data_prep.records.beam import Pipelines

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("apache_beam") is None, reason="apache_beam is not installed: the extra `beam`"
)
LOCAL = "FnApiRunner"  # as in tests/data_prep/records/test_beam.py


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "videos", one=1, two=2, many=11, none=0, broken="broken", odd="odd")


@pytest.fixture
def loads(monkeypatch):
    """A worker's model, in place of one from a folder; how often it was asked for."""
    asked = []

    def loaded(source):
        asked.append(source)
        return detector()

    monkeypatch.setattr(beam, "_loaded", loaded)
    return asked


def through_beam(folder, out):
    with answers_file.opened(out) as file:
        source = beam.Source(str(folder))
        return many.predict(detector(), [str(folder), "gone.mp4"], file, pipelines=Pipelines(LOCAL), source=source)


def by_video(out):
    return {line["video"]: line for line in map(json.loads, out.read_text().splitlines())}


def test_the_answers_are_the_same(folder, tmp_path, loads):
    out, alone = tmp_path / "answers.jsonl", tmp_path / "alone.jsonl"
    assert through_beam(folder, out) == 1 and len(loads) == 6
    answer(folder, alone)
    answered = by_video(out)
    assert answered.pop("gone.mp4")["error"] == "no such file or folder" and answered == by_video(alone)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone.jsonl", "answers.jsonl", "videos"]
    assert through_beam(folder, out) == 1 and len(loads) == 6  # nothing is asked again


def test_what_a_broken_pipeline_has_answered_is_taken(folder, tmp_path, loads, monkeypatch):
    out, asked = tmp_path / "answers.jsonl", []

    def third(source):
        asked.append(source)
        if len(asked) > 2:
            raise UserError("the machine is gone")
        return detector()

    monkeypatch.setattr(beam, "_loaded", third)
    with pytest.raises(UserError, match="step Predict failed: .*the machine is gone.*start again to resume") as raised:
        through_beam(folder, out)
    assert "\n" not in str(raised.value) and not out.exists()
    left = len(list((tmp_path / ".answers.jsonl.parts").glob("*.json")))
    assert left == 2
    began = []
    original = many_case.many.answer_all
    monkeypatch.setattr(many_case.many, "answer_all", lambda *given: began.append(len(given[1])) or original(*given))
    answer(folder, out)  # without Beam
    assert began == [6 - left] and len(by_video(out)) == 6
    assert not (tmp_path / ".answers.jsonl.parts").exists()


def test_a_worker_with_another_model_or_other_files_stops_the_run(folder, tmp_path, loads, monkeypatch):
    class Other(many_case.FakeScorer):
        parameters_sha256 = "f" * 64

    with monkeypatch.context() as patch:
        patch.setattr(beam, "_loaded", lambda source: detector(scorer=Other(wave=False)))
        with pytest.raises(UserError, match="a worker has another model"):
            through_beam(folder, tmp_path / "answers.jsonl")
    moved = beam.Job(
        "a.mp4", str(tmp_path / "a.mp4"), {"bytes": 1, "mtime_ns": 1}, "", beam.Source(""), detector().identity
    )
    with pytest.raises(UserError, match="a worker sees another file, or none"):
        beam.answer(moved)

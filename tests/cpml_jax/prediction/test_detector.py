"""The detector from Python: a typed answer, the page, and one line for what is no model."""

import html

import numpy as np
import pytest
from prediction_case import INPUT, PLAIN, FakeScorer, touch, video_clips

from cpml_jax import Detector, Prediction, errors


@pytest.fixture
def detector():
    return Detector(FakeScorer(), PLAIN, INPUT, video_clips)


def test_an_answer_has_types_and_is_the_commands(detector, tmp_path):
    (path,) = touch(tmp_path, "two.mp4")
    prediction = detector.predict(path)
    assert isinstance(prediction, Prediction) and prediction.video == str(path)
    assert (prediction.label, prediction.leaning, prediction.threshold) == ("fake", "fake", 0.5)
    assert [face.face for face in prediction.faces] == [0, 1] and prediction.faces[1].score == prediction.score
    assert prediction.heart_rate == prediction.faces[1].heart_rate and prediction.heart_rate.pos_bpm == 90
    assert [window.start_s for window in prediction.windows] == [0.0, 0.0, 0.5, 0.5]
    assert prediction.doubt is None and prediction.doubt_note == "this run was not evaluated"
    assert prediction.to_dict() == detector.answer(str(path))[0]
    assert detector.window_s == INPUT.num_frames / 30


def test_it_prints_in_sentences_without_markup(detector, tmp_path):
    (path,) = touch(tmp_path, "<b>&.mp4", "two.mp4")[:1]
    detector = Detector(FakeScorer(), PLAIN, INPUT, lambda video, **size: video_clips("two.mp4", **size))
    prediction = detector.predict(path)
    lines = str(prediction).splitlines()
    assert lines[0] == f"{path}: fake, P(fake) 0.71" and "Called fake" in lines[1] and "<" not in "".join(lines[1:])
    shown = prediction._repr_html_()
    assert html.escape(str(path)) in shown and "<b>&.mp4" not in shown


def test_the_page_is_written_when_asked_for(tmp_path):
    class Seen(FakeScorer):
        class_embeddings = np.eye(2, 4, dtype=np.float32)

        def saliency(self, batch):
            return np.ones((len(batch["frames"]), 128, 128), np.float32)

    (path,) = touch(tmp_path, "two.mp4")
    page = tmp_path / "page.html"
    Detector(Seen(), PLAIN, INPUT, video_clips).predict(path, page=page)
    assert "two.mp4" in page.read_text()


def test_a_video_that_cannot_be_used_is_one_line(detector, tmp_path):
    with pytest.raises(errors.UserError, match="no frame could be decoded"):
        detector.predict(tmp_path / "broken.mp4")
    with pytest.raises(errors.UserError, match="no face"):
        detector.predict(tmp_path / "faceless.mp4")


def test_what_is_no_model_is_one_line(tmp_path, monkeypatch):
    with pytest.raises(errors.UserError, match="no such folder"):
        Detector.load(tmp_path / "absent")
    with pytest.raises(errors.UserError, match="neither a run with checkpoints nor a folder of `main.py export`"):
        Detector.load(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(errors.UserError, match="hf://nobody/nothing: the hub does not give it"):
        Detector.load("hf://nobody/nothing")

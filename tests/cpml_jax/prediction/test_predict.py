import builtins
import dataclasses
import io
import json
import os

import numpy as np
import published
import pytest
from prediction_case import INPUT, PLAIN, VIDEOS, FaceClip, FakeScorer, touch, video_clips

from cpml_jax import predict, video_files
from cpml_jax.doubt import properties
from cpml_jax.doubt.calibration import calibrate
from cpml_jax.doubt.distance import Measured
from cpml_jax.errors import UserError
from cpml_jax.evaluation import verdict as verdicts
from cpml_jax.evaluation import video_score
from cpml_jax.evaluation.heart_rate import Pulse
from cpml_jax.evaluation.verdict import Calibration, Threshold, Verdict
from cpml_jax.metrics import calibration
from cpml_jax.prediction.answer import describe
from cpml_jax.prediction.detector import Detector, load_video_clips
from cpml_jax.prediction.windows import ScoredWindow


def predicted(paths, *, scorer=None, verdict=PLAIN):
    out = io.StringIO()
    detector = Detector(scorer or FakeScorer(), verdict, INPUT, video_clips)
    status = predict.predict(detector, [str(p) for p in paths], out=out)
    answers = [json.loads(line, parse_constant=pytest.fail) for line in out.getvalue().splitlines()]
    for answer in answers:
        published.check("predict", answer)
    return status, answers


def logit(p):
    return float(np.log(p / (1 - p)))


def test_a_video_is_one_object_with_the_mean_margin_of_its_windows(tmp_path):
    status, (answer,) = predicted(touch(tmp_path, "one.mp4"))
    assert status == 0 and answer["video"].endswith("one.mp4") and answer["label"] == "real"
    assert answer["margin"] == pytest.approx((logit(0.2) + logit(0.4)) / 2, abs=0.02)
    assert answer["score"] == pytest.approx(0.29, abs=0.01)  # its sigmoid; the mean of probabilities is 0.3
    assert (
        answer["leaning"] == "real" and answer["doubt"] is None and answer["doubt_note"] == "this run was not evaluated"
    )
    assert [w["start_s"] for w in answer["windows"]] == [0.0, 0.5]
    np.testing.assert_allclose([w["score"] for w in answer["windows"]], [0.2, 0.4], atol=0.01)
    assert 40 <= answer["heart_rate_bpm"] <= 180 and answer["heart_rate_pos_bpm"] == 70
    assert answer["threshold"] == {"value": 0.5, "margin": 0.0, "from": "default"}


def test_the_most_forged_face_decides(tmp_path):
    status, (answer,) = predicted(touch(tmp_path, "two.mp4"))
    assert status == 0 and answer["label"] == "fake" and answer["score"] == pytest.approx(0.71, abs=0.01)
    assert [round(face["score"], 1) for face in answer["faces"]] == [0.2, 0.7]
    assert [w["face"] for w in answer["windows"]] == [0, 1, 0, 1]
    assert answer["heart_rate_pos_bpm"] == 90  # of that face; a window without a rate does not count


@pytest.mark.parametrize("scores", [[0.2], [0.02, 0.98, 0.98], [0.1, 0.9, 0.3]])
def test_a_video_of_one_face_has_the_score_that_evaluation_gives_it(scores):
    """Old code shared a sentence in a docstring; now both call video_score."""
    margins = [logit(p) for p in scores]
    pulse = Pulse(None, None, 70.0, 1.0, 0.001)
    windows = [ScoredWindow(0, float(i), 0.9, m, pulse) for i, m in enumerate(margins)]
    answer = describe(windows, Verdict())
    rows = [{"video_key": "v", "label": 1} for _ in scores]
    _, (evaluated,) = video_score.video_margins(rows, margins)
    assert answer["margin"] == evaluated == pytest.approx(np.mean(margins))
    assert answer["label"] == ("fake" if evaluated >= 0 else "real")


def test_bad_files_give_error_objects_and_the_others_go_on(tmp_path):
    files = touch(tmp_path, "broken.mp4", "odd.mp4", "faceless.mp4", "one.mp4")
    status, answers = predicted([*files, tmp_path / "missing.mp4"])
    assert status == 1 and ["error" in a for a in answers] == [True, True, True, False, True]
    assert answers[0] == {"video": str(files[0]), "error": "no frame could be decoded"}
    assert answers[1]["error"] == "ValueError: a decoder's own error" and "no face" in answers[2]["error"]
    assert answers[4]["error"] == "no such file or folder"


def test_every_line_is_printed_as_soon_as_it_is_known(tmp_path):
    class Out(io.StringIO):
        flushed = 0

        def flush(self):
            self.flushed = self.getvalue().count("\n")

    out = Out()
    seen = []

    def slow(path, *, num_frames):
        seen.append(out.flushed)
        return VIDEOS["one.mp4"]

    files = [str(p) for p in touch(tmp_path, "1.mp4", "2.mp4", "3.mp4")]
    predict.predict(Detector(FakeScorer(), PLAIN, INPUT, slow), files, out=out)
    assert seen == [0, 1, 2]


def test_folders_are_searched_in_order_and_loops_of_links_end(tmp_path):
    touch(tmp_path, "b.mp4", "a/z.MOV", "a/note.txt", "a/.hidden.mp4", "c/deep/er/x.webm", "empty/readme.md")
    os.symlink(tmp_path, tmp_path / "a" / "loop")
    os.symlink(tmp_path / "c", tmp_path / "c" / "deep" / "self")
    actual = list(video_files.expand([tmp_path, tmp_path]))
    assert actual[:3] == [(str(tmp_path / n), None) for n in ("b.mp4", "a/z.MOV", "c/deep/er/x.webm")]
    assert actual[3:] == actual[:3]  # asked for twice, answered twice
    ((path, problem),) = video_files.expand([tmp_path / "empty"])
    assert path == str(tmp_path / "empty") and "no video files" in problem


def test_many_windows_are_scored_in_few_shapes(tmp_path):
    scorer = FakeScorer()
    status, (answer,) = predicted(touch(tmp_path, "long.mp4"), scorer=scorer)
    assert len(answer["windows"]) == 7 and scorer.rows == [4, 2, 2]
    scorer = FakeScorer(wave=False)
    _, (answer,) = predicted(touch(tmp_path, "one.mp4"), scorer=scorer)
    assert scorer.rows == [2] and answer["heart_rate_bpm"] is None


def test_a_score_is_no_surer_than_validation_supports(tmp_path):
    """Old code gave P(fake) > 0.99999999 to faces that it had never seen the like of."""
    file = touch(tmp_path, "sure.mp4")
    twelve = calibration.bounds({0: 12, 1: 12})
    _, (answer,) = predicted(file, verdict=Verdict(calibration=Calibration(0.1, twelve, "validation")))
    assert answer["margin"] > 5 and answer["score"] == pytest.approx(13 / 14) == answer["windows"][0]["score"]
    assert answer["calibration"] == {"temperature": 0.1, "bounds": list(twelve), "from": "validation"}
    _, (answer,) = predicted(file, verdict=Verdict())
    assert answer["score"] == pytest.approx(2 / 3) and answer["calibration"]["from"] == "default"
    assert answer["label"] == "fake"  # decisions are by the margin


def known(level=0.05):
    """A run whose faces are 80 to 112 pixels wide."""
    rng, clips, rows = np.random.default_rng(0), {}, []
    for person in range(60):
        clip = FaceClip(0, 0.0, rng.uniform(0.2, 0.8), side=rng.uniform(80, 112))
        row = dict(clip_id=f"{person}/0", video_key=str(person), identity=str(person), label=person % 2)
        clips[row["clip_id"]] = Measured(np.full(4, clip.score), properties.measure(vars(clip)))
        rows.append(row)
    return calibrate(rows[:30], rows[30:], clips, "a", level)


def test_a_clip_far_away_is_undetermined_with_the_reason_and_its_score_stays(tmp_path):
    verdict = dataclasses.replace(PLAIN, knowledge=known())
    _, (far, near) = predicted(touch(tmp_path, "far.mp4", "one.mp4"), verdict=verdict)
    assert (far["label"], far["leaning"]) == ("undetermined", "fake") and far["score"] == pytest.approx(0.7, abs=0.01)
    assert "the face is smaller than in any training clip" in far["doubt"]["reasons"]
    assert far["doubt"]["p"] <= far["doubt"]["level"] == 0.05 and far["faces"][0]["p_known"] == far["doubt"]["p"]
    assert far["doubt"]["p_over"] == "groups of people" and far["doubt"]["count"] == 30 and "doubt_note" not in far
    assert near["label"] == "real" and near["doubt"]["reasons"] == [] and near["doubt"]["p"] > 0.05
    _, (far,) = predicted(touch(tmp_path, "far.mp4"), verdict=dataclasses.replace(PLAIN, knowledge=known(0.01)))
    assert far["label"] == "fake" and "nothing can be undetermined at level 0.01: that takes 99" in far["doubt_note"]


def test_a_heart_rate_is_given_with_its_ratio_and_not_where_there_is_noise_alone(tmp_path):
    _, (pulse, noise) = predicted(touch(tmp_path, "long.mp4", "still.mp4"))
    assert pulse["heart_rate_pos_snr_db"] == 1.5 and 40 <= pulse["heart_rate_bpm"] <= 180
    assert pulse["windows"][0]["heart_rate_bpm"] is not None and np.isfinite(pulse["heart_rate_snr_db"])
    for key in ("heart_rate_bpm", "heart_rate_snr_db", "heart_rate_pos_bpm", "heart_rate_pos_snr_db"):
        assert noise[key] is None  # one window of seven below 0.05 is what noise gives
    assert [w["heart_rate_bpm"] is None for w in noise["windows"]] == [True] * 3 + [False] + [True] * 3


def written(folder, **changes):
    results = [{"threshold": {"clip": 0.1, "video": 0.25, "clip_margin": -2.2, "video_margin": -1.1}}]
    block = {"temperature": 2.0, "bounds": [0.1, 0.9], "people": {"real": 8, "fake": 8}}
    report = {"checkpoint": {"step": 7, "parameters_sha256": "a"}, "results": results, "calibration": block} | changes
    (folder / "evaluation.json").write_text(json.dumps(report))


def test_the_verdict_is_validations_if_it_is_of_this_checkpoint(tmp_path):
    def read(step=7, sha="a"):
        return verdicts.read(tmp_path, step, sha, 0.05)

    assert (read().threshold, read().calibration) == (Threshold(0.0, "default"), Calibration())
    assert "has no doubt.npz" in read().knowledge
    written(tmp_path)
    assert read().threshold == Threshold(-1.1, "validation")
    assert read().calibration == Calibration(2.0, (0.1, 0.9), "validation")
    for other in (read(step=8), read(sha="b")):  # trained again: the same step, other weights
        assert other.threshold.source == other.calibration.source == "default"
    known().write(tmp_path / "doubt.npz")
    assert read().knowledge.count == 30 and "another checkpoint" in read(sha="b").knowledge
    _, (answer,) = predicted(touch(tmp_path, "one.mp4"), verdict=read())
    assert answer["label"] == "fake" and answer["threshold"]["from"] == "validation" and answer["doubt"]["p"] > 0.05
    (tmp_path / "doubt.npz").unlink()
    _, (answer,) = predicted(touch(tmp_path, "one.mp4"), verdict=read())
    assert answer["doubt"] is None and "`main.py evaluate` makes it" in answer["doubt_note"]


def test_an_older_evaluation_gives_what_it_has(tmp_path):
    written(tmp_path, calibration={"temperature": 2.0})  # 3.0.0: no bounds
    old = verdicts.read(tmp_path, 7, "a", 0.05)
    assert old.threshold.source == "validation" and old.calibration == Calibration() and isinstance(old.knowledge, str)
    written(tmp_path, checkpoint={"step": 7}, results=[{"threshold": {"clip": 0.1, "video": 0.25}}])
    assert verdicts.read(tmp_path, 7, "a", 0.05).threshold.source == "default"
    (tmp_path / "evaluation.json").write_text("{broken")
    assert verdicts.read(tmp_path, 7, "a", 0.05).threshold.source == "default"


def test_without_the_preparation_group_one_line_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def refuse(name, *arguments):
        if name == "data_prep.face.clips":
            raise ModuleNotFoundError("No module named 'av'", name="av")
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UserError, match="'av'.*uv sync --group prepare.*pip install --no-deps facenet-pytorch"):
        load_video_clips()


def test_no_paths_is_a_users_mistake(tmp_path):
    with pytest.raises(UserError, match="video.mp4"):
        predict.run(None, tmp_path, [])

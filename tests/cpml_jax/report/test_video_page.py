"""The page of one or several videos: from plain data, one file that fetches nothing."""

import re

import numpy as np
import pytest
from html_page import Parsed

from cpml_jax.errors import UserError
from cpml_jax.evaluation.evidence import WindowArrays
from cpml_jax.report import canvas, video_page

HOSTILE = "/videos/<img src=x onerror=alert(1)>$a_b$\udcff.mp4"


DOUBT = dict(p=0.0125, level=0.05, score=3.0, reasons=["the face is smaller than in any training clip"],
             p_over="groups of people", count=79, sources="validation")  # fmt: skip


def answer(count=3, label="fake", video="/videos/a.mp4", faces=1):
    windows = [
        {
            "start_s": 5.0 * (i // faces),
            "score": 0.9 - 0.1 * i,
            "face": i % faces,
            "heart_rate_bpm": 70.0 if i else None,
        }
        for i in range(count)
    ]
    people = [
        {"face": f, "score": 0.8, "heart_rate_bpm": None, "windows": 1, "track_quality": 0.99} for f in range(faces)
    ]
    return {
        "video": video, "score": 0.8, "label": label, "leaning": label,
        "threshold": {"value": 0.5, "from": "validation"}, "doubt": dict(DOUBT, p=0.4, reasons=[]),
        "calibration": {"temperature": 1.3, "bounds": [0.07, 0.93], "from": "validation"},
        "heart_rate_bpm": 71.0, "heart_rate_snr_db": 0.4, "heart_rate_pos_bpm": 69.0, "heart_rate_pos_snr_db": 1.2,
        "windows": windows, "faces": people,
    }  # fmt: skip


def arrays(count=3):
    rng = np.random.default_rng(0)
    return [
        WindowArrays(
            frames=rng.integers(0, 255, (6, 32, 32, 3), dtype=np.uint8), wave=rng.normal(size=60),
            trace=np.full(60, np.nan), cosines=rng.uniform(-1, 1, 2), saliency=rng.uniform(size=(8, 8)),
        )
        for _ in range(count)
    ]  # fmt: skip


@pytest.fixture
def no_drawing(monkeypatch):
    """Figures are made, but not drawn: one test looks at them."""
    monkeypatch.setattr(canvas, "svg", lambda figure, name: "<svg></svg>")


def written(tmp_path, answers, windows):
    path = video_page.write(tmp_path / "out.html", answers, windows, window_s=5.0)
    source = path.read_text(encoding="utf-8")
    parsed = Parsed(source)
    assert not re.search(r"https?:|@import|url\((?!#)", source)
    assert not {"script", "iframe", "object"} & set(parsed.tags)
    assert not any(key.startswith("on") for _, key, _ in parsed.attributes)
    return source, parsed


def test_one_video_says_what_its_score_means(tmp_path):
    source, parsed = written(tmp_path, [answer()], [arrays()])
    assert "Called fake: the calibrated P(fake) of 0.800 is at or above the threshold 0.500 (chosen on" in parsed.text
    assert "support no more certainty than from 0.07 to 0.93" in parsed.text
    assert "no further from the training videos than held-out ones are: 40.0 %" in parsed.text
    assert "made like the held-out ones (exchangeable with them) about 5 % or fewer" in parsed.text
    assert "not a proof" in parsed.text and "does not show that a video is genuine" in parsed.text
    assert "71 beats/min (SNR 0.4 dB)" in parsed.text and "the classical method 69 beats/min (SNR 1.2" in parsed.text
    assert {f"figure-video1-{kind}" for kind in ("score", "prompts", "pulse", "spectrum")} <= parsed.ids
    assert source.count("data:image/jpeg") == 3 * 8 and "videos" not in parsed.ids


@pytest.mark.usefixtures("no_drawing")
@pytest.mark.parametrize(("classical", "said"), [(69.0, False), (90.0, True)])
def test_two_heart_rates_that_disagree_are_none(tmp_path, classical, said):
    _, parsed = written(tmp_path, [answer() | {"heart_rate_pos_bpm": classical}], [arrays()])
    assert ("They disagree: take neither for a heart rate." in parsed.text) == said


@pytest.mark.usefixtures("no_drawing")
def test_an_undetermined_video_says_why_and_what_that_means(tmp_path):
    doubted = answer() | {"label": "undetermined", "doubt": DOUBT, "doubt_note": "videos are counted"}
    _, parsed = written(tmp_path, [doubted, answer()], [arrays(), arrays()])
    assert "Called undetermined: the calibrated P(fake) of 0.800 would be at or above" in parsed.text
    assert "the face is smaller than in any training clip. Undetermined means that the score says" in parsed.text
    assert "at most 1.2 % are as far (p = 0.013 over 79 groups of people of validation; 5 % or less" in parsed.text
    assert "Of the guarantee: videos are counted." in parsed.text
    assert "(0.800)" in parsed.text  # in the index, in brackets


@pytest.mark.usefixtures("no_drawing")
def test_an_answer_without_doubt_or_pulse_says_so(tmp_path):
    nothing = dict.fromkeys(("heart_rate_bpm", "heart_rate_snr_db", "heart_rate_pos_bpm", "heart_rate_pos_snr_db"))
    bare = answer() | nothing | {"doubt": None, "doubt_note": "this run has no <doubt>.npz"}
    source, parsed = written(tmp_path, [bare], [arrays()])
    assert "is not known (this run has no <doubt>.npz)" in parsed.text and "<doubt>" not in source
    assert "Nothing is guaranteed about this answer" in parsed.text and "No heart rate is given" in parsed.text


@pytest.mark.usefixtures("no_drawing")
def test_the_windows_of_the_highest_scores_come_first_and_few(tmp_path):
    _, parsed = written(tmp_path, [answer(count=9, faces=2)], [arrays(9)])
    shown = [float(x) for x in re.findall(r"P\(fake\) (0\.\d+)", parsed.text)]
    assert shown == pytest.approx([0.9 - 0.1 * i for i in range(video_page.STRIPS)])
    assert "6 of 9 windows" in parsed.text and "face 1" in parsed.text


@pytest.mark.usefixtures("no_drawing")
def test_several_videos_have_an_index_and_an_error_is_shown(tmp_path):
    low = answer(label="real", video="/videos/b.mp4") | {"score": 0.1}
    failed = {"video": HOSTILE, "error": f"{HOSTILE}: no face in this video could be measured"}
    source, parsed = written(tmp_path, [failed, low, answer()], [[], arrays(), arrays()])
    links = [value for tag, key, value in parsed.attributes if tag == "a" and key == "href"]
    assert links == ["#video-3", "#video-2", "#video-1"] and {link[1:] for link in links} <= parsed.ids
    assert "Not scored:" in parsed.text and "no face in this video" in parsed.text and "is below the" in parsed.text


@pytest.mark.usefixtures("no_drawing")
def test_a_model_with_fewer_streams_shows_fewer_figures(tmp_path):
    bare = answer() | {"heart_rate_bpm": None}
    _, parsed = written(tmp_path, [bare], [[WindowArrays() for _ in range(3)]])
    assert "figure-video1-score" in parsed.ids and not {"figure-video1-pulse", "figure-video1-prompts"} & parsed.ids
    assert not re.search(r"\bnan\b|\bNone\b", parsed.text)


@pytest.mark.usefixtures("no_drawing")
def test_what_does_not_fit_is_refused(tmp_path):
    with pytest.raises(ValueError, match="3 windows in the answer, arrays of 2"):
        video_page.write(tmp_path / "out.html", [answer()], [arrays(2)], window_s=5.0)
    with pytest.raises(UserError, match="choose another place with --report"):
        video_page.write(tmp_path / "no" / "out.html", [answer()], [arrays()], window_s=5.0)

import pytest

from cpml_jax.evaluation import results
from cpml_jax.evaluation.protocols import Test, Training

TRAINING = Training("a", ("raw",), ("m",))


def line(label, p_fake, video, **changes):
    return {
        "label": label, "p_fake": p_fake, "logit_margin": 10 * p_fake - 5, "video_key": video, "identity": video,
        "method": "m" if label else "real",
    } | changes  # fmt: skip


VALIDATION = [line(0, 0.2, "1"), line(0, 0.4, "2"), line(1, 0.3, "3"), line(1, 0.9, "3"), line(1, 0.8, "4")]


def result_of(lines, test=None, rows=(), **more):
    test = test or Test("in_dataset", TRAINING, "a", "raw", ("m",))
    validated = results.validate(VALIDATION)
    return results.result(test, rows, lines, validated, sampler={"num_frames": 16}, **more)


def test_thresholds_of_clips_and_of_videos_differ():
    chosen = results.thresholds(VALIDATION)
    # Margins: clips -1 | 3, videos -1 | 1; as P(fake) their sigmoids.
    assert chosen["clip_margin"] == pytest.approx(1.0) and chosen["video_margin"] == pytest.approx(0.0)
    assert chosen["clip"] == pytest.approx(0.731, abs=1e-3) and chosen["video"] == 0.5
    alone = results.thresholds([line(0, 0.2, "1")])
    assert alone["clip"] is None and alone["clip_margin"] is None and alone["note"] == "validation split: no fake clips"


def test_a_result_names_its_test_and_counts_clips_and_videos_apart():
    entry = result_of([line(0, 0.1, "5"), line(0, 0.2, "5"), line(1, 0.9, "6")])
    assert entry["train"] == {"dataset": "a", "compressions": ("raw",), "methods": ("m",)}
    assert entry["test"] == {"dataset": "a", "compression": "raw", "methods": ("m",)}
    assert (entry["clip"]["n_real"], entry["video"]["n_real"]) == (2, 1) and "pulse" not in entry
    assert "note" not in entry
    assert result_of([line(0, 0.1, "5")])["note"] == "no clips of: m"


def test_a_clip_stands_for_the_people_that_it_shows_and_one_of_unknown_identity_for_itself():
    assert results.identity_of(line(0, 0.1, "5", identity="")) == ("5",)
    assert results.identity_of(line(0, 0.1, "5", identity="007")) == ("007",)
    assert results.identity_of(line(1, 0.9, "5", identity="007") | {"source_identity": "008"}) == ("007", "008")


@pytest.mark.parametrize(
    ("records", "compression", "expected"),
    [
        ("a", "raw", None),
        ("a.compression_curve", "raw", {"kind": "original", "bitrate_bps": 150.0}),
        ("a.compression_curve", "h264-crf28", {"kind": "codec", "codec": "h264", "crf": 28, "bitrate_bps": 150.0}),
        ("a.corruption", "blur-3", {"kind": "corruption", "corruption": "blur", "strength": 3}),
    ],
)
def test_the_condition_is_read_from_the_name_and_the_bitrate_measured(records, compression, expected):
    test = Test("compression_curve", TRAINING, records, compression, ("m",))
    rows = [{"source_bitrate": 100.0}, {"source_bitrate": 200.0}, {"source_bitrate": 0.0}]
    assert results.condition(test, rows) == expected
    assert results.described(test)["test"]["dataset"] == "a"

import math
import re

import numpy as np
import tiny
from prepared_page import clip, written

from data_prep.page import card


def test_filled_in_frames_carry_a_sign_that_is_no_colour(tmp_path, three):
    cards = written(tmp_path, three)[0].split("<article")[1:]
    assert "\N{BALLOT X} 0.1 s filled" in cards[1] and "2 of 16 frames filled in" in cards[1]
    assert cards[1].count('class="cross"') == 1 and cards[1].count('class="filled"') == 1
    for good in (cards[0], cards[2]):
        assert 'class="cross"' not in good and 'class="filled"' not in good


def test_numbers_that_are_none(tmp_path):
    nan, flat = float("nan"), np.zeros(tiny.NUM_FRAMES, np.float32)
    odd = clip(
        1,
        track_quality=nan,
        snr_pos=nan,
        snr_chrom=-math.inf,
        snr_p_pos=nan,
        snr_p_chrom=0.5,
        heart_rate_pos=nan,
        heart_rate_chrom=math.inf,
        source_bitrate=math.inf,
        source_fps=0.0,
        pulse_pos=flat,
        pulse_chrom=flat * nan,
        start_s=nan,
        box=np.full((tiny.NUM_FRAMES, 4), np.nan),
        landmarks=np.full((tiny.NUM_FRAMES, 68, 2), np.nan),
    )
    changes = {"pulse_correlation": {"real/c23": [None, nan, 0]}}
    source, parsed = written(tmp_path, [clip(2, track_quality=0.1), odd], **changes)
    assert not re.search(r"\b(nan|inf|infinity)\b", re.sub('base64,[^"]*', "", source), re.IGNORECASE)
    assert "heart rate POSnone" in parsed.text and "SNR CHROMnone" in parsed.text and "POS none" in parsed.text
    assert source.index(odd["clip_id"]) < source.index("faces/real/c23/002/0"), "an unknown quality is the worst"


def test_unknown_values_sort_first():
    assert card.rankable(None, 2) == card.rankable(math.nan, 2) == -math.inf
    assert card.rankable(0.987, 2) == 0.99
    worse, better = clip(1, track_quality=0.9), clip(2, track_quality=0.99)
    assert card.badness(worse) < card.badness(better)


def test_bytes_and_any_direction_of_writing_are_shown_as_text():
    assert card.text(b"<a>\xff") == "&lt;a&gt;\N{REPLACEMENT CHARACTER}"
    assert card.foreign("\u202ea") == "<bdi>\u202ea</bdi>"


def test_notes_name_what_deserves_a_second_look():
    sound = dict(track_quality=0.99, heart_rate_pos=70.0, heart_rate_chrom=71.0)
    assert card.notes(clip(1, **sound)) == []
    small = np.tile(np.float32([0, 0, 60, 60]), (tiny.NUM_FRAMES, 1))
    outside = np.full((tiny.NUM_FRAMES, 68, 2), 1.5, np.float32)
    changes = dict(track_quality=0.9, heart_rate_chrom=90.0, box=small, landmarks=outside)
    assert card.notes(clip(1, **sound | changes)) == [
        "track quality 0.900, below 0.95",
        "POS and CHROM disagree on the heart rate (70, 90)",
        "the face is enlarged: 60 pixels became 128",
        "100% of the landmark coordinates lie outside the crop",
    ]

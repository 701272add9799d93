import math
import re

import numpy as np
import tiny
from prepared_page import clip, written


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

"""Clips of people, drawn as numbers: what doubt goes by, without pictures."""

import numpy as np

from cpml_jax.doubt.distance import Measured
from cpml_jax.doubt.properties import NAMES

WIDTH = 6
USUAL = dict(
    face_size=7.0, sharpness=5.0, fine_detail=-5.0, flat_area=0.5, grain=0.5, brightness=120.0, contrast=3.6,
    saturation=0.27, landmark_motion=-2.4, head_motion=-2.8, pulse_snr=-0.5,
)  # fmt: skip


def measured(rng, person=None, **changes) -> Measured:
    """A clip; `person` is (WIDTH + P,) what its person's clips have in common."""
    width = WIDTH + len(NAMES)
    common = np.zeros(width) if person is None else person
    drawn = common + rng.normal(size=width)
    usual = np.array([USUAL[name] for name in NAMES]) + 0.2 * drawn[WIDTH:]
    values = [changes.get(name, usual[place]) for place, name in enumerate(NAMES)]
    return Measured(10 * drawn[:WIDTH] + changes.get("shift", 0.0), np.array(values))


def people(rng, number, split, *, first=0, videos=3, pairs=True):
    """(rows, known): `videos` videos of each of `number` people, the forged ones of pairs."""
    rows, known = [], {}
    for i in range(first, first + number):
        common = rng.normal(size=WIDTH + len(NAMES))
        for video in range(videos):
            key = f"{split}/{i:03d}/{video}"
            row = dict(clip_id=f"{key}/0", video_key=key, video=key, identity=f"{i:03d}", label=int(video > 0),
                       source_identity=f"{i ^ 1:03d}" if video and pairs else "", split=split)  # fmt: skip
            rows.append(row)
            known[row["clip_id"]] = measured(rng, common)
    return rows, known

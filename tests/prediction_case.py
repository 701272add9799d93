"""Videos that are lists of clips, and a scorer that reads a clip's first pixel: predictions in milliseconds."""

import dataclasses
import os

import numpy as np

from cpml_jax.data.input_size import InputSize
from cpml_jax.errors import UserError
from cpml_jax.evaluation.verdict import Calibration, Verdict

FRAMES, SIZE = 16, 32
INPUT = InputSize(FRAMES, SIZE, num_stills=1, batch_size=4, inputs=("frames", "landmarks"))


@dataclasses.dataclass
class FaceClip:
    """What data_prep.face.clips.video_clips gives."""

    face: int
    start_s: float
    score: float
    heart_rate_pos: float = 70.0
    track_quality: float = 0.99
    snr_pos: float = 1.5
    snr_p_pos: float = 0.001
    side: float = 96.0

    def __post_init__(self):
        self.frames = np.full((FRAMES, 128, 128, 3), round(255 * self.score), np.uint8)
        self.landmarks = np.zeros((FRAMES, 68, 2), np.float32)
        self.pulse_pos = np.zeros(FRAMES, np.float32)
        self.valid = np.ones(FRAMES, bool)
        self.box = np.tile(np.float32([0, 0, self.side, self.side]), (FRAMES, 1))


class FakeScorer:
    step = 7
    devices = 1
    parameters_sha256 = "0123456789abcdef" * 4

    def __init__(self, wave=True):
        self.wave, self.rows = wave, []

    def score(self, batch):
        assert batch["frames"].shape[1:] == (1, FRAMES, SIZE, SIZE, 3)
        self.rows.append(len(batch["frames"]))
        p_fake = batch["frames"][:, 0, 0, 0, 0, 0] / 255.0
        wave = np.tile(np.sin(2 * np.pi * 1.5 * np.arange(FRAMES) / 30), (len(p_fake), 1)).astype(np.float32)
        logits = np.stack([np.zeros_like(p_fake), np.log(p_fake / (1 - p_fake))], axis=1)
        unified = np.tile(p_fake[:, None], (1, 4))
        return {"logits": logits, "unified": unified} | ({"wave": wave} if self.wave else {})


VIDEOS = {
    "one.mp4": [FaceClip(0, 0.0, 0.2), FaceClip(0, 0.5, 0.4)],
    "two.mp4": [
        FaceClip(0, 0.0, 0.2),
        FaceClip(1, 0.0, 0.6, 90.0),
        FaceClip(0, 0.5, 0.2),
        FaceClip(1, 0.5, 0.8, float("nan")),
    ],
    "long.mp4": [FaceClip(0, float(i), 0.2) for i in range(7)],
    "sure.mp4": [FaceClip(0, 0.0, 0.996)],
    "far.mp4": [FaceClip(0, 0.0, 0.7, side=7.0)],
    "still.mp4": [FaceClip(0, float(i), 0.2, snr_p_pos=0.04 if i == 3 else 0.6) for i in range(7)],
}


def video_clips(path, *, num_frames):
    assert num_frames == FRAMES
    name = os.path.basename(path)
    if name == "broken.mp4":
        raise UserError("no frame could be decoded")
    if name == "odd.mp4":
        raise ValueError("a decoder's\nown error")
    return VIDEOS.get(name, [])


# Scores are the margins' sigmoids, nearly without bounds.
PLAIN = Verdict(calibration=Calibration(1.0, (0.001, 0.999), "validation"))


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return [folder / name for name in names]

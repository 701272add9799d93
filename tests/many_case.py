"""Videos that are files of a word each, read in processes of their own; and `predict --out` of them as a command:

python many_case.py FOLDER ANSWERS [--slow]
"""

import dataclasses
import os
import signal
import sys
import time
from pathlib import Path

from prediction_case import INPUT, PLAIN, FaceClip, FakeScorer

from cpml_jax.errors import UserError
from cpml_jax.prediction import answers_file, many
from cpml_jax.prediction.detector import Detector

WORDS = {"killed": signal.SIGKILL, "crashed": signal.SIGSEGV}


@dataclasses.dataclass(frozen=True)
class WordClips:
    """As video_clips. A file's word is how many clips its video has, or what happens to its reader."""

    pause: float = 0.0  # s, of a clip

    def __call__(self, path, *, num_frames):
        word = Path(path).read_text()
        if word == "broken":
            raise UserError("no frame could be decoded")
        if word == "odd":
            raise ValueError("a decoder's\nown error")
        if word == "interrupted":
            os._exit(130)
        if word in WORDS:
            yield FaceClip(0, 0.0, 0.3)
            os.kill(os.getpid(), WORDS[word])
        for number in range(int(word)):
            time.sleep(self.pause)
            yield FaceClip(number % 2, float(number // 2), 0.2 + 0.1 * (len(path) % 5) + 0.01 * number)


def detector(pause=0.0, verdict=PLAIN, scorer=None):
    return Detector(scorer or FakeScorer(wave=False), verdict, INPUT, WordClips(pause))


def write(folder, **words):
    """name -> the word of NAME.mp4."""
    folder.mkdir(exist_ok=True)
    for name, word in words.items():
        (folder / f"{name}.mp4").write_text(str(word))
    return folder


def answer(folder, out, *, workers=2, **changes):
    """Exit status of `predict --out` of a folder."""
    with answers_file.opened(out) as file:
        return many.predict(detector(**changes), [str(folder)], file, workers=workers)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a background job ignores
    try:
        sys.exit(answer(sys.argv[1], sys.argv[2], pause=0.05 if "--slow" in sys.argv else 0.0))
    except KeyboardInterrupt:
        sys.exit(130)

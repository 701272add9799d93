"""Record tests/goldens/mtcnn.npz: the faces that facenet-pytorch's MTCNN finds. Not a test; run once, by hand:

    uv run --group torch tests/goldens/record_mtcnn.py

Of the drawn frames, which are kept as PNG, and of the real ones that tests/mtcnn_frames.py names, which are not kept.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from facenet_pytorch import MTCNN

sys.path[:0] = [str(Path(__file__).resolve().parents[n]) for n in (1, 2)]

import mtcnn_frames  # noqa: E402


def faces(frames, thresholds) -> list[np.ndarray]:
    """(M, 15) of each frame."""
    model = MTCNN(keep_all=True, min_face_size=mtcnn_frames.SMALLEST, thresholds=list(thresholds), device="cpu")
    with torch.inference_mode():
        found = model.detect(np.stack(frames), landmarks=True)
    return [mtcnn_frames.flat(*one) for one in zip(*found, strict=True)]


def main() -> None:
    arrays = {}
    drawn = mtcnn_frames.drawn()
    for number, frame in enumerate(drawn):
        arrays[f"drawn_{number}_png"] = cv2.imencode(".png", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))[1]
    for name, thresholds in (("easy", mtcnn_frames.EASY), ("product", mtcnn_frames.PRODUCT)):
        for source, frames in ({"drawn": list(drawn)} | mtcnn_frames.real()).items():
            for number, found in enumerate(faces(frames, thresholds)):
                arrays[f"{source}_{number}_{name}"] = found
                print(source, number, name, len(found))
    np.savez_compressed(Path(__file__).with_name("mtcnn.npz"), **arrays)


if __name__ == "__main__":
    main()

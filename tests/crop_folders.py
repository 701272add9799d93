"""Records to write as the original project's tree of crops, and a video of such a tree."""

import numpy as np
import tiny

from data_prep.records import work_file
from data_prep.sources import Video
from data_prep.video import jpeg

FRAMES = tiny.NUM_FRAMES


def records(splits=(("train", (0, 1)), ("test", (2, 3))), windows=(0, 1)):
    rng = np.random.default_rng(0)
    made = [
        work_file.complete("faces", tiny.record(rng, jpeg, split, method, compression, i, i ^ 1) | {"window": window})
        for split, identities in splits
        for i in identities
        for method in ("real", "Deepfakes")
        for compression in ("raw", "c23")
        for window in windows
    ]
    return sorted(made, key=lambda record: record["clip_id"])


def video_of(root, sequence: str, video: str) -> Video:
    return Video(
        path=str(root / sequence / "crop_MTCNN" / video / "face0"),
        label=0,
        method="real",
        compression="c23",
        video=video,
        identity=video,
        source_identity="",
        target_video="",
        split="test",
        track_key=video,
        crop_landmarks=str(root / sequence / "video_landmark_new" / f"{video}.txt"),
    )


def image(video: Video, number: int):
    return f"{video.path}/{number:04d}.jpg"

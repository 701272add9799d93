"""Miniature roots in the exact layout of every data set. Files hold their own names: listing opens no video."""

import json
from pathlib import Path

METHODS = ("Deepfakes", "FaceSwap")
SPLITS = {"train": [["000", "001"]], "val": [["002", "003"]], "test": [["004", "005"]]}


def touch(path: Path, content: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(str(path) if content is None else content)
    return path


def ffpp(root: Path, splits=SPLITS, splits_in=".", compressions=("c23", "c40"), methods=METHODS) -> Path:
    for split, pairs in splits.items():
        touch(root / splits_in / f"{split}.json", json.dumps(pairs))
        for a, b in pairs:
            names = [("original_sequences/youtube", n) for n in (a, b)]
            names += [(f"manipulated_sequences/{m}", n) for m in methods for n in (f"{a}_{b}", f"{b}_{a}")]
            for sequence, name in names:
                for compression in compressions:
                    touch(root / sequence / compression / "videos" / f"{name}.mp4")
    return root


def ffpp_masks(root: Path, method="Deepfakes", videos=("000_001", "001_000")) -> Path:
    for video in videos:
        touch(root / "manipulated_sequences" / method / "masks/videos" / f"{video}.mp4")
    return root


DFD_REAL = ("01__exit_phone_room", "02__walking_outside")
DFD_FAKE = ("01_02__exit_phone_room__YVGY8LOK", "02_01__walking_outside__9IAL80X1")


def dfd(root: Path, compressions=("raw", "c23"), real=DFD_REAL, fake=DFD_FAKE) -> Path:
    for compression in compressions:
        for name in real:
            touch(root / "original_sequences/actors" / compression / "videos" / f"{name}.mp4")
        for name in fake:
            touch(root / "manipulated_sequences/DeepFakeDetection" / compression / "videos" / f"{name}.mp4")
    return root


# id0 and id1 are tested. hashed_split has id2, id4 and YouTube's 00001 in train, id3, id24 and 00004 in val.
CELEBDF_TEST = (
    "1 YouTube-real/00170.mp4",
    "1 Celeb-real/id0_0001.mp4",
    "0 Celeb-synthesis/id0_id1_0001.mp4",
)
CELEBDF_REST = (
    "Celeb-real/id0_0002.mp4", "Celeb-real/id1_0000.mp4", "Celeb-real/id2_0000.mp4", "Celeb-real/id3_0000.mp4",
    "Celeb-real/id4_0000.mp4", "Celeb-real/id24_0000.mp4", "YouTube-real/00001.mp4", "YouTube-real/00004.mp4",
    "Celeb-synthesis/id0_id2_0002.mp4", "Celeb-synthesis/id2_id1_0000.mp4", "Celeb-synthesis/id2_id4_0000.mp4",
    "Celeb-synthesis/id3_id24_0000.mp4", "Celeb-synthesis/id3_id2_0000.mp4",
)  # fmt: skip


def celebdf(root: Path, test=CELEBDF_TEST, rest=CELEBDF_REST) -> Path:
    for name in [line.partition(" ")[2] for line in test] + list(rest):
        touch(root / name)
    touch(root / "List_of_testing_videos.txt", "\n".join(test) + "\n")
    return root


# hashed_split has aaa in train and zzz in val.
DFDC_TRAIN = {
    "dfdc_train_part_0": {
        "aaa.mp4": {"label": "REAL", "split": "train", "original": None},
        "bbb.mp4": {"label": "FAKE", "split": "train", "original": "aaa.mp4"},
        "ccc.mp4": {"label": "FAKE", "split": "train", "original": "aaa.mp4"},
    },
    "dfdc_train_part_49": {
        "zzz.mp4": {"label": "REAL", "split": "train"},
        "eee.mp4": {"label": "FAKE", "split": "train", "original": "zzz.mp4"},
    },
}
DFDC_TEST = {"fff.mp4": 1, "ggg.mp4": 0}


def dfdc(root: Path, train=DFDC_TRAIN, test=DFDC_TEST, test_folder="test") -> Path:
    for part, entries in train.items():
        touch(root / "train" / part / "metadata.json", json.dumps(entries))
        for name in entries:
            touch(root / "train" / part / name)
    if test:
        touch(root / "test/labels.csv", "filename,label\n" + "".join(f"{k},{v}\n" for k, v in test.items()))
        for name in test:
            touch(root / test_folder / name)
    return root


# hashed_split has 1003254 in val and 1003255 in train.
DFDC_PREVIEW = {
    "original_videos/1003255/1003255_C_000.mp4": {"label": "real", "set": "train", "target_id": 1003255},
    "original_videos/1003254/1003254_A_001.mp4": {"label": "real", "set": "train", "target_id": 1003254},
    "original_videos/2000001/2000001_B_002.mp4": {"label": "real", "set": "test", "target_id": 2000001},
    "method_A/1003254/1003254_A/1255229_1003254_A_001.mp4": {"label": "fake", "set": "train", "swapped_id": 1255229},
    "method_B/2000001/2000001_B/2000002_2000001_B_002.mp4": {"label": "fake", "set": "test", "swapped_id": 2000002},
}


def dfdc_preview(root: Path, entries=DFDC_PREVIEW) -> Path:
    touch(root / "dataset.json", json.dumps(entries))
    for name in entries:
        touch(root / name)
    return root


CROP_LISTS = {
    "FF++_train": "youtube,000,+1\nyoutube,001,+1\nDeepfakes,000_001,-1\n",
    "FF++_val": "youtube,002,+1\nFaceSwap,002_003,-1\n",
    "FF++_test2": "youtube,004,+1\nDeepfakes,005_004,-1\n",
}


def crop_tree(root: Path, compressions=("raw", "c23")) -> Path:
    """Crops and landmarks of the videos of SPLITS, without anything that says which split they are in."""
    for pairs in SPLITS.values():
        for a, b in pairs:
            names = [("original_sequences/youtube", n) for n in (a, b)]
            names += [(f"manipulated_sequences/{m}", n) for m in METHODS for n in (f"{a}_{b}", f"{b}_{a}")]
            for sequence, name in names:
                for compression in compressions:
                    folder = root / sequence / compression
                    touch(folder / "crop_MTCNN" / name / "face0" / "0000.jpg")
                    touch(folder / "video_landmark_new" / f"{name}.txt")
    return root


def crop_lists(root: Path, folder="config_val_160", lists=CROP_LISTS) -> Path:
    for name, text in lists.items():
        touch(root / folder / f"{name}.txt", text)
    return root

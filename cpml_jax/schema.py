"""The two formats that the parts of the project exchange: the record on disk and the batch on the device.

Everything before a record is video; everything after it is arrays. Neither JAX nor TensorFlow is imported here, so
preparation can use these names on a machine that has neither.

Record: one clip of one video at one compression. The compressions of a clip are separate records that share `clip_key`;
they are joined through the index (`clips.jsonl`), so a data set with one compression costs nothing extra, and a new
compression can be added beside the old ones.
"""

from __future__ import annotations

import dataclasses

FRAME_RATE = 30.0  # frames/s of every record; sources are resampled to it by time stamps (docs/method.md, Input)
PULSE_BAND_HZ = (0.6, 4.0)  # 36 to 240 beats/min (docs/method.md, Losses)
CROP_SIZE = 128  # pixels, height and width of a stored face crop
NUM_LANDMARKS = 68  # iBUG-68
REAL, FAKE = 0, 1  # label convention of the field's benchmarks
REAL_METHOD = "real"  # the `method` of unmanipulated video
FFPP_METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")  # of FaceForensics++ as published in 2019
FORGED_METHODS = ("swap", "selfblend", "reenact", "regen", "motion")  # kinds of data_prep/forge
UNKNOWN_COMPRESSION = "unknown"  # of a source that does not name it
SPLITS = ("train", "val", "test")
SCHEMA_VERSION = "1.2.0"


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of a record: name, shape (None: the clip's length T), NumPy dtype, unit, meaning."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    unit: str
    meaning: str


RECORD: tuple[Field, ...] = (
    Field("clip_id", (), "str", "", "dataset/method/compression/video/window: unique in a record set"),
    Field("clip_key", (), "str", "", "dataset/method/video/window: the same for all compressions of a clip"),
    Field("video_key", (), "str", "", "dataset/method/compression/video: what video-level scores group by"),
    Field("dataset", (), "str", "", "name of the data set"),
    Field("method", (), "str", "", "manipulation, or 'real'"),
    Field("compression", (), "str", "", "raw, c23, c40, ..., or 'unknown'"),
    Field("split", (), "str", "", "train, val or test"),
    Field("video", (), "str", "", "the video's id inside its data set and method"),
    Field("identity", (), "str", "", "who is seen: the target's identity"),
    Field("source_identity", (), "str", "", "whose face or expression was put in; empty for real"),
    Field("target_video", (), "str", "", "id of the frame-aligned real video of a fake; empty if none"),
    Field("label", (), "int64", "", "0 real, 1 fake"),
    Field("window", (), "int64", "", "number of the clip inside its video"),
    Field("start_s", (), "float32", "s", "time of the clip's first frame in the video"),
    Field("sampler", (), "str", "", "how the clip was chosen: start, stride, count, frames/s, windows per video"),
    Field("face_choice", (), "str", "", "why this face: 'mask' (manipulated), 'largest' that lasts, or 'given' crops"),
    Field("track_from", (), "str", "", "method/compression/video whose frames the face track was found on"),
    Field("source_fps", (), "float32", "frames/s", "average rate of the source video"),
    Field("source_height", (), "int64", "pixels", "height of the source video"),
    Field("source_width", (), "int64", "pixels", "width of the source video"),
    Field("source_codec", (), "str", "", "codec name, as FFmpeg calls it"),
    Field("source_bitrate", (), "float32", "bit/s", "file size over duration"),
    Field("track_quality", (), "float32", "", "mean face probability of the track's key-frame detections, 0..1"),
    Field("frames", (None, CROP_SIZE, CROP_SIZE, 3), "uint8", "", "aligned face crops, RGB, JPEG-coded"),
    Field("box", (None, 4), "float32", "pixels", "x0, y0, x1, y1 of the crop in the source frame"),
    Field("landmarks", (None, NUM_LANDMARKS, 2), "float32", "face box", "x, y in [-1, 1], -1 the crop's left/top"),
    Field(
        "valid",
        (None,),
        "bool",
        "",
        "False where a frame or its landmarks could not be measured",
    ),
    Field("pulse_pos", (None,), "float32", "z-score", "pulse trace by POS, band-passed 0.6..4 Hz"),
    Field("pulse_chrom", (None,), "float32", "z-score", "pulse trace by CHROM, band-passed 0.6..4 Hz"),
    Field("pulse_truth", (None,), "float32", "z-score", "the true wave where known (drawn videos), else NaN"),
    Field("heart_rate_pos", (), "float32", "beats/min", "spectral peak of pulse_pos, 40..180"),
    Field("heart_rate_chrom", (), "float32", "beats/min", "spectral peak of pulse_chrom, 40..180"),
    Field("heart_rate_truth", (), "float32", "beats/min", "mean over the clip where known, else NaN"),
    Field("snr_pos", (), "float32", "dB", "de Haan SNR of pulse_pos at its own heart rate"),
    Field("snr_chrom", (), "float32", "dB", "de Haan SNR of pulse_chrom at its own heart rate"),
    Field("snr_p_pos", (), "float32", "", "how often sensor noise alone gives an snr_pos at least as high"),
    Field("snr_p_chrom", (), "float32", "", "how often sensor noise alone gives an snr_chrom at least as high"),
)

# Scalars and strings: these, with `position` (index in the split's ArrayRecord), make a row of clips.jsonl.
INDEX_FIELDS: tuple[str, ...] = tuple(f.name for f in RECORD if f.shape == ())

# What a model's streams read (models/streams.py), by name: fields of BATCH, and of RECORD but for stills, which are
# some of its frames, and texture, which is measured on them.
MODEL_INPUTS: tuple[str, ...] = ("frames", "stills", "landmarks", "texture")

# The batch that a step sees. B clips, V views (view 0 is the best compression), T frames, S model input pixels, K
# stills, G cells a side. Of MODEL_INPUTS it holds those that the model's streams read.
BATCH: tuple[Field, ...] = (
    Field("frames", (None, None, None, None, None, 3), "uint8", "", "(B, V, T, S, S, 3) RGB"),
    Field(
        "stills",
        (None, None, None, CROP_SIZE, CROP_SIZE, 3),
        "uint8",
        "",
        "(B, V, K, 128, 128, 3) RGB: K frames, evenly over the clip, at the size at which they are stored",
    ),
    Field("landmarks", (None, None, None, NUM_LANDMARKS, 2), "float32", "face box", "(B, V, T, 68, 2)"),
    Field(
        "texture",
        (None, None, 4, None, None),
        "float32",
        "",
        "(B, V, 4, G, G) data/texture.NUMBERS in G x G cells, of all T frames at the size at which they are stored",
    ),
    Field("valid", (None, None, None), "bool", "", "(B, V, T) False where a frame was filled in: no loss may read it"),
    Field("pulse", (None, None), "float32", "z-score", "(B, T) classical trace of the best view: the pulse teacher"),
    Field("label", (None,), "int32", "", "(B,) 0 real, 1 fake"),
    Field(
        "class_index", (None,), "int32", "", "(B,) the clip's class of prompts; in training alone, where it is known"
    ),
    Field("pair", (None,), "int32", "", "(B,) a real clip and the fakes made from it share theirs; in training alone"),
    Field("weight", (None,), "float32", "", "(B,) 1 for a clip, 0 for a row that only pads the batch"),
)


def clip_key(dataset: str, method: str, video: str, window: int) -> str:
    """The same for all compressions of a clip."""
    return f"{dataset}/{method}/{video}/{window}"


def video_key(dataset: str, method: str, compression: str, video: str) -> str:
    """What video-level scores group by. A folder name alone would merge `000_003` of four methods."""
    return f"{dataset}/{method}/{compression}/{video}"


def clip_id(dataset: str, method: str, compression: str, video: str, window: int) -> str:
    """Unique in a record set."""
    return f"{video_key(dataset, method, compression, video)}/{window}"


def compression_rank(compression: str) -> int:
    """Order of compressions, best first: raw, then FF++'s names for H.264's constant rate factor (c0, c23, c40); all
    other names come last, at one rank."""
    if compression == "raw":
        return -1
    factor = compression[1:]
    return int(factor) if compression[:1] == "c" and factor.isascii() and factor.isdigit() else 1000

"""A folder of odd videos, and what preparation does with each: prepares it, or excludes it for which reason."""

import dataclasses
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from odd import makers as made
from odd.encoder import LENGTH, draw, encode

CLIP = 32  # frames of a clip
UNREADABLE = "cannot be opened as a video"
TOO_SHORT = f"a clip needs {CLIP}"


@dataclasses.dataclass(frozen=True)
class Odd:
    """A file `name` written by make(path, pictures); `reason`: part of the reason for exclusion, "" if it is prepared.

    `like`: largest distance of the clip's mean colour from the plain video's, grey levels; None where it differs by
    right. `first`: frame of the content that the clip begins with.
    """

    name: str
    make: Callable
    reason: str = ""
    like: float | None = None
    first: int = 0


HALF_AND_HALF = np.r_[np.arange(44) / 60, 44 / 60 + np.arange(11) / 15]  # 60, then 15 frames/s

PREPARED = [
    Odd("plain.mp4", made.coded(), like=0.5),
    Odd("turned 90.mp4", made.turned(90), like=3),
    Odd("turned 180.mp4", made.turned(180), like=3),
    Odd("turned 270.mov", made.turned(-90), like=3),
    Odd("mirrored by a front camera.mp4", made.turned(0, mirror=True), like=3),
    Odd("mirrored and turned.mp4", made.turned(90, mirror=True), like=3),
    Odd("wide pixels.mp4", made.squeezed(160, 80, "2/1"), like=6),
    Odd("tall pixels.mkv", made.squeezed(80, 160, "1/2"), like=6),
    Odd("absurd pixels.mkv", made.coded(aspect="50/1"), like=3),
    Odd("odd size.mp4", made.placed(121, 161, "yuv444p", scale=0.75), like=3),
    Odd("very wide.mp4", made.placed(160, 960), like=3),
    Odd("very tall.mp4", made.placed(960, 160), like=3),
    Odd("HDR10.mp4", made.hdr(16), like=4),
    Odd("HLG.mp4", made.hdr(18), like=4),
    Odd("10 bit.mp4", made.coded(pix_fmt="yuv420p10le"), like=3),
    Odd("422.mp4", made.coded(pix_fmt="yuv422p"), like=3),
    Odd("422 10 bit.mkv", made.coded(pix_fmt="yuv422p10le"), like=3),
    Odd("444.mp4", made.coded(pix_fmt="yuv444p"), like=3),
    Odd("RGB.mkv", made.coded("libx264rgb", "rgb24"), like=3),
    Odd("grey.mp4", made.coded(pix_fmt="gray")),
    Odd("full range.mp4", made.coded(tags={"color_range": 2}), like=3),
    Odd("BT.709.mp4", made.coded(tags={"colorspace": 1, "color_primaries": 1, "color_trc": 1}), like=3),
    Odd("BT.2020.mp4", made.coded("libx265", "yuv420p10le", tags={"colorspace": 9, "color_trc": 14}), like=3),
    Odd("VP8.webm", made.coded("libvpx"), like=4),
    Odd("VP9.webm", made.coded("libvpx-vp9"), like=4),
    Odd("VP9 with alpha.webm", made.coded("libvpx-vp9", "yuva420p"), like=4),
    Odd("HEVC.mp4", made.coded("libx265"), like=4),
    Odd("AV1.mkv", made.coded("libsvtav1"), like=4),
    Odd("MPEG-4.avi", made.coded("mpeg4"), like=4),
    Odd("MPEG-2.mpg", made.coded("mpeg2video"), like=4),
    Odd("MPEG-2.ts", made.coded("mpeg2video", format="mpegts"), like=4),
    Odd("MJPEG.avi", made.coded("mjpeg", "yuvj420p"), like=4),
    Odd("WMV.wmv", made.coded("wmv2"), like=4),
    Odd("Flash.flv", made.coded("flv"), like=4),
    Odd("ProRes.mov", made.coded("prores_ks", "yuv422p10le"), like=3),
    Odd("lossless.mkv", made.coded("ffv1"), like=3),
    Odd("raw.avi", made.coded("rawvideo", "yuv420p"), like=3),
    Odd("alpha.mov", made.coded("qtrle", "argb"), like=3),
    Odd("moving.gif", made.timed(np.arange(37) / 25, codec="gif", pix_fmt="rgb8"), like=3),
    Odd("moving.apng", made.coded("apng", "rgb24", format="apng"), like=3),
    Odd("stream without time.h264", made.coded(format="h264"), like=3),
    Odd("interlaced.mp4", made.coded(options={"x264-params": "interlaced=1"}), like=3),
    Odd("open groups.mp4", made.coded(options={"x264-params": "open-gop=1:keyint=12:bframes=3:b-pyramid=2"}), like=3),
    Odd("starts without a key frame.ts", made.without_key_frame, like=6, first=6),
    Odd("variable rate.mp4", made.timed(HALF_AND_HALF), like=4),
    Odd("25 per second.mp4", made.timed(np.arange(36) / 25), like=4),
    Odd("240 per second.mp4", made.timed(np.arange(8 * LENGTH) / 240), like=3),
    Odd("starts late.ts", made.shifted(5, format="mpegts"), like=3),
    Odd("starts before zero.mp4", made.shifted(-0.2), like=6, first=6),
    Odd("time jump.mkv", made.shifted(np.repeat([0, 7200], LENGTH // 2)), like=3),
    Odd("slightly damaged.mp4", made.damaged(0.03, start=0.55), like=4),
    Odd("two recordings joined.ts", made.joined(".ts", made.coded(), made.coded()), like=3),
    Odd("size changes.h264", made.joined(".h264", made.coded(), made.squeezed(120, 120, "1/1")), like=6),
    Odd("duration lies.mp4", made.patched(b"mvhd", 20, b"\x7f\xff\xff\xff"), like=3),
    Odd("cover picture first.mp4", lambda path, p: encode(path, p, cover=np.zeros_like(p[0])), like=3),
    Odd("two films.mkv", made.two_films, like=4),
    Odd("frozen.mp4", lambda path, p: encode(path, [p[0]] * LENGTH)),
    Odd("wrong extension.txt", made.coded(format="mp4"), like=3),
    Odd("no extension", made.coded(format="mp4"), like=3),
    Odd("folder.mp4/inside.mp4", made.coded(), like=3),
    Odd("link.mp4", made.link("plain.mp4"), like=0.5),
    Odd("-i  'quotes' \"$(x)\" %03d\nline concat:a|b .mp4", made.link("plain.mp4"), like=0.5),
    Odd("ünï cødé 顔 😀.mp4", made.link("plain.mp4"), like=0.5),
    Odd("x" * 251 + ".mp4", made.link("plain.mp4"), like=0.5),
]  # fmt: skip

SET_ASIDE = [
    Odd("tiny.mp4", made.squeezed(16, 16, "1/1"), "no face"),
    Odd("black.mp4", lambda path, p: encode(path, [np.zeros_like(p[0])] * LENGTH), "no face"),
    Odd("no face.mp4", made.some(blank=slice(0, LENGTH)), "no face"),
    Odd("face for a part.mp4", made.some(blank=slice(0, 20)), "the longest face track has"),
    Odd("scene cut.mp4", made.scene_cut, "the longest face track has"),
    Odd("one frame.mp4", made.some(last=1), TOO_SHORT),
    Odd("short.mp4", made.some(last=20), "20 frames"),
    Odd("1 per second.mp4", made.timed(np.arange(40.0)), "1 frames/s"),
    Odd("picture.mp4", made.picture, "still picture"),
    Odd("moving.webp", made.coded("libwebp_anim", format="webp"), "picture"),
    Odd("sound.mp4", lambda path, _: made.sound(path), "no video stream"),
    Odd("sound with cover.mp4", lambda path, p: made.sound(path, p[0]), "cover picture"),
    Odd("cut without index.mp4", made.cut(".mp4"), "index of the MP4"),
    Odd("cut.mkv", made.cut(".mkv"), TOO_SHORT),
    Odd("cut.ts", made.cut(".ts"), TOO_SHORT),
    Odd("damaged.mp4", made.damaged(0.3), "could not be measured"),
    Odd("header alone.mkv", made.header_alone, "ends before its first picture"),
    Odd("header alone.mp4", made.header_alone, "no video stream"),
    Odd("unknown codec.mp4", made.patched(b"avc1", 0, b"zzzz"), "codec"),
    Odd("empty.mp4", made.content(b""), "empty"),
    Odd("zeros.mp4", made.content(bytes(9999)), "zeros"),
    Odd("noise.mp4", lambda path, _: path.write_bytes(np.random.default_rng(0).bytes(9999)), UNREADABLE),
    Odd("text.mp4", made.content(b"this is not a video\n" * 50), "text"),
    Odd("notes.txt", made.content("Grüße von der Aufnahme\n".encode() * 50), "text"),
    Odd("web page.mp4", made.content(b"<html><body>404 not found</body></html>"), "text"),
    Odd("playlist.mp4", made.content(b"#EXTM3U\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n"), "text"),
    Odd("dangling.mp4", made.link("nowhere.mp4"), "does not exist"),
    Odd("loop a.mp4", made.link("loop b.mp4"), "symbolic links"),
    Odd("loop b.mp4", made.link("loop a.mp4"), "symbolic links"),
    Odd("pipe.mp4", lambda path, _: os.mkfifo(path), "pipe"),
]  # fmt: skip

NOT_UTF8 = b"caf\xe9.mp4" if sys.platform.startswith("linux") else b""


def write(root: Path) -> list[Odd]:
    """Write real/ with all of them, and fake/ with one; folders that link back to themselves are there, too."""
    pictures = draw()
    real, fake = root / "real", root / "fake"
    fake.mkdir(parents=True)
    kinds = [*PREPARED, *SET_ASIDE]
    for odd in kinds:
        path = real / odd.name
        path.parent.mkdir(parents=True, exist_ok=True)
        odd.make(path, pictures)
    (fake / "a fake one.mp4").symlink_to(real / "plain.mp4")
    if NOT_UTF8:  # of an old disk, or another system
        os.symlink(b"plain.mp4", os.path.join(os.fsencode(real), NOT_UTF8))
    (real / "back").symlink_to(root)
    return kinds

"""Small files that ask for much, or lead elsewhere: each is make(path)."""

from __future__ import annotations

import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from odd.encoder import draw, encode


def grey(side: int, count: int) -> list[np.ndarray]:
    return [np.full((side, side, 3), 60 + 5 * (i % 30), np.uint8) for i in range(count)]


def gif(side: int):
    """One frame; its data end early, which a decoder fills up."""

    def make(path: Path) -> None:
        size = side.to_bytes(2, "little") * 2
        head = b"GIF89a" + size + b"\x80\0\0" + b"\0\0\0\xff\xff\xff"
        path.write_bytes(head + b",\0\0\0\0" + size + b"\0\x02\x02\x4c\x01\0;")

    return make


def growing(*parts: tuple[int, int], codec: str = "libx264"):
    """A bare stream, without a container that could say anything: (side, frames) one after another."""

    def make(path: Path) -> None:
        with open(path, "wb") as file:
            for side, count in parts:
                context = av.CodecContext.create(codec, "w")
                context.width = context.height = side
                context.pix_fmt, context.time_base, context.options = (
                    "yuv420p",
                    Fraction(1, 30),
                    {"preset": "ultrafast"},
                )
                for picture in grey(side, count):
                    for packet in context.encode(av.VideoFrame.from_ndarray(picture, "rgb24")):
                        file.write(bytes(packet))
                for packet in context.encode(None):
                    file.write(bytes(packet))

    return make


def apng(side: int):
    """Two frames of zeros, each `side` squared at 64 bits a pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    def make(path: Path) -> None:
        packer, packed = zlib.compressobj(9), b""
        for _ in range(side):
            packed += packer.compress(bytes(1 + 8 * side))
        packed += packer.flush()
        control = struct.pack(">IIIIIHHBB", 0, side, side, 0, 0, 1, 30, 0, 0)
        path.write_bytes(
            b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 16, 6, 0, 0, 0))
            + chunk(b"acTL", struct.pack(">II", 2, 0)) + chunk(b"fcTL", control) + chunk(b"IDAT", packed)
            + chunk(b"fcTL", struct.pack(">I", 1) + control[4:]) + chunk(b"fdAT", struct.pack(">I", 2) + packed)
            + chunk(b"IEND", b"")
        )  # fmt: skip

    return make


def patched(find: bytes, offset: int, data: bytes, last: bool = False, **changes):
    """A good video with some bytes after a mark changed."""

    def make(path: Path) -> None:
        encode(path, draw(20), **changes)
        whole = bytearray(path.read_bytes())
        place = (whole.rindex(find) if last else whole.index(find)) + offset
        whole[place : place + len(data)] = data
        path.write_bytes(whole)

    return make


def text(words: str):
    return lambda path: path.write_text(words)


def many(path: Path) -> None:
    """Four minutes of a 16 x 16 square, in 60 kB."""
    encode(path, grey(16, 1) * 7200, options={"preset": "ultrafast", "crf": "51"})


HUGE, MOST = b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"
BOMBS = {
    "wide.gif": gif(16_000),
    "widest.gif": gif(65_535),
    "grows.h264": growing((64, 20), (4096, 2)),
    "grows.hevc": growing((64, 20), (4096, 1), codec="libx265"),
    "deep.apng": apng(3000),
    "large.apng": apng(9000),
    "width lies.mp4": patched(b"avc1", 28, b"\xff\xff\xff\xff"),
    "width lies.mkv": patched(b"\xb0\x81\xa0", 2, b"\xff"),
    "length lies.mp4": patched(b"mvhd", 20, MOST),
    "time scale lies.mp4": patched(b"mdhd", 16, b"\0\0\0\1"),
    "no time scale.mp4": patched(b"mdhd", 16, b"\0\0\0\0"),
    "sample sizes lie.mp4": patched(b"stsz", 12, MOST),
    "sizes lie.mp4": patched(b"stsz", 8, MOST),
    "chunks lie.mp4": patched(b"stco", 8, HUGE),
    "times lie.mp4": patched(b"stts", 8, HUGE),
    "step lies.mp4": patched(b"stts", 16, MOST),
    "edits lie.mp4": patched(b"elst", 8, HUGE),
    "box lies.mp4": patched(b"moov", -4, HUGE),
    "chunk lies.avi": patched(b"movi", -8, HUGE, codec="mpeg4"),
    "frames lie.avi": patched(b"avih", 24, HUGE, codec="mpeg4"),
    "pace lies.avi": patched(b"avih", 8, b"\0\0\0\0", codec="mpeg4"),
    "tag lies.flv": patched(b"FLV", 14, b"\xff\xff\xff", codec="flv"),
    "packets lie.ts": patched(b"\x47", 1, b"\xff\xff", last=True, codec="mpeg2video", format="mpegts"),
    "playlist.m3u8": text("#EXTM3U\n#EXTINF:9,\nsecret.mp4\n#EXT-X-ENDLIST\n"),
    "playlist as.mp4": text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:secret.mp4\n#EXT-X-ENDLIST\n"),
    "concat.mp4": text("ffconcat version 1.0\nfile secret.mp4\n"),
    "dash.mpd": text('<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><AdaptationSet>'
                     "<Representation><BaseURL>secret.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>"),
    "session.sdp": text("v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n"
                        "a=rtpmap:96 H264/90000\n"),
    "subtitles.mp4": text("1\n00:00:00,000 --> 99:59:59,999\nx\n" * 2000),
    "many.mp4": many,
}  # fmt: skip
FEW = (
    "wide.gif",
    "width lies.mp4",
    "sample sizes lie.mp4",
    "step lies.mp4",
    "playlist as.mp4",
    "concat.mp4",
    "deep.apng",
)


def write(folder: Path, names) -> list[Path]:
    """The bombs, and a video beside them that those which lead elsewhere name."""
    encode(folder / "secret.mp4", draw(20))
    for name in names:
        BOMBS[name](folder / name)
    return [folder / name for name in names]

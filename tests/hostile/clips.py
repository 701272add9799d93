"""Drawn clips in twelve codecs and containers, made anew by every run."""

from __future__ import annotations

import tempfile
from pathlib import Path

from odd.encoder import draw, encode

LENGTH = 24  # frames
GROUPS = {"x264-params": "keyint=12:min-keyint=12:scenecut=0"}  # a damaged group leaves another
CODECS: dict[str, dict] = {
    "h264.mp4": dict(codec="libx264", options=GROUPS),
    "h264.mkv": dict(codec="libx264", options=GROUPS),
    "h264.mov": dict(codec="libx264", options=GROUPS),
    "hevc.mp4": dict(codec="libx265"),
    "vp8.webm": dict(codec="libvpx"),
    "vp9.webm": dict(codec="libvpx-vp9"),
    "av1.mp4": dict(codec="libsvtav1"),
    "mpeg4.avi": dict(codec="mpeg4"),
    "mjpeg.avi": dict(codec="mjpeg", pix_fmt="yuvj420p"),
    "moving.gif": dict(codec="gif", pix_fmt="rgb8"),
    "mpeg2.ts": dict(codec="mpeg2video", format="mpegts"),
    "flash.flv": dict(codec="flv"),
}


def encoded(names=tuple(CODECS), length: int = LENGTH) -> dict[str, bytes]:
    """The files of CODECS by name."""
    pictures = draw(length)
    made = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            path = Path(folder) / name
            times = [round(k / 25, 2) for k in range(length)] if name.endswith(".gif") else None
            encode(path, pictures, times=times, **CODECS[name])
            made[name] = path.read_bytes()
    return made

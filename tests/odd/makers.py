"""Makers of odd files: each is make(path, pictures), or returns one."""

import av
import cv2
import numpy as np
from av.stream import Disposition

from odd.encoder import LENGTH, RATE, SIDE, at, attach, draw, encode, encode_hdr, mux_cover, remux

GREY = 96


def turned(angle: int, mirror: bool = False):
    """Stored as a phone does: lying, with a display matrix that puts it upright."""

    def make(path, pictures):
        lying = [np.rot90(p[:, ::-1] if mirror else p, -angle // 90) for p in pictures]
        encode(path, lying, rotate=angle, mirror=mirror)

    return make


def coded(*arguments, **changes):
    return lambda path, pictures: encode(path, pictures, *arguments, **changes)


def squeezed(height: int, width: int, aspect: str):
    def make(path, pictures):
        encode(path, [cv2.resize(p, (width, height), interpolation=cv2.INTER_AREA) for p in pictures], aspect=aspect)

    return make


def placed(height: int, width: int, pix_fmt: str = "yuv420p", scale: float = 1.0):
    """The clip in the middle of a larger grey picture (or shrunk)."""

    def put(picture):
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        canvas = np.full((height, width, 3), GREY, np.uint8)
        top, left = (height - small.shape[0]) // 2, (width - small.shape[1]) // 2
        canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
        return canvas

    return lambda path, pictures: encode(path, [put(p) for p in pictures], pix_fmt=pix_fmt)


def timed(times, **changes):
    return lambda path, pictures: encode(path, at(pictures, times), times=list(times), **changes)


def shifted(seconds, **changes):
    """Time stamps that many seconds later than the content says."""
    times = np.arange(LENGTH) / RATE + seconds
    return lambda path, pictures: encode(path, pictures, times=list(times), **changes)


def hdr(trc: int):
    return lambda path, pictures: encode_hdr(path, pictures, trc)


def content(data: bytes):
    return lambda path, _: path.write_bytes(data)


def cut(suffix: str, share: float = 0.5, **changes):
    def make(path, pictures):
        whole = path.with_name(f".whole{suffix}")
        encode(whole, pictures, **changes)
        path.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
        whole.unlink()

    return make


def patched(find: bytes, offset: int, data: bytes, **changes):
    """A good MP4 with a few bytes of its header changed."""

    def make(path, pictures):
        encode(path, pictures, **changes)
        whole = bytearray(path.read_bytes())
        place = whole.rindex(find) + offset
        whole[place : place + len(data)] = data
        path.write_bytes(whole)

    return make


def damaged(share: float, start: float = 0.5):
    """Noise over a part of the file."""

    def make(path, pictures):
        # Not "medium": its bytes differ from run to run, and with them what the noise hits.
        encode(path, pictures, options={"preset": "superfast", "x264-params": "keyint=250:scenecut=0"})
        whole = bytearray(path.read_bytes())
        place, length = int(start * len(whole)), int(share * len(whole))
        noise = np.random.default_rng(0).integers(0, 256, length, dtype=np.uint8)
        whole[place : place + length] = noise.tobytes()
        path.write_bytes(whole)

    return make


def without_key_frame(path, pictures):
    whole = path.with_name(".whole.ts")
    encode(whole, pictures, options={"x264-params": "keyint=6:min-keyint=6:scenecut=0:bframes=0"})
    remux(whole, path, skip=2)
    whole.unlink()


def joined(suffix: str, *makers):
    """Streams one after another in one file: the size changes, or the clock starts again."""

    def make(path, pictures):
        half = LENGTH // 2
        path.write_bytes(b"")
        for number, maker in enumerate(makers):
            part = path.with_name(f".part{suffix}")
            maker(part, pictures[number * half : (number + 1) * half])
            path.write_bytes(path.read_bytes() + part.read_bytes())
            part.unlink()

    return make


def sound(path, cover=None):
    """Silence, and perhaps a cover picture."""
    with av.open(f"file:{path}", "w") as container:
        art = attach(container, cover) if cover is not None else None
        stream = container.add_stream("aac", rate=8000, layout="mono")
        if art:
            mux_cover(container, *art)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def two_films(path, pictures):
    """A black one, and the film that the file marks as the one to show."""
    with av.open(f"file:{path}", "w") as container:
        black = [np.zeros_like(pictures[0])] * len(pictures)
        streams = [container.add_stream("libx264", rate=RATE) for _ in range(2)]
        for stream in streams:
            stream.height, stream.width, stream.pix_fmt = SIDE, SIDE, "yuv420p"
        streams[0].disposition, streams[1].disposition = Disposition(0), Disposition.default
        for k, images in enumerate(zip(black, pictures, strict=True)):
            for stream, image in zip(streams, images, strict=True):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts = k
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))


def picture(path, pictures):
    path.write_bytes(cv2.imencode(".jpg", pictures[0][..., ::-1])[1].tobytes())


def header_alone(path, _):
    with av.open(f"file:{path}", "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = SIDE, SIDE, "yuv420p"
        container.start_encoding()


def some(first=0, last=LENGTH, blank=slice(0, 0)):
    """Frames first .. last - 1, with a grey wall instead of the face in `blank`."""

    def make(path, pictures):
        frames = list(pictures)
        frames[blank] = [np.full_like(pictures[0], GREY)] * len(frames[blank])
        encode(path, frames[first:last])

    return make


def scene_cut(path, pictures):
    other = [255 - np.roll(p[:, ::-1], 40, axis=1) for p in draw(LENGTH // 2, target=1)]
    encode(path, pictures[: LENGTH // 2] + other)


def link(target: str):
    return lambda path, _: path.symlink_to(target)

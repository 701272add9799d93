"""One drawn clip, encoded any way. Content is a function of time: at t s the picture is pictures[round(30 t)]."""

from fractions import Fraction

import av
import numpy as np

from data_prep.synthetic.scene import Scene

LENGTH, SIDE, RATE = 44, 160, 30
SEED = 3


def draw(length: int = LENGTH, target: int = 0) -> list[np.ndarray]:
    """A face that brightens by 3/4 of a grey level a frame, so that a crop's mean tells which frame it is."""
    scene = Scene(seed=SEED, style="a", target=target, frames=length, size=SIDE)
    return [
        np.clip(picture + 0.75 * (k - length / 2), 0, 255).round().astype(np.uint8)
        for k, picture in enumerate(scene.pictures())
    ]


def at(pictures: list[np.ndarray], times) -> list[np.ndarray]:
    return [pictures[min(round(time * RATE), len(pictures) - 1)] for time in times]


def encode(
    path,
    pictures,
    codec="libx264",
    pix_fmt="yuv420p",
    *,
    times=None,
    rate=RATE,
    format=None,
    options=None,
    tags=None,
    rotate=None,
    mirror=False,
    aspect=None,
    frames=None,
    container_options=None,
    disposition=None,
    cover=None,
) -> None:
    """Write a video without sound.

    Args:
      times: s, of each picture; by default at `rate`.
      tags: of the codec's context: color_range, colorspace, color_trc, color_primaries; range and matrix are obeyed.
      rotate, mirror: the display matrix, degrees counter-clockwise. aspect: width over height of a pixel.
      frames: ready-made av.VideoFrames instead of the pictures.
      cover: a picture to attach as a cover before the video.
    """
    tags = tags or {}
    with av.open(f"file:{path}", "w", format=format, options=container_options or {}) as container:
        art = attach(container, cover) if cover is not None else None
        stream = container.add_stream(codec, rate=rate, options=default_options(codec) | (options or {}))
        context = stream.codec_context
        context.height, context.width = pictures[0].shape[:2]
        stream.pix_fmt, context.thread_count = pix_fmt, 1
        clock = Fraction(1, rate) if times is None else Fraction(1, 1000)
        context.time_base = clock
        if aspect:
            context.sample_aspect_ratio = Fraction(aspect)
        if rotate is not None or mirror:
            stream.set_display_rotation(rotate or 0, hflip=mirror)
        for key, value in tags.items():
            setattr(context, key, value)
        if disposition is not None:
            stream.disposition = disposition
        if art:
            mux_cover(container, *art)
        for k, picture in enumerate(pictures):
            frame = frames[k] if frames else convert(picture, pix_fmt, tags)
            frame.pts, frame.time_base = (k if times is None else round(times[k] * 1000)), clock
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def convert(picture, pix_fmt, tags) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    wanted = {"dst_color_range": tags.get("color_range"), "dst_colorspace": tags.get("colorspace")}
    frame = frame.reformat(format=pix_fmt, **{k: v for k, v in wanted.items() if v})
    for key, value in tags.items():
        setattr(frame, key, value)
    return frame


def default_options(codec: str) -> dict:
    return {
        "libx264": {"preset": "ultrafast", "crf": "12"},
        "libx265": {"preset": "ultrafast", "crf": "12", "x265-params": "log-level=none:pools=none:frame-threads=1"},
        "libsvtav1": {"preset": "12", "crf": "20"},
        "libvpx": {"deadline": "realtime", "cpu-used": "8", "crf": "8", "b": "4M"},
        "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "12", "b": "4M"},
    }.get(codec, {"b": "6M"})


def attach(container, picture):
    """A stream of one PNG picture that the container marks as a cover."""
    encoder = av.CodecContext.create("png", "w")
    encoder.height, encoder.width = picture.shape[:2]
    encoder.pix_fmt, encoder.time_base = "rgb24", Fraction(1, 30)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    frame.pts = 0
    packets = encoder.encode(frame) + encoder.encode(None)
    stream = container.add_mux_stream("png", rate=30, width=picture.shape[1], height=picture.shape[0])
    stream.disposition = av.stream.Disposition.attached_pic
    return stream, packets[0]


def mux_cover(container, stream, packet) -> None:
    container.start_encoding()
    packet.stream, packet.pts, packet.dts = stream, 0, 0
    container.mux(packet)


def encode_hdr(path, pictures, trc: int) -> None:
    """HEVC, 10 bits, BT.2020, PQ (16) or HLG (18), of pictures whose white is at 203 cd/m2."""
    frames = [hdr_frame(picture, trc) for picture in pictures]
    tags = {"color_range": 1, "colorspace": 9, "color_trc": trc, "color_primaries": 9}
    encode(path, pictures, "libx265", "yuv420p10le", frames=frames, tags=tags)


def hdr_frame(picture, trc: int) -> av.VideoFrame:
    to_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])  # BT.2087
    light = 203.0 * ((picture / 255.0) ** 2.4 @ to_2020.T)  # cd/m2
    if trc == 16:
        power = (light / 1e4) ** 0.1593017578125
        code = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    else:
        luminance = np.maximum(light @ [0.2627, 0.6780, 0.0593], 1e-6)[..., None]
        scene = light / 1000 * (luminance / 1000) ** (0.2 / 1.2 * -1)
        bright = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
        code = np.where(scene <= 1 / 12, np.sqrt(3 * scene), bright)
    deep = av.VideoFrame.from_ndarray((code * 65535).clip(0, 65535).round().astype(np.uint16), format="rgb48le")
    frame = deep.reformat(format="yuv420p10le", dst_color_range=1, dst_colorspace=9)
    frame.color_trc, frame.color_primaries = trc, 9
    return frame


def remux(source, path, *, skip=0, format=None) -> None:
    """The packets of a file in another container, without the first `skip` of them."""
    with av.open(f"file:{source}") as old, av.open(f"file:{path}", "w", format=format) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(old.demux(old.streams.video[0])):
            if number >= skip and packet.dts is not None:
                packet.stream = stream
                new.mux(packet)

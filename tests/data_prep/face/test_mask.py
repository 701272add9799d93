"""The manipulated face is the one under the mask."""

import av
import numpy as np
import pytest

from data_prep.face import mask
from data_prep.face.tracks import Track


def track(centre, side, frames=40, start=0) -> Track:
    return Track(
        start, np.tile(np.array(centre, float), (frames, 1)), np.full((frames, 2), float(side)), np.zeros(frames),
        np.ones(frames, bool), 0.99,
    )  # fmt: skip


@pytest.fixture
def painted(tmp_path):
    """A mask video, bright in a box (x0, y0, x1, y1), or black."""

    def paint(name, box=None, frames=40):
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=30)
            stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
            for _ in range(frames):
                picture = np.zeros((96, 160, 3), np.uint8)
                if box:
                    picture[box[1] : box[3], box[0] : box[2]] = 255
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode(None))
        return str(path)

    return paint


LARGE, SMALL = track((40, 48), 60), track((120, 48), 30)


def test_the_mask_chooses_the_smaller_face(painted):
    assert mask.manipulated([LARGE, SMALL], [painted("m.mp4", (108, 36, 132, 60))]) is SMALL
    shares = mask.covered([LARGE, SMALL], painted("m.mp4", (108, 36, 132, 60)))
    assert shares[0] == 0 and shares[1] > 0.95


def test_a_face_that_is_there_half_of_the_time_holds_half_of_the_mask(painted):
    late = track((120, 48), 30, frames=20, start=20)  # key frames 0, 15 and 30: it is seen in the last
    assert mask.covered([late], painted("m.mp4", (108, 36, 132, 60)))[0] == pytest.approx(1 / 3, abs=0.02)


def test_black_and_broken_masks_tell_nothing_and_the_next_is_asked(painted, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    black = painted("black.mp4")
    assert mask.manipulated([LARGE, SMALL], [black, str(broken)]) is None
    assert mask.manipulated([LARGE, SMALL], []) is None
    assert mask.manipulated([LARGE, SMALL], [black, str(broken), painted("m.mp4", (20, 28, 60, 68))]) is LARGE


def test_a_mask_outside_of_every_face_tells_nothing(painted):
    assert mask.manipulated([LARGE, SMALL], [painted("m.mp4", (74, 0, 100, 20))]) is None

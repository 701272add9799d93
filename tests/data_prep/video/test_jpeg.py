import numpy as np
import pytest

from data_prep.video import jpeg


def frames() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.kron(rng.integers(40, 215, (3, 8, 6, 3)), np.ones((1, 8, 8, 1))).astype(np.uint8)


def test_frames_come_back_nearly_the_same_in_their_colours():
    files = jpeg.encode(frames())
    assert len(files) == 3 and all(file.startswith(b"\xff\xd8") for file in files)
    decoded = np.stack([jpeg.decode(file) for file in files])
    assert decoded.shape == frames().shape and decoded.dtype == np.uint8
    assert np.abs(decoded.astype(int) - frames()).mean() < 2


def test_chroma_keeps_its_full_resolution():
    """Red and blue columns of one pixel, of about the same brightness: halved chroma would make them one purple."""
    stripes = np.zeros((16, 16, 3), np.uint8)
    stripes[:, ::2], stripes[:, 1::2] = (90, 0, 0), (0, 0, 230)
    (file,) = jpeg.encode(stripes[None])
    decoded = jpeg.decode(file).astype(int)
    assert (decoded[:, ::2, 0] > decoded[:, 1::2, 0] + 50).all()


def test_what_is_no_image_is_an_error():
    with pytest.raises(ValueError, match="not an image"):
        jpeg.decode(b"no image")

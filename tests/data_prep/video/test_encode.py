import os

import numpy as np
import pytest
from drawn import decode

from cpml_jax.conditions import constant_rate_factor
from cpml_jax.schema import compression_rank
from data_prep.video.encode import encode


def test_a_compression_is_named_after_its_constant_rate_factor():
    factors = {name: constant_rate_factor(name) for name in ("raw", "c0", "c31", "c51")}
    assert factors == {"raw": 1, "c0": 0, "c31": 31, "c51": 51}
    assert all(constant_rate_factor(name) is None for name in ("c52", "c023", "c", "c-1", "c²", "31", "unknown", ""))
    best_first = ["raw", "c0", "c9", "c23", "c31", "c40", "unknown"]
    assert sorted(reversed(best_first), key=compression_rank) == best_first


def test_a_file_has_its_name_only_once_it_is_complete(tmp_path):
    pictures = [np.full((64, 64, 3), 10 * k, np.uint8) for k in range(6)]
    paths = {name: str(tmp_path / name / "video.mp4") for name in ("raw", "c40")}

    videos = [[picture] for picture in pictures]

    def interrupted():
        yield from videos
        assert not any(os.path.exists(path) for path in paths.values())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode([paths], interrupted(), 64, 30)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    encode([paths], videos, 64, 30)
    for path in paths.values():
        np.testing.assert_allclose(decode(path).mean((1, 2, 3)), np.arange(0, 60, 10), atol=2)


def test_a_higher_rate_factor_makes_a_smaller_file(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 255, (6, 64, 64, 3), dtype=np.uint8)
    paths = {name: str(tmp_path / f"{name}.mp4") for name in ("raw", "c23", "c40")}
    encode([paths], [[picture] for picture in pictures], 64, 30)
    raw, c23, c40 = (os.path.getsize(path) for path in paths.values())
    assert raw > c23 > c40


def test_an_upload_costs_detail_and_no_frame(tmp_path):
    rng = np.random.default_rng(0)
    still = rng.integers(60, 190, (64, 64, 3))
    pictures = [(still + rng.normal(0, 4, still.shape) + k).clip(0, 255).astype(np.uint8) for k in range(8)]
    shown = {}
    for upload in (None, 15, 28):
        path = str(tmp_path / f"{upload}.mp4")
        encode([{"raw": path}, {"raw": f"{path}2.mp4"}], [[one, one] for one in pictures], 64, 30, upload)
        assert np.array_equal(decode(path), decode(f"{path}2.mp4"))
        shown[upload] = decode(path).astype(float)
    error = {upload: np.abs(video - shown[None]).mean() for upload, video in shown.items()}
    assert all(len(video) == 8 for video in shown.values()) and 0 < error[15] < error[28]

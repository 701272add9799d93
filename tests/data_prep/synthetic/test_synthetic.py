"""The drawn-face benchmark: it can be found, measured, forged, resumed, repeated, and not won by a shortcut."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest

from cpml_jax.errors import UserError
from cpml_jax.schema import compression_rank
from data_prep.synthetic.encode import constant_rate_factor
from data_prep.synthetic.forgery import METHODS
from data_prep.synthetic.generate import generate
from data_prep.synthetic.identity import Expression, draw_identity, landmarks
from data_prep.synthetic.pulse import heart_rates, wave
from data_prep.synthetic.pulse_table import pulse_table
from data_prep.synthetic.scene import Scene
from data_prep.synthetic.shortcut import shortcut_auc

REPOSITORY = Path(__file__).resolve().parents[3]
SMALL = dict(
    style="a",
    identities={"test": 2},
    frames=12,
    size=96,
    compressions={"test": ("raw", "c23")},
    methods=METHODS,
    seed=3,
    workers=1,
    progress=False,
)


def decode(path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def contents(root) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(root).rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    root = tmp_path_factory.mktemp("small")
    generate(str(root), **SMALL)
    return root


@pytest.fixture(scope="module", params=["a", "b"])
def faces(request, tmp_path_factory):
    root = tmp_path_factory.mktemp(f"faces_{request.param}")
    generate(str(root), **SMALL | dict(style=request.param, size=160, compressions={"test": ("raw", "c40")}))
    return root


def test_layout_is_that_of_faceforensics(small):
    assert json.loads((small / "test.json").read_text()) == [["000", "001"]]
    for compression in ("raw", "c23"):
        for folder, names in [("original_sequences/youtube", ("000", "001"))] + [
            (f"manipulated_sequences/{method}", ("000_001", "001_000")) for method in METHODS
        ]:
            for name in names:
                assert decode(small / folder / compression / "videos" / f"{name}.mp4").shape == (12, 96, 96, 3)
                truth = np.load(small / "truth" / folder / f"{name}.npz")
                assert truth["box"].shape == (12, 4) and truth["landmarks"].shape == (12, 68, 2)
                assert truth["pulse"].shape == truth["heart_rate"].shape == (12,)
                np.testing.assert_allclose(truth["times_s"], np.arange(12) / 30, atol=1e-6)
    assert not list(small.rglob("*.part"))


def test_truth_of_a_fake_has_a_pulse_only_where_one_is_left(small):
    load = lambda name: np.load(small / "truth" / name)  # noqa: E731
    real = load("original_sequences/youtube/000.npz")
    assert np.isnan(load("manipulated_sequences/FaceSwap/000_001.npz")["pulse"]).all()
    for method in ("Face2Face", "NeuralTextures"):
        np.testing.assert_array_equal(load(f"manipulated_sequences/{method}/000_001.npz")["pulse"], real["pulse"])


def test_mtcnn_finds_every_face_and_dlib_its_landmarks(faces):
    import importlib.util

    import dlib
    import torch
    from facenet_pytorch import MTCNN

    torch.set_num_threads(1)
    folder = importlib.util.find_spec("face_recognition_models").submodule_search_locations[0]
    predictor = dlib.shape_predictor(os.path.join(folder, "models", "shape_predictor_68_face_landmarks.dat"))
    detector = MTCNN(keep_all=True)
    for path in sorted(faces.rglob("raw/videos/*.mp4")):
        pictures = decode(path)
        truth = np.load(faces / "truth" / path.parts[-5] / path.parts[-4] / f"{path.stem}.npz")
        for number in (1, 8):
            boxes, probabilities = detector.detect(pictures[number])
            assert len(boxes) == 1 and probabilities[0] > 0.95, path
            shape = predictor(pictures[number], dlib.rectangle(*(int(round(float(v))) for v in boxes[0])))
            found = np.array([[shape.part(i).x, shape.part(i).y] for i in range(68)])
            assert np.abs(found - truth["landmarks"][number]).mean() < 5.0, path


def test_fakes_are_frame_aligned_with_their_target(faces):
    real = decode(faces / "original_sequences/youtube/raw/videos/000.mp4").astype(float)
    known = np.load(faces / "truth/original_sequences/youtube/000.npz")
    x0, y0, x1, y1 = known["box"][0].astype(int)
    outside = np.ones(real.shape[1:3], bool)
    outside[y0 - 4 : y1 + 4, x0 - 4 : x1 + 4] = False
    for method in METHODS:
        fake = decode(faces / f"manipulated_sequences/{method}/raw/videos/000_001.mp4").astype(float)
        truth = np.load(faces / f"truth/manipulated_sequences/{method}/000_001.npz")
        np.testing.assert_allclose(truth["landmarks"][:, :17], known["landmarks"][:, :17], atol=1e-4)  # the jaw
        apart = np.abs(fake - real)
        assert apart[:, outside].mean() < 4.0, method  # two draws of the sensor noise
        centre = slice(y0 + (y1 - y0) // 3, y1), slice(x0, x1)
        assert np.abs((fake - real).mean(0))[centre].max() > 8.0, method  # and yet another face


def test_compression_takes_the_pulse(tmp_path):
    generate(
        str(tmp_path),
        style="a",
        identities={"test": 6},
        frames=128,
        size=160,
        methods=(),
        seed=5,
        workers=2,
        compressions={"test": ("raw", "c23", "c31", "c40")},
        progress=False,
    )
    row = pulse_table(str(tmp_path))["original_sequences/youtube"]
    assert row["raw"][0] > 0.7
    assert row["raw"][0] > row["c23"][0] > row["c31"][0] > row["c40"][0] + 0.1
    assert list(row) == ["raw", "c23", "c31", "c40"]


def test_shake_scales_how_the_forged_face_moves_and_nothing_else():
    for method in METHODS:
        common = dict(seed=3, style="a", target=0, source=1, method=method, frames=12, size=96)
        whole, still, third = (Scene(**common, shake=shake)._forgery for shake in (1.0, 0.0, 0.3))
        assert whole.jitter.std() > 0.1 and whole.flicker.std() > 0.001
        assert not still.jitter.any() and (still.flicker == 1).all()
        np.testing.assert_allclose(third.jitter, 0.3 * whole.jitter)
        np.testing.assert_allclose(third.flicker - 1, 0.3 * (whole.flicker - 1), atol=1e-12)
        for plan in (still, third):
            np.testing.assert_array_equal(plan.pulse, whole.pulse)
            np.testing.assert_array_equal(plan.mask, whole.mask)
            assert plan.expressions == whole.expressions


def test_a_quality_is_named_after_its_constant_rate_factor():
    factors = {name: constant_rate_factor(name) for name in ("raw", "c0", "c31", "c51")}
    assert factors == {"raw": 1, "c0": 0, "c31": 31, "c51": 51}
    assert all(constant_rate_factor(name) is None for name in ("c52", "c023", "c", "c-1", "c²", "31", "unknown", ""))
    best_first = ["raw", "c0", "c9", "c23", "c31", "c40", "unknown"]
    assert sorted(reversed(best_first), key=compression_rank) == best_first


@pytest.mark.parametrize("style", ["a", "b"])
def test_no_shortcut(style, tmp_path):
    generate(
        str(tmp_path),
        style=style,
        identities={"test": 20},
        frames=16,
        size=160,
        methods=METHODS,
        seed=11,
        workers=2,
        compressions={"test": ("c23",)},
        progress=False,
    )
    assert shortcut_auc(str(tmp_path), "c23")["all"] < 0.70


def test_a_missing_file_is_made_again_and_nothing_else(small):
    before = contents(small)
    victim = small / "manipulated_sequences/Face2Face/c23/videos/001_000.mp4"
    victim.unlink()
    times = {path: path.stat().st_mtime_ns for path in small.rglob("*.mp4")}
    generate(str(small), **SMALL)
    assert contents(small) == before
    assert all(path.stat().st_mtime_ns == moment for path, moment in times.items())


def test_the_same_bytes_whatever_the_workers(small, tmp_path):
    generate(str(tmp_path), **SMALL | dict(workers=2))
    assert contents(tmp_path) == contents(small)


def test_killed_and_started_again(small, tmp_path):
    code = f"from data_prep.synthetic.generate import generate; generate({str(tmp_path)!r}, **{SMALL!r})"
    child = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY)
    while child.poll() is None and len(list(tmp_path.rglob("*.mp4"))) < 4:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    generate(str(tmp_path), **SMALL)
    assert contents(tmp_path) == contents(small)


def test_other_parameters_are_refused(small):
    with pytest.raises(UserError, match="other parameters.*seed"):
        generate(str(small), **SMALL | dict(seed=4))


@pytest.mark.parametrize(
    "change",
    [
        dict(style="c"),
        dict(identities={"test": 3}),
        dict(methods=("Nonsense",)),
        dict(compressions={"test": ("c99",)}),
        dict(shake=-0.1),
        dict(shake=float("nan")),
        dict(compressions={}),
        dict(frames=1),
        dict(size=95),
    ],
)
def test_parameters_that_cannot_be_are_refused(change, tmp_path):
    with pytest.raises(UserError):
        generate(str(tmp_path / "new"), **SMALL | change)
    assert not (tmp_path / "new").exists()


def test_heart_rate_stays_physiological_and_the_wave_follows_it():
    times = np.arange(1800) / 30
    for seed, mean in ((0, 58), (1, 80), (2, 106)):
        rng = np.random.default_rng(seed)
        rates = heart_rates(rng, mean, times)
        assert rates.min() >= 55 and rates.max() <= 110 and rates.std() > 0.5
        spectrum = np.abs(np.fft.rfft(wave(rng, rates, times) * np.hanning(1800)))
        assert abs(np.fft.rfftfreq(1800, 1 / 30)[spectrum.argmax()] * 60 - rates.mean()) < 4


def test_landmarks_lie_inside_the_picture_in_their_order():
    for number in range(20):
        points = landmarks(draw_identity(0, "a", number), Expression(mouth=0.5))
        assert points.shape == (68, 2) and points.min() > 0 and points.max() < 1
        assert points[0, 0] < points[16, 0] and points[8, 1] == points[:, 1].max()
        assert points[36, 0] < points[39, 0] < points[42, 0] < points[45, 0]
        assert points[62, 1] < points[66, 1]  # the open mouth

"""One video and its truth: real detectors find the face where the truth has it."""

import os

import numpy as np
import pytest
from drawn import decode

from data_prep.synthetic import motion
from data_prep.synthetic.camera import sight
from data_prep.synthetic.forgery import METHODS
from data_prep.synthetic.identity import bend_weights, landmarks
from data_prep.synthetic.scene import Scene, film

COMMON = dict(seed=3, style="a", target=0, frames=6, size=96)


def test_videos_filmed_together_are_those_filmed_alone():
    scenes = [Scene(**COMMON), Scene(**COMMON, method="Deepfakes", source=1)]
    together = list(film(scenes))
    for index, scene in enumerate(scenes):
        np.testing.assert_array_equal([pictures[index] for pictures in together], list(scene.pictures()))
    real, fake = np.array(together[0]).astype(int)
    assert np.abs(fake - real).max() > 10
    np.testing.assert_array_equal(fake[:12], real[:12])  # the forger has not touched the room: noise and all
    with pytest.raises(ValueError, match="one target"):
        next(film([scenes[0], Scene(**COMMON | dict(target=1))]))


@pytest.mark.parametrize("number", range(4))
def test_the_picture_shows_each_landmark_where_the_truth_has_it(number):
    """A place of the picture looks at the place of the canvas that the landmark has on the still face."""
    scene = Scene(**COMMON | dict(target=number, frames=60))
    target, portrait, truth = scene._target, scene._portrait, scene.truth()["landmarks"]
    canvas = len(portrait.base)
    for frame in range(0, 60, 12):
        pose, move = target.poses[frame], target.moves[frame]
        weights = (canvas * bend_weights(pose[5:], move)).astype(np.float32)
        seen = sight(motion.pose_matrix(pose, canvas, 96), portrait.fields, weights, canvas, 96)
        x, y = np.clip(np.round(truth[frame]).astype(int), 0, 95).T
        offset = (truth[frame] - np.stack([x, y], -1)) * canvas / 96  # the nearest pixel is not quite the landmark
        still = landmarks(target.face, move) * canvas - 0.5
        assert np.abs(seen[y, x] + offset - still).max() < 1.0  # canvas pixels, of which two make a pixel


def test_truth_of_a_fake_has_a_pulse_only_where_one_is_left(small):
    load = lambda name: np.load(small / "truth" / name)  # noqa: E731
    real, other = (load(f"original_sequences/youtube/{name}.npz")["pulse"] for name in ("000", "001"))
    for method in METHODS:
        wave = load(f"manipulated_sequences/{method}/000_001.npz")["pulse"]
        known = [other] if method == "Deepfakes" else [real]
        assert np.isnan(wave).all() or any(np.array_equal(wave, one) for one in known), method


def test_mtcnn_finds_every_face_and_dlib_its_landmarks(faces):
    import importlib.util

    import dlib

    from data_prep.face.mtcnn import networks, search

    folder = importlib.util.find_spec("face_recognition_models").submodule_search_locations[0]
    predictor = dlib.shape_predictor(os.path.join(folder, "models", "shape_predictor_68_face_landmarks.dat"))
    loaded = networks.load()
    for path in sorted(faces.rglob("raw/videos/*.mp4")):
        pictures = decode(path)
        truth = np.load(faces / "truth" / path.parts[-5] / path.parts[-4] / f"{path.stem}.npz")
        for number in (1, 8):
            (found,) = search.find([pictures[number]], loaded, 20, (0.6, 0.7, 0.7))
            boxes = found.boxes
            assert len(boxes) == 1 and found.probabilities[0] > 0.95, path
            shape = predictor(pictures[number], dlib.rectangle(*(int(round(float(v))) for v in boxes[0])))
            fitted = np.array([[shape.part(i).x, shape.part(i).y] for i in range(68)])
            assert np.abs(fitted - truth["landmarks"][number]).mean() < 5.0, path


def test_fakes_are_frame_aligned_with_their_target(faces):
    real = decode(faces / "original_sequences/youtube/raw/videos/000.mp4").astype(float)
    known = np.load(faces / "truth/original_sequences/youtube/000.npz")
    x0, y0, x1, y1 = known["box"][0].astype(int)
    outside = np.ones(real.shape[1:3], bool)
    outside[y0 - 4 : y1 + 4, x0 - 4 : x1 + 4] = False
    for method in METHODS:
        fake = decode(faces / f"manipulated_sequences/{method}/raw/videos/000_001.mp4").astype(float)
        truth = np.load(faces / f"truth/manipulated_sequences/{method}/000_001.npz")
        moved = np.abs(truth["landmarks"] - known["landmarks"]).max((0, 2))
        assert moved[:3].max() < 1e-4 and moved[14:17].max() < 1e-4, method  # the outline is the target's,
        assert (moved[6:11].max() < 1e-4) == (method != "Face2Face"), method  # but for a chin that glides
        apart = np.abs(fake - real)
        assert apart[:, outside].mean() < 1.0, method  # the encoder's differences alone
        centre = slice(y0 + (y1 - y0) // 3, y1), slice(x0, x1)
        assert apart.mean(0)[centre].max() > 8.0, method  # and yet not the same

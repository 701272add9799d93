"""One video and its truth: real detectors find the face where the truth has it."""

import os

import numpy as np
from drawn import decode

from data_prep.synthetic.forgery import METHODS


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
        np.testing.assert_allclose(truth["landmarks"][:, :17], known["landmarks"][:, :17], atol=1e-4)  # the jaw
        apart = np.abs(fake - real)
        assert apart[:, outside].mean() < 4.0, method  # two draws of the sensor noise
        centre = slice(y0 + (y1 - y0) // 3, y1), slice(x0, x1)
        assert np.abs((fake - real).mean(0))[centre].max() > 8.0, method  # and yet another face

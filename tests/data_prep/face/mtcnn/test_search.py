"""MTCNN without torch: facenet-pytorch's faces, on the frames of tests/mtcnn_frames.py and, where torch is, live."""

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import cv2
import mtcnn_frames
import numpy as np
import pytest

from cpml_jax.errors import UserError
from cpml_jax.pretrained import mtcnn as weights
from data_prep.face import detector
from data_prep.face.mtcnn import networks, search

ROOT = Path(__file__).resolve().parents[4]
GOLDEN = np.load(Path(__file__).resolve().parents[3] / "goldens/mtcnn.npz")
DRAWN = [cv2.imdecode(GOLDEN[f"drawn_{number}_png"], cv2.IMREAD_COLOR_RGB) for number in range(4)]
THRESHOLDS = {"easy": mtcnn_frames.EASY, "product": mtcnn_frames.PRODUCT}
PIXEL = 0.01


@pytest.fixture(scope="module")
def loaded():
    return networks.load()


def found(frames, loaded, thresholds) -> list[np.ndarray]:
    faces = search.find(frames, loaded, mtcnn_frames.SMALLEST, thresholds)
    return [mtcnn_frames.flat(one.boxes, one.probabilities, one.points) for one in faces]


def same(ours, theirs):
    """Boxes and points within PIXEL, probabilities within 1e-4; as many faces, in the same order."""
    for one, other in zip(ours, theirs, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(np.delete(one, 4, 1), np.delete(other, 4, 1), atol=PIXEL, rtol=0)
        np.testing.assert_allclose(one[:, 4], other[:, 4], atol=1e-4)


@pytest.mark.parametrize("name", THRESHOLDS)
def test_faces_of_drawn_frames_are_those_that_were_recorded(loaded, name):
    theirs = [GOLDEN[f"drawn_{number}_{name}"] for number in range(4)]
    assert [len(one) for one in theirs] == [2, 1, 1, 0]
    same(found(DRAWN, loaded, THRESHOLDS[name]), theirs)
    for frame, one in zip(DRAWN, theirs, strict=True):  # a batch is its frames
        same(found([frame], loaded, THRESHOLDS[name]), [one])


@pytest.mark.skipif(not mtcnn_frames.REAL.is_dir(), reason="real videos, which are no part of the repository")
@pytest.mark.parametrize("name", THRESHOLDS)
def test_faces_of_real_frames_are_those_that_were_recorded(loaded, name):
    for video, frames in mtcnn_frames.real().items():
        same(found(frames, loaded, THRESHOLDS[name]), [GOLDEN[f"{video}_{n}_{name}"] for n in range(len(frames))])


@pytest.mark.torch
@pytest.mark.parametrize("name", THRESHOLDS)
def test_faces_are_facenet_pytorchs(loaded, name):
    """Of other frames too, with noise that makes all three networks see much that is no face."""
    import torch
    from facenet_pytorch import MTCNN

    torch.set_num_threads(1)
    model = MTCNN(keep_all=True, min_face_size=mtcnn_frames.SMALLEST, thresholds=list(THRESHOLDS[name]), device="cpu")
    rng = np.random.default_rng(1)
    noisy = [np.clip(frame + rng.normal(0, 20, frame.shape), 0, 255).astype(np.uint8) for frame in DRAWN]
    for frames in (DRAWN, noisy, *mtcnn_frames.real().values()):
        theirs = [mtcnn_frames.flat(*one) for one in zip(*model.detect(np.stack(frames), landmarks=True), strict=True)]
        same(found(frames, loaded, THRESHOLDS[name]), theirs)


@pytest.mark.parametrize("size", [(20, 20), (20, 300), (97, 21)])
def test_frames_without_a_face_and_frames_of_any_size(loaded, size):
    """Candidates that lie partly outside, that one network takes and the next does not, or none at all."""
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (*size, 3), dtype=np.uint8), np.full((*size, 3), 255, np.uint8)]
    for thresholds in ((0.05, 0.0, 0.0), (0.05, 0.05, 0.99), (0.999999, 0.9, 0.9)):
        faces = search.find(noise, loaded, 20, thresholds)
        assert len(faces) == 2
        for one in faces:
            assert one.boxes.shape == (len(one.points), 4) and one.points.shape[1:] == (5, 2)
            assert (
                np.isfinite(one.boxes).all() and (np.diff(np.prod(one.boxes[:, 2:] - one.boxes[:, :2], 1)) <= 0).all()
            )


def test_the_pyramid_ends_where_the_smallest_side_does():
    factors = search.scales(240, 320, 24)
    assert factors[0] == 0.5 and np.allclose(np.diff(np.log(factors)), np.log(search.FACTOR))
    assert 240 * factors[-1] >= search.CELL > 240 * factors[-1] * search.FACTOR
    assert search.scales(10, 300, 20) == []


def in_child(frames, queue):
    queue.put([len(faces) for faces in detector.shared_detector()(frames)])


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_a_process_that_is_forked_after_the_networks_are_loaded_finds_faces(method):
    """As preparation's do, whichever process forks: a pool of threads would be lost, and the child wait for ever."""
    here = [len(faces) for faces in detector.shared_detector()(DRAWN)]
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=in_child, args=(DRAWN, queue))
    child.start()
    assert queue.get(timeout=120) == here and sum(here) >= 3
    child.join()


def test_a_device_that_onnxruntime_lacks_is_one_line(monkeypatch):
    monkeypatch.setattr(networks.onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(UserError, match="data.detector_device=cuda: .*onnxruntime-gpu") as told:
        detector.Mtcnn("cuda").load()
    assert "\n" not in str(told.value)


def test_missing_and_wrong_weights_are_one_line(monkeypatch, tmp_path):
    def absent(name):
        raise weights.importlib.metadata.PackageNotFoundError(name)

    wrong = weights.locate("rnet")
    monkeypatch.setattr(weights, "locate", lambda _: wrong)
    with pytest.raises(UserError, match=r"rnet\.pt: not MTCNN's pnet: conv1\.bias") as told:
        weights.load("pnet")
    assert "\n" not in str(told.value)
    monkeypatch.undo()
    monkeypatch.setattr(weights.importlib.metadata, "files", absent)
    with pytest.raises(UserError, match="'facenet-pytorch'.*pip install --no-deps facenet-pytorch"):
        weights.load("pnet")
    monkeypatch.setattr(weights.importlib.metadata, "files", lambda _: [])
    with pytest.raises(UserError, match="lacks its pnet.pt"):
        weights.load("pnet")


def test_no_torch_is_imported(tmp_path):
    import subprocess
    import sys

    code = (
        "import sys, numpy as np; from data_prep.face.detector import shared_detector;"
        "shared_detector()([np.zeros((64, 64, 3), np.uint8)]); print([m for m in ('torch', 'jax') if m in sys.modules])"
    )
    root = Path(__file__).resolve().parents[4]
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    assert done.stdout.strip() == "[]"


def test_nothing_is_told_to_onnxruntimes_makers(tmp_path):
    """It would queue its reports, and keep an identity of the machine, in the user's cache folder."""
    code = "from data_prep.face.detector import shared_detector; import onnxruntime, os; shared_detector().load()"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, check=True, timeout=300)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]

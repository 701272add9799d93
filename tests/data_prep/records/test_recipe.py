"""The detector and all that measures are part of what records are: another one is noticed, wherever it could mix."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from odd.encoder import draw, encode

from cpml_jax.data.records import RecordSet
from cpml_jax.errors import UserError
from data_prep import prepare as preparation
from data_prep.face import agreement, detector, landmarks
from data_prep.face.detector import Detection
from data_prep.prepare import Sampling, Source
from data_prep.records import beam, process, recipe

ROOT = Path(__file__).resolve().parents[3]
CLIP = 16


class Middle:
    """A detector that takes the middle of every frame for a face; its points are roughly on a drawn one."""

    identity = {"name": "middle", "version": 1}

    def __init__(self, device: str = "cpu") -> None:
        pass

    def __call__(self, frames: list[np.ndarray]) -> list[list[Detection]]:
        height, width = frames[0].shape[:2]
        box = np.array([width, height, 3 * width, 3 * height]) / 4
        places = np.array([[0.37, 0.46], [0.59, 0.46], [0.49, 0.60], [0.39, 0.72], [0.57, 0.72]])
        return [[Detection(box, places * [width, height], 1.0)] for _ in frames]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    (root / "real").mkdir()
    encode(root / "real/a.mp4", draw(CLIP))
    return root


@pytest.fixture
def other_detector(monkeypatch):
    monkeypatch.setattr(detector, "shared_detector", Middle)


def prepare(root, records) -> dict:
    return preparation.prepare(Source("faces", "folder", root), Sampling(CLIP, 1), records, workers=1, progress=False)


def test_records_of_earlier_releases_are_refused_by_their_version():
    made = {"kind": "folder"}
    assert recipe.difference(made, recipe.complete(made)) == ("version", 1, recipe.VERSION)
    assert recipe.difference({"kind": "crop_tree"}, recipe.complete({"kind": "crop_tree"})) == ("version", 1, 2)


def test_another_detector_is_used_named_and_never_mixed(videos, tmp_path, monkeypatch):
    monkeypatch.setattr(agreement, "FARTHEST", 9.0)  # this detector's points are only roughly on the face
    before = prepare(videos, tmp_path / "before")
    monkeypatch.setattr(detector, "shared_detector", Middle)
    with pytest.raises(UserError, match=r"with detector.name='mtcnn', now it is 'middle'; delete that folder"):
        prepare(videos, tmp_path / "before")
    after = prepare(videos, tmp_path / "after")
    assert after["parameters"]["detector"] == Middle.identity and before["sha256"] != after["sha256"]
    boxes = [RecordSet(tmp_path / name / "faces") for name in ("before", "after")]
    assert not np.array_equal(*(record_set.read(record_set.rows[0])["box"] for record_set in boxes))
    assert prepare(videos, tmp_path / "after") == after
    monkeypatch.setattr(Middle, "identity", Middle.identity | {"version": 2})
    with pytest.raises(UserError, match=r"detector.version=1, now it is 2"):
        prepare(videos, tmp_path / "after")


def test_work_in_progress_is_not_continued_with_another_detector(videos, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(preparation, "pack", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            prepare(videos, tmp_path)
    monkeypatch.setattr(detector, "shared_detector", Middle)
    with pytest.raises(UserError, match="detector.name='mtcnn', now it is 'middle'"):
        prepare(videos, tmp_path)


def test_a_worker_with_another_recipe_is_refused(videos, tmp_path, other_detector):
    listed = Source("faces", "folder", videos).list_videos()
    file = tmp_path / f"{process.group_key(listed)}.npz"
    group = beam.Group(
        "faces",
        listed,
        str(file),
        Sampling(CLIP, 1),
        recipe.current(ready_made=False) | {"detector": detector.Mtcnn().identity},
    )
    with pytest.raises(UserError, match="a worker has detector.name='middle' in place of 'mtcnn'"):
        beam.process(pickle.loads(pickle.dumps(group)))
    assert not file.exists()


def test_work_in_progress_is_not_continued_with_another_release_of_what_measures(videos, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(preparation, "pack", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            prepare(videos, tmp_path)
    now = recipe.software()
    monkeypatch.setattr(recipe, "software", lambda: now | {"dlib-bin": "1.0"})
    with pytest.raises(UserError, match="made_with.dlib-bin='.+', now it is '1.0'; delete that folder"):
        prepare(videos, tmp_path)


def test_finished_records_name_what_made_them_and_outlive_its_next_release(videos, tmp_path, monkeypatch):
    made = prepare(videos, tmp_path)
    assert made["made_with"]["cpml-jax"] and made["made_with"]["av"] and made["made_with"]["dlib-bin"]
    now = recipe.software()
    monkeypatch.setattr(recipe, "software", lambda: now | {"av": "99.0"})
    assert prepare(videos, tmp_path) == made


def test_records_made_without_a_recipe_are_refused(videos, tmp_path, monkeypatch):
    made = prepare(videos, tmp_path)
    path = tmp_path / "faces/prepare.json"
    path.write_text(json.dumps(made | {"parameters": made["parameters"] | {"splits": ["train", "val", "test"]}}))
    assert prepare(videos, tmp_path)["sha256"] == made["sha256"], "no split named and all of them named are the same"
    earlier = {key: value for key, value in made["parameters"].items() if key not in recipe.EARLIER}
    path.write_text(json.dumps(made | {"parameters": earlier}))
    with pytest.raises(UserError, match="prepared with version=1, now it is 2; delete that folder"):
        prepare(videos, tmp_path)
    path.write_text(json.dumps(made))
    monkeypatch.setattr(landmarks, "CUTOFF", 9.0)
    with pytest.raises(UserError, match="landmarks.smoothing.cutoff_hz=5.0, now it is 9.0"):
        prepare(videos, tmp_path)


def test_ready_made_crops_depend_on_no_detector(other_detector):
    parameters = recipe.complete({"kind": "crop_tree", "splits": ["test"]})
    assert parameters.keys() == {"kind", "splits", "version", "clips", "pulse"}
    assert recipe.difference(parameters, parameters) is None


def test_asking_for_the_recipe_loads_no_network():
    code = (
        "import sys; from data_prep.records import recipe; recipe.current(ready_made=False);"
        "print([m for m in ('onnxruntime', 'onnx', 'dlib', 'facenet_pytorch', 'jax') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

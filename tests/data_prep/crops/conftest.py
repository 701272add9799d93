import dataclasses
import shutil

import pytest
from crop_folders import records, video_of

from data_prep.crops import writer


@pytest.fixture(scope="session")
def made():
    return records()


@pytest.fixture(scope="session")
def tree(made, tmp_path_factory):
    root = tmp_path_factory.mktemp("tree")
    assert writer.write(root, iter(made)) == {"test": 4, "train": 4}
    return root


@pytest.fixture
def broken(tree, tmp_path):
    """A copy of one video's crops and landmarks, to be damaged."""
    video = video_of(tree, "original_sequences/youtube/c23", "000")
    shutil.copytree(video.path, tmp_path / "face0")
    shutil.copy(video.crop_landmarks, tmp_path / "000.txt")
    return dataclasses.replace(video, path=str(tmp_path / "face0"), crop_landmarks=str(tmp_path / "000.txt"))

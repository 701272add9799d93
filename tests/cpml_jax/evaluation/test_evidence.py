import dataclasses

import numpy as np

from cpml_jax.evaluation import evidence


@dataclasses.dataclass
class Clip:
    face: int
    frames: np.ndarray
    pulse_pos: np.ndarray


def clip(face, mark):
    return Clip(face, np.full((12, 4, 4, 3), mark, np.uint8), np.zeros(12))


def gathered(prompts, faces, margins):
    gathering = evidence.Evidence(prompts)
    clips = [clip(face, mark) for mark, face in enumerate(faces)]
    rows = len(clips) + 1  # a padded batch
    scores = {"unified": np.tile([3.0, 4.0], (rows, 1)), "wave": np.zeros((rows, 12), np.float32)}
    gathering.add(clips, np.asarray(margins), scores)
    return gathering


def test_the_highest_window_of_a_face_is_shown_in_full_and_one_frame_of_every_other():
    asked = []

    def saliency(clips):
        asked.extend(int(c.frames[0, 0, 0, 0]) for c in clips)
        return np.stack([np.full((4, 4), c.face) for c in clips])

    windows = gathered(np.eye(2), [0, 0, 1, 1], [0.2, 0.9, 0.4, 0.3]).finish(saliency)
    assert [len(window.frames) for window in windows] == [1, evidence.STRIP, evidence.STRIP, 1]
    assert asked == [1, 2]  # the highest score first
    assert windows[1].saliency.max() == 0 and windows[2].saliency.max() == 1 and windows[0].saliency is None


def test_only_the_highest_faces_are_pictured():
    faces = list(range(evidence.PICTURED_FACES + 2))
    windows = gathered(np.eye(2), faces, [0.1 * face for face in faces]).finish(
        lambda clips: np.zeros((len(clips), 4, 4))
    )
    assert [window.saliency is not None for window in windows] == [False, False] + [True] * evidence.PICTURED_FACES


def test_cosines_are_to_the_prompts_and_absent_without_them():
    with_prompts = gathered(np.eye(2), [0], [0.5])
    np.testing.assert_allclose(with_prompts.windows[0].cosines, [0.6, 0.8])
    assert gathered(None, [0], [0.5]).windows[0].cosines is None

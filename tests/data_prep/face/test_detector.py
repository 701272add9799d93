"""MTCNN on a drawn face and on frames without room for one."""

import json

import numpy as np
from odd.encoder import draw

from data_prep.face.detector import Mtcnn, shared_detector


def test_a_drawn_face_is_detected_in_pixels_of_the_frame():
    frame = draw(1)[0]
    (faces,) = shared_detector()([frame])
    assert len(faces) == 1 and faces[0].probability > 0.9
    x0, y0, x1, y1 = faces[0].box
    (left, top), (right, _) = faces[0].eyes
    assert 0 < x0 < left < right < x1 < frame.shape[1] and 0 < y0 < top < y1 < frame.shape[0]
    left_eye, right_eye, nose, left_corner, right_corner = faces[0].points
    assert left_eye[0] < nose[0] < right_eye[0] and left_corner[0] < nose[0] < right_corner[0]
    assert left_eye[1] < nose[1] < min(left_corner[1], right_corner[1])
    twice = faces[0].enlarged(2.0)
    np.testing.assert_array_equal(twice.box, 2 * faces[0].box)
    np.testing.assert_array_equal(twice.points, 2 * faces[0].points)


def test_a_frame_too_small_for_a_face_has_none():
    assert shared_detector()([np.full((16, 16, 3), 90, np.uint8)] * 2) == [[], []]


def test_the_identity_is_json_with_a_name_and_a_version():
    identity = Mtcnn().identity
    assert json.loads(json.dumps(identity)) == identity
    assert (identity["name"], identity["package"], identity["version"]) == ("mtcnn", "facenet-pytorch", "2.6")

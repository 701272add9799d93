"""The ratios of texture: a NumPy twin, what they are blind to, what they see and where, and frames filled in."""

import cv2
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from cpml_jax.data import augment
from cpml_jax.data.batch import clip_arrays
from cpml_jax.data.clip_reader import ClipReader
from cpml_jax.data.records import RecordSet
from cpml_jax.data.texture import NUMBERS, texture
from cpml_jax.schema import CROP_SIZE

LENGTH, CELLS = 12, 8
SIDE = CROP_SIZE // CELLS  # pixels of a cell
PLACE = (slice(3 * SIDE, 5 * SIDE), slice(2 * SIDE, 5 * SIDE))  # a face's middle, off the picture's
INSIDE = (slice(3, 5), slice(2, 5))  # its cells


@pytest.fixture(scope="module")
def clip():
    """A textured picture that drifts and turns; (T, S, S, 3) uint8, its levels far from both ends."""
    rng = np.random.default_rng(0)
    wide = cv2.GaussianBlur(rng.normal(size=(200, 200, 3)).astype(np.float32), (0, 0), 1.2) * 60
    wide += cv2.GaussianBlur(rng.normal(size=(200, 200, 3)).astype(np.float32), (0, 0), 6) * 300 + 120
    return np.stack([shifted(wide, 30 + 0.4 * t, 30 + 0.2 * t) for t in range(LENGTH)])


def shifted(wide, x, y):
    matrix = np.array([[1, 0, -x], [0, 1, -y]], np.float32)
    moved = cv2.warpAffine(wide, matrix, (CROP_SIZE, CROP_SIZE), flags=cv2.INTER_CUBIC).astype(np.float32)
    return np.clip(np.round(moved), 20, 235).astype(np.uint8)


def read(frames, valid=None, cells=CELLS):
    return texture(frames, np.ones(len(frames), bool) if valid is None else valid, cells)


def by_name(numbers):
    return dict(zip(NUMBERS, numbers, strict=True))


def of_cells(x):
    return x.reshape(CELLS, SIDE, CELLS, SIDE).mean((1, 3))


def test_against_numpy(clip):
    """Up to a factor: sharpness and flicker by convolution in float64, unrest and tremor from slices."""

    def neighbours(x, mode):
        """The 3 x 3 pixels around each, (3, 3, T, S, S)."""
        wide = np.pad(x, ((0, 0), (1, 1), (1, 1)), mode=mode)
        return np.array([[wide[:, i : i + CROP_SIZE, j : j + CROP_SIZE] for j in range(3)] for i in range(3)])

    def blur(x, deviation):
        return np.stack([cv2.GaussianBlur(y, (0, 0), deviation, borderType=cv2.BORDER_REPLICATE) for y in x])

    y = clip @ [0.299, 0.587, 0.114]
    soft = np.einsum("ijtab,i,j->tab", neighbours(y, "edge"), *[np.array([0.25, 0.5, 0.25])] * 2)
    fine, mid = y - soft, blur(y, 1) - blur(y, 2)
    around = np.abs(neighbours(soft, "reflect") - soft)  # at the edge the one step counts twice
    gradient = (around[0, 1] + around[2, 1] + around[1, 0] + around[1, 2]) / 2
    strengths = {
        "sharpness": (np.abs(fine).mean(0), gradient.mean(0)),
        "unrest": (np.abs(np.diff(y, 2, axis=0)).mean(0), gradient.mean(0)),
        "flicker": (np.abs(np.diff(fine, axis=0)).mean(0), np.abs(fine).mean(0)),
        "tremor": (np.abs(np.diff(mid, 2, axis=0)).mean(0), np.abs(mid).mean(0)),
    }
    for name, numbers in by_name(read(clip)).items():
        above, below = (np.log(of_cells(strength) + 0.05) for strength in strengths[name])
        expected = above - below - (above - below).mean()
        scale = numbers.std() / expected.std()
        np.testing.assert_allclose(numbers, scale * expected, atol=2e-3, err_msg=name)
        assert 1 < scale < 10


def with_inside(clip, change):
    changed = clip.copy()
    for t, frame in enumerate(changed):
        frame[PLACE] = change(t, frame)[PLACE]
    return changed


def test_a_blurred_face_is_less_sharp_there_and_nothing_else_moves(clip):
    blurred = with_inside(clip, lambda t, frame: cv2.GaussianBlur(frame, (0, 0), 0.8))
    changes = by_name(read(blurred) - read(clip))
    inside = changes["sharpness"][INSIDE]
    outside = np.delete(changes["sharpness"].ravel(), inside_places())
    assert inside.max() < outside.min() - 0.5
    assert np.ptp(outside) < 0.4 * (outside.mean() - inside.mean())  # a seam sharpens its neighbours a little


def inside_places():
    rows, columns = np.mgrid[INSIDE]
    return (rows * CELLS + columns).ravel()


def test_a_face_that_jitters_is_restless_there(clip):
    rng = np.random.default_rng(1)
    offsets = rng.normal(0, 0.6, (LENGTH, 2))
    jittered = with_inside(clip, lambda t, frame: shifted(frame, *offsets[t]))
    changes = by_name(read(jittered) - read(clip))
    for name in ("unrest", "tremor"):
        inside = changes[name][INSIDE]
        assert inside.min() > np.delete(changes[name].ravel(), inside_places()).max() + 0.5, name


def test_texture_that_is_another_in_each_frame_flickers_there(clip):
    rng = np.random.default_rng(2)
    noisy = with_inside(clip, lambda t, frame: np.uint8(np.clip(frame + rng.normal(0, 6, frame.shape), 0, 255)))
    changes = by_name(read(noisy) - read(clip))["flicker"]
    assert changes[INSIDE].min() > np.delete(changes.ravel(), inside_places()).max() + 0.5


@pytest.mark.parametrize("cells", [8, 12])
def test_a_mirrored_clip_has_mirrored_numbers(clip, cells):
    numbers = read(clip, cells=cells)
    mirrored = read(np.ascontiguousarray(clip[:, :, ::-1]), cells=cells)
    np.testing.assert_allclose(mirrored, augment.mirrored_cells(jnp.asarray(numbers)), atol=2e-4)
    assert np.abs(mirrored - numbers).max() > 0.5


def test_the_contrast_of_the_whole_picture_and_its_own_sharpness_say_nothing(clip):
    """But for the floor."""
    uneven = with_inside(clip, lambda t, frame: cv2.GaussianBlur(frame, (0, 0), 0.8)) // 2
    numbers, brighter = read(uneven), read(uneven * 2 + 10)
    assert np.abs(brighter - numbers).mean() < 0.1 * numbers.std()
    np.testing.assert_allclose(numbers.mean(axis=(1, 2)), 0, atol=1e-5)


@pytest.mark.parametrize("level", [0, 90, 255])
def test_a_constant_clip_has_zeros(level):
    np.testing.assert_array_equal(read(np.full((4, CROP_SIZE, CROP_SIZE, 3), level, np.uint8)), 0)


def test_a_frame_that_was_filled_in_counts_for_nothing_and_no_difference_reaches_over_it(clip):
    valid = np.ones(LENGTH, bool)
    valid[[0, 5]] = False
    numbers = read(clip, valid)
    for filling in (0, 255, clip[3]):
        filled = clip.copy()
        filled[~valid] = filling
        np.testing.assert_array_equal(read(filled, valid), numbers)
    assert np.abs(numbers - read(filled)).max() > 0.1
    # The runs on both sides of it are as good as the whole: nothing of their gap is in them.
    jumped = clip.copy()
    jumped[6:] = clip[6:, ::-1]
    np.testing.assert_allclose(read(jumped, valid)[1:].mean(), 0, atol=1e-5)
    assert np.abs(read(jumped)[1:] - read(jumped, valid)[1:]).mean() > 0.1


def test_a_clip_without_three_valid_frames_in_a_row_is_read_as_it_is(clip):
    for valid in (np.zeros(LENGTH, bool), np.arange(LENGTH) % 3 > 0):
        np.testing.assert_array_equal(read(clip, valid), read(clip))
    with pytest.raises(ValueError, match="2 frames"):
        read(clip[:2])


def test_the_reader_measures_whole_frames_and_hands_on_small_ones(tiny_records):
    records = RecordSet(tiny_records / "faces")
    row, size = records.rows[0], tiny.input_size(num_frames=12, texture_cells=6, inputs=("frames", "stills", "texture"))
    reader = ClipReader(records, size, cache_mb=1)
    clip, record = reader(row), records.read(row)
    np.testing.assert_array_equal(clip["texture"], texture(record["frames"][:12], record["valid"][:12], 6))
    np.testing.assert_array_equal(clip["frames"], records.read(row, tiny.FRAME_SIZE)["frames"][:12])
    assert clip["texture"].dtype == np.float32 and clip["texture"].any() and reader(row) is clip
    with pytest.raises(ValueError, match="frames of 64 pixels"):
        clip_arrays(records.read(row, 64), tiny.input_size(inputs=("texture",)))


def test_no_frame_is_kept_where_texture_alone_is_read(tiny_records):
    records = RecordSet(tiny_records / "faces")
    clip = ClipReader(records, tiny.input_size(inputs=("texture",)))(records.rows[0])
    assert set(clip) == {"texture", "valid", "pulse", "pulse_truth"}

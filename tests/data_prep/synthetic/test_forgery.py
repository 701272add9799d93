import numpy as np
import pytest

from data_prep.synthetic.forgery import METHODS, forge, inner_face, paste
from data_prep.synthetic.scene import Scene


@pytest.mark.parametrize("method", METHODS)
def test_only_the_pasted_window_changes(method):
    real, fake = (
        Scene(seed=3, style="a", target=0, frames=4, size=96, **forged)
        for forged in (dict(), dict(method=method, source=1))
    )
    plan = fake._forgery
    layer = np.full_like(real._portrait.base, 100.0)
    x0, y0, x1, y1 = plan.window
    pasted = paste(layer.copy(), plan, 0)
    assert np.abs(pasted - layer)[y0:y1, x0:x1].max() > 5
    pasted[y0:y1, x0:x1] = layer[y0:y1, x0:x1]
    np.testing.assert_array_equal(pasted, layer)
    assert inner_face(plan, 0).shape == (y1 - y0, x1 - x0, 3)


def test_each_forgery_breaks_one_thing():
    """The others leave that thing as it is in the target's real video."""
    plans = {m: Scene(seed=3, style="a", target=0, frames=64, size=96, method=m, source=1)._forgery for m in METHODS}
    real = Scene(seed=3, style="a", target=0, frames=64, size=96)
    for method, plan in plans.items():
        assert np.array_equal(plan.pulse, real._target.pulse) == (method != "Deepfakes"), method
        assert plan.shift.any() == (method in ("Face2Face", "NeuralTextures")), method
        assert (plan.seam != 1).any() == (method == "FaceSwap"), method
        assert (plan.inner.face.detail < real._target.face.detail) == (method == "FaceSwap"), method
        assert (plan.expressions != real._target.moves) == (method == "Face2Face"), method
    step = {m: np.diff(plans[m].shift, axis=0).std() / plans[m].shift.std() for m in ("Face2Face", "NeuralTextures")}
    assert step["Face2Face"] < 0.4 and step["NeuralTextures"] > 1.2  # slow, and new in every frame


def test_forged_lips_stay_where_the_truth_says():
    scene = Scene(seed=3, style="a", target=0, frames=4, size=96, method="NeuralTextures", source=1)
    plan, face = scene._forgery, scene._target.face
    places = np.repeat(np.array([[[0.5, face.mouth_y], [0.5, 0.3]]]), 4, axis=0)
    moved = plan.displacement(places)
    np.testing.assert_allclose(moved[:, 0], plan.shift / plan.inner.base.shape[0], rtol=0.1)
    assert not moved[:, 1].any()  # the forehead


def test_an_unknown_method_is_refused():
    scene = Scene(seed=3, style="a", target=0, frames=4, size=96)
    with pytest.raises(ValueError, match="unknown forgery 'Faceswap'"):
        forge("Faceswap", np.random.default_rng(0), scene._portrait, scene._target.face, [], [], None, None)

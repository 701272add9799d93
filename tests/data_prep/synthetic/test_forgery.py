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


def test_an_unknown_method_is_refused():
    scene = Scene(seed=3, style="a", target=0, frames=4, size=96)
    with pytest.raises(ValueError, match="unknown forgery 'Faceswap'"):
        forge("Faceswap", np.random.default_rng(0), scene._portrait, scene._target.face, [], [], None, None)

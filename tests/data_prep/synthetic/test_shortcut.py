import pytest

from data_prep.synthetic.forgery import METHODS
from data_prep.synthetic.generate import generate
from data_prep.synthetic.shortcut import shortcut_auc


@pytest.mark.parametrize("style", ["a", "b"])
def test_no_shortcut(style, tmp_path):
    generate(
        str(tmp_path),
        style=style,
        identities={"test": 20},
        frames=5,
        size=96,
        methods=METHODS,
        seed=11,
        workers=2,
        compressions={"test": ("c23",)},
        progress=False,
    )
    assert shortcut_auc(str(tmp_path), "c23")["all"] < 0.70

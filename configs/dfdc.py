"""DFDC or its preview, to test on.

main.py prepare --config=configs/dfdc.py:/path/to/dfdc                             test/labels.csv
main.py prepare --config=configs/dfdc.py:preview:/path/to/dfdc_preview_set         dataset.json
"""

from ml_collections import ConfigDict

from cpml_jax.configs import _random_start, base

PREVIEW = "preview:"


def get_config(root: str = "") -> ConfigDict:
    kind = "dfdc_preview" if root.startswith(PREVIEW) else "dfdc"
    config = base.get_config()
    _random_start.stand_in(config)
    config.name = kind
    config.data.sources[kind] = base.source(kind, root.removeprefix(PREVIEW), splits=("test",))
    config.train.dataset = kind
    config.train.compressions = ("unknown",)
    config.train.views = "downsampled"
    config.train.methods = ("method_A", "method_B") if kind == "dfdc_preview" else ("DFDC",)
    config.eval.protocols = ("in_dataset",)
    return config

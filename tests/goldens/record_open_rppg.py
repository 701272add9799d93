"""Record tests/goldens/open_rppg.npz: waves of open-rppg's own Keras PhysFormer. Not a test; run once, by hand, in an
environment of its own:

    uv venv open
    uv pip install --python open/bin/python open-rppg==0.1.1 "keras<3.13" "jax<0.11" h5py "setuptools<81"
    open/bin/python tests/goldens/record_open_rppg.py

For the package's two weights files and for the made-up one, in the package's own mixed float16 and in float32.
"""

import importlib.metadata
import os
import sys
import tempfile
import types
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import keras  # noqa: E402
import keras_weights  # noqa: E402
import numpy as np  # noqa: E402


def package_models():
    """rppg.models without rppg/__init__.py, which wants a camera's packages."""
    parts = importlib.metadata.files("open-rppg")
    folder = next(p for p in parts if p.name == "models.py" and "rppg" in p.parts).locate().parent
    package = types.ModuleType("rppg")
    package.__path__ = [str(folder)]
    sys.modules["rppg"] = package
    import rppg.models as models

    return models, Path(folder)


def main() -> None:
    models, folder = package_models()
    clip = keras_weights.clip()
    waves = {}
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "made.weights.h5"
        keras_weights.write(made, keras_weights.arrays())
        files = {name: folder / "weights" / f"PhysFormer.{name}.weights.h5" for name in ("rlap", "pure")}
        for policy in ("mixed_float16", "float32"):
            keras.mixed_precision.set_global_policy(policy)
            for name, path in (files | {"made": made}).items():
                model = models.PhysFormer()
                model(np.zeros((1, *clip.shape)))
                model.load_weights(path)
                waves[f"{name}_{policy}"] = np.asarray(model(clip[None] / 255.0), np.float32)[0]
    np.savez(Path(__file__).with_name("open_rppg.npz"), **waves)
    for name, wave in waves.items():
        other = waves[f"{name.split('_')[0]}_float32"]
        print(name, wave.shape, np.corrcoef(wave, other)[0, 1])


if __name__ == "__main__":
    main()

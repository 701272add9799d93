"""CPML in JAX: deepfake detection across compression rates from pulse, landmark motion and class prompts."""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cpml_jax.prediction.detector import Detector
    from cpml_jax.prediction.result import Prediction

MAX_IMAGE_PIXELS = 1 << 25  # of an image in a record or a tree of crops: 100 MB
# OpenCV reads it when it is imported, and would decode 2^30.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_IMAGE_PIXELS))
# onnxruntime 1.32 reports its use to its makers, and keeps an identity of the machine in the user's cache folder,
# unless this is set when it is imported. Nobody's videos are to be known of by anyone.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.2.0"

__all__ = ["Detector", "Prediction", "__version__"]


def __getattr__(name: str) -> Any:
    """Detector and Prediction on first use: what only prepares, or parses flags, loads no model's packages."""
    if name == "Detector":
        from cpml_jax.prediction.detector import Detector

        return Detector
    if name == "Prediction":
        from cpml_jax.prediction.result import Prediction

        return Prediction
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""CPML in JAX: deepfake detection across compression rates from pulse, landmark motion and class prompts."""

import os

MAX_IMAGE_PIXELS = 1 << 25  # of an image in a record or a tree of crops: 100 MB
# OpenCV reads it when it is imported, and would decode 2^30.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_IMAGE_PIXELS))

__version__ = "0.2.0"

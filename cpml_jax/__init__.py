"""CPML in JAX: deepfake detection across compression rates from pulse, landmark motion and class prompts."""

import os

# OpenCV reads it when it is imported: pixels of the largest image that it decodes, 100 MB, in place of 2^30.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 25))

__version__ = "0.2.0"

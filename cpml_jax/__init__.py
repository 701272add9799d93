"""CPML in JAX: deepfake detection across compression rates from pulse, landmark motion and class prompts."""

__version__ = "0.2.0"

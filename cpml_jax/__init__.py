"""CPML in JAX: deepfake detection across compression rates from pulse, landmark motion and class prompts."""

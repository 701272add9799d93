"""A model as a program that runs without this package: StableHLO for a bare JAX, ONNX for its runtimes.

program (what is computed), stablehlo and onnx_* (its two forms), description (what a caller must know), check (the same
scores as Flax's) and files (beside the model's folder)."""

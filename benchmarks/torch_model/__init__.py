"""CPML in PyTorch, batched: what this project's speed is compared with by benchmarks/train.py.

Modules, parameters and figures are those of cpml_jax.models and cpml_jax.losses, whose docstrings say what they are
for; the code is as PyTorch is usually written, PhysFormer's in its authors' layout: volumes (N, C, T, H, W), tokens
(N, L, C). A module has the names of its Flax twin, so weights.py copies parameters by their path, and
tests/benchmarks/test_torch_model.py holds both to the same numbers. Nothing here imports JAX: memory is compared, too.
"""

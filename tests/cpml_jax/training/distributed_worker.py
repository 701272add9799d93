"""One of two hosts: takes its half of the global batch, runs one step over both, writes what it got."""

import sys

import jax
import numpy as np
import tiny

from cpml_jax.training import sharding

coordinator, process, output = sys.argv[1], int(sys.argv[2]), sys.argv[3]
jax.distributed.initialize(coordinator, num_processes=2, process_id=process)
mesh = sharding.make_mesh()
batch = tiny.random_batch()
half = len(batch["label"]) // 2
local = {name: value[process * half : (process + 1) * half] for name, value in batch.items()}
metrics, gradients, _ = tiny.one_step(mesh, sharding.put_local_batch(local, mesh))
flat = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(gradients)}
np.savez(output, **{f"metric:{k}": v for k, v in metrics.items()}, **flat)

"""A weights file in the layout of open-rppg's PhysFormer (418 arrays, float16), with made-up numbers, and a clip.

Shared by the tests and by tests/goldens/record_open_rppg.py, which runs the package's own model on both.
"""

import h5py
import numpy as np

DIM, FF_DIM, STEM = 96, 144, (24, 48, 96)


def shapes() -> dict[str, tuple]:
    """Path in the file -> shape, as in PhysFormer.rlap.weights.h5 of open-rppg 0.1.1."""
    actual = {"ConvBlockLast/vars/0": (1, DIM // 2, 1), "ConvBlockLast/vars/1": (1,)}

    def conv(at, kernel, *bias):
        actual[f"{at}/vars/0"] = kernel
        actual.update({f"{at}/vars/1": bias} if bias else {})

    def norm(at, width, count):
        actual.update({f"{at}/vars/{i}": (width,) for i in range(count)})

    conv("layers/conv3d", (4, 4, 4, DIM, DIM), DIM)
    kernels = [(1, 5, 5, 3, STEM[0]), (3, 3, 3, STEM[0], STEM[1]), (3, 3, 3, STEM[1], STEM[2])]
    for i, kernel in enumerate([*kernels, (3, 1, 1, DIM, DIM), (3, 1, 1, DIM, DIM // 2)]):
        at = f"layers/sequential{f'_{i}' if i else ''}/layers"
        conv(f"{at}/conv3d", kernel, kernel[-1])
        norm(f"{at}/batch_normalization", kernel[-1], 4)
    for stage in ("", "_1", "_2"):
        for block in ("", "_1", "_2", "_3"):
            at = f"layers/transformer_st_tdc_gra_sharp{stage}/blocks/block_st_tdc_gra_sharp{block}"
            for name in ("q", "k"):
                conv(f"{at}/attn/proj_{name}/layers/cdc", (3, 3, 3, DIM, DIM))
                norm(f"{at}/attn/proj_{name}/layers/batch_normalization", DIM, 4)
            conv(f"{at}/attn/proj_v/layers/conv3d", (1, 1, 1, DIM, DIM))
            conv(f"{at}/proj", (DIM, DIM), DIM)
            norm(f"{at}/norm1", DIM, 2)
            norm(f"{at}/norm2", DIM, 2)
            for name, kernel in {
                "fc1": (1, 1, 1, DIM, FF_DIM), "STConv": (3, 3, 3, 1, FF_DIM), "fc2": (1, 1, 1, FF_DIM, DIM),
            }.items():  # fmt: skip
                conv(f"{at}/pwff/{name}/layers/conv3d", kernel)
                norm(f"{at}/pwff/{name}/layers/batch_normalization", kernel[-1], 4)
    return actual


def arrays(seed: int = 0) -> dict[str, np.ndarray]:
    """Kernels of unit gain; scales about 1, variances in [0.5, 1.5]: activations stay of order 1, as float16 needs."""
    rng = np.random.default_rng(seed)
    drawn = {}
    for path, shape in sorted(shapes().items()):
        index = int(path.rsplit("/", 1)[1])
        if len(shape) > 1:
            value = rng.normal(size=shape) / np.sqrt(np.prod(shape[:-1]))
        elif index == 3:
            value = rng.uniform(0.5, 1.5, shape)
        elif index == 0:
            value = rng.uniform(0.8, 1.2, shape)
        else:
            value = rng.normal(size=shape) * 0.1
        drawn[path] = value.astype(np.float32 if path.startswith("ConvBlockLast") else np.float16)
    return drawn


def write(path, drawn: dict[str, np.ndarray]) -> None:
    with h5py.File(path, "w") as file:
        for name, value in drawn.items():
            file[name] = value


def clip(frames: int = 16, seed: int = 1) -> np.ndarray:
    """(frames, 128, 128, 3) uint8: a still pattern of blocks whose level beats, with noise."""
    rng = np.random.default_rng(seed)
    still = rng.integers(40, 200, (16, 16, 3)).repeat(8, axis=0).repeat(8, axis=1)
    beat = 3 * np.sin(2 * np.pi * 1.2 * np.arange(frames) / 30)[:, None, None, None] * np.array([0.45, 1.0, 0.6])
    return np.clip(still + beat + rng.normal(size=(frames, 128, 128, 3)) * 1.5, 0, 255).astype(np.uint8)

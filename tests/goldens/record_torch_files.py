"""Record tests/goldens/torch_files.npz: small files that torch wrote, and what is in them. Not a test; run by hand:

uv run --group torch tests/goldens/record_torch_files.py
"""

from pathlib import Path

import numpy as np
import torch

KINDS = "float32 float64 float16 bfloat16 int64 int32 int16 int8 uint8 bool".split()


def tensors() -> dict[str, torch.Tensor]:
    """Of every type; whole, turned, stepped, repeated, shifted, empty, and a single number."""
    base = torch.from_numpy(np.random.default_rng(0).integers(0, 100, (3, 4, 2)))
    made = {kind: base.to(getattr(torch, kind)) for kind in KINDS}
    whole = made["float32"]
    views = dict(turned=whole.permute(2, 0, 1), stepped=whole[::2, :, 1], repeated=whole[0, 0].expand(3, 2))
    return made | views | dict(empty=whole[:0], scalar=torch.tensor(5.0), parameter=torch.nn.Parameter(whole[1]))


def module() -> dict:
    """A state dictionary as a trainer writes it, under "module." and beside other things."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv3d(2, 3, 1), torch.nn.BatchNorm3d(3), torch.nn.GRU(3, 2))
    optimizer = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 1e-5}]}
    return {"epoch": 3, "model": torch.nn.DataParallel(model).state_dict(), "optimizer": optimizer, "note": "x\ny"}


def main() -> None:
    arrays, path = {}, Path(__file__).with_name("w.pt")
    for content, state in ((tensors(), tensors()), (module(), module()["model"])):
        for zipped in (True, False):
            name = f"{'module' if 'epoch' in content else 'tensors'}_{'zip' if zipped else 'legacy'}"
            torch.save(content, path, _use_new_zipfile_serialization=zipped)
            arrays[f"{name}/file"] = np.frombuffer(path.read_bytes(), np.uint8)
            for key, tensor in state.items():
                plain = key.removeprefix("module.")
                arrays[f"{name}/array/{plain}"] = tensor.detach().double().numpy()
                arrays[f"{name}/kind/{plain}"] = np.array(str(tensor.dtype).removeprefix("torch."))
    path.unlink()
    np.savez_compressed(Path(__file__).with_name("torch_files.npz"), **arrays)


if __name__ == "__main__":
    main()

"""The three networks as ONNX graphs, made of the package's weights when the detector is first needed.

A graph answers with one logit, by which a face is likelier than none (the softmax of two is the sigmoid of their
difference), and then with the numbers that move the box and, in the last, place the five points.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from cpml_jax.errors import UserError
from cpml_jax.pretrained import mtcnn

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
INPUT, OUTPUT = "pictures", "answers"
OPSET, IR_VERSION = 17, 8  # of 2022: any onnxruntime since 1.12 reads them
SIDES = {"rnet": 24, "onet": 48}  # pixels of a picture; P-Net takes any
# Side of the max pooling after each convolution; all have stride 2, and what an edge cuts counts.
POOLS: dict[str, tuple[int, ...]] = {"pnet": (2, 0, 0), "rnet": (3, 3, 0), "onet": (3, 3, 2, 0)}
HEADS = {  # logits of no face and of a face; what moves the box; the points
    "pnet": ("conv4_1", "conv4_2"),
    "rnet": ("dense5_1", "dense5_2"),
    "onet": ("dense6_1", "dense6_2", "dense6_3"),
}


@dataclasses.dataclass(frozen=True)
class Networks:
    """Each takes (N, 3, H, W) float32 pictures, (grey level - 127.5) / 128, and gives (N, 1 + 4 [+ 10], ...)."""

    propose: Network
    refine: Network
    place: Network


class Network:
    """An ONNX graph on a device."""

    def __init__(self, graph: bytes, device: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # preparation runs one process per core
        options.log_severity_level = 3
        wanted = PROVIDERS[device]
        known = [wanted] if wanted in onnxruntime.get_available_providers() else [PROVIDERS["cpu"]]
        self._session = onnxruntime.InferenceSession(graph, options, providers=known)
        if wanted not in self._session.get_providers():  # the package lacks it, or its libraries do not load
            raise UserError(
                f"data.detector_device={device}: onnxruntime {onnxruntime.__version__} cannot use it here; install "
                "onnxruntime-gpu in place of onnxruntime, with the CUDA libraries that it names"
            )

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        return np.asarray(self._session.run([OUTPUT], {INPUT: pictures})[0])


def load(device: str = "cpu") -> Networks:
    """The networks, ready to run on "cpu" or "cuda". Raises UserError without the weights or the device."""
    return Networks(*(Network(graph(name, mtcnn.load(name)), device) for name in mtcnn.NETWORKS))


def graph(name: str, state: Mapping[str, np.ndarray]) -> bytes:
    """A network as a serialised ONNX model.

    Args:
      name: of HEADS. state: its arrays, as cpml_jax.pretrained.mtcnn has them.
    """
    build = _Build({"zero": np.zeros((), np.float32)})
    x, channels = INPUT, 0
    for number, pool in enumerate(POOLS[name], 1):
        weight = state[f"conv{number}.weight"]
        channels = len(weight)
        x = build.add("Conv", x, weight, state[f"conv{number}.bias"])
        x = _prelu(build, x, state[f"prelu{number}.weight"][:, None, None])
        if pool:
            x = build.add("MaxPool", x, kernel_shape=[pool, pool], strides=[2, 2], ceil_mode=1)
    heads = [_logit_first(state, head) for head in HEADS[name]]
    weight, bias = (np.concatenate(parts) for parts in zip(*heads, strict=True))
    if name not in SIDES:
        return build.model(build.add("Conv", x, weight, bias), ("H", "W"), ("h", "w"))
    dense = len(POOLS[name]) + 1
    x = build.add("Flatten", x)
    hidden = _columns_first(state[f"dense{dense}.weight"], channels)
    x = build.add("Gemm", x, hidden, state[f"dense{dense}.bias"], transB=1)
    x = _prelu(build, x, state[f"prelu{dense}.weight"])
    return build.model(build.add("Gemm", x, weight, bias, transB=1), (SIDES[name], SIDES[name]), ())


def _prelu(build: _Build, x: str, slope: np.ndarray) -> str:
    """max(x, 0) + slope min(x, 0): onnxruntime's own PRelu takes six times as long (P-Net: 11 ms, so 4)."""
    negative = build.add("Mul", build.add("Min", x, "zero"), slope)
    return build.add("Add", build.add("Max", x, "zero"), negative)


def _logit_first(state: Mapping[str, np.ndarray], head: str) -> tuple[np.ndarray, np.ndarray]:
    weight, bias = state[f"{head}.weight"], state[f"{head}.bias"]
    return (weight[1:] - weight[:1], bias[1:] - bias[:1]) if len(bias) == 2 else (weight, bias)


def _columns_first(weight: np.ndarray, channels: int) -> np.ndarray:
    """The weights were trained on pictures laid out (W, H, C), as Caffe's MATLAB has them; here they are (C, H, W)."""
    outputs, inputs = weight.shape
    side = round((inputs / channels) ** 0.5)
    return weight.reshape(outputs, side, side, channels).transpose(0, 3, 2, 1).reshape(outputs, inputs)


class _Build:
    """A graph that grows by one node at a time."""

    def __init__(self, constants: dict[str, np.ndarray]) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants = constants

    def add(self, kind: str, *inputs: str | np.ndarray, **attributes: Any) -> str:
        """Append a node; inputs are names, and arrays that become constants. Returns the name of its output."""
        place, names = len(self._nodes), []
        for index, value in enumerate(inputs):
            if not isinstance(value, str):
                name = f"{kind}_{place}_{index}"
                self._constants[name], value = value, name
            names.append(value)
        self._nodes.append(helper.make_node(kind, names, [f"{kind}_{place}"], **attributes))
        return f"{kind}_{place}"

    def model(self, output: str, size: tuple[str | int, ...], out_size: tuple[str, ...]) -> bytes:
        """The model of one input, (N, 3, *size), and the node's output, (N, numbers, *out_size)."""
        self._nodes[-1].output[0] = OUTPUT
        constants = [numpy_helper.from_array(np.ascontiguousarray(a), n) for n, a in self._constants.items()]
        given = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["N", 3, *size])
        answer = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", "numbers", *out_size])
        made = helper.make_graph(self._nodes, "mtcnn", [given], [answer], constants)
        model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        onnx.checker.check_model(model)
        return model.SerializeToString()

"""Small CLIP folders in Hugging Face's layout, with a vocabulary that has something to merge; shared by tests."""

import json
import zlib
from pathlib import Path

import numpy as np

from cpml_jax.models import prompt_bank, prompts
from cpml_jax.pretrained import huggingface

WORDS = "internationalisation forgery photograph compress compression unreal faces bonafide 2024 don't café".split()


def vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    words = WORDS + [word for side in prompt_bank.TEMPLATES for prompt in side for word in prompt.lower().split()]
    merges = prompts.learn_merges(words)
    letters = prompts.byte_symbols()
    symbols = letters + [letter + prompts.WORD_END for letter in letters] + [a + b for a, b in merges]
    return {symbol: i for i, symbol in enumerate([*symbols, prompts.START, prompts.END])}, merges


def write_tokenizer(folder: Path) -> None:
    """The two files of CLIP's own tokenizer."""
    vocab, merges = vocabulary()
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))


Shapes = dict[str, tuple[int, ...]]


class Clip:
    """A CLIP of random weights: transformers' configuration, and arrays under its names, without PyTorch.

    Attributes:
      state: arrays by name, float32.
    """

    def __init__(self, text: dict | None = None, vision: dict | None = None, *, projection: int = 16,
                 activation: str = "quick_gelu", seed: int = 0) -> None:  # fmt: skip
        last = len(vocabulary()[0]) - 1
        self.text = dict(
            hidden_size=16, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, vocab_size=last + 1,
            max_position_embeddings=32, eos_token_id=last, bos_token_id=last - 1, pad_token_id=last,
            hidden_act=activation,
        ) | (text or {})  # fmt: skip
        self.vision = dict(
            hidden_size=24, intermediate_size=96, num_hidden_layers=3, num_attention_heads=3, image_size=32,
            patch_size=8, hidden_act=activation,
        ) | (vision or {})  # fmt: skip
        self.projection = projection
        self.state = {name: _numbers(seed, name, shape) for name, shape in self._shapes().items()}

    def config(self):
        """transformers' CLIPConfig."""
        import transformers

        return transformers.CLIPConfig(text_config=self.text, vision_config=self.vision, projection_dim=self.projection)

    def _shapes(self) -> Shapes:
        words, width = self.text["hidden_size"], self.vision["hidden_size"]
        patch = self.vision["patch_size"]
        places = (self.vision["image_size"] // patch) ** 2 + 1
        return {
            "logit_scale": (),
            "text_model.embeddings.token_embedding.weight": (self.text["vocab_size"], words),
            "text_model.embeddings.position_embedding.weight": (self.text["max_position_embeddings"], words),
            **_encoder("text_model", self.text),
            **_pair("text_model.final_layer_norm", words),
            "vision_model.embeddings.class_embedding": (width,),
            "vision_model.embeddings.patch_embedding.weight": (width, 3, patch, patch),
            "vision_model.embeddings.position_embedding.weight": (places, width),
            **_pair("vision_model.pre_layrnorm", width),
            **_encoder("vision_model", self.vision),
            **_pair("vision_model.post_layernorm", width),
            "visual_projection.weight": (self.projection, width),
            "text_projection.weight": (self.projection, words),
        }


def full_width() -> Clip:
    """CLIP ViT-B/16, two of its twelve layers."""
    text = dict(
        hidden_size=512, intermediate_size=2048, num_attention_heads=8, vocab_size=49408, max_position_embeddings=77,
        eos_token_id=49407, bos_token_id=49406, pad_token_id=49407,
    )  # fmt: skip
    vision = dict(
        hidden_size=768, intermediate_size=3072, num_hidden_layers=2, num_attention_heads=12, image_size=224,
        patch_size=16,
    )  # fmt: skip
    return Clip(text, vision, projection=512)


def _pair(name: str, width: int, *inputs: int) -> Shapes:
    return {f"{name}.weight": (width, *inputs), f"{name}.bias": (width,)}


def _encoder(name: str, config: dict) -> Shapes:
    shapes, width, inner = {}, config["hidden_size"], config["intermediate_size"]
    for layer in range(config["num_hidden_layers"]):
        at = f"{name}.encoder.layers.{layer}"
        for part in "qkv":
            shapes |= _pair(f"{at}.self_attn.{part}_proj", width, width)
        shapes |= _pair(f"{at}.self_attn.out_proj", width, width)
        shapes |= _pair(f"{at}.mlp.fc1", inner, width) | _pair(f"{at}.mlp.fc2", width, inner)
        shapes |= _pair(f"{at}.layer_norm1", width) | _pair(f"{at}.layer_norm2", width)
    return shapes


def _numbers(seed: int, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Scales of norms around 1; all else normal, of a variance that keeps wide layers' outputs as small as narrow
    ones'. RandomState's numbers never change."""
    draw = np.random.RandomState(zlib.crc32(f"{seed} {name}".encode()))
    x = draw.standard_normal(shape)
    if "norm" in name and name.endswith("weight"):
        return np.float32(1 + 0.2 * x)
    return np.asarray(x * min(0.2, 2 * np.prod(shape[1:]) ** -0.5), np.float32)


def write(folder: Path, made: Clip | None = None, *, shards: int = 1, dtype: np.dtype | None = None) -> Path:
    """config.json, the weights and the tokenizer of a CLIP.

    Args:
      shards: files that the weights are spread over, with an index if there are several.
      dtype: of the weights; None: float32.
    """
    made = made or Clip()
    folder.mkdir(parents=True, exist_ok=True)
    made.config().save_pretrained(folder)
    write_tokenizer(folder)
    state = {name: value.astype(dtype or np.float32) for name, value in made.state.items()}
    if shards == 1:
        _write_safetensors(folder / huggingface.WHOLE, state)
        return folder
    places = {}
    for number in range(shards):
        file = f"model-{number + 1:05d}-of-{shards:05d}.safetensors"
        part = dict(list(state.items())[number::shards])
        _write_safetensors(folder / file, part)
        places |= dict.fromkeys(part, file)
    (folder / huggingface.INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return folder


def _write_safetensors(path: Path, state: dict[str, np.ndarray]) -> None:
    head, place = {}, 0
    for name, value in state.items():
        kind = {"float32": "F32", "bfloat16": "BF16"}[value.dtype.name]
        head[name] = {"dtype": kind, "shape": list(value.shape), "data_offsets": [place, place + value.nbytes]}
        place += value.nbytes
    text = json.dumps(head).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for value in state.values():
            file.write(value.tobytes())


def torch_model(made: Clip):
    """transformers' CLIPModel (PyTorch) with these arrays, under exactly these names."""
    import torch
    import transformers

    with torch.device("meta"):
        model = transformers.CLIPModel(made.config())
    model = model.to_empty(device="cpu").eval()
    model.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in made.state.items()})
    with torch.no_grad():
        for buffer in model.buffers():
            buffer.copy_(torch.arange(buffer.numel()).reshape(buffer.shape))  # the only buffers are position_ids
    return model


def reference(made: Clip, tokens: np.ndarray, images: np.ndarray) -> np.ndarray:
    """(2, N, D), PyTorch's embeddings, not normalised: of (N, L) tokens and of (N, S, S, 3) images."""
    import torch

    model = torch_model(made)
    with torch.no_grad():
        words = model.text_model(torch.from_numpy(tokens.astype(np.int64))).pooler_output
        seen = model.vision_model(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).pooler_output
        return np.stack([model.text_projection(words).numpy(), model.visual_projection(seen).numpy()])

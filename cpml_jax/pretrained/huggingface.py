"""CLIP from a folder in Hugging Face's layout, or from the hub: shapes, arrays, and where its tokenizer lies."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cpml_jax.errors import UserError
from cpml_jax.files import parse_json
from cpml_jax.pretrained import clip
from cpml_jax.pretrained.source import Loaded, flat

CONFIG, WHOLE, INDEX, TORCH = "config.json", "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"
TOKENIZER = ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json")
WANTED = (CONFIG, WHOLE, INDEX, "model-*.safetensors", *TOKENIZER)  # of a hub's folder, which may hold other formats
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
# Names of the two encoders' arrays, and with the text encoder's CLIP's temperature.
PREFIXES = {
    "text": ("text_model.", "text_projection.", clip.LOGIT_SCALE),
    "image": ("vision_model.", "visual_projection."),
}
ACTIVATIONS = ("quick_gelu", "gelu")
EPSILON, WIDENING = 1e-5, 4  # of models/clip.py
LARGEST = 1 << 20  # of any size in config.json
SIZES = {
    "text_config": (
        "hidden_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings", "vocab_size",
    ),
    "vision_config": ("hidden_size", "num_hidden_layers", "num_attention_heads", "image_size", "patch_size"),
}  # fmt: skip
# safetensors' names of what NumPy and ml_dtypes hold; weights of 8 bits and fewer need scales, which lie elsewhere.
READABLE = {"F64", "F32", "F16", "BF16", "BOOL", *(f"{sign}{bits}" for sign in "IU" for bits in (8, 16, 32, 64))}


@functools.cache
def locate(source: str) -> Path:
    """The local folder of a source.

    Args:
      source: a folder, or a name on the hub, owner/name; then its files are downloaded once, into the hub's
        cache. The hub's environment variables hold (HF_HOME, HF_HUB_OFFLINE, HF_ENDPOINT, ...).

    Raises:
      UserError: it is neither, or the hub cannot be reached or refuses.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise UserError(f"{source}: a file; CLIP's weights are a folder with {CONFIG}, {WHOLE} and a tokenizer")
    if not HUB_NAME.fullmatch(source):
        raise UserError(f"{source}: no such folder, and no name on the hub (owner/name)")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HTTPError

    try:
        folder = Path(snapshot_download(source, allow_patterns=list(WANTED)))
        if not (folder / WHOLE).exists() and not (folder / INDEX).exists():
            folder = Path(snapshot_download(source, allow_patterns=[CONFIG, TORCH, *TOKENIZER]))
    except (OSError, ValueError, HTTPError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{source}: no such folder here, and the hub does not give it ({reason}); give a folder with {CONFIG}, "
            f"{WHOLE} and the tokenizer's files"
        ) from None
    return folder


def settings(folder: Path) -> dict[str, Any]:
    """The shapes that config.json gives, under this project's names.

    Returns:
      text: width, layers, heads, context_length, vocab_size, activation of TextEncoder; image: image_size, patch,
      width, layers, heads, activation of ImageEncoder; projection: width of both embeddings.

    Raises:
      UserError: the file is absent, of another model, or of a CLIP that models/clip.py does not implement.
    """
    path = folder / CONFIG
    try:
        given = parse_json(path.read_text())
        kind = given.get("model_type")
    except OSError as error:
        raise UserError(f"{path}: not readable ({error.strerror}); CLIP's weights need it beside them") from None
    except (ValueError, AttributeError):
        raise UserError(f"{path}: no JSON object") from None
    if kind != "clip":
        raise UserError(f"{path}: model_type is {kind!r}, not 'clip'")
    # What the file says, before transformers, whose own checks name no key; then what it leaves out.
    refuse_impossible(path, given.get)
    from transformers import CLIPConfig  # slow to import; it knows the defaults that a file may leave out

    try:
        config = CLIPConfig.from_dict(given)
    except Exception as error:  # its validation raises classes that it does not export
        raise UserError(f"{path}: no configuration of CLIP ({str(error).splitlines()[0]})") from None
    text: Any = config.text_config
    image: Any = config.vision_config
    refuse_impossible(path, lambda name: getattr(config, name, None))
    wrong = differences("text_config", text) + differences("vision_config", image)
    # 2 stands in files older than the key; their end token has the largest id.
    if text.eos_token_id not in (2, text.vocab_size - 1):
        wrong.append(f"text_config.eos_token_id={text.eos_token_id} is not the last of {text.vocab_size} tokens")
    if wrong:
        raise UserError(f"{path}: {'; '.join(wrong)}; such a CLIP is not supported")
    shared = {"width": "hidden_size", "layers": "num_hidden_layers", "heads": "num_attention_heads"}
    shared |= {"activation": "hidden_act"}
    names = {"context_length": "max_position_embeddings", "vocab_size": "vocab_size"}
    return {
        "text": {ours: getattr(text, theirs) for ours, theirs in (shared | names).items()},
        "image": {
            ours: getattr(image, theirs)
            for ours, theirs in (shared | {"image_size": "image_size", "patch": "patch_size"}).items()
        },
        "projection": config.projection_dim,
    }


def is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LARGEST


def refuse_impossible(path: Path, value_of: Callable[[str], Any]) -> None:
    """Raise UserError, which names the keys, where a configuration has sizes that no network can have.

    Args:
      path: of the file, for the message.
      value_of: name of a key of CLIPConfig -> its value, None where nothing is said of it; of a part a mapping or an
        object of transformers.
    """
    wrong = [text for part in SIZES for text in impossible(part, value_of(part))]
    projection = value_of("projection_dim")
    wrong += [] if projection is None or is_size(projection) else [f"projection_dim={projection!r}"]
    if wrong:
        raise UserError(f"{path}: {'; '.join(wrong)}: no size of a CLIP; download the file again")


def impossible(part: str, config: Any) -> list[str]:
    """Sizes of a part that no network can have, of those that are said."""
    held = config if isinstance(config, Mapping) else vars(config) if hasattr(config, "__dict__") else {}
    values: dict[str, Any] = {name: held[name] for name in SIZES[part] if held.get(name) is not None}
    wrong = [f"{part}.{name}={value!r}" for name, value in values.items() if not is_size(value)]
    if wrong:
        return wrong
    width, heads = values.get("hidden_size"), values.get("num_attention_heads")
    if width and heads and width % heads:
        wrong.append(f"{part}.hidden_size={width} in num_attention_heads={heads}")
    patch, side = values.get("patch_size"), values.get("image_size")
    if patch and side and patch > side:
        wrong.append(f"{part}.patch_size={patch} of image_size={side}")
    return wrong


def differences(part: str, config: Any) -> list[str]:
    """What models/clip.py does not implement of a part of transformers' CLIPConfig."""
    unsupported = []
    if config.hidden_act not in ACTIVATIONS:
        unsupported.append(f"{part}.hidden_act={config.hidden_act!r} is none of {ACTIVATIONS}")
    if config.layer_norm_eps != EPSILON:
        unsupported.append(f"{part}.layer_norm_eps={config.layer_norm_eps} is not {EPSILON}")
    if config.intermediate_size != WIDENING * config.hidden_size:
        unsupported.append(
            f"{part}.intermediate_size={config.intermediate_size} is not {WIDENING} x {config.hidden_size}"
        )
    return unsupported


def arrays(folder: Path, prefixes: tuple[str, ...]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Arrays whose names start so, and the names of the others. Of safetensors no others are read.

    Raises:
      UserError: no weights file, or a damaged one.
    """
    if (folder / WHOLE).exists():
        files = [folder / WHOLE]
    elif (folder / INDEX).exists():
        files = shards(folder / INDEX)
    elif (folder / TORCH).exists():
        from cpml_jax.pretrained import torch_file

        state = torch_file.read(folder / TORCH).state
        chosen = {name: value for name, value in state.items() if name.startswith(prefixes)}
        return chosen, sorted(state.keys() - chosen.keys())
    else:
        raise UserError(f"{folder}: has none of {WHOLE}, {INDEX}, {TORCH}; download CLIP's weights into it")
    chosen, others = {}, []
    for path in files:
        arrays_of_file, others_of_file = read_safetensors(path, prefixes)
        chosen |= arrays_of_file
        others += others_of_file
    return chosen, sorted(others)


def shards(index: Path) -> list[Path]:
    """The files that an index names."""
    try:
        names = set(parse_json(index.read_text())["weight_map"].values())
        files = [index.parent / name for name in sorted(names)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{index}: no index of safetensors files") from None
    outside = [f.name for f in files if f.parent != index.parent]
    if outside:
        raise UserError(f"{index}: it names files outside its folder, {outside}")
    return files


def read_safetensors(path: Path, prefixes: tuple[str, ...] = ("",)) -> tuple[dict[str, np.ndarray], list[str]]:
    """Arrays whose names start so, in the file's dtypes, and the names of the others.

    Raises:
      UserError: the file is absent or damaged, or has numbers of another type than READABLE.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            names = list(file.keys())
            chosen = [name for name in names if name.startswith(prefixes)]
            kinds = {name: file.get_slice(name).get_dtype() for name in chosen}
            other = [name for name, kind in kinds.items() if kind not in READABLE]
            if other:
                raise UserError(
                    f"{path}: {other[0]} is of the type {kinds[other[0]]}, which is not read; download weights of 16 "
                    "or 32 bits"
                )
            return {name: file.get_tensor(name) for name in chosen}, sorted(set(names) - set(chosen))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise UserError(f"{path}: no whole safetensors file ({error}); copy or download it again") from None


def load_text(source: str, variables: Mapping[str, Any]) -> Loaded:
    """Weights of TextEncoder, and tau beside them.

    Args:
      source: see locate.
      variables: {"params": ...} of the encoder; anything with shapes does.

    Raises:
      UserError: the source cannot be read, or names or shapes do not fit; all of them are listed.
    """
    return _load(source, variables, "text", clip.text_parameters)


def load_image(source: str, variables: Mapping[str, Any]) -> Loaded:
    """Weights of ImageEncoder. Arguments and errors as load_text's."""
    return _load(source, variables, "image", clip.image_parameters)


def _load(
    source: str,
    variables: Mapping[str, Any],
    part: str,
    convert: Callable[[Mapping[str, np.ndarray], int], dict[str, Any]],
) -> Loaded:
    folder = locate(source)
    state, others = arrays(folder, PREFIXES[part])
    try:
        params = convert(state, settings(folder)[part]["layers"])
        clip.check_shapes(params, variables["params"])
    except UserError as error:
        raise UserError(f"{folder}: {error}") from None
    broken = [name for name, value in state.items() if not np.isfinite(np.asarray(value, np.float32)).all()]
    if broken:
        raise UserError(f"{folder}: not finite: {broken}")
    loaded = ["/".join(("params", *path)) for path in sorted(flat(params))]
    return Loaded(params, {}, loaded, [], others, beside=clip.temperature(state))

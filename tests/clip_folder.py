"""Small CLIP folders in Hugging Face's layout, with a vocabulary that has something to merge; shared by tests."""

import json
from pathlib import Path

import numpy as np

from cpml_jax.models import prompt_bank, prompts

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


def model(projection: int = 16, activation: str = "quick_gelu", seed: int = 0):
    """A transformers CLIPModel (PyTorch) of random weights, text and image encoder of different shapes."""
    import torch
    import transformers

    torch.manual_seed(seed)
    last = len(vocabulary()[0]) - 1
    text = dict(
        hidden_size=16, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, vocab_size=last + 1,
        max_position_embeddings=32, eos_token_id=last, bos_token_id=last - 1, pad_token_id=last, hidden_act=activation,
    )  # fmt: skip
    vision = dict(
        hidden_size=24, intermediate_size=96, num_hidden_layers=3, num_attention_heads=3, image_size=32, patch_size=8,
        hidden_act=activation,
    )  # fmt: skip
    made = transformers.CLIPModel(
        transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=projection)
    ).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.2)
    return made


def full_width_model():
    """CLIP ViT-B/16 of random weights, two of its twelve layers, without PyTorch's slow initialisation."""
    import torch
    import transformers

    text = dict(eos_token_id=49407, bos_token_id=49406, pad_token_id=49407, num_hidden_layers=2)
    config = transformers.CLIPConfig(text_config=text, vision_config=dict(patch_size=16, num_hidden_layers=2))
    with torch.device("meta"):
        made = transformers.CLIPModel(config)
    made = made.to_empty(device="cpu").eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            is_scale = "norm" in name and name.endswith("weight")
            parameter.uniform_(0.5, 1.5) if is_scale else parameter.uniform_(-0.05, 0.05)
        for buffer in made.buffers():
            buffer.copy_(torch.arange(buffer.numel()).reshape(buffer.shape))  # the only buffers are position_ids
    return made


def write(folder: Path, made=None, **settings) -> Path:
    """config.json, model.safetensors and the tokenizer of a small CLIP."""
    made = made or model()
    folder.mkdir(parents=True, exist_ok=True)
    made.save_pretrained(folder, **settings)
    write_tokenizer(folder)
    return folder


def reference(made, tokens: np.ndarray, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """PyTorch's embeddings, not normalised: of (N, L) tokens and of (N, S, S, 3) images."""
    import torch

    with torch.no_grad():
        words = made.text_model(torch.from_numpy(tokens.astype(np.int64))).pooler_output
        seen = made.vision_model(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).pooler_output
        return made.text_projection(words).numpy(), made.visual_projection(seen).numpy()

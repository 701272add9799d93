"""The authors' network as their code wires it, for their checkpoints (docs/method.md, The reference).

    main.py --config=configs/reference.py --config.init_from=fg_epoch0.pt --config.model.text_encoder.weights=CLIP \\
        --config.data.sources.ffpp.root=/path/to/FaceForensics++
    main.py --config=configs/reference.py:c40 ...    validates on c40, not on raw

It scores the checkpoint as it is. --config.train.steps=1000 goes on training it, by the authors' recipe.
"""

from ml_collections import ConfigDict

from cpml_jax.configs import ffpp


def get_config(compression: str = "raw") -> ConfigDict:
    config = ffpp.paper(compression, f"configs/reference.py:{compression}")
    config.name = f"reference_{compression}"
    # CLIP's folder for its tokenizer: the weights are the checkpoint's.
    config.needs = ("init_from", "model.text_encoder.weights")
    config.train.steps = 0
    config.model.fusion_wiring = "released"
    config.model.rppg.pfe_views = "all"
    config.model.rppg.input_norm = (
        "unit"  # although PhysFormer's weights, which they start from, know (x - 127.5) / 128
    )
    config.loss.cqsl_rate = 0.0  # a constant in their code: it is computed outside the graph
    return config

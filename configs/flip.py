"""FLIP (Srivatsan et al., ICCV 2023): short names of the rows flip_v, flip_it and flip_mcl of configs/ablation.py.

main.py --config=configs/flip.py:mcl         v: image encoder and linear head; it: image against prompts; mcl: all of it
main.py --config=configs/flip.py:mcl:ffpp    from configs/ffpp.py instead of configs/synthetic.py

The paper starts from CLIP, at a learning rate of 1e-6 (the authors' code): --config.model.visual.weights=FOLDER
--config.model.text_encoder.weights=FOLDER --config.optim.learning_rate=1e-6. It scores single frames; here a clip's K
frames share an embedding, their mean. The authors' FLIP-V has a hidden layer before the linear one.
"""

from ml_collections import ConfigDict

from cpml_jax.configs import ablation
from cpml_jax.errors import UserError

FORMS = ("v", "it", "mcl")


def get_config(argument: str = "mcl") -> ConfigDict:
    form, _, base = argument.partition(":")
    if form not in FORMS:
        raise UserError(f"configs/flip.py:{argument}: the argument begins with one of {', '.join(FORMS)}")
    return ablation.get_config(f"flip_{form}:{base}")

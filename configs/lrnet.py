"""LRNet alone (Sun et al., CVPR 2021): short name of the row lrnet_alone of configs/ablation.py.

main.py --config=configs/lrnet.py            configs/lrnet.py:ffpp: from configs/ffpp.py, not configs/synthetic.py
"""

from ml_collections import ConfigDict

from cpml_jax.configs import ablation


def get_config(base: str = "") -> ConfigDict:
    return ablation.get_config(f"lrnet_alone:{base}")

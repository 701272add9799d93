"""What takes the place of trained weights where a run starts at random (docs/method.md, The default run)."""

from ml_collections import ConfigDict


def stand_in(config: ConfigDict) -> None:
    """Settings of the full-size model with which a random start learns; each is off in configs/base.py.

    A run that names trained CLIP, PhysFormer and LRNet weights undoes them: configs/ffpp.py:paper.

    Measured on the drawn benchmark's 32 people, the landmark stream alone under cross-entropy and CMCL, 500 steps of 16
    clips at 3e-4, with an earlier, finer spectrum: AUC of validation videos at steps 125, 250, 375, 500:
      as in configs/base.py, a text encoder of 4 layers, 128 wide     0.48  0.50  0.49  0.50 (cross-entropy 0.69)
      with these                                                      0.64  0.65  0.67  0.67
    What agreement gives the rppg stream: docs/method.md, The default run.
    """
    # A text encoder that starts at random tells templates of a class apart as far as classes.
    config.model.head = "prototypes"
    # No pulse is learned at random without it; at 2 as heavy as the cross-entropy: both are 2 times a mean.
    config.loss.teacher = 2.0
    config.model.rppg.input_norm = "temporal"
    # The class lies in where a wave is missing: a linear map of a wave that starts at random cannot tell.
    config.model.rppg.agreement = 16
    config.model.fusion_stage_pool = "global"
    # A GRU that starts at random sees little of deltas of 0.005 and forgets within three frames.
    config.model.landmarks.delta_scale = 200.0
    config.model.landmarks.memory = 60.0
    config.model.landmarks.spectrum = True
    config.model.fusion_landmarks = "beside"
    config.model.fusion_dropout = 0.2
    # 1e-5 of configs/base.py moves trained weights.
    config.optim.learning_rate = 3e-4

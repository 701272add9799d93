"""A trained model at hand in Python: Detector.load("runs/synthetic").predict("video.mp4")."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ml_collections import ConfigDict

from cpml_jax import configuration
from cpml_jax.data.input_size import InputSize
from cpml_jax.errors import UserError
from cpml_jax.evaluation import verdict as verdicts
from cpml_jax.evaluation.evidence import Evidence, WindowArrays
from cpml_jax.evaluation.verdict import Verdict
from cpml_jax.files import finite, parse_json
from cpml_jax.limits import Limits
from cpml_jax.prediction import identity
from cpml_jax.prediction.answer import describe
from cpml_jax.prediction.identity import Identity
from cpml_jax.prediction.reading import Clips, VideoClips
from cpml_jax.prediction.result import Prediction
from cpml_jax.prediction.windows import Readying, ScoredWindow, WindowScores, saliency_of, score_windows, warm_up
from cpml_jax.schema import FRAME_RATE
from cpml_jax.training import run_files

if TYPE_CHECKING:  # JAX, and the model's packages
    from cpml_jax.evaluation.scoring import Scorer

Progress = Callable[[str, int, int], None]
HUB = "hf://"


class Detector:
    """A trained model that says of any video how it looks. `load` makes one.

    Attributes:
      verdict: how an answer is made of margins: threshold, calibration, and what the model knows.
      size: of what the model reads. clips: (path, num_frames) -> the clips of a video.
    """

    def __init__(self, scorer: Scorer, verdict: Verdict, size: InputSize, video_clips: Clips):
        self._scorer, self.verdict, self.size, self.clips = scorer, verdict, size, video_clips

    @classmethod
    def load(
        cls,
        source: str | Path,
        *,
        checkpoint: str = "",
        doubt_level: float | None = None,
        video_clips: Clips | None = None,
    ) -> Self:
        """The detector of a run's folder, of a folder of `main.py export`, or of hf://OWNER/NAME on the hub.

        Args:
          source: the folder, or the address, whose files are then downloaded once, into the hub's cache.
          checkpoint: of a run: best, latest or a step; the configuration's eval.checkpoint if empty.
          doubt_level: which share of familiar videos may be called undetermined by mistake; the configuration's
            eval.doubt_level if None, and 0 for no doubt.
          video_clips: (path, num_frames) -> the clips of a video, in place of those that this process reads itself.

        Raises:
          UserError: no such model, a damaged file of it, or the packages for reading videos are not installed.
        """
        from cpml_jax.evaluation import model_folder, scoring

        folder = locate(source)
        if model_folder.is_one(folder):
            config, scorer, verdict = model_folder.read(folder, doubt_level)
            return cls(scorer, verdict, scoring.input_size(config), video_clips or clips_with(config))
        config = stored_configuration(folder)
        if checkpoint:
            config.eval.checkpoint = checkpoint
        if doubt_level is not None:
            config.eval.doubt_level = float(doubt_level)
        return cls.of_run(config, folder, video_clips)

    @classmethod
    def of_run(cls, config: ConfigDict, workdir: str | Path, video_clips: Clips | None = None) -> Self:
        """The detector of a run, with a configuration that its checkpoints fit.

        Raises:
          UserError: no usable checkpoint, or the packages for reading videos are not installed.
        """
        from cpml_jax.evaluation import scoring

        clips = video_clips or clips_with(config)  # says first what is missing
        scorer = scoring.restore_for_scoring(workdir, config, config.eval.checkpoint)
        verdict = verdicts.read(workdir, scorer.step, scorer.parameters_sha256, config.eval.doubt_level)
        return cls(scorer, verdict, scoring.input_size(config), clips)

    @functools.cached_property
    def identity(self) -> Identity:
        """Of the model and its settings: what all answers in one file must share."""
        size = dataclasses.replace(self.size, batch_size=0)
        return identity.of(self._scorer.parameters_sha256, self.verdict, size, getattr(self.clips, "identity", None))

    @property
    def window_s(self) -> float:
        """Length of a window in seconds."""
        return self.size.num_frames / FRAME_RATE

    def predict(self, video: str | Path, *, page: str | Path = "") -> Prediction:
        """What the model says of a video: of all its faces, over all its windows.

        Args:
          page: an HTML file to write, what the answer rests on; none if empty.

        Raises:
          UserError: the file cannot be read, nobody's face could be measured, or the page cannot be written.
        """
        answer, evidence = self.answer(str(video), evidence=bool(page))
        if page:
            from cpml_jax.report import video_page  # matplotlib, which an answer alone does not need

            video_page.write(page, [answer], [evidence], window_s=self.window_s)
        return Prediction.of(answer)

    def answer(
        self, video: str, evidence: bool = False, progress: Progress | None = None
    ) -> tuple[dict[str, Any], list[WindowArrays]]:
        """One video's answer as JSON values (answer.py), and what its page shows, if asked for; else nothing.

        Args:
          progress: gets what is being done, how much of it and of how much (data_prep.face.clips.Progress).

        Raises:
          UserError: as predict's; decoders raise other exceptions too, and progress may.
        """
        scorer, size = self._scorer, self.size
        gathered = Evidence(scorer.class_embeddings) if evidence else None
        told: dict[str, Any] = {} if progress is None else {"progress": progress}
        clips = self.clips(video, num_frames=size.num_frames, **told)
        windows = score_windows(scorer, clips, size, gathered, self.readying.measured)
        answer = self.describe(video, windows)
        return answer, gathered.finish(lambda clips: saliency_of(scorer, clips, size)) if gathered else []

    def warm_up(self) -> None:
        """Compile what the first answer will need; worth it while a video is being read, or none has come yet."""
        warm_up(self._scorer, self.size)

    @property
    def readying(self) -> Readying:
        """What makes of a clip that which `scores` needs of it, in any process."""
        return Readying(self.size, measured=not isinstance(self.verdict.knowledge, str))

    def scores(self) -> WindowScores:
        """For the clips of one video, to be added as they come, whole or readied."""
        return WindowScores(self._scorer, self.size, measured=self.readying.measured)

    def describe(self, video: str, windows: Sequence[ScoredWindow]) -> dict[str, Any]:
        """The answer, as `answer` gives it, of a video's scored windows."""
        return finite({"video": video} | describe(windows, self.verdict))


def locate(source: str | Path) -> Path:
    """The local folder of a model.

    Raises:
      UserError: there is none, or the hub does not give it.
    """
    text = str(source)
    if not text.startswith(HUB):
        folder = Path(source).expanduser()
        if not folder.is_dir():
            raise UserError(f"{source}: no such folder; name a run's, one of `main.py export`, or {HUB}OWNER/NAME")
        return folder
    name, _, revision = text.removeprefix(HUB).removeprefix("models/").partition("@")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HTTPError

    from cpml_jax.evaluation import model_folder

    try:
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=list(model_folder.FILES)))
    except (OSError, ValueError, HTTPError, RuntimeError) as error:  # RuntimeError: of hf_xet
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{source}: the hub does not give it ({reason}); {HUB}OWNER/NAME[@REVISION]") from None


def configuration_of(folder: Path) -> ConfigDict:
    """The configuration that is stored with a model of either kind. Raises UserError as `Detector.load`."""
    if not (folder / verdicts.DECISION).is_file():
        return stored_configuration(folder)
    try:
        return configuration.stored(parse_json((folder / run_files.CONFIG).read_text())["config"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        Detector.load(folder)  # says what is wrong with the folder
        raise


def stored_configuration(folder: Path) -> ConfigDict:
    """The configuration that a run was trained with.

    Raises:
      UserError: the folder is of no run, or the file cannot be read.
    """
    path = folder / run_files.FOLDER / run_files.CONFIG
    try:
        return configuration.stored(parse_json(path.read_text()))
    except FileNotFoundError:
        raise UserError(f"{folder}: neither a run with checkpoints nor a folder of `main.py export`") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: cannot be read as a configuration ({type(error).__name__})") from None


def clips_with(config: ConfigDict) -> Clips:
    """load_video_clips with a configuration's limits, on its device."""
    clips = VideoClips.of(config)
    return load_video_clips(clips.limits, clips.device)


def load_video_clips(limits: Limits = Limits(), device: str = "cpu") -> Clips:  # noqa: B008 - frozen
    """VideoClips, its networks loaded.

    Args:
      device: where faces are looked for (data.detector_device).

    Raises:
      UserError: a package for reading videos is missing, or the device.
    """
    clips = VideoClips(limits, device)
    clips.load()
    return clips

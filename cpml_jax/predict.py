"""Scores for any videos: one JSON object a line, printed as soon as a video is done, or added to a file of answers.

Windows, faces and videos are scored by the rule that is evaluated (evaluation/video_score.py), and decided, calibrated
and doubted as the run's evaluation says (evaluation/verdict.py). Two things differ from an evaluation's records: they
hold one face a video, here all faces are seen and the highest decides, so that a crowd has more chances of a false
alarm than one face (`faces` has them all); and they hold `data.max_windows` windows a video, here all of them are
averaged.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from absl import logging
from ml_collections import ConfigDict
from tqdm import tqdm

from cpml_jax.errors import UserError
from cpml_jax.prediction import answers_file, detector, reading
from cpml_jax.prediction.detector import Detector
from cpml_jax.prediction.reading import Clips, VideoClips, error_text
from cpml_jax.video_files import expand


def run(
    config: ConfigDict | None,
    workdir: str | Path,
    paths: Sequence[str],
    page: str = "",
    model: str = "",
    out: TextIO | None = None,
    answers: str = "",
    beam_runner: str = "",
    beam_options: tuple[str, ...] = (),
    wait: bool = False,
) -> int:
    """Score videos with the checkpoint of a run, or with a model that was handed on.

    Args:
      config: the run's; None: as it is stored with the model, or in the workdir.
      paths: video files, and folders that are searched for them.
      page: an HTML file to write, what each answer rests on; none if empty.
      model: a folder of `main.py export` or of a run, or hf://OWNER/NAME, in place of the workdir.
      out: gets the lines; standard output if None.
      answers: a file to add answers to in place of `out`, by many processes (prediction/many.py); none if empty.
      beam_runner, beam_options: answer as an Apache Beam pipeline, if a runner is named; needs `answers`.
      wait: for another process that adds to `answers`.

    Returns:
      Exit status: 0, or 1 if a path gave an error object instead of a score.

    Raises:
      UserError: no paths, no usable checkpoint, or the packages for reading videos are not installed.
    """
    if not paths:
        raise UserError("predict needs videos or folders: main.py predict --config=F --workdir=D video.mp4 [more ...]")
    folder = detector.locate(model or workdir) if model or config is None else Path(workdir)
    given = config
    config = detector.configuration_of(folder) if given is None else given

    def loaded(clips: Clips) -> Detector:
        """JAX starts here."""
        from cpml_jax import compiled

        compiled.keep()
        if given is None:
            return Detector.load(folder, video_clips=clips)
        check(given, workdir)
        return Detector.of_run(given, folder, clips)

    clips = VideoClips.of(config)
    if answers:
        if given is not None:
            check(given, workdir)  # before a file is made
        from cpml_jax import preparation
        from cpml_jax.prediction import beam, many

        pipelines = preparation.pipelines_of(beam_runner, beam_options)
        source = beam.Source.of(folder, given)
        workers = 0 if given is None else given.data.workers  # what is stored is of the machine that trained
        with answers_file.opened(answers, wait) as file:
            return many.predict(loaded(clips), paths, file, workers=workers, pipelines=pipelines, source=source)
    files = list(expand(paths))
    good = [path for path, problem in files if not problem]
    if not good:
        return answer_each(loaded(clips), files, page, out)
    # Faces are found while the model is loaded: the process that does it needs no JAX.
    reader = reading.Reader(clips, config.data.num_frames)
    with contextlib.closing(reading.Ahead(reader, good)) as ahead:
        made = loaded(ahead)
        reader.check()
        if not reader.has_spoken():
            made.warm_up()
        return answer_each(made, files, page, out)


def check(config: ConfigDict, workdir: str | Path) -> None:
    """Raise UserError for a configuration that cannot predict."""
    from cpml_jax.validation import validate  # the model's packages

    validate(config, "predict", workdir=workdir)


def predict(detector: Detector, paths: Sequence[str], *, page: str = "", out: TextIO | None = None) -> int:
    """Score the videos at `paths`; a bad one gives an error object and the others go on.

    Args:
      page: an HTML file to write, what each answer rests on; none if empty.
      out: gets the lines; standard output if None.

    Returns:
      0, or 1 if a path gave an error object.
    """
    return answer_each(detector, list(expand(paths)), page, out)


def answer_each(
    detector: Detector, files: Sequence[tuple[str, str | None]], page: str = "", out: TextIO | None = None
) -> int:
    """As `predict`, of the (path, problem) of video_files.expand."""
    out = out or sys.stdout
    failed, shown = False, []
    for path, problem in tqdm(files, desc="videos", unit="video", file=sys.stderr, disable=len(files) < 2):
        evidence = []
        try:
            if problem:
                raise UserError(problem)
            answer, evidence = detector.answer(path, evidence=bool(page))
        except Exception as error:  # decoders raise what they like: one file's oddity must not end the others
            if not isinstance(error, UserError):
                logging.debug("%s", path, exc_info=True)
            answer = {"video": path, "error": error_text(error)}
        failed |= "error" in answer
        if page:
            shown.append((answer, evidence))
        print(json.dumps(answer, allow_nan=False), file=out, flush=True)
    if page:
        from cpml_jax.report import video_page  # matplotlib, which an answer alone does not need

        answers, arrays = zip(*shown, strict=True)
        video_page.write(page, list(answers), list(arrays), window_s=detector.window_s)
    return int(failed)

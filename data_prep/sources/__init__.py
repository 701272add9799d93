"""Data sets: a file each. Root in, list of videos out; nothing of a video is opened here."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import pkgutil

from cpml_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Listed:
    """One video of a data set.

    Attributes:
      path: of the file.
      label: 0 real, 1 fake.
      method: manipulation, or "real".
      compression: raw, c23, c40, ..., or "unknown".
      video: id inside the data set and method.
      identity: who is seen (the target). source_identity: whose face or expression was put in; "" for real.
      target_video: id of the frame-aligned real video of a fake; "" if there is none.
      split: train, val or test.
      track_key: videos with one key show the same frames at different compressions and share one face track.
      truth: path of the drawn benchmark's sidecar with the true pulse; "" elsewhere.
      mask: path of the video that shows where the face was manipulated; "" if there is none.
      crop_landmarks: path of the landmarks of ready-made crops: `path` is then a folder of aligned face images, and
        nothing is detected; "" for videos.
    """

    path: str
    label: int
    method: str
    compression: str
    video: str
    identity: str
    source_identity: str
    target_video: str
    split: str
    track_key: str
    truth: str = ""
    mask: str = ""
    crop_landmarks: str = ""


def kinds() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def list_videos(kind: str, root: str, *, compressions, methods, splits) -> list[Listed]:
    """The videos of a data set, sorted.

    Args:
      kind: name of a module here.
      root: its folder (or, for `folder`, a CSV file).
      compressions, methods, splits: which of them; sources that know none of a kind ignore it.

    Raises:
      UserError: no such kind, a root that is not this data set, a missing split file, or nothing found.
    """
    if kind not in kinds():
        near = difflib.get_close_matches(kind, kinds(), n=1)
        raise UserError(
            f"no data source {kind!r}{f', did you mean {near[0]!r}?' if near else ''}; there are {', '.join(kinds())}"
        )
    module = importlib.import_module(f"{__name__}.{kind}")
    videos = module.videos(root, compressions=tuple(compressions), methods=tuple(methods), splits=tuple(splits))
    if not videos:
        raise UserError(
            f"{root}: no video found for compressions {tuple(compressions)}, methods {tuple(methods)}, "
            f"splits {tuple(splits)}"
        )
    return sorted(videos, key=lambda v: (v.track_key, v.compression, v.path))

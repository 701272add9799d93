"""Lists of videos as the tests of the data sets compare them."""

from pathlib import Path

from data_prep.sources import Video, list_videos


def by_path(kind: str, root: Path, **chosen) -> dict[str, Video]:
    """The listed videos by their path inside the root."""
    return {str(Path(v.path).relative_to(root)): v for v in list_videos(kind, root, **chosen)}


def facts(video: Video) -> tuple:
    return video.label, video.method, video.split, video.identity, video.source_identity, video.target_video

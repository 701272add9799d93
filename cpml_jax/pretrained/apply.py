"""Trained weights into freshly initialised variables: which option fills which part, and what its source demands.

Works on the plain dictionary of a configuration. The options, in the order in which they are applied: every part's
`model.<part>.weights`, then `init_from`, which is a whole model and has the last word.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import unflatten_dict

from cpml_jax.errors import UserError
from cpml_jax.models import visual
from cpml_jax.pretrained import huggingface, open_rppg
from cpml_jax.pretrained.source import Loaded, flat


@dataclasses.dataclass(frozen=True)
class Loader:
    """A kind of source.

    Attributes:
      option: of the configuration, with dots.
      part: module of CPML that it fills; "" is all of it.
      takes: whether a value of the option is of this kind.
      function: "module:name" of load(source, variables, ...) -> Loaded, imported when it is used.
      keywords: further arguments -> the options that they are read from.
      when: option -> the value that it must have, for options whose sources another one tells apart.
    """

    option: str
    part: str
    takes: Callable[[str], bool]
    function: str
    keywords: Mapping[str, str] = dataclasses.field(default_factory=dict)
    when: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def serves(self, option: str, source: str, config: Mapping[str, Any]) -> bool:
        """Whether it is the one for an option's value."""
        meant = all(value_of(config, key) == value for key, value in self.when.items())
        return option == self.option and meant and self.takes(source)

    def load(self, source: str, variables: Mapping[str, Any], config: Mapping[str, Any]) -> Loaded:
        """The source's weights for a part with these variables, arrays or shapes."""
        module, name = self.function.split(":")
        function = getattr(importlib.import_module(f"cpml_jax.pretrained.{module}"), name)
        return function(source, variables, **{k: value_of(config, option) for k, option in self.keywords.items()})


def value_of(config: Mapping[str, Any], option: str) -> Any:
    """The value of an option with dots; "" where the configuration does not have it."""
    value: Any = config
    for key in option.split("."):
        value = value.get(key, "") if isinstance(value, Mapping) else ""
    return value


def anything(source: str) -> bool:
    """The kind of source that an option takes when no kind before it does."""
    return True


# The first of an option that takes its value counts.
NORM, SCALE = {"input_norm": "model.rppg.input_norm"}, {"delta_scale": "model.landmarks.delta_scale"}
LITE = {"model.visual.encoder": visual.LITE}
LOADERS = (
    Loader("model.rppg.weights", "rppg", lambda s: s.startswith(open_rppg.PREFIX), "open_rppg:load"),
    Loader("model.rppg.weights", "rppg", anything, "physformer:load", NORM),
    Loader("model.landmarks.weights", "landmarks", anything, "lrnet:load", SCALE),
    Loader("model.text_encoder.weights", "text_encoder", anything, "huggingface:load_text"),
    Loader("model.visual.weights", "visual", anything, "efficientnet_lite:load", when=LITE),
    Loader("model.visual.weights", "visual", anything, "huggingface:load_image"),
    Loader("init_from", "", lambda s: Path(s).expanduser().is_dir(), "export:load"),
    Loader("init_from", "", anything, "cpml_torch:load", NORM | SCALE),
)
# In the order in which they are applied.
OPTIONS = tuple(dict.fromkeys(loader.option for loader in LOADERS))


def sources(config: Mapping[str, Any]) -> dict[str, str]:
    """The options that are set, option -> source, in the order in which they are applied."""
    return {option: value_of(config, option) for option in OPTIONS if value_of(config, option)}


@contextlib.contextmanager
def named(option: str, source: str) -> Iterator[None]:
    """Errors of a source begin with the option that names it."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{option}={source}: {str(error).removeprefix(f'{source}: ')}") from None


def shapes(model: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Part of the model -> the settings that its named weights were trained with.

    CLIP's come from its folder, with text_encoder.vocab_size, which is no configuration key.

    Args:
      model: `config.model`.

    Raises:
      UserError: a folder's config.json cannot be used, or its embeddings are not unified_dim wide.
    """
    given: dict[str, dict[str, Any]] = {}
    for name, kind in (("text_encoder", "text"), ("visual", "image")):
        source = model[name].get("weights", "")
        if not source or model[name].get("encoder", visual.CLIP) != visual.CLIP:
            continue
        with named(f"model.{name}.weights", source):
            clip = huggingface.settings(huggingface.locate(source))
        if model["unified_dim"] != clip["projection"]:
            raise UserError(
                f"model.{name}.weights={source!r} gives embeddings of {clip['projection']}, model.unified_dim is "
                f"{model['unified_dim']}: set --config.model.unified_dim={clip['projection']}"
            )
        given[name] = dict(clip[kind])
    if model["rppg"].get("weights", "").startswith(open_rppg.PREFIX):
        given["rppg"] = dict(open_rppg.SETTINGS)
    return given


def configured(model: Mapping[str, Any], given: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, Any]:
    """`config.model` with its values replaced by those that its weights were trained with: `shapes` if not given."""
    given = shapes(model) if given is None else given
    return {
        name: {**part, **given.get(name, {})} if isinstance(part, Mapping) else part for name, part in model.items()
    }


def initialise(variables: dict[str, Any], config: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Put every configured source into freshly initialised variables.

    Args:
      variables: {"params": ..., "batch_stats": ...} of CPML, jax.Arrays; every new array gets the place (sharding)
        and dtype of the one that it replaces.
      config: plain dictionary of the whole configuration.

    Returns:
      The variables, and one dictionary per source: option, source, loaded, fresh, ignored (lists of names).

    Raises:
      UserError: a source cannot be read, or does not fit; every mismatch is listed.
    """
    arrays, report = flat(variables), []
    for option, source in sources(config).items():
        kind = next(k for k in LOADERS if k.serves(option, source, config))
        part = kind.part
        entry = {"option": option, "source": source, "loaded": [], "fresh": [], "ignored": []}
        report.append(entry)
        if part and part not in variables["params"]:
            entry["ignored"] = [f"everything: the model has no {part}"]
            continue
        within = {path: value for path, value in arrays.items() if not part or path[1] == part}
        place = {_inner(path, part): path for path in within}
        shapes = {inner: jax.ShapeDtypeStruct(within[path].shape, within[path].dtype) for inner, path in place.items()}
        with named(option, source):
            loaded = kind.load(source, {"params": {}, "batch_stats": {}} | unflatten_dict(shapes), config)
        for inner, array in flat({"params": loaded.params, "batch_stats": loaded.batch_stats}).items():
            if inner not in place or np.shape(array) != shapes[inner].shape:
                raise UserError(f"{option}={source!r}: {'/'.join(inner)} {np.shape(array)} has no place in the model")
            arrays[place[inner]] = put(array, within[place[inner]])
        beside = {("params", name): array for name, array in loaded.beside.items()}
        arrays |= {path: put(array, arrays[path]) for path, array in beside.items()}
        entry |= {name: list(getattr(loaded, name)) for name in ("loaded", "fresh", "ignored")}
        entry["loaded"] = [*loaded.loaded, *map("/".join, beside)]
    return {collection: {} for collection in variables} | unflatten_dict(arrays), report


def _inner(path: tuple[str, ...], part: str) -> tuple[str, ...]:
    """(collection, part, ...) -> (collection, ...)."""
    return (path[0], *path[2:]) if part else path


def put(array: np.ndarray, like: jax.Array) -> jax.Array:
    """An array that every process holds, where `like` lies."""
    array = np.asarray(array, like.dtype)
    return jax.make_array_from_callback(like.shape, like.sharding, lambda index: array[index])


def summary(report: list[dict[str, Any]]) -> list[str]:
    """One line per source; the names of what stays fresh or is ignored, shortened to their modules."""
    lines = []
    for entry in report:
        line = f"{entry['option']}={entry['source']}: {len(entry['loaded'])} arrays loaded"
        for kind, words in (("fresh", "left fresh"), ("ignored", "ignored")):
            names = shortened(entry[kind])
            if names:
                line += f"; {words}: {', '.join(names[:6])}" + f" and {len(names) - 6} more" * (len(names) > 6)
        lines.append(line)
    return lines


def shortened(names: list[str]) -> list[str]:
    """params/a/b/c -> a; other names as they are."""
    parts = [name.split("/") for name in names]
    return list(dict.fromkeys(p[1] if len(p) > 1 and p[0] in ("params", "batch_stats") else "/".join(p) for p in parts))

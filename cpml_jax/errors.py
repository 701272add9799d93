"""The one exception that means: the user can mend this. main.py prints it as a single line and exits with 2."""

import re


class UserError(Exception):
    """Bad input. The message is one line: what is wrong, where, and what to do about it.

    It stays one line whatever a stranger's file or its name has put into it: what does not print is spelled out.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(printable(str(message)))


def printable(text: str) -> str:
    """The text with line breaks, control characters and what else does not print written as Python's escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


# How to install what preparation and prediction need beside the lean core. facenet-pytorch, of which the weights are
# read, asks for versions of torch and NumPy that nothing here uses or could run with: hence --no-deps.
INSTALL = (
    "in a checkout run `uv sync --group prepare`; beside an installed wheel `pip install av dlib-bin "
    "face-recognition-models onnx onnxruntime` and `pip install --no-deps facenet-pytorch==2.6.0`"
)


def missing_package(purpose: str, name: str | None) -> UserError:
    """The refusal where a package of preparation, no part of the lean core, is not installed."""
    return UserError(f"{purpose} needs the package {name!r}: {INSTALL}")


def one_line(error: BaseException) -> str:
    """An exception's message as one line; of absl's long ones, the lines that say something."""
    text = str(error.args[0]) if error.args else str(error)
    mistyped = re.search(r'Did you mean "(\w+)" instead of "(\w+)"', text)
    if mistyped:
        return f"the configuration has no key {mistyped[2]!r}, did you mean {mistyped[1]!r}?"
    alone = re.fullmatch(r"\W*(\w+)\W*", text)
    if alone and isinstance(error, (AttributeError, KeyError)):
        return f"the configuration has no key {alone[1]!r}"
    lines = [line.strip() for line in text.replace("\\n", "\n").splitlines() if line.strip()]
    telling = [line for line in lines if re.match(r"(\[Errno|TypeError|UserError|ValueError|NameError)", line)]
    return " ".join((lines[:1] + telling[-1:]) if telling else lines).strip("'\" ")

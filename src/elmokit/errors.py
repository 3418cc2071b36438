"""Every error that elmokit raises on purpose: an `ElmoKitError` *and* the builtin that fits.

A message is one paragraph: what was expected, what came, where, what to do.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class ElmoKitError(Exception):
    """Base of all errors raised on purpose by elmokit."""


class ConfigError(ElmoKitError, ValueError):
    """A value or a configuration that describes no biLM."""


class CheckpointError(ElmoKitError, ValueError):
    """Files that are not a checkpoint, or that do not fit together."""


class TextError(ElmoKitError, TypeError, ValueError):
    """A text that is neither a string nor a list of words."""


class InputError(ElmoKitError, ValueError):
    """An input file that can't be read in the way that was asked."""


class MissingFile(ElmoKitError, FileNotFoundError):
    """A file or folder that does not exist."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class OutputError(ElmoKitError, OSError):
    """A result that can't be written."""

    __str__ = MissingFile.__str__


class TrainingError(ElmoKitError, RuntimeError):
    """Training that can't go on."""


class MissingExtra(ElmoKitError, ImportError):
    """An optional package that is needed here, in an extra of elmokit; `purpose` ends "… is needed for"."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(package, extra, purpose)  # what it is made of again in another process
        self.package, self.extra, self.purpose = package, extra, purpose

    def __str__(self) -> str:
        how = f"Install it with:  pip install 'elmokit[{self.extra}]'"
        return f"{self.package} is needed for {self.purpose} and is not installed. {how}"


@contextmanager
def needing(package: str, extra: str, purpose: str) -> Iterator[None]:
    """Turn an ImportError in the block into a `MissingExtra` of these arguments."""
    try:
        yield
    except MissingExtra:
        raise
    except ImportError as error:
        raise MissingExtra(package, extra, purpose) from error

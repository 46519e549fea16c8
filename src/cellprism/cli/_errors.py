"""What is wrong with the input, in one line."""

from collections.abc import Iterator
from contextlib import contextmanager


class CommandError(Exception):
    """The command cannot do what was asked; the message says why and what to do."""


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn what the package raises about the user's input into one line.

    Parameters
    ----------
    doing
        What is being done, to begin the line with.

    Raises
    ------
    CommandError
        In place of the errors that the package documents, and of those of the file system.
    """
    try:
        yield
    except (ValueError, KeyError, OSError, FloatingPointError, MemoryError) as error:
        message = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
        raise CommandError(f"{doing}: {' '.join(message.split()) or type(error).__name__}") from error

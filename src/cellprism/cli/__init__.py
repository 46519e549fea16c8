"""The ``cellprism`` command. Nothing heavy is imported before its arguments are understood."""

import sys
import time
from collections.abc import Sequence

from cellprism.cli._errors import CommandError
from cellprism.cli._parser import build_parser

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments
        Words after ``cellprism``; those of the process by default.

    Returns
    -------
    Exit status: 0 when done, 2 when the input cannot be used (one line on stderr says why), 130 after Ctrl-C.
    """
    started = time.monotonic()
    options = build_parser().parse_args(arguments)
    try:
        from cellprism.cli._run import run

        run(options, started)
    except CommandError as error:
        print(f"cellprism: error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt as stop:
        print(f"\ncellprism: interrupted; {str(stop) or 'nothing was written'}.", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0

"""Code shared by the scripts: status lines, error lines and argument types."""

import argparse
import functools
import logging
import os
import sys
from pathlib import Path

logger = logging.getLogger("pyimagesearch")
info, warn = logger.info, logger.warning


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows the default of every flag that has one."""

    def _get_help_string(self, action):
        return action.help if action.default in (None, False) else super()._get_help_string(action)


class _StatusHandler(logging.Handler):
    """Writes lines such as "[INFO] ..." to standard error; standard output is for results."""

    def emit(self, record):
        """Write one record. Standard error is looked up each time, as tests replace it."""
        print(f"[{record.levelname}] {record.getMessage()}", file=sys.stderr, flush=True)


def _show_status_lines():
    """Configure the package's logger, once a process."""
    if not logger.handlers:
        logger.addHandler(_StatusHandler())
        logger.setLevel(logging.INFO)
        logger.propagate = False


def add_folder_flags(add):
    """Add the flags that say how folders of pictures are read, by the `add_argument` of a group."""
    text = "leave out files and folders of these names, or paths, such as *.CR2 or scans/old"
    add("--exclude", nargs="*", metavar="PATTERN", help=text)
    text = "read JPEGs that are cut short as far as they go"
    add("--truncated", action="store_true", default=None, help=text)


def write_lines(lines):
    """Write lines of text to standard output at once; paths keep their bytes."""
    for line in lines:
        sys.stdout.buffer.write(os.fsencode(line) + b"\n")
    sys.stdout.flush()


def command(main):
    """Decorate a script's `main(argv)`: it shows status lines and returns an exit status.

    ValueError, OSError, ImportError and MemoryError, which the package raises with the reason and
    the remedy, become a line `script.py: error: ...` and status 1; Ctrl-C becomes status 130. Any
    other exception is a bug and keeps its traceback.
    """

    @functools.wraps(main)
    def run(argv=None):
        _show_status_lines()
        try:
            main(argv)
        except BrokenPipeError:
            # The reader, such as head, closed the pipe. That is not an error, but Python would
            # report one when it flushes standard output at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except (ValueError, OSError, ImportError, MemoryError) as error:
            script = Path(main.__code__.co_filename).name
            text = " ".join(str(error).split()) or type(error).__name__
            print(f"{script}: error: {text}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print(file=sys.stderr)
            return 130
        return 0

    return run


def positive_int(text):
    """argparse type: a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, received {text}")
    return value


def positive_float(text):
    """argparse type: a finite number above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, received {text}")
    return value


def non_negative_float(text):
    """argparse type: a finite number of at least 0."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, received {text}")
    return value


def fraction(text):
    """argparse type: a number between 0 and 1, both excluded."""
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"expected a number between 0 and 1, received {text}")
    return value


def path_ending_in(*suffixes):
    """Return an argparse type: the path of a file to write, with one of `suffixes`."""

    def path(text):
        if Path(text).suffix.lower() not in suffixes:
            raise argparse.ArgumentTypeError(
                f"expected a name ending in {' or '.join(suffixes)}, received {text}"
            )
        return text

    return path

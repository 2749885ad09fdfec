"""Code shared by the scripts: status lines and exit statuses."""

import functools
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from pyimagesearch.files import printable, reason_of
from pyimagesearch.startup import explain
from pyimagesearch.terminal import (
    ctrl_c_raises,
    flush_results,
    open_standard_streams,
    write_status,
)

EXPECTED = (ValueError, OSError, ImportError, MemoryError)  # with the reason and the remedy
Main = Callable[[Sequence[str] | None], None]  # of a script
INSTALLED = {  # the scripts as commands, as in pyproject.toml
    "train_autoencoder.py": "image-search-train",
    "index_images.py": "image-search-index",
    "search.py": "image-search-find",
}


class Command(Protocol):
    """A script's `main` after `command`: it takes the arguments of the process by default."""

    def __call__(self, argv: Sequence[str] | None = None) -> int:
        """Run the script; return its exit status."""


logger = logging.getLogger("pyimagesearch")
info = logger.info
warn = logger.warning


class _StatusHandler(logging.Handler):
    """Writes lines such as "[INFO] ..." to standard error; standard output is for results."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; the work goes on where it cannot be written."""
        write_status(as_started(f"[{record.levelname}] {printable(record.getMessage())}"))


def _show_status_lines() -> None:
    """Configure the package's logger, once a process."""
    if not logger.handlers:
        logger.addHandler(_StatusHandler())
        logger.setLevel(logging.INFO)
        logger.propagate = False


def as_started(text: str) -> str:
    """Return a text with the scripts under the names by which they were installed, if the process
    is such a command.
    """
    if Path(sys.argv[0]).stem.startswith("image-search-"):
        for script, installed in INSTALLED.items():
            text = re.sub(rf"(?<![\w./-])(?:python )?{re.escape(script)}", installed, text)
    return text


def command(main: Main) -> Command:
    """Decorate a script's `main(argv)`: it shows status lines and returns an exit status.

    ValueError, OSError, ImportError and MemoryError, which the package raises with the reason and
    the remedy, become a line `script.py: error: ...` and status 1, and so does output that cannot
    be written. A pipe that its reader closed is no error. Ctrl-C becomes status 130. Any other
    exception is a bug and keeps its traceback.
    """

    @functools.wraps(main)
    def run(argv: Sequence[str] | None = None) -> int:
        open_standard_streams()
        _show_status_lines()
        try:
            with ctrl_c_raises():
                try:
                    main(argv)
                finally:
                    flush_results()
        except (Exception, KeyboardInterrupt) as error:
            # A module in C++ that is being imported makes an ImportError of Ctrl-C.
            if KeyboardInterrupt in map(type, (error, error.__cause__)):
                write_status()
                return 130
            if not isinstance(error, EXPECTED):
                raise
            name = Path(main.__code__.co_filename).name
            text = " ".join(_reason(error).splitlines()) or type(error).__name__
            write_status(as_started(f"{name}: error: {printable(text)}"))
            return 1
        return 0

    return run


def _reason(error: Exception) -> str:
    """Return what an error says, and what to do where Python says too little."""
    if isinstance(error, ImportError):
        return explain(error)
    if isinstance(error, FileNotFoundError) and error.errno and error.filename is None:
        try:
            os.getcwd()
        except FileNotFoundError:
            return "the current folder was deleted: change to another one"
    return reason_of(error)


def require_distinct(**flags: str | Sequence[str] | None) -> None:
    """Raise ValueError if two flags name the same file.

    A value is a path, a list of paths, such as a file and those written beside it, or None.
    """
    named: dict[str, str] = {}
    for flag, paths in flags.items():
        for path in [paths] if isinstance(paths, str) else paths or []:
            other = named.setdefault(os.path.realpath(path), flag)
            if other != flag:
                raise ValueError(f"--{other} and --{flag} both use {path}: give each its own file")

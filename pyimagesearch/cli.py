"""Code shared by the scripts: status lines, exit statuses and flags."""

import argparse
import functools
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pyimagesearch.files import printable
from pyimagesearch.terminal import (
    ctrl_c_raises,
    flush_results,
    open_standard_streams,
    write_status,
)

Main = Callable[[Sequence[str] | None], None]  # of a script
FlagTable = dict[str, Sequence[str]]  # flags, by the flag that needs or excludes them

logger = logging.getLogger("pyimagesearch")
info = logger.info
warn = logger.warning


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows the default of every flag that has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False):
            return action.help
        return super()._get_help_string(action)


class _StatusHandler(logging.Handler):
    """Writes lines such as "[INFO] ..." to standard error; standard output is for results."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; the work goes on where it cannot be written."""
        write_status(f"[{record.levelname}] {printable(record.getMessage())}")


def _show_status_lines() -> None:
    """Configure the package's logger, once a process."""
    if not logger.handlers:
        logger.addHandler(_StatusHandler())
        logger.setLevel(logging.INFO)
        logger.propagate = False


def add_folder_flags(add: Callable[..., Any]) -> None:
    """Add the flags that say how folders of pictures are read, by the `add_argument` of a group."""
    text = "leave out files and folders of these names, or paths, such as *.CR2 or scans/old"
    add("--exclude", nargs="*", metavar="PATTERN", help=text)
    text = "read JPEGs that are cut short as far as they go"
    add("--truncated", action="store_true", default=None, help=text)


def command(main: Main) -> Callable[[Sequence[str] | None], int]:
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
        except (ValueError, OSError, ImportError, MemoryError) as error:
            script = Path(main.__code__.co_filename).name
            text = " ".join(str(error).splitlines()) or type(error).__name__
            write_status(f"{script}: error: {printable(text)}")
            return 1
        except KeyboardInterrupt:
            write_status()
            return 130
        return 0

    return run


def refuse_unused(
    parser: argparse.ArgumentParser,
    args: argparse.Namespace,
    needs: FlagTable,
    excludes: FlagTable,
    *,
    remedy: str = "",
) -> None:
    """End with a usage error where a flag that was given would have no effect.

    Flags are named as in `args`. `needs` maps a flag to those of which it needs one, `excludes` to
    those that have no effect beside it; flags of `args` are given unless they are None or False.
    """

    def given(flag: str) -> bool:
        value = getattr(args, flag)
        return value is not None and value is not False

    def name(flag: str) -> str:
        return f"--{flag.replace('_', '-')}"

    for flag, others in needs.items():
        if given(flag) and not any(map(given, others)):
            parser.error(f"{name(flag)} has no effect without {' or '.join(map(name, others))}")
    for flag, others in excludes.items():
        if given(flag) and (unused := [name(other) for other in others if given(other)]):
            verb = "has" if len(unused) == 1 else "have"
            parser.error(f"{' and '.join(unused)} {verb} no effect with {name(flag)}{remedy}")


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


def checked(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return an argparse type: a function of the package that raises ValueError with the reason."""

    def value(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return value


def positive_int(text: str) -> int:
    """argparse type: a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, received {text}")
    return value


def positive_float(text: str) -> float:
    """argparse type: a finite number above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, received {text}")
    return value


def non_negative_float(text: str) -> float:
    """argparse type: a finite number of at least 0."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, received {text}")
    return value


def fraction(text: str) -> float:
    """argparse type: a number between 0 and 1, both excluded."""
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"expected a number between 0 and 1, received {text}")
    return value


def path_ending_in(*suffixes: str) -> Callable[[str], str]:
    """Return an argparse type: the path of a file to write, with one of `suffixes`."""

    def path(text: str) -> str:
        if Path(text).suffix.lower() not in suffixes:
            raise argparse.ArgumentTypeError(
                f"expected a name ending in {' or '.join(suffixes)}, received {text}"
            )
        return text

    return path

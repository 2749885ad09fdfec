"""Standard streams and Ctrl-C: results, status lines, and what happens where they fail."""

import contextlib
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

from pyimagesearch.files import printable

logger = logging.getLogger(__name__)

LINE_SECONDS = 10  # between lines of progress where there is no terminal


def write_status(line: str = "") -> None:
    """Write a line to standard error, which is looked up each time, as tests replace it.

    A progress bar moves down.
    """
    above_bars: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    if "tqdm" in sys.modules:
        above_bars = sys.modules["tqdm"].tqdm.external_write_mode(sys.stderr)
    try:
        with above_bars:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()
    except OSError:  # a closed pipe or a full disk
        _discard(sys.stderr)


@contextlib.contextmanager
def progress(total: int, unit: str, task: str) -> Iterator[Callable[[int], object]]:
    """Show how far a long task is; the function that is given is called with each number done.

    `total` is the number of all, `unit` what is counted, such as "images", `task` a word such as
    "encoding". On a terminal there is a bar, which goes when the task ends; elsewhere, such as in
    the log of a batch job, a line every LINE_SECONDS. Both estimate the time that is left.
    """
    if shows_bars():
        from tqdm import tqdm

        with tqdm(total=total, unit=f" {unit}", desc=task, leave=False) as bar:
            yield bar.update
        return
    yield ProgressLines(total, unit, task).add


def shows_bars() -> bool:
    """Whether standard error is a terminal on which a bar can be drawn."""
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


class ProgressLines:
    """Logs a line about a task every LINE_SECONDS; threads may add what they did."""

    def __init__(self, total: int, unit: str, task: str) -> None:
        self._total = total
        self._unit = unit
        self._task = task
        self._done = 0
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._told = self._started

    def add(self, count: int) -> None:
        """Count what was done, and log a line if the last one is old."""
        with self._lock:
            self._done += count
            now = time.monotonic()
            if now - self._told < LINE_SECONDS or not 0 < self._done < self._total:
                return
            self._told = now
            left = (now - self._started) * (self._total - self._done) / self._done
            logger.info(
                f"{self._task}: {self._done:,} of {self._total:,} {self._unit}, "
                f"about {_duration(left)} left"
            )


def _duration(seconds: float) -> str:
    """Return a time as text, such as "40 s", "12 min" or "3 h 5 min"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    if not hours:
        return f"{minutes} min"
    return f"{hours} h {minutes} min"


def write_lines(lines: Iterable[str | bytes], end: bytes = b"\n") -> bool:
    """Write lines to standard output at once; return whether it is still read.

    Text is written with control characters escaped, so that names and labels from an index cannot
    control a terminal. Bytes, such as the paths of files, are written as they are, except to a
    terminal. Where the reader closed the pipe, this and all later output is discarded.

    Raises OSError where standard output cannot be written, such as to a full disk.
    """
    data = b"".join(_encoded(line) + end for line in lines)
    if sys.stdout is None:
        raise OSError("cannot write to standard output: it is closed")
    return flush_results(data)


def flush_results(data: bytes = b"") -> bool:
    """Write bytes, and what argparse or a library printed before; see `write_lines`."""
    if sys.stdout is None:
        return False
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
    except BrokenPipeError:
        _discard(sys.stdout)
        return False
    except OSError as error:
        _discard(sys.stdout)
        raise OSError(f"cannot write to standard output: {error.strerror}") from error
    return True


def _encoded(line: str | bytes) -> bytes:
    if isinstance(line, bytes):
        if not sys.stdout or not sys.stdout.isatty():
            return line
        line = line.decode("utf-8", "surrogateescape")
    encoding = (sys.stdout and sys.stdout.encoding) or "utf-8"
    return printable(line).encode(encoding, "backslashreplace")


def to_json(value: Any) -> str:
    """Return JSON on one line, without control characters, as text for standard output.

    Other characters are escaped only where standard output is not UTF-8.
    """
    encoding = (sys.stdout and sys.stdout.encoding) or "utf-8"
    utf8 = encoding.lower().replace("-", "") == "utf8"
    text = json.dumps(value, ensure_ascii=not utf8)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def _discard(stream: IO[Any]) -> None:
    """Discard what is left in a stream and all that follows; Python flushes it again at exit."""
    with contextlib.suppress(OSError, ValueError):
        number = stream.fileno()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, number)
        os.close(null)


def open_standard_streams() -> None:
    """Open the null device for closed standard streams.

    Otherwise the next file that is opened, such as an index, would get the number of the stream,
    and messages of C libraries would be written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number: this one
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115  (for the rest of the process)


_interrupted = threading.Event()  # a Ctrl-C that waits


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


def _wait(number: int, frame: Any) -> None:
    if _interrupted.is_set():
        raise KeyboardInterrupt
    _interrupted.set()


@contextlib.contextmanager
def ctrl_c_waits() -> Iterator[None]:
    """Have Ctrl-C wait for `raise_ctrl_c`, or the end of the block; a second one raises at once.

    It is for C++ code that calls Python, as TensorFlow does: an exception that passes through may
    abort the process, or become an error of another kind. Applies only inside a script's main.
    """
    if signal.getsignal(signal.SIGINT) is not _interrupt:
        yield
        return
    signal.signal(signal.SIGINT, _wait)
    try:
        yield
        raise_ctrl_c()
    except Exception:
        if _interrupted.is_set():
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.signal(signal.SIGINT, _interrupt)
        _interrupted.clear()


def raise_ctrl_c() -> None:
    """Raise KeyboardInterrupt if a Ctrl-C waits for it; see `ctrl_c_waits`."""
    if _interrupted.is_set():
        raise KeyboardInterrupt


@contextlib.contextmanager
def ctrl_c_raises() -> Iterator[None]:
    """Have Ctrl-C raise KeyboardInterrupt, unless it is ignored, as in a background job."""
    before = signal.getsignal(signal.SIGINT)
    main_thread = threading.current_thread() is threading.main_thread()
    if not main_thread or before not in (signal.SIG_DFL, signal.default_int_handler):
        yield
        return
    signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def ctrl_c_ends_process() -> Iterator[None]:
    """Have Ctrl-C end the process at once, around calls of C++ code that may run for minutes.

    Python would react only when such a call returns. Applies only inside a script's main, and only
    fits where no file is half-written.
    """
    if signal.getsignal(signal.SIGINT) is not _interrupt:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, _interrupt)

"""Calls into C++ that may never end, or take all memory: Ctrl-C and limits end them."""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")
GRACE = 5  # seconds that a call has to end once it was told to,
MEMORY_GRACE = 0.1  # or where it takes too much memory, of which it may take gigabytes in a second
POLL = 0.02  # seconds between two looks at the memory


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Limits:
    """What a call may take: a time, and memory, of which `takes_too_much` tells whether it does.

    `name` is that of the call in messages.
    """

    name: str
    seconds: float
    takes_too_much: Callable[[], bool] = _never


def run_interruptibly(call: Callable[[], T], cancel: Callable[[], object], limits: Limits) -> T:
    """Return `call()`, which runs in a thread of its own, as Python would wait for it otherwise.

    `cancel` tells it to end: at Ctrl-C, or with TimeoutError or MemoryError where it takes more
    than its limits. Where it goes on nevertheless, the process ends, with one line: files are as
    they are after a kill.
    """
    result: Future[T] = Future()

    def work() -> None:
        try:
            result.set_result(call())
        except BaseException as error:  # raised again where the result is awaited
            result.set_exception(error)

    try:
        # Inside, as Ctrl-C may come while this waits for the thread, which goes on.
        threading.Thread(target=work, daemon=True).start()
        exceeded = _await(result, limits)
    except KeyboardInterrupt:
        cancel()
        if not wait([result], GRACE).done:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        raise
    if exceeded is None:
        return result.result()
    cancel()
    grace = MEMORY_GRACE if isinstance(exceeded, MemoryError) else GRACE
    if not wait([result], grace).done:
        logger.error(f"{limits.name} {exceeded}: use another model")
        _exit_at_once()
    raise exceeded


def _await(result: "Future[T]", limits: Limits) -> TimeoutError | MemoryError | None:
    """Wait for a result; return None, or the error where a limit is exceeded before."""
    end = time.monotonic() + limits.seconds
    while not wait([result], min(POLL, max(0, end - time.monotonic()))).done:
        if limits.takes_too_much():
            return MemoryError("takes more memory than it should")
        if time.monotonic() >= end:
            return TimeoutError(f"took more than {limits.seconds:.3g} s")
    return None


def _exit_at_once() -> None:
    """End the process without what C++ does at a usual exit, which would destroy what is in use."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with suppress(OSError):  # of a reader that has gone, or a full disk
                stream.flush()
    os._exit(1)

"""Calls into C++ that may never end: Ctrl-C and a time limit end them all the same."""

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

T = TypeVar("T")
GRACE = 5  # seconds that a call has to end once it was told to


def run_interruptibly(call: Callable[[], T], cancel: Callable[[], None], seconds: float) -> T:
    """Return `call()`, which runs in a thread of its own, as Python would wait for it otherwise.

    `cancel` tells it to end: at Ctrl-C, or with TimeoutError when it takes more than `seconds`. A
    call that goes on nevertheless ends with the process: at once after Ctrl-C, as its files are as
    they are after a kill, or else when the process exits.
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
        done = wait([result], seconds).done
    except KeyboardInterrupt:
        cancel()
        if not wait([result], GRACE).done:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        raise
    if not done:
        cancel()
        if not wait([result], GRACE).done:
            # At a usual exit C++ would destroy what the call still uses.
            atexit.register(_exit_at_once)
        raise TimeoutError
    return result.result()


def _exit_at_once() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(1)

"""What the networks of a process may take together, of time and of memory.

Each comes from a stranger, perhaps in an index. Until the first images are encoded they share one
allowance of time, however often they are opened and tried; then each batch has its own.
"""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from pyimagesearch.encoders.interruptible import Limits, run_interruptibly

T = TypeVar("T")
SECONDS = 30  # that networks may take to be opened and tried, or later to encode a batch, and
SECONDS_PER_GB = 60  # for each GB that is opened, and
SECONDS_PER_IMAGE = 3  # for each image or text beside that
LEAST_SECONDS = 1  # that is left for the next call where the others took all
PROVEN = 20  # images or texts after which a network is no longer tried
# Memory that a network may take in all: beside its weights, which are copied.
WORKING_BYTES = 1 << 30
COPIES = 3  # of the weights, in memory that ONNX Runtime counts,
MORE_COPIES = 2  # and in other memory. There is also
OTHER_BYTES = 1 << 28  # what the rest of the process takes meanwhile, with
BYTES_PER_PIXEL = 8  # of pictures that are being decoded.
STATM = "/proc/self/statm"  # the pages of this process, on Linux: all, resident, of files, ...


@dataclass(frozen=True)
class Use:
    """What a call is to do: to open a network of `size` bytes, or to encode `count` images.

    `name` is what takes too much, in messages.
    """

    name: str
    size: int = 0
    count: int = 0


class Allowance:
    """The time and the memory that networks may take together; the scripts have one a process."""

    def __init__(self) -> None:
        self._spent = 0.0  # seconds, beyond those that each call was given for its own
        self._encoded = 0
        self._largest = 0
        self._before: int | None = None

    def run(self, call: Callable[[], T], cancel: Callable[[], object], use: Use) -> T:
        """Return `call()`; see `run_interruptibly`, which raises TimeoutError and MemoryError."""
        own = SECONDS_PER_GB * use.size / 1e9 + SECONDS_PER_IMAGE * use.count
        left: float = SECONDS
        if self._encoded < PROVEN:
            left = max(LEAST_SECONDS, SECONDS - self._spent)
        started = time.monotonic()
        try:
            limits = Limits(use.name, left + own, self._memory_check(use.size))
            result = run_interruptibly(call, cancel, limits)
        finally:
            self._spent = max(0, self._spent + time.monotonic() - started - own)
        self._encoded += use.count
        return result

    def _memory_check(self, size: int) -> Callable[[], bool]:
        """Return a function that tells whether the process has taken too much since it is now."""
        now = memory_of_process()
        if self._before is None:
            self._before = now
        self._largest = max(self._largest, size)
        whole = self._before + WORKING_BYTES + (COPIES + MORE_COPIES) * self._largest
        most = max(whole, now) + OTHER_BYTES

        def takes_too_much() -> bool:
            excess = memory_of_process() - most
            return excess > 0 and excess > _memory_of_decoding()

        return takes_too_much


def memory_of_process() -> int:
    """Return the bytes in memory that are not those of files; 0 where it is not known."""
    with suppress(OSError), open(STATM) as file:
        _, resident, of_files, *_ = map(int, file.read().split())
        return (resident - of_files) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _memory_of_decoding() -> int:
    from pyimagesearch.pictures.decoding import pixels_in_progress

    return BYTES_PER_PIXEL * pixels_in_progress()


networks = Allowance()

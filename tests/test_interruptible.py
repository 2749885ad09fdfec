"""Calls that may never end: the process ends where they do not."""

import io
import os
import sys
import threading

import pytest

from pyimagesearch.encoders import interruptible
from pyimagesearch.encoders.interruptible import Limits, run_interruptibly


class ReaderGone(io.StringIO):
    def flush(self):
        raise BrokenPipeError


def test_a_call_that_goes_on_ends_the_process_also_when_nobody_reads_its_output(monkeypatch):
    def end(code):
        raise SystemExit(code)

    released = threading.Event()
    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(sys, "stdout", ReaderGone())
    monkeypatch.setattr(interruptible, "GRACE", 0.01)
    try:
        with pytest.raises(SystemExit) as ended:
            run_interruptibly(released.wait, lambda: None, Limits("a network", seconds=0.01))
    finally:
        released.set()
    assert ended.value.code == 1

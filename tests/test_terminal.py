import signal
import sys

import pytest

from pyimagesearch import terminal
from pyimagesearch.cli import command
from pyimagesearch.terminal import (
    ctrl_c_raises,
    ctrl_c_waits,
    progress,
    raise_ctrl_c,
    write_status,
)


def test_ctrl_c_waits_until_it_is_asked_for():
    told = []
    with pytest.raises(KeyboardInterrupt), ctrl_c_raises(), ctrl_c_waits():
        signal.raise_signal(signal.SIGINT)
        told.append("a call of C++ ends")
        raise_ctrl_c()
        told.append("the next one begins")
    assert told == ["a call of C++ ends"]


def test_ctrl_c_waits_no_longer_than_the_block():
    with ctrl_c_raises():
        with pytest.raises(KeyboardInterrupt), ctrl_c_waits():
            signal.raise_signal(signal.SIGINT)
        with ctrl_c_waits():
            raise_ctrl_c()  # nothing waits any more


def test_a_second_ctrl_c_raises_at_once():
    with pytest.raises(KeyboardInterrupt), ctrl_c_raises(), ctrl_c_waits():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("the second one waits too")


def test_an_error_that_a_library_makes_of_ctrl_c_is_ctrl_c_again():
    with pytest.raises(KeyboardInterrupt), ctrl_c_raises(), ctrl_c_waits():
        signal.raise_signal(signal.SIGINT)
        raise TypeError("cannot convert a KeyboardInterrupt")


def test_an_error_without_ctrl_c_stays_an_error():
    with ctrl_c_raises(), pytest.raises(ValueError, match="disk"), ctrl_c_waits():
        raise ValueError("disk")


def test_an_import_that_ctrl_c_ends_is_no_missing_package(capsys):
    @command
    def main(argv):
        raise ImportError("initialization failed") from KeyboardInterrupt()

    assert main([]) == 130
    assert capsys.readouterr().err == "\n"


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets: clock[0] is the time in seconds."""
    now = [100.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    return now


def test_without_a_terminal_a_line_every_ten_seconds_tells_what_is_left(clock, caplog):
    caplog.set_level("INFO")
    with progress(1000, "images", "encoding") as done:
        for _ in range(8):
            clock[0] += 4
            done(100)
        clock[0] += 99
        done(200)  # the end needs no line
    assert [record.message for record in caplog.records] == [
        "encoding: 300 of 1,000 images, about 28 s left",
        "encoding: 600 of 1,000 images, about 16 s left",
    ]


def test_status_lines_stand_above_a_progress_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with progress(4, "images", "encoding") as done:
        done(1)
        write_status("[INFO] a line")
        assert "\r[INFO] a line\n\rencoding:" in capsys.readouterr().err


def test_a_short_task_says_nothing(clock, caplog, capsys):
    caplog.set_level("INFO")
    with progress(2, "images", "encoding") as done:
        done(1)
        clock[0] += 9
        done(1)
    assert not caplog.records
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(7.4, "7 s"), (150, "2 min"), (3600, "1 h 0 min"), (11_100, "3 h 5 min")]
)
def test_durations_are_told_in_words(seconds, text):
    assert terminal._duration(seconds) == text

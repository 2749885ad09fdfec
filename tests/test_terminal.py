import signal

import pytest

from pyimagesearch.terminal import ctrl_c_raises, ctrl_c_wins


def test_an_error_that_a_library_makes_of_ctrl_c_is_ctrl_c_again():
    with pytest.raises(KeyboardInterrupt), ctrl_c_raises(), ctrl_c_wins():
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise TypeError("cannot convert a KeyboardInterrupt") from None


def test_an_error_after_a_ctrl_c_that_was_dealt_with_stays_an_error():
    with ctrl_c_raises():
        with pytest.raises(KeyboardInterrupt), ctrl_c_wins():
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(ValueError, match="disk"), ctrl_c_wins():
            raise ValueError("disk")

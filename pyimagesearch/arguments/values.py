"""argparse types: what a flag takes, and a message in words where it is given something else."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

LARGEST_WHOLE = 2**63 - 1
LARGEST_SIZE = 8192  # of what takes memory: two such sizes are those of a matrix of 256 MB
LARGEST_DISTANCE = 3e38  # which float32 holds
LARGEST_SEED = 2**32 - 1  # of NumPy's and Keras' generators


def checked(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return an argparse type: a function of the package that raises ValueError with the reason."""

    def value(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return value


def number(
    parse: Callable[[str], float], is_right: Callable[[Any], bool], expected: str
) -> Callable[[str], Any]:
    """Return an argparse type: a number for which `is_right` holds, described as `expected`.

    `parse` is int or float. Whole numbers fit in 64 bits, as libraries hold them.
    """

    def value(text: str) -> Any:
        try:
            result = parse(text)
        except ValueError:
            result = math.nan
        too_large = isinstance(result, int) and abs(result) > LARGEST_WHOLE
        if too_large or math.isnan(result) or not is_right(result):
            raise argparse.ArgumentTypeError(f"expected {expected}, received {text}")
        return result

    return value


whole_number = number(int, lambda value: True, "a whole number")
positive_int = number(int, lambda value: value >= 1, "a whole number of at least 1")
seed = number(
    int, lambda value: 0 <= value <= LARGEST_SEED, f"a whole number from 0 to {LARGEST_SEED}"
)
size = number(
    int, lambda value: 1 <= value <= LARGEST_SIZE, f"a whole number from 1 to {LARGEST_SIZE}"
)
positive_float = number(float, lambda value: 0 < value < math.inf, "a number above 0")
non_negative_float = number(float, lambda value: 0 <= value < math.inf, "a number of at least 0")
fraction = number(float, lambda value: 0 < value < 1, "a number between 0 and 1")


def distance(text: str) -> float | str:
    """argparse type: a number of at least 0, or one of NAMED_DISTANCES."""
    from pyimagesearch.engines.named_distances import NAMED_DISTANCES

    if text in NAMED_DISTANCES:
        return text
    try:
        float(text)
    except ValueError:
        words = " or ".join(NAMED_DISTANCES)
        message = f"expected a number of at least 0, {words}, received {text}"
        raise argparse.ArgumentTypeError(message) from None
    return min(non_negative_float(text), LARGEST_DISTANCE)


def fraction_or_test(text: str) -> float | str:
    """argparse type: a number between 0 and 1, or the word test."""
    if text == "test":
        return text
    return fraction(text)


def path_ending_in(*suffixes: str) -> Callable[[str], str]:
    """Return an argparse type: the path of a file to write, with one of `suffixes`."""

    def path(text: str) -> str:
        if Path(text).suffix.lower() not in suffixes:
            raise argparse.ArgumentTypeError(
                f"expected a name ending in {' or '.join(suffixes)}, received {text}"
            )
        return text

    return path

"""Views of the picture of a query: a part of it, and its turns and flips."""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from pyimagesearch.arrays import Picture, Size
from pyimagesearch.files import printable
from pyimagesearch.indexes.contract import Codes
from pyimagesearch.pictures.input_spec import InputSpec
from pyimagesearch.queries.query import Query, ReadPicture

ORIENTATIONS = range(8)
"""Numbers of the turns and flips of a picture: n % 4 quarter turns clockwise, after a flip left to
right where n is 4 or more."""
TURNS = ("", "turned right", "upside down", "turned left")


def turned(orientation: int) -> int:
    """Return the number of an orientation after a further quarter turn clockwise."""
    return orientation // 4 * 4 + (orientation + 1) % 4


def flipped(orientation: int) -> int:
    """Return the number of an orientation after a further flip, left to right."""
    return (0 if orientation >= 4 else 4) + -orientation % 4


def oriented(picture: Picture, orientation: int) -> Picture:
    """Return a picture (h, w, c) in an orientation, as an array of its own."""
    if orientation >= 4:
        picture = picture[:, ::-1]
    return np.ascontiguousarray(np.rot90(picture, -(orientation % 4)))


def orientation_text(orientation: int) -> str:
    """Return words for what one sees of an orientation, empty for the picture as it is."""
    mirrored = "mirrored" if orientation >= 4 else ""
    return ", ".join(filter(None, [mirrored, TURNS[orientation % 4]]))


@dataclass(frozen=True)
class Crop:
    """A part of a picture, in pixels or, with `fractions`, in fractions of its sides."""

    left: float
    top: float
    width: float
    height: float
    fractions: bool = False

    def __post_init__(self) -> None:
        numbers = self.left, self.top, self.width, self.height
        if not all(map(math.isfinite, numbers)) or min(numbers) < 0:
            raise ValueError(f"expected a crop of numbers of at least 0, received {self}")
        if not (self.width and self.height):
            raise ValueError(f"expected a crop that is not empty, received {self}")
        if self.fractions and max(self.left + self.width, self.top + self.height) > 1 + 1e-6:
            raise ValueError(
                f"expected a crop inside the picture, received {self}: with a decimal point, "
                "numbers are fractions of its width and height"
            )

    def __str__(self) -> str:
        return ",".join(f"{n:.3g}" if self.fractions else f"{n:g}" for n in self._numbers)

    def oriented(self, orientation: int) -> "Crop":
        """Return the same part of the picture in an orientation; this one is in fractions."""
        left, top, width, height = self._numbers
        if orientation >= 4:
            left = 1 - left - width
        for _ in range(orientation % 4):
            left, top = 1 - top - height, left
            width, height = height, width
        return Crop(max(0, left), max(0, top), width, height, fractions=True)

    def in_fractions(self, picture: Picture) -> "Crop":
        """Return the same part of a picture (h, w, c), in fractions of its sides."""
        if self.fractions:
            return self
        height, width = picture.shape[:2]
        left, top, w, h = self._numbers
        return Crop(left / width, top / height, w / width, h / height, fractions=True)

    @property
    def _numbers(self) -> tuple[float, float, float, float]:
        return self.left, self.top, self.width, self.height

    def of(self, picture: Picture) -> Picture:
        """Return the part of a picture (h, w, c); raise ValueError where it is not inside."""
        height, width = picture.shape[:2]
        left, top, w, h = self._numbers
        if self.fractions:
            # At least the pixel that the corner is in.
            left = min(int(left * width), width - 1)
            top = min(int(top * height), height - 1)
            w = min(max(1, round(w * width)), width - left)
            h = min(max(1, round(h * height)), height - top)
        if left + w > width or top + h > height:
            raise ValueError(
                f"the crop {self} is not inside the picture of {width:,} x {height:,} pixels"
            )
        return np.ascontiguousarray(picture[top : top + h, left : left + w])


def parse_crop(text: str) -> Crop:
    """Return the Crop of a text X,Y,W,H: pixels or, with a decimal point, fractions.

    Raises ValueError where it is not such a text, or the crop is empty or outside any picture.
    """
    fractions = "." in text
    try:
        left, top, width, height = map(float if fractions else _pixels, text.split(","))
    except ValueError:
        raise ValueError(
            f"expected a crop X,Y,W,H in pixels, such as 10,20,100,80, or in fractions, such as "
            f"0.5,0,0.5,1, received {text or 'nothing'}"
        ) from None
    return Crop(left, top, width, height, fractions)


def _pixels(text: str) -> int:
    number = int(text)
    if abs(number) > sys.maxsize:  # not a float, nor what an array can be sliced by
        raise ValueError("no picture is as large")
    return number


@dataclass(frozen=True)
class View:
    """A picture after crops and turns, as a function that reads it.

    `read(size)` returns the picture, (h, w, c), perhaps decoded at a reduced scale for showing it
    at `size`, (height, width), or whole for None. `steps` are Crops and numbers of orientations;
    `name` is for messages.
    """

    read: ReadPicture
    name: str
    steps: tuple[Crop | int, ...] = ()

    def __call__(self, size: Size | None = None) -> Picture:
        """Return the picture, (h, w, c); whole where a part of it is wanted."""
        cropped = any(isinstance(step, Crop) for step in self.steps)
        picture = self.read(None if cropped else size)
        for step in self.steps:
            if not isinstance(step, Crop):
                picture = oriented(picture, step)
                continue
            try:
                picture = step.of(picture)
            except ValueError as error:
                raise ValueError(f"{printable(self.name)}: {error}") from None
        return picture

    def __str__(self) -> str:
        texts = (
            f"crop {step}" if isinstance(step, Crop) else orientation_text(step)
            for step in self.steps
        )
        return ", ".join(filter(None, texts))

    def cropped(self, crop: Crop) -> "View":
        """Return the View of a part of this one."""
        return replace(self, steps=(*self.steps, crop))

    def uncropped(self) -> tuple["View", Crop | None]:
        """Return the View before its last crop, turned as this one, and the part, in fractions."""
        places = [place for place, step in enumerate(self.steps) if isinstance(step, Crop)]
        if not places:
            return self, None
        place = places[-1]
        crop = self.steps[place]
        assert isinstance(crop, Crop)
        before = replace(self, steps=self.steps[:place])
        turns = [step for step in self.steps[place + 1 :] if isinstance(step, int)]
        if not crop.fractions:
            crop = crop.in_fractions(before())
        for orientation in turns:
            before = before.oriented(partial(_composed, then=orientation))
            crop = crop.oriented(orientation)
        return before, crop

    def oriented(self, change: Callable[[int], int]) -> "View":
        """Return this View in another orientation: `change` maps the present number to the new."""
        steps = list(self.steps)
        last: Crop | int = 0
        if steps and not isinstance(steps[-1], Crop):
            last = steps.pop()
        assert isinstance(last, int)
        now = change(last)
        return replace(self, steps=(*steps, now) if now else tuple(steps))


def view_of(query: Query) -> View:
    """Return the View of a query's picture; raise ValueError for a query without a picture."""
    if query.picture is None or query.is_text:
        raise ValueError("this query has no picture of its own to crop or turn")
    if isinstance(query.picture, View):
        return query.picture
    return View(query.picture, query.id)


def viewed(query: Query, view: View, spec: InputSpec) -> Query:
    """Return a query for a View of its picture, to be encoded for an InputSpec.

    Raises ValueError or OSError when the picture cannot be read or cropped.
    """
    image = spec.prepare(view(spec.decoded_size))
    return replace(query, image=image, picture=view, view=str(view), code=None, orientations=None)


@dataclass(frozen=True)
class Look:
    """How the pictures of queries are searched for: a part of them, in all orientations."""

    crop: Crop | None = None
    any_orientation: bool = False

    def __call__(self, query: Query, spec: InputSpec) -> Query:
        """Return a query with its inputs of the encoder for an InputSpec; see `viewed`."""
        view = view_of(query)
        query = viewed(query, view if self.crop is None else view.cropped(self.crop), spec)
        if self.any_orientation:
            assert query.picture is not None
            picture = query.picture(spec.decoded_size)
            inputs = [spec.prepare(oriented(picture, number)) for number in ORIENTATIONS]
            query.orientations = np.stack(inputs)
        return query


def in_orientation(query: Query, orientation: int, code: Codes) -> Query:
    """Return a query shown in that of its orientations whose code is given.

    It keeps its inputs, so that searching for it again considers all orientations again.
    """
    view = view_of(query).oriented(lambda last: _composed(last, orientation))
    return replace(query, code=code, picture=view, view=str(view))


def _composed(first: int, then: int) -> int:
    """Return the number of the orientation `first` followed by the orientation `then`."""
    if then >= 4:
        first = flipped(first)
    for _ in range(then % 4):
        first = turned(first)
    return first

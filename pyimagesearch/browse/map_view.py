"""A map in a window: the mouse over a point shows its picture."""

from typing import Any

import cv2

from pyimagesearch.arrays import Pixels
from pyimagesearch.browse.session import Session
from pyimagesearch.show.card import Card, Mark, draw_card
from pyimagesearch.show.projection import Projection
from pyimagesearch.show.sizes import PHOTO_SIDE

OFFSET = 16  # pixels from the mouse to the picture


class MapView:
    """A Projection of the index of a Session; `changed` says that it is to be drawn again."""

    def __init__(self, session: Session, projection: Projection) -> None:
        self._session = session
        self._projection = projection
        self._ids = session.loaded.ids
        self._sheet = projection.sheet(0, session.shared_title)
        self._row: int | None = None
        self._place = (0, 0)
        self.changed = True

    def on_mouse(self, event: int, x: int, y: int, flags: int, _: Any = None) -> None:
        """Show the picture of the point under the mouse; a callback of OpenCV."""
        if event != cv2.EVENT_MOUSEMOVE:
            return
        row = self._projection.nearest_row(x, y)
        if row != self._row:
            self._row = row
            self._place = (x, y)
            self.changed = True

    def draw(self) -> Pixels:
        """Return the map, uint8 BGR, with the picture of the point under the mouse."""
        self.changed = False
        if self._row is None:
            return self._sheet
        id = str(self._ids[self._row])
        picture = self._session.reporter.picture(id)
        image = draw_card(Card(picture, (id,), mark=Mark.QUERY), PHOTO_SIDE)
        sheet = self._sheet.copy()
        height, width = image.shape[:2]
        left, top = self._place
        left = left + OFFSET if left + OFFSET + width <= sheet.shape[1] else left - OFFSET - width
        top = min(max(0, top - height // 2), sheet.shape[0] - height)
        sheet[top : top + height, left : left + width] = image
        return sheet

"""A session in a window: mouse and keys become its actions."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import cv2

from pyimagesearch.browse.actions import ACTIONS, Action, window_help
from pyimagesearch.browse.session import Session
from pyimagesearch.browse.sheet import HINTS, SCREEN, Pixel, Sheet
from pyimagesearch.files import printable
from pyimagesearch.queries.crops import Crop
from pyimagesearch.show.keys import key_name
from pyimagesearch.show.windows import (
    Room,
    is_open,
    open_window,
    prepare_windows,
    room_on,
    screen_size,
)

if TYPE_CHECKING:
    from pyimagesearch.browse.map_view import MapView

TITLE = "Results"
MAP = "Map"
WAIT = 5  # milliseconds between two looks at the events of the mouse
MIN_DRAG = 4  # pixels; a shorter drag is a click
_ARROWS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
_ARROWS |= {"h": (-1, 0), "l": (1, 0), "k": (0, -1), "j": (0, 1)}


class Browser:
    """The state of a window: a Session, its Sheet, and what the mouse and the keys do to them.

    It opens no window: `on_mouse` and `on_key` take events as OpenCV reports them. Errors of the
    session become its status line. `changed` says that the sheet is to be shown again, `map_wanted`
    that `draw_map` is to be called then: it may take long, as the status line says.
    """

    def __init__(
        self, session: Session, folder: str, method: str | None = None, room: Room = SCREEN
    ) -> None:
        """Browse a Session on a screen with some Room; `folder` is for saved sheets.

        `method` is that of maps, which are drawn for each given query if it is not None.
        """
        hints = HINTS
        if session.has_more:
            hints = hints.replace("? keys", "Space: next query   ? keys")
        self.session = session
        self.sheet = Sheet(session, hints, room)
        self._folder = folder
        self._method = method or "pca"
        self.map_wanted = method is not None
        self._maps_always = self.map_wanted
        self.changed = True
        self.ended = False
        self._pressed: Pixel | None = None
        self._keys = {key: action for action in ACTIONS for key in action.keys}

    def on_key(self, code: int) -> None:
        """React to a key, by its code of `cv2.waitKeyEx`."""
        name = key_name(code)
        sheet = self.sheet
        if sheet.overlay is not None or name == "?":
            sheet.overlay = None if sheet.overlay else window_help()
            self.changed = True
        elif name in _ARROWS:
            self._select(*_ARROWS[name])
        elif name in self._keys:
            self._act(partial(self._run, self._keys[name]))

    def _run(self, action: Action) -> str | None:
        """Run the method of an action: the one of this window, or else of the session."""
        own = getattr(self, f"_{action.method}", None)
        method: Callable[..., str | None] = own or getattr(self.session, action.method)
        if action.of_result:
            return method(self._chosen_id())
        return method()

    def on_mouse(self, event: int, x: int, y: int, flags: int, _: Any = None) -> None:
        """React to an event of the mouse at a pixel of the sheet; a callback of OpenCV."""
        place = self.sheet.place_at(x, y)
        if event == cv2.EVENT_MOUSEMOVE:
            self._move(x, y, place)
        elif event == cv2.EVENT_LBUTTONDOWN:
            self._pressed = x, y
        elif event == cv2.EVENT_LBUTTONUP:
            self._release(x, y, place, flags)
        elif event == cv2.EVENT_RBUTTONDOWN and place is not None:
            id = self._id(place)
            self._act(lambda: self.session.dislike(id))

    def _move(self, x: int, y: int, place: int | None) -> None:
        if self._pressed and self.sheet.on_query(*self._pressed):
            self.sheet.drag = (self._pressed, (x, y))
            self.changed = True
        elif place != self.sheet.hovered:
            self.sheet.hovered = place
            self.sheet.selected = None
            self.changed = True
            self._describe(place)

    def _release(self, x: int, y: int, place: int | None, flags: int) -> None:
        pressed = self._pressed
        self._pressed = None
        self.sheet.drag = None
        if pressed is None:
            return
        if self.sheet.on_query(*pressed):
            self.changed = True
            part = self.sheet.fractions(pressed, (x, y))
            if max(abs(x - pressed[0]), abs(y - pressed[1])) >= MIN_DRAG and part[2] and part[3]:
                self._act(lambda: self.session.crop(Crop(*part, fractions=True)))
        elif place is not None and place == self.sheet.place_at(*pressed):
            id = self._id(place)
            if flags & (cv2.EVENT_FLAG_CTRLKEY | cv2.EVENT_FLAG_SHIFTKEY):
                self._act(lambda: self.session.like(id))
            else:
                self._act(lambda: self.session.choose(id))

    def _act(self, action: Callable[[], str | None]) -> None:
        """Run an action of the session; what it returns, or its error, becomes the status line."""
        step = self.session.step
        try:
            self.sheet.status = action() or ""
        except (ValueError, OSError, ImportError) as error:
            self.sheet.status = " ".join(str(error).split())
        else:
            if self.session.step.base is not step.base:
                self.sheet.selected = None
            if self.session.step is not step:
                place = self.sheet.selected
                self._describe(self.sheet.hovered if place is None else place)
        self.changed = True

    def _select(self, right: int, down: int) -> None:
        """Move the selection, which begins at the tile under the mouse or else at the first."""
        count = len(self.session.page.hits)
        columns = self.sheet.grid.columns
        if not count:
            return
        place = self.sheet.selected
        if place is None:
            place = 0 if self.sheet.hovered is None else self.sheet.hovered
        else:
            place += right + down * columns
        self.sheet.selected = min(max(place, 0), count - 1)
        self.changed = True
        self._describe(self.sheet.selected)

    def _describe(self, place: int | None) -> None:
        self.sheet.status = ""
        if place is not None and place < len(self.session.page.hits):
            self.sheet.status = self.session.tooltip(self.sheet.number(place))

    def _id(self, place: int) -> str:
        return self.session.id_of(self.sheet.number(place))

    def _chosen_id(self) -> str:
        place = self.sheet.hovered if self.sheet.selected is None else self.sheet.selected
        if place is None:
            raise ValueError("select a picture first, by the arrow keys or the mouse")
        return self._id(place)

    def _another(self) -> None:
        self.session.another()
        self.map_wanted = self._maps_always

    def _save(self) -> str:
        names = self.session.save(self._folder, self.sheet.base())
        return "wrote " + " and ".join(names)

    def _map(self) -> str:
        self.map_wanted = True
        return f"drawing a map by {self._method}..."

    def draw_map(self) -> "MapView | None":
        """Return a map, or None with the reason in the status line."""
        maps: list[MapView] = []
        self.map_wanted = False
        self._act(lambda: maps.append(self._map_view()))
        return maps[0] if maps else None

    def _map_view(self) -> "MapView":
        from pyimagesearch.browse.map_view import MapView  # loads matplotlib

        return MapView(self.session, self.session.map(self._method))

    @property
    def title(self) -> str:
        """The title of the window."""
        return f"{TITLE} - {self.session.title}"

    def _quit(self) -> None:
        self.ended = True


def browse(session: Session, folder: str, method: str | None = None) -> None:
    """Show a Session in a window until the user quits; see Browser."""
    prepare_windows()
    room = room_on(screen_size())
    browser = Browser(session, folder, method, room)
    sheet = browser.sheet.draw()
    open_window(TITLE, sheet.shape[1::-1], room, browser.title)
    cv2.imshow(TITLE, sheet)
    cv2.setMouseCallback(TITLE, browser.on_mouse)
    map_view = None
    while not browser.ended and is_open(TITLE):
        if browser.changed:
            browser.changed = False
            cv2.setWindowTitle(TITLE, printable(browser.title))
            cv2.imshow(TITLE, browser.sheet.draw())
        if map_view is not None and map_view.changed and is_open(MAP):
            cv2.imshow(MAP, map_view.draw())
        key = cv2.waitKeyEx(WAIT)
        if key != -1:
            browser.on_key(key)
        elif browser.map_wanted and not browser.changed:
            map_view = browser.draw_map() or map_view
            if map_view is not None:
                show_map(map_view, room)
    cv2.destroyAllWindows()


def show_map(map_view: "MapView", room: Room) -> None:
    """Show a map in a window of its own."""
    image = map_view.draw()
    open_window(MAP, image.shape[1::-1], room)
    cv2.imshow(MAP, image)
    cv2.setMouseCallback(MAP, map_view.on_mouse)

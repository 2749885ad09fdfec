"""Names of the keys that windows of OpenCV report, which differ with the toolkit."""

# X11 keysyms, as Qt and GTK report them; keys of the keypad are beside.
_X11 = {
    "left": (0xFF51, 0xFF96),
    "up": (0xFF52, 0xFF97),
    "right": (0xFF53, 0xFF98),
    "down": (0xFF54, 0xFF99),
    "page up": (0xFF55, 0xFF9A),
    "page down": (0xFF56, 0xFF9B),
    "backspace": (0xFF08,),
    "enter": (0xFF0D, 0xFF8D),
    "escape": (0xFF1B,),
}
_WINDOWS = {  # virtual-key codes in the upper half
    "page up": 0x210000,
    "page down": 0x220000,
    "left": 0x250000,
    "up": 0x260000,
    "right": 0x270000,
    "down": 0x280000,
}
_COCOA = {  # function keys of macOS
    "up": 0xF700,
    "down": 0xF701,
    "left": 0xF702,
    "right": 0xF703,
    "page up": 0xF72C,
    "page down": 0xF72D,
}
_ASCII = {8: "backspace", 127: "backspace", 10: "enter", 13: "enter", 27: "escape", 32: "space"}

_NAMES = {code: name for name, codes in _X11.items() for code in codes}
_NAMES |= {code: name for name, code in (*_WINDOWS.items(), *_COCOA.items())}
_NAMES |= _ASCII


def key_name(code: int) -> str | None:
    """Return the name of a key from the code of `cv2.waitKeyEx`, or None for an unknown one.

    Letters are lower case; the other names are those of the tables above.
    """
    if code in _NAMES:
        return _NAMES[code]
    code &= 0xFFFF  # GTK adds bits for modifiers and locks
    if code in _NAMES:
        return _NAMES[code]
    return chr(code).lower() if 33 <= code < 127 else None

"""The name that was probably meant by one that is unknown."""

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean NAME?" for the known name most like `name`, or "" if none is."""
    by_lower_case = {other.lower(): other for other in known}
    close = difflib.get_close_matches(name.lower(), by_lower_case, n=1)
    if not close:
        return ""
    return f"; did you mean {by_lower_case[close[0]]}?"

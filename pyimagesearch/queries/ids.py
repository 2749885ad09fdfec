"""Finding indexed pictures by their ids, however these were typed."""

import contextlib
import os
import re
import unicodedata
from collections.abc import Sequence

from pyimagesearch.indexes.contract import Index
from pyimagesearch.suggestions import did_you_mean

MAX_COMPARED = 50_000  # ids, which takes a second
ESCAPED = re.compile(
    r"\\x([0-9a-f]{2})|\\u([0-9a-f]{4})|\\U00(0[0-9a-f]{5}|10[0-9a-f]{4})|\\([nrtbf\"\\])"
)
SHORT = dict(zip('nrtbf"\\', '\n\r\t\b\f"\\', strict=True))  # escape sequences of one letter


def find_ids(ids: Sequence[str], index: Index) -> dict[str, str]:
    """Return the ids in the index of those of the typed ids that exist.

    A typed id may differ from the one in the index in its Unicode normalisation, as file names of
    macOS do, and may hold the escape sequences that are printed for characters a terminal cannot
    show.
    """
    found = {id: id for id in index.find(ids)}
    forms = {id: _other_forms(id) for id in ids if id not in found}
    if not forms:
        return found
    known = index.find([form for others in forms.values() for form in others])
    for id, others in forms.items():
        matches = [form for form in others if form in known]
        if matches:
            found[id] = matches[0]
    return found


def did_you_mean_id(id: str, index: Index) -> str:
    """Return "; did you mean ID?" for the path in the index that is most like `id`, or "".

    A path with more or fewer folders before it is most like it. Row numbers of arrays are all
    alike, and a large index has too many ids to compare.
    """
    if not index.has_files or len(index) > MAX_COMPARED:
        return ""
    known = index.records().ids
    for other in known:
        if other.endswith(f"/{id}") or id.endswith(f"/{other}"):
            return f"; did you mean {other}?"
    if os.path.isfile(id):
        return "; a file is searched for by --query"
    return did_you_mean(id, known)


def _other_forms(id: str) -> list[str]:
    texts = [id, _unescaped(id)]
    forms = [unicodedata.normalize(form, text) for text in texts for form in ("NFC", "NFD")]
    return [*texts, *forms]


def _unescaped(text: str) -> str:
    """Return a text with escape sequences of `printable` and of JSON replaced."""

    def character(match: re.Match[str]) -> str:
        byte, short_code, code, letter = match.groups()
        if letter is not None:
            return SHORT[letter]
        if byte is None:
            return chr(int(short_code or code, 16))
        value = int(byte, 16)
        return chr(value if value < 0x80 else 0xDC00 + value)

    text = ESCAPED.sub(character, text)
    # Surrogates become the characters that they stand for: pairs of JSON, and bytes of UTF-8.
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    with contextlib.suppress(UnicodeEncodeError):
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    return text

"""Finding indexed pictures by their ids, however these were typed."""

import contextlib
import re
import unicodedata


def find_ids(ids, gallery):
    """Return the rows of those of the ids that exist, as {id: row}.

    An id may differ from the one in the index in its Unicode normalisation, as file names of macOS
    do, and may hold the escape sequences that are printed for characters a terminal cannot show.
    """
    rows = gallery.rows_of(ids)
    forms = {id: _other_forms(id) for id in ids if id not in rows}
    found = gallery.rows_of([form for others in forms.values() for form in others]) if forms else {}
    matches = {
        id: [found[form] for form in others if form in found] for id, others in forms.items()
    }
    return rows | {id: match[0] for id, match in matches.items() if match}


def _other_forms(id):
    texts = [id, _unescaped(id)]
    forms = [unicodedata.normalize(form, text) for text in texts for form in ("NFC", "NFD")]
    return [*texts, *forms]


def _unescaped(text):
    """Return a text with escape sequences of `printable` and of JSON replaced."""

    def character(match):
        byte, *codes = match.groups()
        if byte is None:
            return chr(int(codes[0] or codes[1], 16))
        value = int(byte, 16)
        return chr(value if value < 0x80 else 0xDC00 + value)

    pattern = r"\\x([0-9a-f]{2})|\\u([0-9a-f]{4})|\\U00(0[0-9a-f]{5}|10[0-9a-f]{4})"
    text = re.sub(pattern, character, text)
    # Surrogates become the characters that they stand for: pairs of JSON, and bytes of UTF-8.
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    with contextlib.suppress(UnicodeEncodeError):
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    return text

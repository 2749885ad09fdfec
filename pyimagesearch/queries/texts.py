"""Queries in words, for indexes whose encoder has one for texts."""

from collections.abc import Sequence

from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.files import brief
from pyimagesearch.queries.query import Query


def text_queries(texts: Sequence[str], encoder: Encoder) -> list[Query]:
    """Return texts as queries, with their codes.

    Raises ValueError when the encoder has none for texts, or knows no word of one, ImportError
    without tokenizers.
    """
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:  # of bytes that are not UTF-8
            raise ValueError(f"expected words in UTF-8, received {brief(text)}") from None
    codes = encoder.encode_texts(texts)
    for text, code in zip(texts, codes, strict=True):
        if not code.any():  # zeros, which are as far from one picture as from another
            raise ValueError(f"the text encoder knows no word of {brief(text)}: use other words")
    return [Query(text, code=code, is_text=True) for text, code in zip(texts, codes, strict=True)]

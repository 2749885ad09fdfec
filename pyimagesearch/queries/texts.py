"""Queries in words, for indexes whose encoder has one for texts."""

from functools import partial

from pyimagesearch.queries.query import Query


def text_queries(texts, encoder):
    """Return texts as queries, with their codes; their picture shows the words.

    Raises ValueError when the encoder has none for texts, ImportError without tokenizers.
    """
    codes = encoder.encode_texts(texts)
    return [
        Query(text, None, partial(_picture, text), code=code, is_text=True)
        for text, code in zip(texts, codes, strict=True)
    ]


def _picture(text, size=None):
    from pyimagesearch.show.montage import text_picture  # shown only where sheets are drawn

    return text_picture(text)

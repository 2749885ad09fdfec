"""Tokenizers as the JSON of `tokenizers`: strangers' are checked, SentencePiece's are converted.

A tokenizer's regular expressions run on every text, and some take time that doubles with each
character; its normalizers can multiply a text.
"""

import base64
import re
import string
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from pyimagesearch.encoders.wire import BYTES, Field, fields

MAX_STEPS = 10  # normalizers, or pre-tokenizers, and the sequence that they are in
MAX_PIECES = 20  # of all templates of a post-processor, and token numbers of a piece
PIECE_KINDS = {"Sequence", "SpecialToken"}  # "Sequence" is the text, as often as it stands there
PATTERNS = {"Regex", "String"}  # keys of a pattern
CHARACTERS = "precompiled_charsmap"
MAX_PATTERN = 300  # characters of a regular expression
MAX_GROUPS = 3
MAX_REPEATS = 1  # of a choice of a regular expression: +, * and {}, beside MAX_OPTIONS of "?"
MAX_OPTIONS = 2
# Of GPT-2, CLIP and the families of cl100k, which have two repeats in a choice.
KNOWN_PATTERNS = frozenset(
    (
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
        r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    )
)
PUNCTUATION = "[" + "".join(f"\\{c}" for c in string.punctuation) + "]"
# Fields of ModelProto, SentencePiece, TrainerSpec and NormalizerSpec in sentencepiece_model.proto.
PIECES = 1
TRAINER = 2
NORMALIZER = 3
PIECE_TEXT = 1
PIECE_SCORE = 2
PIECE_TYPE = 3
TRAINER_MODEL = 3
TRAINER_UNKNOWN = 40
NORMALIZER_CHARACTERS = 2
UNIGRAM = 1  # of ModelType
NORMAL = 1  # of Type
CONTROL = 3
USER_DEFINED = 4


def require_safe_tokenizer(values: dict[str, Any]) -> None:
    """Raise ValueError for a tokenizer.json that may take undue time or memory for a text.

    Steps may lack their type, which `tokenizers` then guesses, so that their fields count.
    """
    for key in ("normalizer", "pre_tokenizer"):
        steps = [part for part in _parts(values.get(key)) if not part.keys() & PATTERNS]
        if len(steps) > MAX_STEPS:
            raise ValueError(f"its {key} has more than {MAX_STEPS} steps")
        for step in steps:
            _require_no_longer(step)
        if sum(map(_lengthens, steps)) > 1:
            raise ValueError(f"its {key} has several steps Precompiled or ByteLevel")
    pieces = [part for part in _parts(values.get("post_processor")) if part.keys() & PIECE_KINDS]
    if len(pieces) > MAX_PIECES:
        raise ValueError(f"its post_processor has more than {MAX_PIECES} pieces")
    for part in _parts(values):
        if "Regex" in part:
            _require_quick(part["Regex"])
        if part.get("type") == "Precompiled" or CHARACTERS in part:
            _require_base64(part.get(CHARACTERS))
        if isinstance(part.get("ids"), list) and len(part["ids"]) > MAX_PIECES:
            raise ValueError(f"a piece of its post_processor has more than {MAX_PIECES} tokens")
        if "special_tokens" in part:
            _require_known_tokens(part)


def _require_base64(value: Any) -> None:
    """Raise ValueError for what makes `tokenizers` panic."""
    if not isinstance(value, str) or not re.fullmatch("[A-Za-z0-9+/=]*", value):
        raise ValueError(f"its {CHARACTERS} is not Base64")


def _require_known_tokens(template: dict[str, Any]) -> None:
    """Raise ValueError for a post-processor with a token that it lacks: `tokenizers` panics."""
    used = [part["SpecialToken"] for part in _parts(template) if "SpecialToken" in part]
    names = [token.get("id") for token in used if isinstance(token, dict)]
    known = template["special_tokens"]
    if not isinstance(known, dict) or not all(name in known for name in map(str, names)):
        raise ValueError("its post_processor has a token that it does not define")


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    """Yield all objects of a value from JSON; vocabularies, which are large, only as a whole."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting += [inner for key, inner in part.items() if key not in ("vocab", "merges")]
        elif isinstance(part, list):
            waiting += part


def _lengthens(step: dict[str, Any]) -> bool:
    """Whether a step may make several characters of one, as others do of those before it."""
    return CHARACTERS in step or step.get("type") == "ByteLevel" or "trim_offsets" in step


def _require_no_longer(step: dict[str, Any]) -> None:
    """Raise ValueError for a normalizer that replaces text by longer text."""
    new = step.get("content", step.get("prepend", ""))
    pattern = step.get("pattern")
    old = pattern.get("String", " ") if isinstance(pattern, dict) else " "
    if isinstance(new, str) and isinstance(old, str) and len(new) > max(1, len(old)):
        raise ValueError("its normalizer replaces text by longer text")


def _require_quick(pattern: Any) -> None:
    """Raise ValueError for a regular expression that may take more than n ** 2 steps on n letters.

    Others than the known ones may repeat one thing in each choice, and no group.
    """
    if not isinstance(pattern, str):
        raise ValueError("it has a regular expression that is no text")
    if pattern in KNOWN_PATTERNS:
        return
    refusal = ValueError(
        f"its regular expression {pattern[:60]!r} is none of those that are known to be quick"
    )
    if len(pattern) > MAX_PATTERN:
        raise refusal
    groups = repeats = options = level = 0
    for element in _elements(pattern):
        level += (element == "(") - (element == ")")
        if element == "|" and level == 0:
            repeats = options = 0
        groups += element == "("
        options += element == "?"
        repeats += element in ("+", "*", "{")
        # A reference to a group, or a group that is repeated, takes back what it matched.
        if repeats > MAX_REPEATS or options > MAX_OPTIONS or element in ("reference", "repeated"):
            raise refusal
    if groups > MAX_GROUPS:
        raise refusal


def _elements(pattern: str) -> Iterator[str]:
    """Yield the elements of a regular expression: its special characters, "x" for others."""
    position = depth = 0
    before = ""
    while position < len(pattern):
        element = pattern[position]
        position += 1
        if element == "\\":
            escaped = pattern[position : position + 1]
            position += 1
            if escaped in ("p", "P") and pattern[position : position + 1] == "{":
                position = pattern.find("}", position) + 1 or len(pattern)
            element = "reference" if escaped.isdigit() or escaped in ("k", "g") else "x"
        elif depth or element == "[":
            depth += (element == "[") - (element == "]")
            element = "x"
        elif element == "(" and pattern[position : position + 1] == "?":
            position += 2  # of (?: and (?! and the like
        if before == ")" and element in ("+", "*", "{"):
            element = "repeated"
        yield element
        before = element
    if depth:  # what looked like letters in brackets may be something else
        yield "reference"


@dataclass(frozen=True)
class Piece:
    """A piece of a SentencePiece model: its text, its score, and its type."""

    text: str = ""
    score: float = 0.0
    kind: int = NORMAL


def tokenizer_of_siglip(model: bytes) -> dict[str, Any]:
    """Return the tokenizer.json for the SentencePiece model of SigLIP.

    As `SiglipTokenizer` of transformers does, punctuation is removed, and the token that ends a
    text is added. Raises ValueError when it is not a complete Unigram model with this token.
    """
    parts = [one for one in fields(memoryview(model)) if one.kind == BYTES]
    pieces = [_piece(one.content) for one in parts if one.number == PIECES]
    settings = {
        (one.number, inner.number): inner
        for one in parts
        if one.number in (TRAINER, NORMALIZER)
        for inner in fields(one.content)
    }
    nothing = Field(0, 0, 0, memoryview(b""))
    kind = settings.get((TRAINER, TRAINER_MODEL))
    ends = [number for number, piece in enumerate(pieces) if piece.text == "</s>"]
    if not ends or (kind is not None and kind.integer != UNIGRAM):
        raise ValueError("it is not a Unigram model with the token </s>")
    characters = settings.get((NORMALIZER, NORMALIZER_CHARACTERS), nothing).content
    return {
        "version": "1.0",
        "added_tokens": [
            _added_token(piece.text, number, piece.kind == CONTROL)
            for number, piece in enumerate(pieces)
            if piece.kind in (CONTROL, USER_DEFINED)
        ],
        "normalizer": {"type": "Sequence", "normalizers": _siglip_normalizers(bytes(characters))},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"},
        "post_processor": _ending("</s>", ends[0]),
        "model": {
            "type": "Unigram",
            "unk_id": settings.get((TRAINER, TRAINER_UNKNOWN), nothing).integer,
            "vocab": [(piece.text, piece.score) for piece in pieces],
        },
    }


def _piece(content: memoryview) -> Piece:
    piece = Piece()
    for one in fields(content):
        if one.number == PIECE_TEXT:
            piece = replace(piece, text=bytes(one.content).decode("utf-8", "replace"))
        elif one.number == PIECE_SCORE and len(one.content) == 4:
            [score] = struct.unpack("<f", one.content)
            piece = replace(piece, score=score)
        elif one.number == PIECE_TYPE:
            piece = replace(piece, kind=one.integer)
    return piece


def _added_token(text: str, number: int, special: bool) -> dict[str, Any]:
    sides = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": number, "content": text, "special": special, **sides}


def _siglip_normalizers(characters: bytes) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"Regex": PUNCTUATION}, "content": ""},
        {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
        {"type": "Strip", "strip_left": True, "strip_right": True},
    ]
    if characters:
        charsmap = base64.b64encode(characters).decode()
        steps.append({"type": "Precompiled", CHARACTERS: charsmap})
    return steps


def _ending(token: str, number: int) -> dict[str, Any]:
    """Return the post-processor that puts a token after each text."""
    end = {"SpecialToken": {"id": token, "type_id": 0}}
    texts = [{"Sequence": {"id": name, "type_id": 0}} for name in ("A", "B")]
    return {
        "type": "TemplateProcessing",
        "single": [texts[0], end],
        "pair": [texts[0], end, texts[1], end],
        "special_tokens": {token: {"id": token, "ids": [number], "tokens": [token]}},
    }

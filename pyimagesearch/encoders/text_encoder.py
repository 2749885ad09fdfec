"""Text encoders: a text network and its tokenizer in one ONNX file, from words to codes."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pyimagesearch.encoders import allowance
from pyimagesearch.encoders.onnx_session import NetworkBytes, open_session, run_session
from pyimagesearch.encoders.tokenizer_files import require_safe_tokenizer
from pyimagesearch.files import printable

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Encoding

logger = logging.getLogger(__name__)

T = TypeVar("T")
# Keys of metadata entries of the ONNX file.
TOKENIZER_KEY = "tokenizer.json"
SETTINGS_KEY = "text_settings.json"
TOKEN_INPUTS = ("input_ids", "text")  # names of token numbers, in lower case
MASKS = ("attention_mask", "token_type_ids")
MAX_LENGTH = 4096  # tokens of a text; tokenizers without a limit state one of 10 ** 30
MAX_TOKEN = 2**31 - 1
MAX_TOKENIZER = 64 << 20  # characters of a tokenizer.json
MAX_CHARACTERS = 4000  # of a text; no limit of tokens leaves room for more


@dataclass(frozen=True)
class TextSettings:
    """How a text becomes the input of a network.

    `length` is the number of tokens that it is cut or padded to by `padding`, a token number, or
    None for as many as it has; with `lower` it is put into lower case, with `seen` the network is
    told that padding is text.
    """

    length: int | None
    padding: int
    lower: bool
    seen: bool

    def __post_init__(self) -> None:
        has_length = type(self.length) is int and 0 < self.length <= MAX_LENGTH
        if not (has_length or self.length is None):
            raise ValueError(f"expected texts of up to {MAX_LENGTH:,} tokens")
        if type(self.padding) is not int or not 0 <= self.padding <= MAX_TOKEN:
            raise ValueError(f"expected a token number up to {MAX_TOKEN} as padding")
        if type(self.lower) is not bool or type(self.seen) is not bool:
            raise ValueError("expected true or false as lower and as seen")


class TextEncoder:
    """A text network with its tokenizer, as `text_network` returns it; `name` is for messages."""

    def __init__(self, onnx: NetworkBytes, name: str) -> None:
        """Open the network; raise ValueError if it is damaged, ImportError without tokenizers."""
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise ImportError("--text needs tokenizers: pip install tokenizers") from None
        self.name = name
        self._session = open_session(onnx, name)
        stored = self._session.get_modelmeta().custom_metadata_map
        try:
            text = stored[TOKENIZER_KEY]
            if len(text) > MAX_TOKENIZER:
                raise ValueError(f"its tokenizer has more than {MAX_TOKENIZER >> 20} MB")
            self._settings = TextSettings(**json.loads(stored[SETTINGS_KEY]))
            require_safe_tokenizer(json.loads(text))
            self._tokenizer = _guarded(partial(Tokenizer.from_str, text))
            self._tokenizer.no_padding()
            limit = self._settings.length or MAX_LENGTH
            _guarded(partial(self._tokenizer.enable_truncation, limit))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            reason = printable(" ".join(str(error).split()))[:200]
            raise ValueError(f"the text encoder of {name} is damaged: {reason}") from error

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the codes of texts, float32 (len(texts), dim), of length 1.

        Warns of texts that are longer than the network reads. Raises ValueError for a text without
        words.
        """
        empty = [text for text in texts if not text.strip()]
        if empty:
            raise ValueError("a text to search for has no words: say what the pictures show")
        encodings = [self._tokens(text) for text in texts]
        cut = sum(
            bool(encoding.overflowing) or len(text) > MAX_CHARACTERS
            for encoding, text in zip(encodings, texts, strict=True)
        )
        if cut:
            limit = self._settings.length or MAX_LENGTH
            logger.warning(
                f"{cut} of {len(texts)} texts are cut: {self.name} reads the first {limit} tokens, "
                "which are words or parts of them"
            )
        return np.concatenate([self._code(encoding.ids) for encoding in encodings])

    def _tokens(self, text: str) -> "Encoding":
        text = text[:MAX_CHARACTERS]
        if self._settings.lower:
            text = text.lower()
        # `encode_batch`, unlike `encode`, lets other threads run meanwhile.
        call = partial(_guarded, partial(self._tokenizer.encode_batch, [text]))
        use = allowance.Use(f"the tokenizer of {self.name}", count=1)
        try:
            [encoding] = allowance.networks.run(call, lambda: None, use)
        except (TimeoutError, MemoryError) as error:
            raise ValueError(f"{use.name} {error} for a text: use another model") from None
        return encoding

    def _code(self, tokens: list[int]) -> NDArray[np.float32]:
        settings = self._settings
        length = settings.length or max(1, len(tokens))
        if len(tokens) > length:
            raise ValueError(f"the tokenizer of {self.name} gives more than {length} tokens")
        row = np.full((1, length), settings.padding)
        row[0, : len(tokens)] = tokens
        mask = (np.arange(length) < len(tokens)) | settings.seen
        return run_text_network(self._session, row, mask[np.newaxis], self.name)


def _guarded(call: Callable[[], T]) -> T:
    """Return `call()`; what tokenizers raises, a bare Exception or a panic, becomes ValueError."""
    try:
        return call()
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # PanicException is no Exception
        reason = printable(" ".join(str(error).split()))[:200]
        raise ValueError(f"its tokenizer fails: {reason}") from None


def run_text_network(
    session: "InferenceSession", tokens: NDArray[Any], mask: NDArray[np.bool_], name: object
) -> NDArray[np.float32]:
    """Return the codes, float32 (1, dim), of token numbers and which of them are text, (1, n)."""
    types = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
    inputs = {}
    for node in session.get_inputs():
        values = np.zeros_like(tokens)  # of "token_type_ids"
        if node.name.lower() in TOKEN_INPUTS:
            values = tokens
        elif node.name == "attention_mask":
            values = mask
        inputs[node.name] = values.astype(types.get(node.type, np.int64))
    return run_session(session, inputs, name)

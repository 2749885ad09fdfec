"""Text encoders: a text network and its tokenizer in one ONNX file, from words to codes."""

import json
from typing import NamedTuple

import numpy as np

from pyimagesearch.encoders.onnx_session import open_session, run_session

# Keys of metadata entries of the ONNX file.
TOKENIZER_KEY, SETTINGS_KEY = "tokenizer.json", "text_settings.json"
INPUTS = {"input_ids", "attention_mask", "token_type_ids"}
# The output of texts that is compared with one of images; others have the same name.
COUNTERPARTS = {"image_embeds": "text_embeds"}
LENGTHS = {"clip": 77, "siglip": 64, "siglip2": 64}  # tokens of a text, by "model_type"
MAX_LENGTH = 4096  # tokenizers without a limit state one of 10 ** 30


class TextSettings(NamedTuple):
    """How a text becomes the input of a network.

    `length` is the number of tokens that it is cut or padded to by `padding`, a token number, or
    None for as many as it has; with `lower` it is put into lower case, with `seen` the network is
    told that padding is text.
    """

    length: int | None
    padding: int
    lower: bool
    seen: bool


class TextEncoder:
    """A text network with its tokenizer, as `text_network` returns it; `name` is for messages."""

    def __init__(self, onnx, name):
        """Open the network; raise ValueError if it is damaged, ImportError without tokenizers."""
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise ImportError("--text needs tokenizers: pip install tokenizers") from None
        self.name, self._session = name, open_session(bytes(onnx), name)
        stored = self._session.get_modelmeta().custom_metadata_map
        try:
            self._settings = TextSettings(**json.loads(stored[SETTINGS_KEY]))
            self._tokenizer = Tokenizer.from_str(stored[TOKENIZER_KEY])
            self._tokenizer.no_padding()
            if self._settings.length:
                self._tokenizer.enable_truncation(self._settings.length)
        except Exception as error:  # tokenizers raises a bare Exception
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"the text encoder of {name} is damaged: {reason}") from error

    def encode(self, texts):
        """Return the codes of texts, float32 (len(texts), dim), of length 1."""
        return np.concatenate([self._encode(text) for text in texts])

    def _encode(self, text):
        settings = self._settings
        tokens = self._tokenizer.encode(text.lower() if settings.lower else text).ids
        length = settings.length or max(1, len(tokens))
        row = np.full((1, length), settings.padding)
        row[0, : len(tokens)] = tokens
        mask = (np.arange(length) < len(tokens)) | settings.seen
        return run_text_network(self._session, row, mask[np.newaxis], self.name)


def run_text_network(session, tokens, mask, name):
    """Return the codes, float32 (1, dim), of token numbers and which of them are text, (1, n)."""
    values = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": np.zeros_like(tokens)}
    types = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
    inputs = {
        node.name: values[node.name].astype(types.get(node.type, np.int64))
        for node in session.get_inputs()
    }
    return run_session(session, inputs, name)


def text_network(model, image_output, files):
    """Return the text encoder for an image network, bytes of ONNX, and the dimension of its codes.

    `model` is a ModelProto that takes `input_ids`, `image_output` the output that gives the codes
    of images, and `files` the ExportedFiles with the tokenizer. Raises ValueError when they do not
    fit together.
    """
    import onnx

    from pyimagesearch.encoders import onnx_graph as graph

    output, tokenizer = COUNTERPARTS.get(image_output, image_output), files.settings(TOKENIZER_KEY)
    if not tokenizer:
        raise ValueError(f"{files.folder} has no {TOKENIZER_KEY}")
    names = [node.name for node in model.graph.output]
    if output not in names:
        raise ValueError(
            f"it has no output {output} to compare with {image_output}, only {', '.join(names)}"
        )
    others = graph.required_inputs(model.graph, output) - INPUTS
    if others:
        raise ValueError(f"its output {output} needs {', '.join(sorted(others))} besides a text")
    inputs = graph.fed_inputs(model.graph)
    settings = _settings(files, tokenizer, graph.shape_of(inputs["input_ids"]))
    copy = graph.pruned(model, output)
    graph.append_steps(copy, [graph.NORMALIZE])
    entries = {TOKENIZER_KEY: json.dumps(tokenizer), SETTINGS_KEY: json.dumps(settings._asdict())}
    onnx.helper.set_model_props(copy, entries)
    data = copy.SerializeToString()
    session = open_session(data, files.folder)
    tokens = np.zeros((1, settings.length or 8), np.int64)
    return data, run_text_network(session, tokens, tokens == 0, files.folder).shape[1]


def _settings(files, tokenizer, shape):
    """Return the TextSettings of an export; `shape` is that of the network's `input_ids`."""
    config, own = files.settings("config.json"), files.settings("tokenizer_config.json")
    kind = config.get("model_type", "")
    text_config = config.get("text_config") or {}
    stated = [own.get("model_max_length"), text_config.get("max_position_embeddings")]
    stated = [*shape[1:], *stated, LENGTHS.get(kind)]
    length = next((n for n in stated if type(n) is int and 0 < n <= MAX_LENGTH), None)
    token = own.get("pad_token")
    token = token.get("content") if isinstance(token, dict) else token
    padding = tokenizer.get("padding") or {}
    number = _token_number(tokenizer, token)
    padding = padding.get("pad_id", 0) if number is None else number
    seen = "attention_mask" not in own.get("model_input_names", ["attention_mask"])
    lower = bool(own.get("do_lower_case")) or kind.startswith("siglip")
    return TextSettings(length, padding, lower, seen)


def _token_number(tokenizer, token):
    """Return the number of a token of a tokenizer.json, or None if it has none."""
    added = {entry["content"]: entry["id"] for entry in tokenizer.get("added_tokens") or []}
    vocabulary = (tokenizer.get("model") or {}).get("vocab") or {}
    if isinstance(vocabulary, list):  # of pairs of a token and its probability
        vocabulary = {entry[0]: number for number, entry in enumerate(vocabulary)}
    return added.get(token, vocabulary.get(token))

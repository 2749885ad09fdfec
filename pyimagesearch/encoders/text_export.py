"""Text encoders made from exports: the network that fits that of images, and its tokenizer."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyimagesearch.encoders import onnx_edit as edit
from pyimagesearch.encoders import onnx_graph as graph
from pyimagesearch.encoders.onnx_files import ExportedFiles
from pyimagesearch.encoders.onnx_session import open_session
from pyimagesearch.encoders.text_encoder import (
    MASKS,
    MAX_LENGTH,
    SETTINGS_KEY,
    TOKEN_INPUTS,
    TOKENIZER_KEY,
    TextSettings,
    run_text_network,
)
from pyimagesearch.encoders.tokenizer_files import require_safe_tokenizer, tokenizer_of_siglip

if TYPE_CHECKING:
    from onnx import ModelProto

LENGTHS = {"clip": 77, "siglip": 64, "siglip2": 64}  # tokens of a text, by "model_type"


@dataclass(frozen=True)
class TextNetwork:
    """A text encoder as `TextEncoder` takes it, and the dimension of its codes."""

    onnx: bytes
    dim: int


def text_network(model: "ModelProto", image_output: str, files: ExportedFiles) -> TextNetwork:
    """Return the text encoder for an image network.

    `model` takes token numbers, `image_output` is the output that gives the codes of images, and
    `files` has the tokenizer. Raises ValueError when they do not fit together.
    """
    import onnx

    tokenizer = _tokenizer(files)
    tokens = graph.find_text_input(model.graph)
    if tokens is None:
        inputs = ", ".join(graph.fed_inputs(model.graph)) or "none"
        raise ValueError(f"it has no input of token numbers, {TOKEN_INPUTS[0]}, only {inputs}")
    output = _counterpart(model, image_output)
    others = graph.required_inputs(model.graph, output) - {tokens, *MASKS}
    if others:
        raise ValueError(f"its output {output} needs {', '.join(sorted(others))} besides a text")
    shape = graph.shape_of(graph.fed_inputs(model.graph)[tokens])
    settings = _settings(files, tokenizer, shape)
    copy = edit.pruned(model, output)
    edit.append_steps(copy, [edit.NORMALIZE])
    entries = {TOKENIZER_KEY: json.dumps(tokenizer), SETTINGS_KEY: json.dumps(asdict(settings))}
    onnx.helper.set_model_props(copy, entries)
    data = copy.SerializeToString()
    session = open_session(data, files.folder)
    sample = np.zeros((1, settings.length or 8), np.int64)
    codes = run_text_network(session, sample, sample == 0, files.folder)
    return TextNetwork(data, codes.shape[1])


def _counterpart(model: "ModelProto", image_output: str) -> str:
    """Return the output of texts that is compared with one of images, such as text_embeds."""
    wanted = image_output.replace("image", "text")
    names = [node.name for node in model.graph.output]
    if wanted not in names:
        raise ValueError(
            f"it has no output {wanted} to compare with {image_output}, only {', '.join(names)}"
        )
    return wanted


def _tokenizer(files: ExportedFiles) -> dict[str, Any]:
    """Return the content of the tokenizer.json, or what SigLIP's SentencePiece model says."""
    values = files.text_settings(TOKENIZER_KEY)
    model = files.sentencepiece_model()
    if not values and model is not None:
        kind = str(files.text_settings("tokenizer_config.json").get("tokenizer_class"))
        if not kind.startswith("Siglip"):
            raise ValueError(
                f"spiece.model is of {kind}, and only that of SiglipTokenizer is read: save its "
                "fast tokenizer as tokenizer.json beside it"
            )
        try:
            values = tokenizer_of_siglip(model)
        except ValueError as error:
            raise ValueError(f"spiece.model is damaged: {error}") from error
    if not values:
        raise ValueError(f"{files.folder} has no {TOKENIZER_KEY}")
    require_safe_tokenizer(values)
    return values


def _settings(
    files: ExportedFiles, tokenizer: dict[str, Any], shape: Sequence[int | None]
) -> TextSettings:
    """Return the TextSettings of an export; `shape` is that of the network's token numbers."""
    config = files.settings("config.json")
    own = files.text_settings("tokenizer_config.json")
    kind = str(config.get("model_type", ""))
    text_config = config.get("text_config") or config.get("text_cfg") or {}
    stated = [
        *shape[1:],
        own.get("model_max_length"),
        text_config.get("max_position_embeddings"),
        text_config.get("context_length"),
        LENGTHS.get(kind),
    ]
    length = next((n for n in stated if type(n) is int and 0 < n <= MAX_LENGTH), None)
    token = own.get("pad_token")
    token = token.get("content") if isinstance(token, dict) else token
    number = _token_number(tokenizer, token)
    if number is None:
        number = (tokenizer.get("padding") or {}).get("pad_id", 0)
    seen = "attention_mask" not in own.get("model_input_names", ["attention_mask"])
    lower = bool(own.get("do_lower_case")) or kind.startswith("siglip")
    return TextSettings(length, number, lower, seen)


def _token_number(tokenizer: dict[str, Any], token: Any) -> int | None:
    """Return the number of a token of a tokenizer.json, or None if it has none."""
    added = {entry["content"]: entry["id"] for entry in tokenizer.get("added_tokens") or []}
    vocabulary = (tokenizer.get("model") or {}).get("vocab") or {}
    if isinstance(vocabulary, list):  # of pairs of a token and its probability
        vocabulary = {entry[0]: number for number, entry in enumerate(vocabulary)}
    return added.get(token, vocabulary.get(token))

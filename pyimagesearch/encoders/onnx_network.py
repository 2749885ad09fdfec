"""Networks exported by other libraries, rebuilt to take images and to give codes as ours do."""

import logging
from typing import NamedTuple

import numpy as np

from pyimagesearch.encoders import onnx_graph as graph
from pyimagesearch.encoders.onnx_files import ExportedFiles
from pyimagesearch.encoders.onnx_session import open_session, run_session
from pyimagesearch.encoders.preprocessing import Preprocessing, read_preprocessing
from pyimagesearch.encoders.text_encoder import text_network
from pyimagesearch.pictures.input_spec import InputSpec

logger = logging.getLogger(__name__)

DEFAULT_SIDE = 224  # pixels, of networks that take any size and do not come with another


class ImageNetwork(NamedTuple):
    """A network from images in [0, 1], float32 (n, *spec.shape), to codes of length 1, (n, dim).

    `onnx` is the network as bytes, `text` its text encoder as `TextEncoder` takes it, or None, and
    `fingerprint` the SHA-256 of all files it was made from.
    """

    onnx: bytes
    spec: InputSpec
    dim: int
    text: bytes | None
    fingerprint: str


def read_export(path, image_size=None, resize_mode=None):
    """Read an ONNX file of another library, or a folder with one and its settings.

    `image_size`, (height, width), and `resize_mode` are for files without settings: the size of
    those that take any, and how images get there. Raises OSError and ValueError with the reason
    when there is no network of images, or its settings do not fit.
    """
    files = ExportedFiles(path)
    model = files.network(files.image)
    image = graph.find_image_input(model.graph, files.image)
    output = graph.choose_output(model.graph, [image.name], files.image)
    if "logits" in output.lower():
        logger.warning(f"{files.image} gives scores of classes alone, {output}: they are the codes")
    prepared = _preprocessing(files, image, image_size, resize_mode)
    size = prepared.height, prepared.width
    if prepared.scale.size > image.channels:
        raise ValueError(f"{files.image} takes {image.channels} channel, its settings are for 3")
    onnx, dim = _rebuilt(model, image, output, prepared, files.image)
    spec = InputSpec(*size, image.channels, prepared.resize_mode, prepared.resampling)
    text = _text_encoder(files, model, output, dim)
    return ImageNetwork(onnx, spec, dim, text, files.fingerprint())


def _preprocessing(files, image, image_size, resize_mode):
    """Return the Preprocessing of an export, checked against the ImageInput of its network."""
    name, settings = files.image_settings()
    if name is None and files.is_folder:
        raise ValueError(
            f"{files.folder} has no preprocessor_config.json, which says how images are prepared"
        )
    if name is None:
        size = [
            fixed or wanted
            for fixed, wanted in zip(image.size, image_size or (DEFAULT_SIDE,) * 2, strict=True)
        ]
        logger.warning(
            f"{files.image} has no preprocessor_config.json beside it: it is given images of "
            f"{size[0]} x {size[1]} pixels in [0, 1]"
        )
        one, zero = np.ones(1, np.float32), np.zeros(1, np.float32)
        prepared = Preprocessing(*size, resize_mode or "letterbox", None, one, zero)
    elif image_size or resize_mode:
        raise ValueError(f"--image-size and --fit have no effect: {files.folder / name} has both")
    else:
        prepared = read_preprocessing(settings, files.folder / name)
    wanted = image_size or (prepared.height, prepared.width)
    if any(fixed and fixed != side for fixed, side in zip(image.size, wanted, strict=True)):
        raise ValueError(
            f"{files.image} takes images of {image.size} pixels, expected {tuple(wanted)}"
            + (f" as in {name}" if name else "")
        )
    return prepared


def _rebuilt(model, image, output, prepared, name):
    """Return the network that takes images in [0, 1], as bytes, and the dimension of its codes."""
    size = prepared.height, prepared.width
    copy = graph.pruned(model, output)
    graph.prepend_preprocessing(copy, image, size, prepared.scale, prepared.offset)
    graph.append_steps(copy, [])
    shape = _output_shape(copy.SerializeToString(), image, size, name)
    try:
        steps = graph.pooling_steps(shape, size, image.channels_first)
    except ValueError as error:
        raise ValueError(f"cannot use {name} as an encoder: {error}") from error
    graph.append_steps(copy, [*steps, graph.NORMALIZE])
    data = copy.SerializeToString()
    _, dim = _output_shape(data, image, size, name)
    return data, dim


def _output_shape(onnx, image, size, name):
    session = open_session(onnx, name)
    [source] = session.get_inputs()
    images = np.full((image.batch or 1, *size, image.channels), 0.5, np.float32)
    return run_session(session, {source.name: images}, name).shape


def _text_encoder(files, model, output, dim):
    """Return the text encoder of an export as bytes; None, with a warning, if it does not fit."""
    source = files.text or (files.image if "input_ids" in graph.fed_inputs(model.graph) else None)
    if source is None:
        return None
    try:
        text_model = files.network(source) if files.text else model
        data, text_dim = text_network(text_model, output, files)
        if text_dim != dim:
            raise ValueError(f"its codes have {text_dim} dimensions, those of images {dim}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning(f"the index will not be searched by --text: cannot use {source}: {error}")
        return None
    return data

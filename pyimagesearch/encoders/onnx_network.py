"""Networks exported by other libraries, rebuilt to take images and to give codes as ours do."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pyimagesearch.encoders import onnx_edit as edit
from pyimagesearch.encoders import onnx_graph as graph
from pyimagesearch.encoders.encoder import MAX_BATCH_VALUES, Encoder
from pyimagesearch.encoders.onnx_files import ExportedFiles
from pyimagesearch.encoders.onnx_session import open_session, run_session
from pyimagesearch.encoders.preprocessing import Preprocessing, read_preprocessing
from pyimagesearch.encoders.text_export import text_network
from pyimagesearch.pictures.input_spec import InputSpec
from pyimagesearch.pictures.resampling import MAX_SIDE

if TYPE_CHECKING:
    from onnx import ModelProto

logger = logging.getLogger(__name__)

DEFAULT_SIDE = 224  # pixels, of networks that take any size and do not come with another
Size = tuple[int, int]  # (height, width)


class _Rebuilt(NamedTuple):
    """A network as bytes, and the dimension of its codes."""

    onnx: bytes
    dim: int


def read_export(
    path: str | Path, image_size: Size | None = None, resize_mode: str | None = None
) -> Encoder:
    """Return the Encoder of an ONNX file of another library, or of a folder with its settings.

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
    if prepared.scale.size > image.channels:
        raise ValueError(f"{files.image} takes {image.channels} channel, its settings are for 3")
    pruned = edit.pruned(model, output)
    # Networks are large, so that each copy goes as soon as it is not needed.
    joint = model if files.text is None and graph.find_text_input(model.graph) else None
    del model
    try:
        rebuilt = _rebuilt(pruned, image, prepared, files.image)
    except ValueError as error:
        if image_size or all(image.size) or files.image_settings()[0]:
            raise
        guess = f"{prepared.height} x {prepared.width} pixels"
        raise ValueError(
            f"{error}; that it takes {guess} is a guess: name its size with --image-size H W"
        ) from error
    del pruned
    spec = InputSpec(
        prepared.height,
        prepared.width,
        image.channels,
        resize_mode=prepared.resize_mode,
        resampling=prepared.resampling,
    )
    text = _text_encoder(files, joint, output, rebuilt.dim)
    name = Path(path).resolve().name
    return Encoder(rebuilt.onnx, spec, rebuilt.dim, name, files.fingerprint(), text)


def _preprocessing(
    files: ExportedFiles,
    image: graph.ImageInput,
    image_size: Size | None,
    resize_mode: str | None,
) -> Preprocessing:
    """Return the Preprocessing of an export, checked against the ImageInput of its network."""
    name, settings = files.image_settings()
    if name is None:
        return _without_settings(files, image, image_size, resize_mode)
    if image_size or resize_mode:
        raise ValueError(f"--image-size and --fit have no effect: {files.folder / name} has both")
    prepared = read_preprocessing(settings, files.folder / name, image.size)
    _require_size(files, image, (prepared.height, prepared.width), f" as in {name}")
    return prepared


def _without_settings(
    files: ExportedFiles,
    image: graph.ImageInput,
    image_size: Size | None,
    resize_mode: str | None,
) -> Preprocessing:
    """Return the Preprocessing of a file without settings: the images in [0, 1] as they are."""
    if files.is_folder:
        raise ValueError(
            f"{files.folder} has no preprocessor_config.json, which says how images are prepared"
        )
    height, width = image_size or (DEFAULT_SIDE, DEFAULT_SIDE)
    height = image.size[0] or height
    width = image.size[1] or width
    logger.warning(
        f"{files.image} has no preprocessor_config.json beside it: it is given images of "
        f"{height} x {width} pixels in [0, 1]"
    )
    _require_size(files, image, image_size or (height, width), "")
    if max(height, width) > MAX_SIDE:
        raise ValueError(f"{files.image} takes images of more than {MAX_SIDE:,} pixels a side")
    one = np.ones(1, np.float32)
    zero = np.zeros(1, np.float32)
    return Preprocessing(height, width, resize_mode or "letterbox", None, one, zero)


def _require_size(files: ExportedFiles, image: graph.ImageInput, wanted: Size, where: str) -> None:
    """Raise ValueError if a network takes images of another size."""
    if any(fixed and fixed != side for fixed, side in zip(image.size, wanted, strict=True)):
        raise ValueError(
            f"{files.image} takes images of {image.size} pixels, expected {tuple(wanted)}{where}"
        )


def _rebuilt(
    model: "ModelProto", image: graph.ImageInput, prepared: Preprocessing, name: Path
) -> _Rebuilt:
    """Return a network with one output as one that takes images in [0, 1]; `model` is changed."""
    size = (prepared.height, prepared.width)
    edit.prepend_preprocessing(model, image, size, scale=prepared.scale, offset=prepared.offset)
    edit.append_steps(model, [])
    shape = _output_shape(model, image, size, name)
    try:
        steps = edit.pooling_steps(shape, size, image.channels_first)
    except ValueError as error:
        raise ValueError(f"cannot use {name} as an encoder: {error}") from error
    edit.append_steps(model, [*steps, edit.NORMALIZE])
    return _Rebuilt(model.SerializeToString(), edit.pooled_dim(shape, image.channels_first))


def _output_shape(
    model: "ModelProto", image: graph.ImageInput, size: Size, name: Path
) -> tuple[int, ...]:
    session = open_session(model.SerializeToString(), name)
    [source] = session.get_inputs()
    shape = (image.batch or 1, *size, image.channels)
    if np.prod(shape, dtype=np.float64) > MAX_BATCH_VALUES:
        raise ValueError(f"{name} takes images of the shape {shape} at once, too many")
    images = np.full(shape, 0.5, np.float32)
    return run_session(session, {source.name: images}, name).shape


def _text_encoder(
    files: ExportedFiles, joint: "ModelProto | None", output: str, dim: int
) -> bytes | None:
    """Return the text encoder of an export as bytes; None, with a warning, if it does not fit.

    `joint` is the network of images if it takes texts as well.
    """
    source = files.text or files.image
    if joint is None and files.text is None:
        return None
    try:
        text = text_network(joint or files.network(source), output, files)
        if text.dim != dim:
            raise ValueError(f"its codes have {text.dim} dimensions, those of images {dim}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning(f"the index will not be searched by --text: cannot use {source}: {error}")
        return None
    return text.onnx

"""Choosing what to index: the index so far, the source of the images, and the encoder."""

import logging
import os
from functools import partial

from pyimagesearch.datasets.catalog import DEFAULT_SOURCE, folder_settings, updated_source
from pyimagesearch.encoders.export import open_encoder
from pyimagesearch.encoders.onnx_files import is_export, model_fingerprint
from pyimagesearch.encoders.pretrained import NETWORKS, pretrained_encoder, pretrained_fingerprint
from pyimagesearch.indexes.local_index import missing_folder

logger = logging.getLogger(__name__)


def index_so_far(store, model=None, dataset=None, rebuild=False):
    """Return the index in a store, or None if there is none.

    `model` and `dataset` are those that were named, or None. Raises ValueError when a model is
    needed, or when the index cannot be read; with `rebuild` it may be damaged if both are named.
    """
    if not store.exists():
        if model:
            return None
        raise ValueError(f"no index at {store} yet: name the model to make it with --model")
    try:
        index = store.open()
    except ValueError as error:
        if rebuild and model and dataset:
            return None
        raise ValueError(f"{error}, with --model, --dataset and --rebuild") from error
    if model is None and index.encoder is None:
        raise ValueError(f"{store} carries no model: name the one that made it with --model")
    return index


def choose_source(index, model=None, **given):
    """Return the arguments of `open_dataset` for the images to index.

    `given` are arguments of `updated_source`. Those that are None are taken from the index so far;
    without one, MNIST's training split is used. If a model is named, no limit means all images.

    Raises FileNotFoundError when the images of the index are not where they were.
    """
    source, names = dict((index and index.source) or DEFAULT_SOURCE), given.get("names")
    if names is not None and source["name"] not in (names[0], os.path.abspath(names[0])):
        # The split and the limit of other images mean nothing, but a folder may have been moved.
        settings = folder_settings(source) if index and index.has_files else {}
        source = {**DEFAULT_SOURCE, **settings}
    if model:
        source["limit"] = None
    if names is None and index and index.has_files and not os.path.isdir(source["name"]):
        raise FileNotFoundError(missing_folder(source["name"]))
    return updated_source(source, **given)


def choose_encoder(
    index, model=None, weights=None, image_size=None, resize_mode=None, replace=False
):
    """Return the encoder of the index so far, if it is that of the model, or else a new one.

    `model` is a model file, a folder of an export, or one of NETWORKS. `weights` apply to the last;
    `image_size` and `resize_mode` apply to it too, and to exports that do not state them. With
    `replace` no code of the index is kept. Raises ValueError when codes would be kept that another
    model made, OSError when a file cannot be read.
    """
    if model is None:
        return index.encoder
    if model in NETWORKS:
        arguments = model, weights, image_size, resize_mode or "letterbox"
        make, fingerprint = partial(pretrained_encoder, *arguments), pretrained_fingerprint
    elif weights or ((image_size or resize_mode) and not is_export(model)):
        raise ValueError(
            f"--weights, --image-size and --fit are for {', '.join(NETWORKS)}: {model} is a model "
            "file, which brings its own"
        )
    else:
        arguments, fingerprint = (model,), model_fingerprint
        make = partial(open_encoder, model, image_size, resize_mode)
    known = None if index is None else index.encoder
    same_file = known is not None and fingerprint(*arguments) == known.model_sha256
    if same_file and _is_spec(known.spec, image_size, resize_mode):
        return known  # as ONNX, so that TensorFlow is not imported
    if replace or not known:
        logger.info(f"loading {model}...")
        return make()
    made = f"another model, {known.model}, than {model}"
    if same_file or (model in NETWORKS and model == known.model):
        spec = known.spec
        size = f"{spec.height} x {spec.width}, {spec.resize_mode}"
        made = f"other weights or images of {model} ({size})"
    raise ValueError(
        f"the index was made with {made}: codes of two models cannot be compared; encode "
        "everything again with --rebuild"
    )


def _is_spec(spec, image_size, resize_mode):
    """Whether an InputSpec has the size and the mode that were named; None matches any."""
    return tuple(image_size or (spec.height, spec.width)) == (spec.height, spec.width) and (
        resize_mode in (None, spec.resize_mode)
    )


def choose_encode(ray=None):
    """Return the function that encodes rows: here, or on the Ray cluster at an address.

    `ray` is None for this process, an empty string for a cluster on this host.
    """
    if ray is None:
        from pyimagesearch.encoders.encoding import encode_rows

        return encode_rows
    from pyimagesearch.encoders import ray_encoding as ray_encode

    ray_encode.connect(ray or None)
    return ray_encode.encode_on_cluster

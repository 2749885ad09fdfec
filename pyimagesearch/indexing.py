"""Choosing what to index: the index so far, the source of the images, and the encoder."""

from pyimagesearch.datasets.catalog import DEFAULT_SOURCE, folder_settings, updated_source
from pyimagesearch.files import sha256_of
from pyimagesearch.models.export import open_encoder
from pyimagesearch.models.pretrained import NETWORKS, pretrained_encoder, pretrained_fingerprint


def index_so_far(store, model=None, rebuild=False):
    """Return the index of a store that is to be brought up to date, or None to make a new one.

    `model` names the model, None for that of the index. Raises ValueError when there is neither.
    """
    if model and rebuild:
        return None
    if not store.exists():
        if model:
            return None
        raise ValueError(f"no index at {store} yet: name the model to make it with --model")
    try:
        index = store.open()
    except ValueError as error:
        raise ValueError(f"{error}, with --model and --rebuild") from error
    if model is None and index.encoder is None:
        raise ValueError(f"{store} carries no model: name the one that made it with --model")
    return index if model is None or index.has_files or store.updates_arrays else None


def choose_source(index, model=None, **given):
    """Return the arguments of `open_dataset` for the images to index.

    `given` are arguments of `updated_source`. What is not given comes from the index so far if no
    model is named, else it is MNIST's training split.
    """
    start = DEFAULT_SOURCE if model or not index.source else index.source
    if model and index and index.has_files and given.get("names"):
        start = {**start, **folder_settings(index.source or {})}
    return updated_source(start, **given)


def choose_encoder(index, model=None, weights=None, image_size=None, resize_mode=None):
    """Return the encoder of the index so far, if it is that of the model, or else a new one.

    `model` is a model file or one of NETWORKS, to which the other arguments apply. Raises
    ValueError when the index was made with another model, OSError when a file cannot be read.
    """
    if model is None:
        return index.encoder
    if model in NETWORKS:
        arguments = model, weights, image_size, resize_mode or "letterbox"
        make, fingerprint = pretrained_encoder, pretrained_fingerprint
    elif weights or image_size or resize_mode:
        raise ValueError(
            f"--weights, --image-size and --fit are for {', '.join(NETWORKS)}: {model} is a model "
            "file, which brings its own"
        )
    else:
        arguments, make, fingerprint = (model,), open_encoder, sha256_of
    if index is None:
        return make(*arguments)
    if fingerprint(*arguments) != index.encoder.model_sha256:
        made = f"another model, {index.encoder.model}, than {model}"
        if model in NETWORKS and model == index.encoder.model:
            spec = index.encoder.spec
            size = f"{spec.height} x {spec.width}, {spec.resize_mode}"
            made = f"other weights or images of {model} ({size})"
        raise ValueError(
            f"the index was made with {made}: "
            "codes of two models cannot be compared; encode everything again with --rebuild"
        )
    return index.encoder  # as ONNX, so that nothing waits for TensorFlow


def choose_encode(ray=None):
    """Return the function that encodes rows: here, or on the Ray cluster at an address.

    `ray` is None for this process, an empty string for a cluster on this host.
    """
    if ray is None:
        from pyimagesearch.models.encode import encode_rows

        return encode_rows
    from pyimagesearch.models import ray_encode

    ray_encode.connect(ray or None)
    return ray_encode.encode_on_cluster

"""Encode images with a trained model into an index that search.py can search.

usage: python index_images.py --model output/autoencoder.h5 --index output/index.pickle
       python index_images.py --model photos.keras --index photos.h5 --dataset my/photos
       python index_images.py --model efficientnet_b0 --index photos.h5 --dataset my/photos
"""

import argparse
import os
import sys
import time

from pyimagesearch.cli import HelpFormatter, command, info, positive_int
from pyimagesearch.datasets import SPLITS, open_dataset
from pyimagesearch.encoders import Encoder
from pyimagesearch.files import require_writable, sha256_of
from pyimagesearch.images import FITS
from pyimagesearch.indexes import METRICS, Index, load_index, save_index
from pyimagesearch.pretrained import NETWORKS, pretrained_encoder, pretrained_fingerprint


def parse_args(argv):
    parser = argparse.ArgumentParser(
        description="Encode images with a trained model into an index. The index of a folder is "
        "brought up to date when there is one already.",
        formatter_class=HelpFormatter,
    )
    add = parser.add_argument
    names = ", ".join(NETWORKS)
    add("-m", "--model", required=True, help=f"trained model, .keras or .h5, or {names}")
    add("-i", "--index", required=True, help="index to write: .h5 for HDF5, else a pickle")
    add("--dataset", default="mnist", help="mnist, fashion_mnist, cifar10, .npz file or folder")
    add("--split", default="train", choices=SPLITS, help="which part to index; folders have none")
    add("--limit", type=positive_int, help="index the first N images only, for a quick look")
    add("--metric", choices=METRICS, help="distance a search ranks by (default: euclidean)")
    add = parser.add_argument_group("folders").add_argument
    add("--rebuild", action="store_true", help="start anew, whatever the index holds")
    add("--checksum", action="store_true", help="compare files by content, not size and time")
    add("--rejects", metavar="FILE", help="list the files that cannot be read, with the reasons")
    add = parser.add_argument_group("pretrained networks").add_argument
    add("--weights", metavar="FILE", help="weights of the network (default: ImageNet's)")
    size = {"nargs": 2, "type": positive_int, "metavar": ("H", "W")}
    add("--image-size", **size, help="size of its images (default: the one it was trained with)")
    add("--fit", choices=FITS, help="how other proportions get there (default: letterbox)")
    return parser.parse_args(argv)


@command
def main(argv=None):
    args = parse_args(argv)
    require_writable(args.index, *[args.rejects] * bool(args.rejects))
    info(f"looking at {args.dataset}...")
    dataset = open_dataset(args.dataset, args.split, args.limit)
    index = None
    if os.path.exists(args.index) and not args.rebuild:
        index = index_so_far(args.index, dataset)
    encoder = load_encoder(args, index)
    metric = args.metric or (index.metric if index else "euclidean")

    info(f"encoding {args.dataset}...")
    if os.path.isdir(args.dataset):
        index_folder(dataset, index, encoder, metric, args)
    else:
        index_array(dataset, encoder, metric, args.index)


def index_so_far(path, dataset):
    """Return the index of a folder that is to be brought up to date; None for any other.

    Raises ValueError where going on would drop the index of a folder for pictures of another place.
    """
    try:
        index = load_index(path)
    except ValueError as error:
        raise ValueError(f"{error}, with --rebuild") from error
    if not index.of_folder:
        return None
    if dataset.location["name"] != index.dataset["name"] and not set(index.ids) & set(dataset.ids):
        raise ValueError(
            f"{path} is the index of {index.dataset['name']}, and {dataset.location['name']} has "
            "none of its pictures: name another index, or replace this one with --rebuild"
        )
    return index


def load_encoder(args, index):
    """Return the encoder of the index so far, if it is that of the model, or else a new one."""
    model = args.model
    if model in NETWORKS:
        settings = model, args.weights, args.image_size, args.fit or FITS[0]
        make, fingerprint = pretrained_encoder, pretrained_fingerprint
    elif args.weights or args.image_size or args.fit:
        raise ValueError(
            f"--weights, --image-size and --fit are for {', '.join(NETWORKS)}: {model} is a model "
            "file, which brings its own"
        )
    else:
        settings, make, fingerprint = (model,), Encoder.from_keras, sha256_of
    if index is None:
        info(f"loading {model}...")
        return make(*settings)
    if fingerprint(*settings) != index.encoder.model_sha256:
        made = f"another model, {index.encoder.model}, than {model}"
        if model in NETWORKS and model == index.encoder.model:
            spec = index.encoder.spec
            made = f"other weights or images of {model} ({spec.height} x {spec.width}, {spec.fit})"
        raise ValueError(
            f"the index was made with {made}: "
            "codes of two models cannot be compared; encode everything again with --rebuild"
        )
    return index.encoder  # as ONNX, so that nothing waits for TensorFlow


def index_array(dataset, encoder, metric, path):
    """Encode an array of images into a new index."""
    from tqdm import tqdm

    count = len(dataset)
    started = time.perf_counter()
    with tqdm(total=count, unit="image", leave=False, disable=None) as bar:
        codes = encoder.encode_dataset(dataset, progress=bar.update)
    rate = count / (time.perf_counter() - started)
    labels, location = dataset.labels, dataset.location
    save_index(Index(codes, dataset.ids, labels, None, location, metric, encoder), path)
    info(f"wrote {path}: {count:,} codes of {encoder.dim} numbers, {rate:,.0f} images/s")


def index_folder(dataset, index, encoder, metric, args):
    """Bring the index of a folder up to date, or make it."""
    from pyimagesearch.scanning import printable
    from pyimagesearch.syncing import sync

    try:
        print(sync(dataset, index, encoder, args.index, metric, args.checksum))
    finally:
        if args.rejects:
            with open(args.rejects, "w", encoding="utf-8") as file:
                for path, reason in dataset.rejects.items():
                    file.write(f"{printable(path)}\t{reason}\n")
    info(f"wrote {args.index}")


if __name__ == "__main__":
    sys.exit(main())

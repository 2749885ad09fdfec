"""Encode a dataset with a trained model into an index that search.py can search.

usage: python index_images.py --model output/autoencoder.h5 --index output/index.pickle
"""

import argparse
import sys
import time

from tqdm import tqdm

from pyimagesearch.cli import HelpFormatter, command, info, positive_int
from pyimagesearch.datasets import SPLITS, open_dataset
from pyimagesearch.encoders import Encoder
from pyimagesearch.files import require_writable
from pyimagesearch.indexes import METRICS, Index, save_index


def parse_args(argv):
    parser = argparse.ArgumentParser(
        description="Encode images with a trained model into an index.",
        formatter_class=HelpFormatter,
    )
    add = parser.add_argument
    add("-m", "--model", required=True, help="trained model, .keras or .h5")
    add("-i", "--index", required=True, help="index file to write")
    add("--dataset", default="mnist", help="mnist, fashion_mnist, cifar10 or an .npz file")
    add("--split", default="train", choices=SPLITS, help="which part of the dataset to index")
    add("--limit", type=positive_int, help="index the first N images only, for a quick look")
    add("--metric", default="euclidean", choices=METRICS, help="distance a search ranks by")
    return parser.parse_args(argv)


@command
def main(argv=None):
    args = parse_args(argv)
    require_writable(args.index)

    info(f"loading {args.dataset} {args.split} split...")
    dataset = open_dataset(args.dataset, args.split, args.limit)
    count = len(dataset)
    info(f"loading {args.model}...")
    encoder = Encoder.from_keras(args.model)

    info(f"encoding {count:,} images...")
    started = time.perf_counter()
    with tqdm(total=count, unit="image", leave=False, disable=None) as bar:
        codes = encoder.encode_dataset(dataset, progress=bar.update)
    rate = count / (time.perf_counter() - started)

    index = Index(codes, dataset.ids, dataset.labels, dataset.location, args.metric, encoder)
    save_index(index, args.index)
    info(f"wrote {args.index}: {count:,} codes of {encoder.dim} numbers, {rate:,.0f} images/s")


if __name__ == "__main__":
    sys.exit(main())

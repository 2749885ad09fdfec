"""The flags of index_images.py."""

import argparse
from collections.abc import Sequence

from pyimagesearch.arguments.parser import FlagParser, add_folder_flags
from pyimagesearch.arguments.values import fraction, positive_int
from pyimagesearch.datasets.array import SPLITS
from pyimagesearch.encoders.pretrained import NETWORKS
from pyimagesearch.indexes.settings import RECALL
from pyimagesearch.metric import METRICS
from pyimagesearch.pictures.input_spec import RESIZE_MODES

NEEDS = dict.fromkeys(("weights", "image_size", "fit"), ("model",))
EXCLUDES = {
    "merge": (
        *("model", "dataset", "split", "limit", "metric", "exclude", "truncated", "classes"),
        *("prune", "checksum", "rejects", "shard", "ray", "weights", "image_size", "fit"),
    ),
    "rebuild": ("prune",),
}
BASICS = (
    *("--model", "--index", "--dataset", "--limit", "--metric", "--engine", "--rebuild"),
    *("--exclude", "--rejects"),
)
EXAMPLES = """\
  python index_images.py --model output/neighbours.h5 --metric cosine --index output/index.pickle
  python index_images.py --model photos.keras --dataset my/photos --index photos.h5
  python index_images.py --index photos.h5        (update it: same model and pictures)"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the flags of index_images.py."""
    text = "Encode images with a trained model into an index. An index that exists is updated with "
    text += "its own images; the index of other images is not replaced without --rebuild."
    parser = FlagParser(
        "index_images.py", text, basics=BASICS, examples=EXAMPLES, stray="--dataset"
    )
    _add_index_flags(parser)
    _add_engine_flags(parser)
    _add_folder_flags(parser)
    _add_cluster_flags(parser)
    _add_network_flags(parser)
    args = parser.parse_args(argv)
    parser.refuse_unused(args, needs=NEEDS, excludes=EXCLUDES)
    return args


def _add_index_flags(parser: FlagParser) -> None:
    add = parser.add_argument_group("what to index").add_argument
    text = "trained model, .keras, .h5 or .onnx, a folder as transformers or optimum export it, or "
    text += (
        f"{', '.join(NETWORKS)}, or hf:OWNER/NAME[@REVISION][#NETWORK] on the hub (default: the "
    )
    text += "index's)"
    add("-m", "--model", help=text)
    text = "index to write: .h5 for HDF5, http://HOST:PORT/NAME or FILE.db for Milvus, else pickle"
    add("-i", "--index", required=True, help=text)
    text = "mnist, fashion_mnist, cifar10, .npz file or folder; or several folders (default: the "
    text += "index's, else mnist)"
    add("--dataset", nargs="+", metavar="NAME", help=text)
    add("--split", choices=SPLITS, help="split to index (default: the index's, else train)")
    add(
        "--limit",
        type=positive_int,
        metavar="N",
        help="index the first N images only; removes none",
    )
    text = "distance that a search ranks by (default: the index's, else euclidean)"
    add("--metric", choices=METRICS, help=text)


def _add_engine_flags(parser: FlagParser) -> None:
    add = parser.add_argument_group("search engine").add_argument
    text = "exact; auto, by size; clusters or clusters:K, K-means; hash:BITS, binary codes; or any "
    text += "FAISS factory string, such as HNSW32 or IVF256,PQ8 (default: the index's, else exact)"
    add("--engine", metavar="NAME", help=text)
    text = "target recall@10 of the engine: the fraction of the true 10 nearest that it finds "
    text += f"(default: {RECALL})"
    add("--recall", type=fraction, help=text)


def _add_folder_flags(parser: FlagParser) -> None:
    add = parser.add_argument_group("folders").add_argument
    add("--rebuild", action="store_true", help="replace the index instead of updating it")
    add("--prune", action="store_true", help="update even if most of the indexed files are gone")
    add_folder_flags(add)
    text = "the first sub-folders are classes: search.py marks results of another class than the "
    text += "query's (default: the index's, else no)"
    add("--classes", action=argparse.BooleanOptionalAction, help=text)
    add("--checksum", action="store_true", help="compare files by content, not size and time")
    text = "list the files that cannot be read in FILE, with the reasons"
    add("--rejects", metavar="FILE", help=text)


def _add_cluster_flags(parser: FlagParser) -> None:
    add = parser.add_argument_group("many machines").add_argument
    add("--shard", metavar="I/N", help="index part I of N only: others are for other processes")
    add("--merge", nargs="+", metavar="FILE", help="join index files, such as shards, to --index")
    add("--ray", nargs="?", const="", metavar="ADDRESS", help="encode on a Ray cluster")


def _add_network_flags(parser: FlagParser) -> None:
    add = parser.add_argument_group("pretrained networks").add_argument
    add("--weights", metavar="FILE", help="weights of the network (default: ImageNet's)")
    text = "size of its images (default: that it was trained with)"
    add("--image-size", nargs=2, type=positive_int, metavar=("H", "W"), help=text)
    add(
        "--fit",
        choices=RESIZE_MODES,
        help="how pictures of another aspect ratio are resized (default: letterbox)",
    )

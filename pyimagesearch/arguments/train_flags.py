"""The flags of train_autoencoder.py."""

import argparse
from collections.abc import Sequence

from pyimagesearch.arguments.parser import FlagParser, add_folder_flags
from pyimagesearch.arguments.values import (
    fraction_or_test,
    path_ending_in,
    positive_float,
    positive_int,
    seed,
    size,
    whole_number,
)
from pyimagesearch.pictures.input_spec import RESIZE_MODES
from pyimagesearch.training import plan as plans
from pyimagesearch.training.architectures import ARCHITECTURES
from pyimagesearch.training.augmentations import AUGMENTATIONS

RECONSTRUCTIONS = "recon_vis.png"
CURVES = "plot.png"
RESIZE_MODE = "letterbox"
# Of a network that is adapted, nothing is trained but what is put after it.
EXCLUDES = {
    "backbone": (
        *("vis", "plot", "encoder", "log", "channels", "validation", "augment", "filters"),
        *("schedule", "epochs", "batch_size", "learning_rate", "patience", "resume"),
        *("mixed_precision", "strategy"),
    )
}

BASICS = (
    *("--model", "--dataset", "--objective", "--schedule", "--epochs", "--latent-dim"),
    *("--backbone", "--encoder", "--resume", "--seed", "--limit"),
)
EXAMPLES = """\
  python train_autoencoder.py --model output/autoencoder.h5
  python train_autoencoder.py --model photos.keras --dataset my/photos
  python train_autoencoder.py --model adapted.onnx --dataset my/photos --backbone mobilenet_v2"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the flags of train_autoencoder.py."""
    text = "Train a convolutional autoencoder whose codes can be searched."
    parser = FlagParser(
        "train_autoencoder.py", text, basics=BASICS, examples=EXAMPLES, stray="--dataset"
    )
    _add_file_flags(parser)
    _add_image_flags(parser)
    _add_network_flags(parser)
    _add_training_flags(parser)
    args = parser.parse_args(argv)
    _refuse_unused(parser, args)
    args.vis = args.vis or RECONSTRUCTIONS
    args.plot = args.plot or CURVES
    if not args.backbone:
        args.fit = args.fit or RESIZE_MODE
    if len(args.dataset) == 1:  # as in checkpoints
        [args.dataset] = args.dataset
    return args


def _refuse_unused(parser: FlagParser, args: argparse.Namespace) -> None:
    """End with a usage error where a flag that was given would have no effect."""
    parser.refuse_unused(args, needs={"weights": ("backbone",)}, excludes=EXCLUDES)
    suffixes = (".onnx",) if args.backbone else (".keras", ".h5")
    if not args.model.lower().endswith(suffixes):
        beside = "with" if args.backbone else "without"
        parser.error(
            f"-m/--model: expected a name ending in {' or '.join(suffixes)} {beside} --backbone, "
            f"received {args.model}"
        )
    if args.backbone:
        _refuse_beside_backbone(parser, args)


def _refuse_beside_backbone(parser: FlagParser, args: argparse.Namespace) -> None:
    """End with a usage error for an architecture or objective that no network is adapted by."""
    if args.architecture not in (None, "patches"):
        parser.error(
            f"--architecture: expected patches with --backbone, received {args.architecture}"
        )
    possible: tuple[str, ...] = plans.BACKBONE_OBJECTIVES
    network = "--backbone"
    if args.architecture:
        possible = plans.PATCHES_OBJECTIVES
        network = "--backbone and --architecture patches"
    if args.objective not in (None, *possible):
        expected = " or ".join(possible)
        parser.error(f"--objective: expected {expected} with {network}, received {args.objective}")


def _add_file_flags(parser: FlagParser) -> None:
    model = path_ending_in(".keras", ".h5", ".onnx")
    picture = path_ending_in(".png", ".jpg")
    encoder = path_ending_in(".keras", ".h5", ".onnx")
    log = path_ending_in(".csv")
    add = parser.add_argument_group("files").add_argument
    text = "model file to write, .keras or .h5; with --backbone .onnx"
    add("-m", "--model", required=True, type=model, help=text)
    text = f"picture of reconstructions (default: {RECONSTRUCTIONS})"
    add("-v", "--vis", type=picture, metavar="FILE", help=text)
    text = f"plot of losses and precision (default: {CURVES})"
    add("-p", "--plot", type=picture, metavar="FILE", help=text)
    add("--encoder", type=encoder, metavar="FILE", help="also write the encoder alone (also .onnx)")
    add("--log", type=log, metavar="FILE", help="write the losses of each epoch to a .csv file")
    text = "replace a model of other images, or of more of them, too"
    add("--overwrite", action="store_true", help=text)


def _add_image_flags(parser: FlagParser) -> None:
    add = parser.add_argument_group("images").add_argument
    text = "mnist, fashion_mnist, cifar10, .npz file or folder; or several folders"
    add("--dataset", nargs="+", metavar="NAME", default="mnist", help=text)
    add(
        "--limit",
        type=positive_int,
        metavar="N",
        help="use the first N images only, for a quick look",
    )
    add_folder_flags(add)
    text = "height and width of the input (default: the images' own, for patches at most 32 32; "
    text += "for a folder 64 64, for patches 32 32)"
    add("--image-size", type=positive_int, nargs=2, metavar=("H", "W"), help=text)
    text = "1 (grey) or 3 (RGB) (default: the images' own; for a folder 3)"
    add("--channels", type=whole_number, choices=(1, 3), help=text)
    text = f"how pictures of another aspect ratio are resized (default: {RESIZE_MODE})"
    add("--fit", choices=RESIZE_MODES, help=text)
    text = "fraction of the training images to validate on, or test for the test images (default: "
    text += "0.1; test for the objective reconstruction with the schedule tutorial)"
    add("--validation", type=fraction_or_test, metavar="FRACTION", help=text)
    text = "random changes to training images (default: none; affine for neighbours and supcon; "
    text += "for views crop, colour and, where mirrored images look like others, flip)"
    add("--augment", nargs="*", choices=AUGMENTATIONS, help=text)


def _add_network_flags(parser: FlagParser) -> None:
    add = parser.add_argument_group("network").add_argument
    text = "network to train (default: conv for mnist, reconstruction, denoising and neighbours; "
    text += "else patches; beside a --backbone none or patches)"
    add("--architecture", choices=ARCHITECTURES, help=text)
    text = "adapt a network that others trained: a name of keras.applications, an ONNX file or "
    text += "folder, or hf:OWNER/NAME, as index_images.py --model takes it"
    add("--backbone", metavar="NETWORK", help=text)
    text = "weights file of a --backbone of keras.applications (default: ImageNet's)"
    add("--weights", metavar="FILE", help=text)
    text = "filters a layer (default of conv: 32 64; of patches 400 of each size)"
    add("--filters", type=size, nargs="+", metavar="N", help=text)
    text = "dimensions of the code (default: 16; of patches 64, of --backbone 128, of deep 512)"
    add("--latent-dim", type=size, metavar="N", help=text)


def _add_training_flags(parser: FlagParser) -> None:
    add = parser.add_argument_group("training").add_argument
    text = "what to train for; triplet is a former name of supcon (default: views for the "
    text += "architecture patches, neighbours for --backbone, else reconstruction)"
    add("--objective", choices=plans.OBJECTIVES, type=plans.objective_name, help=text)
    text = "as published, or faster (default: fast for the architecture patches, else tutorial)"
    add("--schedule", choices=plans.SCHEDULES, help=text)
    add(
        "--epochs",
        type=positive_int,
        metavar="N",
        help="passes over the images (default: 20; of fast 6)",
    )
    add(
        "--batch-size",
        type=positive_int,
        metavar="N",
        help="images a step (default: 32; of fast 128)",
    )
    add(
        "--learning-rate",
        type=positive_float,
        metavar="RATE",
        help="step size (default: 0.001; of fast 0.015)",
    )
    add(
        "--patience",
        type=positive_int,
        metavar="N",
        help="epochs without improvement that end a phase",
    )
    text = "continue from the checkpoint of an interrupted training, if there is one"
    add("--resume", action="store_true", help=text)
    add("--seed", type=seed, metavar="N", default=42, help="same seed, same model")
    add("--mixed-precision", action="store_true", help="compute in bfloat16, where supported")
    add("--strategy", choices=("mirrored",), help="train on all GPUs of this machine")

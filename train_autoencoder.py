"""Train an autoencoder whose code can be searched by.

usage: python train_autoencoder.py --model output/autoencoder.h5
       python train_autoencoder.py --model digits.h5 --objective neighbours --schedule fast
       python train_autoencoder.py --model photos.keras --dataset my/photos --architecture deep
"""

import argparse
import os
import sys

import numpy as np

from pyimagesearch.cli import (
    HelpFormatter,
    command,
    fraction,
    info,
    path_ending_in,
    positive_float,
    positive_int,
    warn,
)
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.datasets.transforms import AUGMENTATIONS, RESIZE_MODES, InputSpec
from pyimagesearch.display.montage import reconstruction_sheet, write_image
from pyimagesearch.display.plots import plot_training
from pyimagesearch.files import require_writable

MODEL = path_ending_in(".keras", ".h5")
ENCODER = path_ending_in(".keras", ".h5", ".onnx")
PICTURE = path_ending_in(".png", ".jpg")
PHOTO = 64, 64, 3  # height, width and channels of what a folder's pictures become
# Names that are known before TensorFlow is imported; a test compares them with the tables.
ARCHITECTURES = "conv", "pooling", "deep"
OBJECTIVES = "reconstruction", "denoising", "neighbours", "triplet"
SCHEDULES = "tutorial", "fast"
# Flags that make no difference to what is learned: a run is resumed with all others the same.
NO_SETTINGS = {"model", "vis", "plot", "encoder", "log", "resume", "strategy"}


def parse_args(argv):
    parser = argparse.ArgumentParser(
        description="Train a convolutional autoencoder; its codes are what a search compares.",
        formatter_class=HelpFormatter,
    )
    add = parser.add_argument
    add("-m", "--model", required=True, type=MODEL, help="model file to write, .keras or .h5")
    add("-v", "--vis", type=PICTURE, default="recon_vis.png", help="picture of reconstructions")
    add("-p", "--plot", type=PICTURE, default="plot.png", help="plot of losses and retrieval")
    add("--encoder", type=ENCODER, metavar="FILE", help="also write the encoder alone, or as .onnx")
    add("--log", type=path_ending_in(".csv"), metavar="FILE", help="write each epoch to a .csv")

    add = parser.add_argument_group("images").add_argument
    add("--dataset", default="mnist", help="mnist, fashion_mnist, cifar10, .npz file or folder")
    add("--limit", type=positive_int, help="use the first N images only, for a quick look")
    add(
        "--image-size",
        type=positive_int,
        nargs=2,
        metavar=("H", "W"),
        help="height and width in (default: the images' own; for a folder 64 64)",
    )
    add("--channels", type=int, choices=(1, 3), help="grey or RGB (default: as --image-size)")
    add("--fit", choices=RESIZE_MODES, default="letterbox", help="how pictures get to that size")
    add(
        "--validation",
        type=part_or_test,
        metavar="PART",
        help="part of the training images to validate on, or test: the test images, as the "
        "tutorial does (default: 0.1; test for its own objective and schedule)",
    )
    add(
        "--augment",
        nargs="*",
        choices=AUGMENTATIONS,
        help="random changes (default: none; affine for neighbours and triplet)",
    )

    add = parser.add_argument_group("network").add_argument
    add("--architecture", choices=ARCHITECTURES, default="conv", help="which network")
    add("--filters", type=positive_int, nargs="+", help="filters a layer (default of conv: 32 64)")
    add("--latent-dim", type=positive_int, help="numbers in a code (default: 16; of deep 512)")

    add = parser.add_argument_group("training").add_argument
    add("--objective", choices=OBJECTIVES, default=OBJECTIVES[0], help="what to train for")
    add("--schedule", choices=SCHEDULES, default=SCHEDULES[0], help="as published, or in less time")
    add("--epochs", type=positive_int, help="passes over the images (default: 20; of fast 6)")
    add("--batch-size", type=positive_int, help="images a step (default: 32; of fast 128)")
    add("--learning-rate", type=positive_float, help="step size (default: 0.001; of fast 0.015)")
    add("--patience", type=positive_int, help="end after so many epochs without a better one")
    add("--resume", action="store_true", help="go on where a run that was ended left off, if any")
    add("--seed", type=int, default=42, help="same seed, same model")
    add("--mixed-precision", action="store_true", help="compute in bfloat16, on hardware that can")
    add("--strategy", choices=("mirrored",), help="train on all GPUs of this machine")
    return parser.parse_args(argv)


def part_or_test(text):
    """argparse type: a number between 0 and 1, or the word test."""
    return text if text == "test" else fraction(text)


@command
def main(argv=None):
    args = parse_args(argv)
    require_writable(args.model, args.vis, args.plot, *filter(None, [args.encoder, args.log]))

    info(f"loading {args.dataset} dataset...")
    training_images, validation_images = open_images(args)

    # TensorFlow takes seconds to import: only once the flags and the data are known to be good.
    from pyimagesearch.backend import devices, keras, precision
    from pyimagesearch.models.architectures import build
    from pyimagesearch.training.checkpoint import Checkpoint
    from pyimagesearch.training.diagnostics import Diagnosis
    from pyimagesearch.training.trainer import make_plan, train

    spec = choose_input(args, training_images)
    settings = {name: value for name, value in vars(args).items() if name not in NO_SETTINGS}
    checkpoint = Checkpoint(f"{args.model}.checkpoint.npz", settings)
    if args.resume:
        checkpoint = checkpoint.resumed()

    info("building autoencoder...")
    network = args.architecture, spec, args.filters, args.latent_dim
    keras.utils.set_random_seed(args.seed)
    with devices(args.strategy), precision(args.mixed_precision):
        autoencoder = build(*network)
        diagnosis = Diagnosis(autoencoder, training_images, validation_images, spec, args.seed)
        counts = f"{len(training_images):,} images, validating on {len(validation_images):,}"
        info(f"training on {counts}...")
        finished = train(
            autoencoder,
            training_images,
            validation_images,
            spec,
            make_plan(args),
            checkpoint,
            check=diagnosis.check,
            log=args.log,
            # Files are decoded in threads of their own while a step is computed.
            reading={"workers": 2, "max_queue_size": 8} if os.path.isdir(args.dataset) else {},
        )
    if args.mixed_precision:
        weights, autoencoder = autoencoder.get_weights(), build(*network)
        autoencoder.set_weights(weights)
    if not finished:
        done = len(checkpoint.history)
        kept = "the best of them" if done else "the unfinished one"
        warn(f"interrupted after {done} epochs: keeping {kept}; --resume goes on from there")

    write_results(args, autoencoder, validation_images, spec)
    if checkpoint.history:
        plot_training(args.plot, checkpoint.history, diagnosis.baselines)
        info(f"wrote {args.plot}")
        diagnosis.report(autoencoder, checkpoint.history)
    if finished:
        checkpoint.remove()


def open_images(args):
    """Return the images to train on, and those to validate on."""
    images = open_dataset(args.dataset, "train", args.limit)
    folder, part = os.path.isdir(args.dataset), args.validation
    published = (args.objective, args.schedule) == (OBJECTIVES[0], SCHEDULES[0])
    if part == "test" and folder:
        raise ValueError(f"{args.dataset} is a folder, which has no test images: give a part")
    if part == "test" or (part is None and published and not folder):
        return images, open_dataset(args.dataset, "test", args.limit)
    if len(images) < 2:
        raise ValueError(f"{args.dataset} has 1 image: training needs 2, to validate on one")
    return images.split(part or 0.1, args.seed)


def choose_input(args, images):
    """Return what the network takes in, its sides rounded up to what its strides need."""
    from pyimagesearch.models.architectures import stride_of

    height, width, channels = PHOTO if os.path.isdir(args.dataset) else images.images.shape[1:]
    if args.image_size:
        stride = stride_of(args.architecture, *args.image_size, args.filters)
        height, width = (-(-side // stride) * stride for side in args.image_size)
        if [height, width] != args.image_size:
            info(f"image size rounded up to {height} {width}, multiples of {stride}")
    spec = InputSpec(height, width, args.channels or channels, args.fit)
    colour = "grey" if spec.channels == 1 else "RGB"
    info(f"images are {spec.height} x {spec.width}, {colour}, fitted by {spec.resize_mode}")
    return spec


def write_results(args, autoencoder, images, spec):
    """Write the model, its encoder if asked for, and what it makes of ten images."""
    from pyimagesearch.models.keras_files import save_encoder, save_model

    save_model(autoencoder, args.model, spec)
    info(f"wrote {args.model}")
    if args.encoder:
        save_encoder(autoencoder, args.encoder, spec)
        info(f"wrote {args.encoder}")
    _, originals, _ = images.read_good(list(range(min(10, len(images)))), spec)
    if len(originals):
        decoded = np.asarray(autoencoder(originals, training=False))
        write_image(args.vis, reconstruction_sheet(originals, decoded))
        info(f"wrote {args.vis}")


if __name__ == "__main__":
    sys.exit(main())

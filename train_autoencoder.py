"""Train an autoencoder whose code can be searched by.

usage: python train_autoencoder.py --model output/autoencoder.h5
       python train_autoencoder.py --model photos.keras --dataset my/photos --augment flip
"""

import argparse
import os
import sys

from pyimagesearch.augmentation import AUGMENTATIONS
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
from pyimagesearch.datasets import open_dataset
from pyimagesearch.files import require_writable
from pyimagesearch.images import FITS, InputSpec
from pyimagesearch.visuals import plot_losses, reconstruction_sheet, write_image

MODEL = path_ending_in(".keras", ".h5")
PICTURE = path_ending_in(".png", ".jpg")
PHOTO = 64, 64, 3  # height, width and channels of what a folder's pictures become


def parse_args(argv):
    parser = argparse.ArgumentParser(
        description="Train a convolutional autoencoder; its codes are what a search compares.",
        formatter_class=HelpFormatter,
    )
    add = parser.add_argument
    add("-m", "--model", required=True, type=MODEL, help="model file to write, .keras or .h5")
    add("-v", "--vis", type=PICTURE, default="recon_vis.png", help="picture of reconstructions")
    add("-p", "--plot", type=PICTURE, default="plot.png", help="plot of the losses")

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
    add("--fit", choices=FITS, default="letterbox", help="how pictures get to that size")
    add("--validation", type=fraction, default=0.1, help="part of a folder to validate on")
    add("--augment", nargs="+", choices=AUGMENTATIONS, default=[], help="random changes")

    add = parser.add_argument_group("training").add_argument
    add("--epochs", type=positive_int, default=20, help="passes over the training images")
    add("--batch-size", type=positive_int, default=32, help="images a training step")
    add("--learning-rate", type=positive_float, default=1e-3, help="Adam's first step size")
    add("--filters", type=positive_int, nargs="+", default=[32, 64], help="filters a layer")
    add("--latent-dim", type=positive_int, default=16, help="numbers in a code")
    add("--seed", type=int, default=42, help="same seed, same model")
    return parser.parse_args(argv)


@command
def main(argv=None):
    args = parse_args(argv)
    require_writable(args.model, args.vis, args.plot)

    info(f"loading {args.dataset} dataset...")
    train_images, test_images = open_images(args)
    spec = choose_input(args, train_images)

    # TensorFlow takes seconds to import: only once the flags and the data are known to be good.
    from pyimagesearch import training
    from pyimagesearch.backend import keras
    from pyimagesearch.convautoencoder import ConvAutoencoder
    from pyimagesearch.model_files import save_model

    info("building autoencoder...")
    keras.utils.set_random_seed(args.seed)
    autoencoder = ConvAutoencoder.build(
        spec.width, spec.height, spec.channels, args.filters, args.latent_dim
    )

    # Files are decoded in threads of their own while a step is computed.
    ahead = {"workers": 2, "max_queue_size": 8} if os.path.isdir(args.dataset) else {}
    batches = training.Reconstruction(
        train_images, spec, args.batch_size, args.seed, args.augment, **ahead
    )
    validation = training.Reconstruction(test_images, spec, batch_size=256, **ahead)
    info(f"training on {len(train_images):,} images, validating on {len(test_images):,}...")
    losses, finished = training.train(
        autoencoder, batches, validation, args.epochs, args.learning_rate
    )
    if not finished:
        done = len(losses.get("val_loss", []))
        kept = "the best of them" if done else "the unfinished one"
        warn(f"interrupted after {done} of {args.epochs} epochs: keeping {kept}")

    save_model(autoencoder, args.model, spec)
    info(f"wrote {args.model}")

    originals, _ = validation[0]
    decoded = autoencoder.predict_on_batch(originals[:10])
    write_image(args.vis, reconstruction_sheet(originals[:10], decoded))
    info(f"wrote {args.vis}")
    if losses.get("val_loss"):
        plot_losses(args.plot, losses)
        info(f"wrote {args.plot}")
        report_quality(min(losses["val_loss"]), training.constant_loss(batches, validation))


def open_images(args):
    """Return the images to train on, and those to validate on: a dataset's test split."""
    images = open_dataset(args.dataset, "train", args.limit)
    if not os.path.isdir(args.dataset):
        return images, open_dataset(args.dataset, "test", args.limit)
    if len(images) < 2:
        raise ValueError(f"{args.dataset} has 1 picture: training needs 2, to validate on one")
    return images.split(args.validation, args.seed)


def choose_input(args, images):
    """Return what the network takes in, its sides rounded up to what its strides need."""
    height, width, channels = PHOTO if os.path.isdir(args.dataset) else images.images.shape[1:]
    if args.image_size:
        stride = 2 ** len(args.filters)
        height, width = (-(-side // stride) * stride for side in args.image_size)
        if [height, width] != args.image_size:
            info(f"image size rounded up to {height} {width}, multiples of {stride}")
    spec = InputSpec(height, width, args.channels or channels, args.fit)
    colour = "grey" if spec.channels == 1 else "RGB"
    info(f"images are {spec.height} x {spec.width}, {colour}, fitted by {spec.fit}")
    return spec


def report_quality(loss, constant):
    """Say how good the kept model is, and loudly when it learned nothing about single images."""
    info(f"validation MSE {loss:.4f} (best constant image: {constant:.4f})")
    if not loss < 0.99 * constant:
        warn(
            f"COLLAPSED: validation MSE {loss:.4f} is no better than one constant image for every "
            f"input ({constant:.4f}), so its codes cannot tell images apart. Try a smaller "
            "--learning-rate, another --seed, more --epochs or more images."
        )


if __name__ == "__main__":
    sys.exit(main())

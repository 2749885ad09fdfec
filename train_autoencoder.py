"""Train an autoencoder whose code can be searched by.

usage: python train_autoencoder.py --model output/autoencoder.h5
"""

import argparse
import sys

from pyimagesearch.cli import (
    HelpFormatter,
    command,
    info,
    path_ending_in,
    positive_float,
    positive_int,
    warn,
)
from pyimagesearch.datasets import open_dataset
from pyimagesearch.files import require_writable
from pyimagesearch.images import InputSpec
from pyimagesearch.visuals import plot_losses, reconstruction_sheet, write_image

MODEL = path_ending_in(".keras", ".h5")
PICTURE = path_ending_in(".png", ".jpg")


def parse_args(argv):
    parser = argparse.ArgumentParser(
        description="Train a convolutional autoencoder; its codes are what a search compares.",
        formatter_class=HelpFormatter,
    )
    add = parser.add_argument
    add("-m", "--model", required=True, type=MODEL, help="model file to write, .keras or .h5")
    add("-v", "--vis", type=PICTURE, default="recon_vis.png", help="picture of reconstructions")
    add("-p", "--plot", type=PICTURE, default="plot.png", help="plot of the losses")
    add("--dataset", default="mnist", help="mnist, fashion_mnist, cifar10 or an .npz file")
    add("--limit", type=positive_int, help="use the first N images only, for a quick look")
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
    train_images = open_dataset(args.dataset, "train", args.limit)
    test_images = open_dataset(args.dataset, "test", args.limit)
    spec = InputSpec(*train_images.images.shape[1:])

    # TensorFlow takes seconds to import: only once the flags and the data are known to be good.
    from pyimagesearch import training
    from pyimagesearch.backend import keras
    from pyimagesearch.convautoencoder import ConvAutoencoder

    info("building autoencoder...")
    keras.utils.set_random_seed(args.seed)
    autoencoder = ConvAutoencoder.build(
        spec.width, spec.height, spec.channels, args.filters, args.latent_dim
    )

    batches = training.Reconstruction(train_images, spec, args.batch_size, args.seed)
    validation = training.Reconstruction(test_images, spec, batch_size=256)
    info(f"training on {len(train_images):,} images, validating on {len(test_images):,}...")
    losses, finished = training.train(
        autoencoder, batches, validation, args.epochs, args.learning_rate
    )
    if not finished:
        done = len(losses.get("val_loss", []))
        kept = "the best of them" if done else "the unfinished one"
        warn(f"interrupted after {done} of {args.epochs} epochs: keeping {kept}")

    training.save_model(autoencoder, args.model)
    info(f"wrote {args.model}")

    originals, _ = validation[0]
    decoded = autoencoder.predict_on_batch(originals[:10])
    write_image(args.vis, reconstruction_sheet(originals[:10], decoded))
    info(f"wrote {args.vis}")
    if losses.get("val_loss"):
        plot_losses(args.plot, losses)
        info(f"wrote {args.plot}")
        report_quality(min(losses["val_loss"]), training.constant_loss(batches, validation))


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

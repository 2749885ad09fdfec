"""Train an autoencoder whose codes can be searched.

usage: python train_autoencoder.py --model output/autoencoder.h5
       python train_autoencoder.py --model digits.h5 --objective neighbours --schedule fast
       python train_autoencoder.py --model photos.keras --dataset my/photos
"""

import argparse
import os
import signal
import sys
from functools import partial

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback for Ctrl-C during the imports

from pyimagesearch import cli
from pyimagesearch.cli import info, positive_float, positive_int, warn
from pyimagesearch.datasets.catalog import DEFAULT_SOURCE, open_dataset, updated_source
from pyimagesearch.datasets.transforms import AUGMENTATIONS, RESIZE_MODES
from pyimagesearch.files import require_writable
from pyimagesearch.index.index_file import require_model
from pyimagesearch.networks.architectures import ARCHITECTURES, build, choose_input_spec
from pyimagesearch.training import plan as plans
from pyimagesearch.training.checkpoint import Checkpoint, images_digest

# Flags that do not change the model: a training is resumed with all others as they were.
OUTPUT_FLAGS = {"model", "vis", "plot", "encoder", "log", "resume", "strategy"}


def parse_args(argv):
    text = "Train a convolutional autoencoder whose codes can be searched."
    parser = argparse.ArgumentParser(description=text, formatter_class=cli.HelpFormatter)
    model, picture = cli.path_ending_in(".keras", ".h5"), cli.path_ending_in(".png", ".jpg")
    encoder, log = cli.path_ending_in(".keras", ".h5", ".onnx"), cli.path_ending_in(".csv")
    add = parser.add_argument
    add("-m", "--model", required=True, type=model, help="model file to write, .keras or .h5")
    add("-v", "--vis", type=picture, default="recon_vis.png", help="picture of reconstructions")
    add("-p", "--plot", type=picture, default="plot.png", help="plot of losses and precision")
    add("--encoder", type=encoder, metavar="FILE", help="also write the encoder alone (also .onnx)")
    add("--log", type=log, metavar="FILE", help="write the losses of each epoch to a .csv file")

    add = parser.add_argument_group("images").add_argument
    text = "mnist, fashion_mnist, cifar10, .npz file or folder; or several folders"
    add("--dataset", nargs="+", metavar="NAME", default="mnist", help=text)
    add("--limit", type=positive_int, help="use the first N images only, for a quick look")
    cli.add_folder_flags(add)
    text = "height and width of the input (default: the images' own, for patches at most 32 32; "
    text += "for a folder 64 64, for patches 32 32)"
    add("--image-size", type=positive_int, nargs=2, metavar=("H", "W"), help=text)
    text = "1 (grey) or 3 (RGB) (default: the images' own; for a folder 3)"
    add("--channels", type=int, choices=(1, 3), help=text)
    text = "how other proportions are resized"
    add("--fit", choices=RESIZE_MODES, default="letterbox", help=text)
    text = "part of the training images to validate on, or test for the test images (default: 0.1; "
    text += "test for the objective reconstruction with the schedule tutorial)"
    add("--validation", type=part_or_test, metavar="PART", help=text)
    text = "random changes to training images (default: none; affine for neighbours and supcon; "
    text += "for views crop, colour and, where mirrored images look like others, flip)"
    add("--augment", nargs="*", choices=AUGMENTATIONS, help=text)

    add = parser.add_argument_group("network").add_argument
    text = "network to train (default: conv for mnist, reconstruction, denoising and neighbours; "
    text += "else patches)"
    add("--architecture", choices=ARCHITECTURES, help=text)
    text = "filters a layer (default of conv: 32 64; of patches 400)"
    add("--filters", type=positive_int, nargs="+", help=text)
    text = "dimensions of the code (default: 16; of patches 64, of deep 512)"
    add("--latent-dim", type=positive_int, help=text)

    add = parser.add_argument_group("training").add_argument
    objectives = {"choices": plans.OBJECTIVES, "type": plans.objective_name}
    text = "what to train for; triplet is a former name of supcon (default: views for the "
    text += "architecture patches, else reconstruction)"
    add("--objective", **objectives, help=text)
    text = "as published, or faster (default: fast for the architecture patches, else tutorial)"
    add("--schedule", choices=plans.SCHEDULES, help=text)
    add("--epochs", type=positive_int, help="passes over the images (default: 20; of fast 6)")
    add("--batch-size", type=positive_int, help="images a step (default: 32; of fast 128)")
    add("--learning-rate", type=positive_float, help="step size (default: 0.001; of fast 0.015)")
    add("--patience", type=positive_int, help="epochs without improvement that end a phase")
    text = "continue from the checkpoint of an interrupted training, if there is one"
    add("--resume", action="store_true", help=text)
    add("--seed", type=int, default=42, help="same seed, same model")
    add("--mixed-precision", action="store_true", help="compute in bfloat16, where supported")
    add("--strategy", choices=("mirrored",), help="train on all GPUs of this machine")
    args = parser.parse_args(argv)
    if len(args.dataset) == 1:  # as in checkpoints
        [args.dataset] = args.dataset
    return args


def part_or_test(text):
    """argparse type: a number between 0 and 1, or the word test."""
    return text if text == "test" else cli.fraction(text)


@cli.command
def main(argv=None):
    args = parse_args(argv)
    settings = {name: value for name, value in vars(args).items() if name not in OUTPUT_FLAGS}
    checkpoint = Checkpoint(f"{args.model}.checkpoint.npz", settings)
    require_files(args, checkpoint)
    limits = args.limit, args.exclude, args.truncated
    source = updated_source(DEFAULT_SOURCE, args.dataset, None, *limits)
    info(f"loading {source['name']} dataset...")
    dataset = open_dataset(**source)
    names = ("architecture", "objective", "schedule", "epochs", "batch_size", "learning_rate")
    given = {name: getattr(args, name) for name in (*names, "patience", "seed")}
    digits = dataset.source["name"] == "mnist"
    plan = plans.make_plan(digits=digits, augmentations=args.augment, **given)
    info(plans.describe(plan))
    training, validation = plans.choose_validation(dataset, plan, args.validation, args.limit)
    size = dataset.default_shape, args.image_size, args.channels, args.fit
    spec = choose_input_spec(plan.architecture, *size, filters=args.filters)

    # TensorFlow takes seconds to import, so flags and data are checked first.
    from pyimagesearch.reports.training import log_diagnosis, write_training
    from pyimagesearch.training.trainer import build_and_train

    settings |= {name: getattr(plan, name) for name in ("architecture", "objective", "schedule")}
    settings["images"] = images_digest(dataset)
    if args.resume:
        checkpoint = checkpoint.resumed()
    if not checkpoint.history:
        checkpoint.save()  # so that --resume is possible from the first epoch on
    autoencoder, finished, check = build_and_train(
        partial(build, plan.architecture, spec, args.filters, args.latent_dim),
        *(training, validation, spec, plan, checkpoint),
        log=args.log,
        strategy=args.strategy,
        mixed_precision=args.mixed_precision,
    )
    history = checkpoint.history
    if not finished and not history:
        warn(f"no epoch was finished: nothing was written to {args.model}")
        raise KeyboardInterrupt
    paths = {name: getattr(args, name) for name in ("model", "encoder", "vis", "plot")}
    write_training(autoencoder, validation, spec, history, check, **paths)
    if history:
        log_diagnosis(autoencoder, history, training, validation, spec, check)
    if finished:
        checkpoint.remove()


def require_files(args, checkpoint):
    """Check the files that are named, before anything is read or written."""
    names = ("vis", "plot", "encoder", "log")
    outputs = {name: getattr(args, name) for name in names if getattr(args, name)}
    cli.require_distinct(model=[args.model, checkpoint.path], dataset=args.dataset, **outputs)
    require_writable(args.model, *outputs.values())
    require_model(args.model)
    if not args.resume:
        checkpoint.require_unused()
    elif os.path.exists(args.model) and not os.path.exists(checkpoint.path):
        raise ValueError(
            f"nothing to resume: {args.model} has no checkpoint, so its training has ended; leave "
            "out --resume to train it anew"
        )


if __name__ == "__main__":
    sys.exit(main())

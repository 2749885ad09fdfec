"""Train an autoencoder whose codes can be searched.

usage: python train_autoencoder.py --model output/autoencoder.h5
       python train_autoencoder.py --model digits.h5 --objective neighbours --schedule fast
       python train_autoencoder.py --model photos.keras --dataset my/photos
       python train_autoencoder.py --model photos.onnx --dataset my/photos --backbone mobilenet_v2
"""

import contextlib
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from functools import partial

from pyimagesearch import startup

if startup.is_command(__name__):
    startup.begin()

from pyimagesearch import cli
from pyimagesearch.arguments.train_flags import parse_args
from pyimagesearch.arrays import Source
from pyimagesearch.cli import info, warn
from pyimagesearch.datasets.catalog import DEFAULT_SOURCE, SourceFlags, open_dataset, updated_source
from pyimagesearch.datasets.dataset import Dataset, Splits
from pyimagesearch.encoders import trained_on
from pyimagesearch.encoders.model_source import ModelFlags, model_path
from pyimagesearch.files import CHECKPOINT_SUFFIX, require_writable
from pyimagesearch.indexes.index_file import require_model
from pyimagesearch.locks import sole_writer
from pyimagesearch.replacing import LOG, MODEL, PICTURE, require_kind
from pyimagesearch.training import plan as plans
from pyimagesearch.training.architectures import build, choose_input_spec
from pyimagesearch.training.checkpoint import Checkpoint, images_digest
from pyimagesearch.training.readable import with_readable_validation

# Flags that do not change the model: a training is resumed with all others as they were.
OUTPUT_FLAGS = {"model", "vis", "plot", "encoder", "log", "resume", "strategy", "overwrite"}


@cli.command
def main(argv: Sequence[str] | None = None) -> None:
    """Train an autoencoder, or continue a training that was interrupted."""
    args = parse_args(argv)
    if args.backbone:
        adapt_backbone(args)
        return
    settings = {name: value for name, value in vars(args).items() if name not in OUTPUT_FLAGS}
    checkpoint = Checkpoint(f"{args.model}{CHECKPOINT_SUFFIX}", settings)
    require_files(args, checkpoint.path)
    with contextlib.ExitStack() as locks:
        for path in filter(None, (args.model, args.encoder)):
            locks.enter_context(sole_writer(path, "training"))
        require_checkpoint(args, checkpoint)
        train(args, checkpoint)


def train(args: Namespace, checkpoint: Checkpoint) -> None:
    """Train a model from the checkpoint on, and write it."""
    settings = checkpoint.settings
    dataset = open_images(args)
    source = {**dataset.source, "limit": args.limit}
    if not (args.resume and os.path.exists(checkpoint.path)):
        require_same_images(args, source)
    dataset.keep_decoded()  # each phase and epoch reads all images
    plan, splits = plan_training(args, dataset)

    # TensorFlow takes seconds to import, so flags and data are checked first.
    from pyimagesearch.show.training_report import log_diagnosis, write_training
    from pyimagesearch.training.trainer import build_and_train

    settings |= {name: getattr(plan, name) for name in ("architecture", "objective", "schedule")}
    settings["images"] = images_digest(dataset)
    if args.resume:
        checkpoint = checkpoint.resumed()
    if not checkpoint.history:
        checkpoint.save()  # so that --resume is possible from the first epoch on
    autoencoder, finished, check = build_and_train(
        partial(build, plan.architecture, splits.spec, args.filters, args.latent_dim),
        splits,
        plan,
        checkpoint,
        log=args.log,
        strategy=args.strategy,
        mixed_precision=args.mixed_precision,
    )
    history = checkpoint.history
    if not finished and not history:
        warn(f"no epoch was finished: nothing was written to {args.model}")
        raise KeyboardInterrupt
    paths = {name: getattr(args, name) for name in ("model", "encoder", "vis", "plot")}
    write_training(autoencoder, splits, history, check=check, source=source, **paths)
    if history:
        log_diagnosis(autoencoder, history, splits, check)
    if finished:
        checkpoint.remove()


def plan_training(args: Namespace, dataset: Dataset) -> tuple[plans.TrainingPlan, Splits]:
    """Return how a network is trained, and on which images of the dataset."""
    names = ("architecture", "objective", "schedule", "epochs", "batch_size", "learning_rate")
    given = {name: getattr(args, name) for name in (*names, "patience", "seed")}
    digits = dataset.source["name"] == "mnist"
    plan = plans.make_plan(digits=digits, augmentations=args.augment, **given)
    info(plans.describe(plan))
    training, validation = plans.choose_validation(dataset, plan, args.validation, args.limit)
    spec = choose_input_spec(
        plan.architecture,
        dataset.default_shape,
        args.image_size,
        args.channels,
        resize_mode=args.fit,
        filters=args.filters,
    )
    return plan, with_readable_validation(Splits(training, validation, spec))


def open_images(args: Namespace) -> Dataset:
    """Return the images that are named."""
    flags = SourceFlags(
        args.dataset, limit=args.limit, exclude=args.exclude, truncated=args.truncated
    )
    source = updated_source(DEFAULT_SOURCE, flags)
    info(f"loading {source['name']} dataset...")
    return open_dataset(**source)


def adapt_backbone(args: Namespace) -> None:
    """Adapt a network that others trained to the images, and write both as one model."""
    backbone_path = model_path(args.backbone)
    cli.require_distinct(
        model=args.model, dataset=args.dataset, backbone=backbone_path, weights=args.weights
    )
    if backbone_path:
        require_model(backbone_path, "--backbone")
    require_writable(args.model)
    require_model(args.model)
    require_kind(args.model, MODEL, "--model")
    dataset = open_images(args)
    require_same_images(args, {**dataset.source, "limit": args.limit})
    # SciPy takes half a second to import, so flags and data are checked first.
    from pyimagesearch.training.adaptation import DIM, Adaptation, train_from_backbone

    size = tuple(args.image_size) if args.image_size else None
    backbone = ModelFlags(args.backbone, args.weights, size, args.fit)
    settings = Adaptation(
        supcon=args.objective == "supcon",
        patches=args.architecture == "patches" or args.objective == "views",
        dim=args.latent_dim or DIM,
        seed=args.seed,
    )
    with sole_writer(args.model, "training"):
        train_from_backbone(backbone, dataset, args.model, settings)


def require_files(args: Namespace, checkpoint_path: str) -> None:
    """Check the files that are named, before anything is read or written."""
    names = ("vis", "plot", "encoder", "log")
    outputs = {name: getattr(args, name) for name in names if getattr(args, name)}
    cli.require_distinct(model=[args.model, checkpoint_path], dataset=args.dataset, **outputs)
    require_writable(args.model, *outputs.values())
    require_model(args.model)
    kinds = {"vis": PICTURE, "plot": PICTURE, "encoder": MODEL, "log": LOG}
    for name, path in outputs.items():
        require_kind(path, kinds[name], f"--{name}")
    require_kind(args.model, MODEL, "--model")


def require_checkpoint(args: Namespace, checkpoint: Checkpoint) -> None:
    """Raise ValueError if there is a checkpoint that would be lost, or none that was asked for."""
    if not args.resume:
        checkpoint.require_unused()
    elif os.path.exists(args.model) and not os.path.exists(checkpoint.path):
        raise ValueError(
            f"nothing to resume: {args.model} has no checkpoint, so its training has ended; leave "
            "out --resume to train it anew"
        )


def require_same_images(args: Namespace, source: Source) -> None:
    """Raise ValueError if a model of other images than those of `source` would be replaced."""
    if args.overwrite:
        return
    for flag, path in (("--model", args.model), ("--encoder", args.encoder)):
        if path and trained_on.require_same_images(path, source, flag):
            warn(f"{path} exists: it is going to be replaced when the training ends")


if __name__ == "__main__":
    sys.exit(main())

"""Training plans: objectives, schedules and their defaults. Nothing here imports Keras."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pyimagesearch.datasets.dataset import Dataset

VALIDATION_PART = 0.1  # of the training images
NOISE = 0.3  # standard deviation, for pixels in [0, 1]


class Phase(NamedTuple):
    """A part of a training, with a loss of its own.

    `epoch_scale` is its number of epochs as a multiple of --epochs. `trains` says which weights
    change: those of the "autoencoder", or of its "encoder" or "decoder" alone. `loss` is a key of
    objectives.LOSSES and `target` names what the outputs are compared with: "images", a diffusion
    "map", or "labels". `noise` is the standard deviation of noise added to the input images. There
    are at least `min_steps` steps, however few the images are.
    """

    name: str
    epoch_scale: float
    trains: str = "autoencoder"
    loss: str = "mse"
    target: str = "images"
    noise: float = 0.0
    min_steps: int = 0


# The decoder is trained after the code: trained along with it, it would take most of the time and
# draw the code back to pixel values.
DECODE = Phase("decode", 0.2, "decoder")
# Not epochs of gradients: views.fit_views computes the weights of the architecture patches.
FIT = Phase("fit", 0, "encoder", loss="views")
OBJECTIVES = {
    "views": [DECODE._replace(epoch_scale=0.1, min_steps=80)],
    "reconstruction": [Phase("reconstruct", 1)],
    "denoising": [Phase("denoise", 1, noise=NOISE)],
    "neighbours": [
        Phase("reconstruct", 0.4),
        Phase("follow", 0.4, "encoder", "normalized_mse", "map"),
        # The codes have better neighbours now than those that the first map was made from.
        Phase("refine", 0.6, "encoder", "normalized_mse", "map"),
        DECODE,
    ],
    # Twice the epochs: those of the encoder alone take a fifth of the time.
    "supcon": [Phase("separate", 2, "encoder", "supervised_contrast", "labels"), DECODE],
}
OBJECTIVE_ALIASES = {"triplet": "supcon"}  # names that are still accepted
PATCHES_OBJECTIVES = "views", "supcon"  # that the architecture patches is trained for
# That networks which others trained are adapted by; `views` puts `patches` beside them.
BACKBONE_OBJECTIVES = "neighbours", "views", "supcon"
# Where the class or the neighbours count, a slightly moved image should have the same code.
DEFAULT_AUGMENTATIONS = {"neighbours": ("affine",), "supcon": ("affine",)}


class Schedule(NamedTuple):
    """Defaults of the flags, and the name of the optimizer in optimizers.OPTIMIZERS.

    `norm_momentum` is the momentum of BatchNormalization's running means, None for Keras' 0.99.
    Trainings of `min_compiled_steps` or more are compiled by XLA.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    optimizer: str
    norm_momentum: float | None = None
    min_compiled_steps: float = math.inf


SCHEDULES = {
    "tutorial": Schedule(20, 32, 1e-3, "adam_with_decay"),
    # Weights change fast, so the running means are over the last 20 steps. XLA takes half a minute
    # to compile and then a tenth off each step on a CPU.
    "fast": Schedule(6, 128, 1.5e-2, "muon_one_cycle", norm_momentum=0.95, min_compiled_steps=2000),
}


@dataclass(frozen=True)
class TrainingPlan:
    """All settings of a training; make one with `make_plan`.

    `augmentations` are names of transforms.AUGMENTATIONS, or None where views.fit_views chooses.
    """

    architecture: str
    objective: str
    schedule: str
    epochs: int
    batch_size: int
    learning_rate: float
    augmentations: tuple[str, ...] | None
    patience: int | None
    seed: int

    @property
    def is_published(self) -> bool:
        """Whether this is the tutorial's objective and schedule."""
        return (self.objective, self.schedule) == ("reconstruction", "tutorial")

    @property
    def phases(self) -> list[Phase]:
        """The phases of the training, in order."""
        phases = OBJECTIVES[self.objective]
        if self.architecture != "patches":
            return phases
        # Twice the epochs for labels: on photographs precision still rises when they end.
        scales = (p.epoch_scale * (2 if p.target == "labels" else 1) for p in phases)
        return [FIT, *(p._replace(epoch_scale=s) for p, s in zip(phases, scales, strict=True))]


def make_plan(
    *,
    digits: bool = True,
    architecture: str | None = None,
    objective: str | None = None,
    schedule: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    augmentations: Sequence[str] | None = None,
    patience: int | None = None,
    seed: int = 42,
) -> TrainingPlan:
    """Return a TrainingPlan with defaults in place of None.

    For `digits` the defaults are those of the tutorial: the architecture conv, the objective
    reconstruction. For other images they are patches and views, which retrieve better without
    labels. `patience` is the number of epochs without a lower validation loss that end a phase;
    None for no limit.

    Raises ValueError for an unknown objective or schedule, or an objective that the architecture is
    not trained for.
    """
    architecture, objective = _choose_network(digits, architecture, objective)
    schedule = schedule or ("fast" if architecture == "patches" else "tutorial")
    if schedule not in SCHEDULES:
        raise ValueError(f"expected the schedule {' or '.join(SCHEDULES)}, received {schedule}")
    defaults = SCHEDULES[schedule]
    if augmentations is None and objective != "views":
        augmentations = DEFAULT_AUGMENTATIONS.get(objective, ())
    return TrainingPlan(
        architecture=architecture,
        objective=objective,
        schedule=schedule,
        epochs=epochs or defaults.epochs,
        batch_size=batch_size or defaults.batch_size,
        learning_rate=learning_rate or defaults.learning_rate,
        augmentations=None if augmentations is None else tuple(augmentations),
        patience=patience,
        seed=seed,
    )


def _choose_network(
    digits: bool, architecture: str | None, objective: str | None
) -> tuple[str, str]:
    """Return the names of the architecture and the objective, or raise ValueError."""
    objective = objective and objective_name(objective)
    if architecture is None:
        suited = ("views",) if digits else (None, *PATCHES_OBJECTIVES)
        architecture = "patches" if objective in suited else "conv"
    fitted = architecture == "patches"
    objective = objective or ("views" if fitted else "reconstruction")
    if objective not in OBJECTIVES:
        raise ValueError(f"expected the objective {' or '.join(OBJECTIVES)}, received {objective}")
    if fitted and objective not in PATCHES_OBJECTIVES:
        raise ValueError(
            "the architecture patches is trained with --objective "
            f"{' or '.join(PATCHES_OBJECTIVES)}, received {objective}: use conv or deep"
        )
    if objective == "views" and not fitted:
        raise ValueError(
            f"the objective views trains the architecture patches, received {architecture}: leave "
            "out --architecture, or use another --objective"
        )
    return architecture, objective


GOALS = {
    "views": "random views of an image get similar codes; no labels are used",
    "reconstruction": "codes from which the images can be reconstructed",
    "denoising": "codes from which the images can be reconstructed in spite of noise",
    "neighbours": "near neighbours of an image get similar codes; no labels are used",
    "supcon": "images with the same label get similar codes",
}


def describe(plan: TrainingPlan) -> str:
    """Return a line that says how a network is trained, and for which codes."""
    return f"architecture {plan.architecture}, objective {plan.objective}: {GOALS[plan.objective]}"


def objective_name(name: str) -> str:
    """Return the present name of an objective that may be given by a former one."""
    return OBJECTIVE_ALIASES.get(name, name)


def require_labels(dataset: Dataset, use: str, remedy: str) -> None:
    """Raise ValueError for a dataset without labels of 2 classes, needed for a `use`."""
    labels = () if dataset.labels is None else dataset.labels[dataset.labels >= 0].tolist()
    count = len(set(labels))
    if count < 2:
        raise ValueError(
            f"the objective supcon needs labels of 2 classes or more {use}, received {count} for "
            f"{len(dataset):,} images of {dataset.source['name']}: {remedy}"
        )


def choose_validation(
    dataset: Dataset,
    plan: TrainingPlan,
    validation: float | Literal["test"] | None = None,
    limit: int | None = None,
) -> tuple[Dataset, Dataset]:
    """Return two datasets, to train on and to validate on.

    `validation` is "test" for the dataset's test images, of which `limit` keeps the first, or the
    part of the training images to hold out, between 0 and 1. The default is "test" for the
    tutorial's objective and schedule where the dataset has test images, else a tenth.

    Raises ValueError where there are no test images, or too few training images to hold one out.
    """
    test_images = None
    if validation == "test" or (validation is None and plan.is_published):
        test_images = dataset.test_split(limit)
    if test_images is not None:
        return dataset, test_images
    name = dataset.source["name"]
    if validation == "test":
        raise ValueError(
            f"{name} has no test images, received --validation test: give a part of the training "
            f"images instead, such as --validation {VALIDATION_PART}"
        )
    if len(dataset) < 2:
        raise ValueError(f"{name} has 1 image: training needs 2, to validate on one")
    return dataset.split(validation or VALIDATION_PART, plan.seed)

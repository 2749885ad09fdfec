"""Training by phases, with a checkpoint after each epoch; each phase keeps its best epoch."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from pyimagesearch.arrays import AnyArray, Floats
from pyimagesearch.backend import devices, keras, memory_errors, precision
from pyimagesearch.datasets.dataset import Dataset, Splits
from pyimagesearch.encoders.keras_network import encode_with_network, encoder_of
from pyimagesearch.evaluation.diagnostics import RetrievalCheck, make_retrieval_check
from pyimagesearch.pictures.input_spec import InputSpec
from pyimagesearch.terminal import ctrl_c_waits, progress
from pyimagesearch.training.batches import Batches
from pyimagesearch.training.callbacks import CheckpointCallback, CtrlC, DivergedError, EpochLines
from pyimagesearch.training.checkpoint import Checkpoint
from pyimagesearch.training.objectives import LOSSES, by_row, phase_targets, require_targets
from pyimagesearch.training.optimizers import apply_norm_momentum, make_optimizer
from pyimagesearch.training.plan import FIT, SCHEDULES, Phase, TrainingPlan
from pyimagesearch.training.views import fit_views

logger = logging.getLogger(__name__)

VALIDATION_BATCH = 256


class TrainingResult(NamedTuple):
    """A trained Keras model, whether it was finished, and its RetrievalCheck, if there are labels.

    `finished` is False when Ctrl-C ended the training early.
    """

    autoencoder: keras.Model
    finished: bool
    check: RetrievalCheck | None


def build_and_train(
    build: Callable[[], keras.Model],
    splits: Splits,
    plan: TrainingPlan,
    checkpoint: Checkpoint,
    *,
    log: str | None = None,
    strategy: str | None = None,
    mixed_precision: bool = False,
) -> TrainingResult:
    """Train the Keras model that `build()` returns; return a TrainingResult.

    `strategy` is that of `devices`, and `mixed_precision` computes in bfloat16; the model returned
    is float32. The other arguments are those of `train`. Raises what `build` and `train` raise.
    """
    require_targets(plan.phases, splits)
    logger.info("building autoencoder...")
    keras.utils.set_random_seed(plan.seed)
    with devices(strategy), precision(mixed_precision), memory_errors():
        with ctrl_c_waits():
            autoencoder = build()
            untrained = encoder_of(autoencoder)
        check = make_retrieval_check(splits, plan.seed, untrained)
        logger.info(
            f"training on {len(splits.training):,} images, "
            f"validating on {len(splits.validation):,}..."
        )
        finished = train(autoencoder, splits, plan, checkpoint, check=check, log=log)
    if mixed_precision:
        weights = autoencoder.get_weights()
        autoencoder = build()
        autoencoder.set_weights(weights)
    return TrainingResult(autoencoder, finished, check)


def train(
    autoencoder: keras.Model,
    splits: Splits,
    plan: TrainingPlan,
    checkpoint: Checkpoint,
    *,
    check: RetrievalCheck | None = None,
    log: str | None = None,
) -> bool:
    """Train a Keras model in place on the images of `splits`, phase by phase.

    Each phase ends with the weights of its best epoch: the one with the lowest loss on the dataset
    `validation`, or for a phase that learns labels the one with the highest P@10, if there is a
    `check`.
    `plan` is a TrainingPlan. The training continues from
    `checkpoint`, which is updated and written after each epoch and holds the history. `check`, a
    RetrievalCheck, measures P@10 after each epoch; `log` is the path of a CSV file of the history.

    Returns False when Ctrl-C ended it early, else True. Raises DivergedError; the file of a
    checkpoint that was resumed is then that of its last sound epoch, and any other is removed.
    """
    is_new = not checkpoint.history
    apply_norm_momentum(autoencoder, SCHEDULES[plan.schedule])
    if checkpoint.arrays:
        _set_weights(autoencoder, checkpoint)
    try:
        for phase in plan.phases[checkpoint.phase :]:
            if phase is FIT:
                _fit(autoencoder, splits, plan)
            else:
                callback = CheckpointCallback(
                    autoencoder, phase, plan.patience, checkpoint, check=check, log=log
                )
                _train_phase(autoencoder, splits, plan, callback, phase=phase)
            checkpoint.start_next_phase(autoencoder.get_weights())
    except KeyboardInterrupt:
        _restore_best(autoencoder, checkpoint)
        return False
    except DivergedError:
        if is_new:  # with the same flags it would diverge again, and with others it is refused
            checkpoint.remove()
        raise
    return True


def _restore_best(autoencoder: keras.Model, checkpoint: Checkpoint) -> None:
    """After an interruption, set the best weights so far, and say how to go on."""
    kept = checkpoint.arrays.get("best" if checkpoint.epoch else "weights")
    if kept:
        autoencoder.set_weights(kept)
    count = len(checkpoint.history)
    best = "keeping the best of them; " if count else ""
    logger.warning(f"interrupted after {count} epochs: {best}continue with --resume")


def _set_weights(autoencoder: keras.Model, checkpoint: Checkpoint) -> None:
    """Continue with the weights of a checkpoint; raises ValueError where the network has others."""
    weights = checkpoint.arrays["weights"]
    if [array.shape for array in weights] != [w.shape for w in autoencoder.get_weights()]:
        raise ValueError(
            f"cannot resume from {checkpoint.path}: it holds the weights of another network, as an "
            "earlier version built it; start again without --resume"
        )
    autoencoder.set_weights(weights)


def _fit(autoencoder: keras.Model, splits: Splits, plan: TrainingPlan) -> None:
    """Compute the weights of the encoder, and report the augmentations by which."""
    chosen = plan.augmentations if plan.objective == "views" else None
    used = fit_views(autoencoder, splits.training, splits.spec, chosen, seed=plan.seed)
    logger.info(f"fit: views differ by {', '.join(used)}")


def _train_phase(
    autoencoder: keras.Model,
    splits: Splits,
    plan: TrainingPlan,
    callback: CheckpointCallback,
    *,
    phase: Phase,
) -> None:
    """Train one phase from the epoch of the callback's checkpoint on, and keep its best weights."""
    checkpoint = callback.checkpoint
    arrays = checkpoint.arrays
    if "targets" not in arrays:
        targets = phase_targets(phase, encoder_of(autoencoder), splits)
        arrays["targets"] = [array for array in targets if array is not None]
    batches, validation = _phase_batches(autoencoder, splits, plan, arrays["targets"], phase=phase)
    batches.skip_epochs(checkpoint.epoch)
    epochs = max(1, round(phase.epoch_scale * plan.epochs), -(-phase.min_steps // len(batches)))
    model = _compiled(autoencoder, phase, plan, epochs, steps=len(batches))
    if checkpoint.epoch:
        _restore(model, arrays["optimizer"])
    if not callback.is_out_of_patience():
        left = (epochs - checkpoint.epoch) * len(batches)
        with progress(left, "batches", phase.name) as done, ctrl_c_waits():
            model.fit(
                batches,
                validation_data=validation,
                epochs=epochs,
                initial_epoch=checkpoint.epoch,
                verbose=0,
                shuffle=False,  # Batches shuffles by the seed, so that a resumed run sees the same
                callbacks=[callback, EpochLines(phase.name, done), CtrlC()],
            )
    autoencoder.set_weights(arrays["best"])


def _phase_batches(
    autoencoder: keras.Model,
    splits: Splits,
    plan: TrainingPlan,
    targets: Sequence[AnyArray],
    *,
    phase: Phase,
) -> tuple[Batches, Batches]:
    """Return what a phase trains on, and what it is validated on.

    `targets` are those of `phase_targets`, or empty where the images themselves are.
    """
    training_targets, validation_targets = targets or (None, None)
    augmentations = plan.augmentations or ()
    codes = validation_codes = None
    if phase.trains == "decoder":  # the encoder does not change, so each image is encoded once
        augmentations = ()
        network = encoder_of(autoencoder, flat=False)
        codes = _codes(network, splits.training, splits.spec)
        validation_codes = _codes(network, splits.validation, splits.spec)
    training = Batches(
        splits.training,
        splits.spec,
        plan.batch_size,
        plan.seed,
        augmentations=augmentations,
        inputs=codes,
        targets=training_targets,
        noise=phase.noise,
    )
    validation = Batches(
        splits.validation,
        splits.spec,
        VALIDATION_BATCH,
        inputs=validation_codes,
        targets=validation_targets,
    )
    return training, validation


def _codes(network: keras.Model, dataset: Dataset, spec: InputSpec) -> Floats:
    """Return the codes of a dataset, an entry a row; rows that cannot be read have zeros."""
    rows, codes = encode_with_network(network, dataset, spec, np.arange(len(dataset)))
    return by_row(rows, codes, dataset)


def _compiled(
    autoencoder: keras.Model, phase: Phase, plan: TrainingPlan, epochs: int, *, steps: int
) -> keras.Model:
    """Return a compiled model of the layers that the phase trains, which it shares.

    `steps` is the number of steps an epoch. The autoencoder itself is not compiled, so that it is
    saved without an optimizer.
    """
    encoder = encoder_of(autoencoder, flat=False)
    inputs = encoder.output if phase.trains == "decoder" else autoencoder.input
    outputs = encoder_of(autoencoder).output if phase.trains == "encoder" else autoencoder.output
    model = keras.Model(inputs, outputs)
    model.compile(
        loss=LOSSES[phase.loss],
        optimizer=make_optimizer(plan, epochs * steps, epochs),
        jit_compile=epochs * steps >= SCHEDULES[plan.schedule].min_compiled_steps,
    )
    return model


def _restore(model: keras.Model, variables: Any) -> None:
    """Set the variables of a compiled model's optimizer to the arrays of a checkpoint."""
    model.optimizer.build(model.trainable_variables)
    for variable, value in zip(model.optimizer.variables, variables, strict=True):
        variable.assign(value)

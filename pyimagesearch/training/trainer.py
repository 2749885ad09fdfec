"""Training: phase after phase, a checkpoint after each epoch, the best epoch of each phase kept."""

import csv
import logging
import math
import sys
from dataclasses import dataclass

import numpy as np

from pyimagesearch.backend import keras
from pyimagesearch.files import atomic_write
from pyimagesearch.models.keras_files import encoder_of
from pyimagesearch.training.batches import Batches
from pyimagesearch.training.objectives import AUGMENTED, OBJECTIVES, phase_targets
from pyimagesearch.training.optimizers import SCHEDULES, apply_norm_momentum

logger = logging.getLogger(__name__)

VALIDATION_BATCH = 256


@dataclass
class Plan:
    """How to train: names of OBJECTIVES and SCHEDULES, and the numbers of the flags."""

    objective: str = "reconstruction"
    schedule: str = "tutorial"
    epochs: int = 20
    batch_size: int = 32
    learning_rate: float = 1e-3
    augment: tuple = ()
    patience: int | None = None
    seed: int = 42


def make_plan(args):
    """Return the Plan of the flags, with the defaults of its schedule and its objective."""
    schedule = SCHEDULES[args.schedule]
    augment = AUGMENTED.get(args.objective, []) if args.augment is None else args.augment
    return Plan(
        args.objective,
        args.schedule,
        args.epochs or schedule.epochs,
        args.batch_size or schedule.batch_size,
        args.learning_rate or schedule.learning_rate,
        augment,
        args.patience,
        args.seed,
    )


def train(autoencoder, training, validation, spec, plan, checkpoint, **options):
    """Train `autoencoder` in place on the dataset `training`, phase by phase.

    Each phase ends with the weights of the epoch with the lowest loss on `validation`.
    `checkpoint` is where to begin; it is brought up to date, and written, after each epoch, and
    holds the history. `options`: `log`, the path of a CSV file, `check`, a RetrievalCheck, and
    `reading`, a dict for keras' PyDataset. Returns whether Ctrl-C did not end it early.
    """
    phases = OBJECTIVES[plan.objective]
    apply_norm_momentum(autoencoder, SCHEDULES[plan.schedule])
    if checkpoint.arrays:
        autoencoder.set_weights(checkpoint.arrays["weights"])
    try:
        for phase in phases[checkpoint.phase :]:
            _train_phase(autoencoder, training, validation, spec, plan, phase, checkpoint, options)
            checkpoint.phase, checkpoint.epoch, checkpoint.best = checkpoint.phase + 1, 0, math.inf
            checkpoint.arrays = {"weights": autoencoder.get_weights()}
            checkpoint.save()
    except KeyboardInterrupt:
        kept = checkpoint.arrays.get("best" if checkpoint.epoch else "weights")
        if kept:
            autoencoder.set_weights(kept)
        return False
    return True


def _train_phase(autoencoder, training, validation, spec, plan, phase, checkpoint, options):
    """Train one phase from the epoch of the checkpoint on, and keep its best weights."""
    arrays, reading = checkpoint.arrays, options.get("reading", {})
    if "targets" not in arrays:
        encoder = encoder_of(autoencoder)
        targets = phase_targets(phase, encoder, training, validation, spec)
        arrays["targets"] = [] if targets[0] is None else list(targets)
    targets = arrays["targets"] or (None, None)
    changes = {"augmentations": plan.augment, "noise": phase.noise}
    batches = Batches(
        training, spec, plan.batch_size, plan.seed, targets=targets[0], **changes, **reading
    )
    batches.skip_epochs(checkpoint.epoch)
    epochs = max(1, round(phase.epoch_scale * plan.epochs))
    trainer = _trainer(autoencoder, phase, plan, epochs, len(batches))
    if checkpoint.epoch:
        trainer.optimizer.build(trainer.trainable_variables)
        for variable, value in zip(trainer.optimizer.variables, arrays["optimizer"], strict=True):
            variable.assign(value)
    keeper = CheckpointCallback(autoencoder, phase.name, plan.patience, checkpoint, options)
    try:
        if not keeper.waited_enough():
            trainer.fit(
                batches,
                validation_data=Batches(
                    validation, spec, VALIDATION_BATCH, targets=targets[1], **reading
                ),
                epochs=epochs,
                initial_epoch=checkpoint.epoch,
                verbose=0,
                shuffle=False,  # the batches are: by a seed that a resumed training knows, too
                callbacks=[keeper, _progress(phase.name)],
            )
    finally:
        for layer in autoencoder.layers:
            layer.trainable = True
    autoencoder.set_weights(arrays["best"])


def _trainer(autoencoder, phase, plan, epochs, steps):
    """Return a second model over the same layers, compiled: the saved one has no optimizer.

    `steps` are those of an epoch. What the phase does not train is frozen.
    """
    encoder = encoder_of(autoencoder)
    outputs = encoder.output if phase.trains == "encoder" else autoencoder.output
    for layer in encoder.layers if phase.trains == "decoder" else []:
        layer.trainable = False
    trainer, schedule = keras.Model(autoencoder.input, outputs), SCHEDULES[plan.schedule]
    trainer.compile(
        loss=phase.loss,
        optimizer=schedule.optimizer(plan.learning_rate, epochs * steps, epochs),
        # XLA takes a tenth off a step on a CPU, once it has compiled for half a minute.
        jit_compile=epochs * steps >= schedule.compiled_from,
    )
    return trainer


class CheckpointCallback(keras.callbacks.Callback):
    """After each epoch: measures retrieval, remembers the best weights, writes all that down."""

    def __init__(self, autoencoder, phase, patience, checkpoint, options):
        super().__init__()
        self.autoencoder, self.phase, self.patience = autoencoder, phase, patience
        self.checkpoint, self.encoder = checkpoint, encoder_of(autoencoder)
        self.check, self.log = options.get("check"), options.get("log")

    def on_epoch_end(self, epoch, logs=None):
        checkpoint, arrays = self.checkpoint, self.checkpoint.arrays
        if self.check:
            logs["P@10"] = self.check.precision(self.encoder)
        checkpoint.history.append({"phase": self.phase, "epoch": epoch + 1, **logs})
        checkpoint.epoch = epoch + 1
        arrays["weights"] = self.autoencoder.get_weights()
        # A loss that is NaN from the start is lower than nothing, but there must be some weights.
        if logs["val_loss"] < checkpoint.best or "best" not in arrays:
            checkpoint.best, arrays["best"] = logs["val_loss"], arrays["weights"]
        variables = self.model.optimizer.variables
        arrays["optimizer"] = [keras.ops.convert_to_numpy(variable) for variable in variables]
        checkpoint.save()
        if self.log:
            write_log(self.log, checkpoint.history)
        self.model.stop_training = self.waited_enough()

    def waited_enough(self):
        """Whether no epoch of this phase was the best one for as many as `patience`."""
        rows = self.checkpoint.history
        losses = [row["val_loss"] for row in rows if row["phase"] == self.phase]
        if not losses or self.patience is None:
            return False
        return len(losses) - 1 - int(np.nanargmin([*losses, math.inf])) >= self.patience


class EpochLines(keras.callbacks.Callback):
    """Prints a line an epoch: for logs, where a progress bar would leave thousands."""

    def __init__(self, phase):
        super().__init__()
        self.phase = phase

    def on_epoch_end(self, epoch, logs=None):
        terms = ", ".join(f"{name} {value:.4f}" for name, value in logs.items())
        logger.info(f"{self.phase}: epoch {epoch + 1} of {self.params['epochs']}: {terms}")


def _progress(phase):
    from tqdm.keras import TqdmCallback  # it imports Keras, which backend does more quietly

    return TqdmCallback(verbose=1, desc=phase) if sys.stderr.isatty() else EpochLines(phase)


def write_log(path, history):
    """Write the rows of a history as a CSV file, all of them each time: a kill leaves no half."""
    names = list(dict.fromkeys(name for row in history for name in row))
    with (
        atomic_write(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(history)

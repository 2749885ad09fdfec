"""Callbacks of a training: the checkpoint after each epoch, and progress."""

import csv
import logging
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from pyimagesearch.arrays import History
from pyimagesearch.backend import keras
from pyimagesearch.encoders.keras_network import encoder_of
from pyimagesearch.evaluation.diagnostics import RetrievalCheck
from pyimagesearch.files import atomic_write
from pyimagesearch.terminal import raise_ctrl_c
from pyimagesearch.training.checkpoint import Checkpoint
from pyimagesearch.training.plan import Phase

logger = logging.getLogger(__name__)


class DivergedError(ValueError):
    """A training whose loss is not a number any more; none of its later epochs can be."""


class CheckpointCallback(keras.callbacks.Callback):
    """Measures retrieval after each epoch, keeps the best weights, and writes the checkpoint."""

    def __init__(
        self,
        autoencoder: keras.Model,
        phase: Phase,
        patience: int | None,
        checkpoint: Checkpoint,
        *,
        check: RetrievalCheck | None = None,
        log: str | None = None,
    ) -> None:
        """`phase` is a Phase of the plan; the other arguments are those of `train`."""
        super().__init__()
        self.autoencoder = autoencoder
        self.phase = phase.name
        self.patience = patience
        self.changes_codes = phase.trains != "decoder"
        # The loss of a phase that learns labels is lowest long before retrieval is best.
        self.by_precision = check is not None and phase.target == "labels"
        self.checkpoint = checkpoint
        self.encoder = encoder_of(autoencoder)
        self.check = check
        self.log = log
        self.precision: float | None = None  # of codes that the phase does not change

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Update and write the checkpoint, and stop the training when patience has run out.

        Raises DivergedError, before anything is written, when the loss is NaN or infinite, or the
        validation loss is so from the first epoch on.
        """
        checkpoint = self.checkpoint
        arrays = self.checkpoint.arrays
        if logs is None:
            logs = {}
        if self.check:
            if self.precision is None or self.changes_codes:
                self.precision = self.check.precision(self.encoder)
            logs["P@10"] = self.precision
        checkpoint.history.append({"phase": self.phase, "epoch": epoch + 1, **logs})
        checkpoint.epoch = epoch + 1
        arrays["weights"] = self.autoencoder.get_weights()
        if self._badness(logs) < checkpoint.best:
            checkpoint.best = self._badness(logs)
            arrays["best"] = arrays["weights"]
        if not math.isfinite(logs["loss"]) or not math.isfinite(checkpoint.best):
            raise DivergedError(
                f"the training diverged: in epoch {epoch + 1} of {self.phase} the loss is "
                f"{logs['loss']:g} and the validation loss {logs['val_loss']:g}; no model was "
                "written; train again with a lower --learning-rate"
            )
        variables = self.model.optimizer.variables
        arrays["optimizer"] = [keras.ops.convert_to_numpy(variable) for variable in variables]
        checkpoint.save()
        if self.log:
            write_log(self.log, checkpoint.history)
        self.model.stop_training = self.is_out_of_patience()

    def _badness(self, row: dict[str, Any]) -> float:
        """Return what is lowest in the best epoch, from its row of the history."""
        if self.by_precision:
            return -row["P@10"]
        return row["val_loss"]

    def is_out_of_patience(self) -> bool:
        """Whether none of the last `patience` epochs of this phase, or more, was its best."""
        rows = self.checkpoint.history
        values = [self._badness(row) for row in rows if row["phase"] == self.phase]
        if not values or self.patience is None:
            return False
        return len(values) - 1 - int(np.nanargmin([*values, math.inf])) >= self.patience


class EpochLines(keras.callbacks.Callback):
    """Logs a line an epoch, and counts the batches of a progress."""

    async_safe = True  # Keras need not wait for the losses of each batch

    def __init__(self, phase: str, done: Callable[[int], object]) -> None:
        """`phase` is the name of the phase, `done` is called with the number of batches."""
        super().__init__()
        self.phase = phase
        self.done = done

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Count a batch."""
        self.done(1)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Log the losses of the epoch."""
        terms = ", ".join(f"{name} {value:.4f}" for name, value in (logs or {}).items())
        logger.info(f"{self.phase}: epoch {epoch + 1} of {self.params['epochs']}: {terms}")


class CtrlC(keras.callbacks.Callback):
    """Ends a training between two batches, inside `ctrl_c_waits`."""

    async_safe = True  # Keras raises here what is raised in its thread

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Raise KeyboardInterrupt if a Ctrl-C waits."""
        raise_ctrl_c()

    def on_test_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Raise KeyboardInterrupt if a Ctrl-C waits."""
        raise_ctrl_c()


def write_log(path: str, history: History) -> None:
    """Write a history as a CSV file. It is replaced as a whole, so a kill leaves no partial row."""
    names = list(dict.fromkeys(name for row in history for name in row))
    with (
        atomic_write(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(history)

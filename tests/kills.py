"""Kills a script at random moments and checks the files that it leaves, and that a rerun completes.

usage: python tests/kills.py SCENARIO FOLDER COUNT SEED

Every run is a fork of this process, which only imports, so that no time is spent in imports. Writes
are slowed down, so that many kills hit them. Prints the number of each outcome as JSON.
"""

import json
import os
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

import numpy as np

import index_images
import train_autoencoder
from pyimagesearch.backend import keras  # noqa: F401
from pyimagesearch.datasets import folder as folders
from pyimagesearch.encoders.keras_files import load_model
from pyimagesearch.engines import engine_file, factory  # noqa: F401
from pyimagesearch.indexes import (  # noqa: F401
    hdf5,
    journal,
    local_writer,
)
from pyimagesearch.indexes.index_file import load_index
from pyimagesearch.training.checkpoint import Checkpoint

PAUSE = 0.03  # seconds before and after a file is flushed or renamed
INDEXES = ("index.pickle", "index.h5")
TRAINING = ["--limit", "100", "--epochs", "3", "--filters", "4", "--latent-dim", "4"]


def slow_down():
    """Make it likely that a kill hits a write."""
    journal.CHECKPOINT, folders.FILES_PER_BATCH = 0, 8
    for name in ("fsync", "replace", "unlink"):
        call = getattr(os, name)

        def slow(*args, call=call, **options):
            time.sleep(PAUSE)
            done = call(*args, **options)
            time.sleep(PAUSE)
            return done

        setattr(os, name, slow)


def command(scenario):
    """Return the script of a scenario and its arguments, for a folder with its files."""
    if scenario == "training":
        pictures = ["-v", "vis.png", "-p", "plot.png"]
        resume = ["--resume"] if os.path.exists("model.keras.checkpoint.npz") else []
        # The model so far is one of all digits.
        flags = [*resume, *TRAINING, *pictures, "--overwrite"]
        return train_autoencoder, ["-m", "model.keras", *flags]
    flags = {
        "pickle": ["-i", "index.pickle"],
        "hdf5": ["-i", "index.h5"],
        "new": ["-i", "index.h5", "-m", "encoder.onnx", "--dataset", "photos"],
        "engine": ["-i", "index.h5", "--engine", "IVF4,Flat"],
        "merge": ["-i", "index.h5", "--merge", "1.h5", "2.h5"],
    }
    return index_images, flags[scenario]


def fork(function, *args):
    """Run a function in a fork with its output discarded; return the process."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        if "DEBUG" not in os.environ:
            os.dup2(null, 2)
        code = function(*args)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def run(scenario, work):
    os.chdir(work)
    slow_down()
    script, arguments = command(scenario)
    return script.main(arguments)


def ask(function, *args):
    """Return the text that a function returns in a fork, or what it raised."""
    reader, writer = os.pipe()

    def answer():
        try:
            text = function(*args)
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
        os.write(writer, text.encode())
        return 0

    pid = fork(answer)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        text = file.read().decode()
    _, status = os.waitpid(pid, 0)
    return text or f"status {status}"


def state(work, old, new):
    """Return which version the files in a folder are: "old", "new" or "none"."""
    if (work / "model.keras.checkpoint.npz").exists():
        with np.load(work / "model.keras.checkpoint.npz") as file:
            settings = json.loads(str(file["state"]))["settings"]
        Checkpoint(str(work / "model.keras.checkpoint.npz"), settings).resumed()
    if (new / "model.keras").exists():
        return version(work, old, new, "model.keras", weights, same_weights)
    [name] = [name for name in INDEXES if (new / name).exists()]
    found = version(work, old, new, name, load_index, same_index)
    if (work / f"{name}.engine").exists():
        index = load_index(work / name)
        engine = index.engine
        if engine.name == "exact":
            return f"{found}, engine stale"
        assert engine.search(index.codes[:5], 1)[1][:, 0].tolist() == [0, 1, 2, 3, 4]
        return f"{found}, {engine.name}"
    return found


def version(work, old, new, name, load, same):
    if not (work / name).exists():
        return "none"
    found = load(work / name)
    versions = [(v.name, v / name) for v in (old, new) if (v / name).exists()]
    return next((text for text, path in versions if same(found, load(path))), "neither")


def weights(path):
    return load_model(path)[0].get_weights()


def same_weights(a, b):
    return all(np.allclose(x, y, atol=1e-5) for x, y in zip(a, b, strict=True))


def same_index(a, b):
    same = list(a.ids) == list(b.ids) and np.array_equal(a.labels, b.labels)
    return same and np.allclose(a.codes, b.codes, atol=1e-4)


def main(scenario, root, count, seed):
    """Kill `count` runs; return the outcomes, and those that must not happen."""
    root, random = Path(root), np.random.default_rng(seed)
    old, new, work = root / "old", root / "new", root / "work"
    shutil.copytree(old, new)
    started = time.monotonic()
    _, status = os.waitpid(fork(run, scenario, new), 0)
    seconds = time.monotonic() - started
    complete = ask(state, new, old, new)
    outcomes, bad = {}, []
    # A new engine leaves the index as it was.
    if status or not complete.startswith("old" if scenario == "engine" else "new"):
        bad.append(f"without a kill: status {status}, {complete}")
    for i in range(count):
        shutil.copytree(old, work)
        pid = fork(run, scenario, work)
        time.sleep(random.uniform(0, seconds))
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        killed = os.WIFSIGNALED(status)
        found = ask(state, work, old, new)
        outcomes[found] = outcomes.get(found, 0) + 1
        good = found.startswith(("old", "new", "none"))
        _, status = os.waitpid(fork(run, scenario, work), 0)
        after = ask(state, work, old, new)
        if not good or status or after != complete:
            bad.append(f"run {i}, killed {killed}: {found}; rerun: status {status}, {after}")
        shutil.rmtree(work)
    return {"complete": complete, "outcomes": outcomes, "bad": bad, "seconds": round(seconds, 2)}


if __name__ == "__main__":
    scenario, root, count, seed = sys.argv[1:]
    print(json.dumps(main(scenario, root, int(count), int(seed))))

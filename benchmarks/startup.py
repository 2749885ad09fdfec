"""One whole search process, start to written montages for one query: the published script and ours.

Ours is also timed for a picture of the index as the query, and for results as JSON.

usage: python -m benchmarks.startup [--runs 5]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

MODEL = "output/autoencoder.h5"
# That of a user, without what our package sets for itself once it is imported. Modules are compiled
# once: empty means that Python may keep them.
ENVIRONMENT = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}


def seconds(*command):
    """Return how long a process takes, in seconds of wall time."""
    started = time.perf_counter()
    command = [sys.executable, *command]
    subprocess.run(command, check=True, capture_output=True, env=ENVIRONMENT)
    return time.perf_counter() - started


def write_mnist(path):
    """Write MNIST as Keras stores it."""
    from pyimagesearch.datasets.array import ArrayDataset

    splits = {name: ArrayDataset("mnist", name) for name in ("train", "test")}
    images = {f"x_{name}": split.images[..., 0] for name, split in splits.items()}
    labels = {f"y_{name}": split.labels.astype(np.uint8) for name, split in splits.items()}
    np.savez_compressed(path, **images, **labels)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="runs of each, in turn")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        index, mnist = f"{folder}/index.pickle", f"{folder}/mnist.npz"
        write_mnist(mnist)
        seconds("index_images.py", "--model", MODEL, "--index", index)
        ours = ["search.py", "--index", index]
        commands = {
            "published": ["-m", "benchmarks.published", MODEL, index, folder, mnist],
            "ours, --sample 1": [*ours, "--sample", "1", "--output", folder],
            "ours, --query-id": [*ours, "--query-id", "7", "--output", folder],
            "ours, --query-id --json": [*ours, "--query-id", "7", "--json"],
        }
        times = [[seconds(*command) for command in commands.values()] for _ in range(runs + 1)][1:]
    print("one process, one query over 60,000 images, start to written montages; medians")
    for name, column in zip(commands, zip(*times, strict=True), strict=True):
        ratio = statistics.median(row[0] / value for row, value in zip(times, column, strict=True))
        print(f"{name:<24} {statistics.median(column):6.2f} s   published is {ratio:5.1f} times it")


if __name__ == "__main__":
    main()

"""Folders of photographs: rate against a bare decode loop, memory, sync, and twenty kills.

The photographs are crops of the one that comes with Matplotlib, each turned and scaled differently.

usage: python -m benchmarks.folders [--part rate large memory kills]
"""

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from matplotlib import cbook

from pyimagesearch.datasets.folder import FolderDataset
from pyimagesearch.encoders.export import encoder_from_keras
from pyimagesearch.indexes.index_file import load_index
from pyimagesearch.pictures.decoding import read_picture

MODEL = "output/autoencoder.h5"


def make_photos(folder, count, width, height, start=0):
    """Write `count` JPEG files, 1,000 to a sub-folder."""
    photo = cv2.imread(str(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))

    def write(i):
        generator = np.random.default_rng(i)
        turn = cv2.getRotationMatrix2D(
            tuple(generator.uniform(100, 400, 2)),
            generator.uniform(-180, 180),
            generator.uniform(1.2, 3) * max(width, height) / 640,
        )
        turn[:, 2] += (width / 2 - 250, height / 2 - 300)
        picture = cv2.warpAffine(photo, turn, (width, height), borderMode=cv2.BORDER_REFLECT)
        path = Path(folder) / f"{i // 1000:03}" / f"{i:06}.jpg"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, 85])

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, range(start, start + count)))


def index(folder, path, *arguments):
    """Index a folder in a process of its own; return its wall time and its peak memory in MB."""
    command = [sys.executable, "index_images.py", "-m", MODEL, "-i", path, "--dataset", folder]
    started = time.perf_counter()
    process = subprocess.Popen(
        [*command, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError("index_images.py failed")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def seconds(work):
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def bare_loop(paths, spec):
    """Decode and resize with OpenCV in a thread a core: what an indexer cannot do without."""

    def read(path):
        cv2.resize(cv2.imread(path), (spec.width, spec.height), interpolation=cv2.INTER_AREA)

    cv2.setNumThreads(1)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(read, paths))


def rate(count=20_000):
    """Indexing against the bare loop, in turns over slices of the files."""
    with tempfile.TemporaryDirectory() as folder:
        make_photos(folder, count, 640, 480)
        dataset, encoder = FolderDataset(folder), encoder_from_keras(MODEL)
        bare = ours = 0
        for rows in np.array_split(np.arange(count), 10):
            paths = [dataset.path(dataset.ids[row]) for row in rows]
            bare += seconds(lambda paths=paths: bare_loop(paths, encoder.spec))
            ours += seconds(lambda rows=rows: encode(dataset, encoder, rows))
        whole, _ = index(folder, f"{folder}.h5")
        Path(f"{folder}.h5").unlink()
    print(f"{count:,} JPEGs of 640x480")
    print(f"bare decode and resize  {count / bare:8,.0f} images/s")
    print(f"read and encoded        {count / ours:8,.0f} images/s  {bare / ours:.2f} x bare")
    print(
        f"index_images.py, whole  {count / whole:8,.0f} images/s  {bare / whole:.2f} x bare, "
        "with starting up, hashing and writing"
    )


def encode(dataset, encoder, rows):
    batches = dataset.batches(encoder.spec, 64, rows)
    return np.concatenate([encoder.encode(batch.images) for batch in batches])


def large(count=60):
    """12-megapixel JPEGs: decoding at reduced scale against full decoding, and their codes."""
    with tempfile.TemporaryDirectory() as folder:
        make_photos(folder, count, 4000, 3000)
        dataset, encoder = FolderDataset(folder), encoder_from_keras(MODEL)
        paths = [dataset.path(id) for id in dataset.ids[:count]]
        full_seconds = seconds(lambda: bare_loop(paths, encoder.spec))
        ours = seconds(lambda: encode(dataset, encoder, np.arange(count)))
        reduced = encode(dataset, encoder, np.arange(count))
        full = encoder.encode(np.stack([encoder.spec.prepare(read_picture(p)) for p in paths]))
    cosines = (
        (reduced * full).sum(1) / np.linalg.norm(reduced, axis=1) / np.linalg.norm(full, axis=1)
    )
    print(f"{count} JPEGs of 4000x3000")
    print(f"full decode and resize  {count / full_seconds:8,.1f} images/s")
    print(f"read and encoded        {count / ours:8,.1f} images/s  {full_seconds / ours:.1f} x")
    print(f"cosine of the codes     {cosines.min():8.4f} at the least")


def memory():
    """Peak memory for 10,000 and 100,000 files, and the time to add 10 to 100,000."""
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        photos, path = f"{folder}/photos", f"{folder}/index.h5"
        os.mkdir(photos)
        make_photos(photos, 10_000, 160, 120)
        _, peaks[10_000] = index(photos, path)
        make_photos(photos, 90_000, 160, 120, start=10_000)
        index(photos, path)
        _, peaks[100_000] = index(photos, path, "--rebuild")
        times = []
        for i in range(3):
            make_photos(photos, 10, 160, 120, start=100_000 + 10 * i)
            times.append(index(photos, path)[0])
        assert len(load_index(path)) == 100_030
    for count, peak in peaks.items():
        print(f"peak memory of indexing {count:7,} files  {peak:5.0f} MB")
    print(f"ratio                                    {peaks[100_000] / peaks[10_000]:8.2f}")
    print(f"sync of 10 new files into 100,000        {statistics.median(times):8.2f} s")


def kills(count=20):
    """Kill an indexer at random moments; its index must open, and its work must be taken up."""
    random.seed(0)
    with tempfile.TemporaryDirectory() as folder:
        photos, path = f"{folder}/photos", f"{folder}/index.h5"
        os.mkdir(photos)
        make_photos(photos, 500, 640, 480)
        index(photos, path)
        intact, done = 0, 500
        for i in range(count):
            make_photos(photos, 1500, 640, 480, start=1000 * (i + 1))
            command = [sys.executable, "index_images.py", "-m", MODEL, "-i", path]
            process = subprocess.Popen(
                [*command, "--dataset", photos],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            time.sleep(random.uniform(0.3, 4))
            process.send_signal(signal.SIGKILL)
            process.wait()
            intact += len(load_index(path)) >= done
            done = len(load_index(path))
        index(photos, path)
        final, expected = len(load_index(path)), len(FolderDataset(photos))
    print(f"kill -9 at {count} random moments: {intact} intact indexes")
    print(f"the next whole run holds {final:,} of {expected:,} pictures")


def main():
    parts = {"rate": rate, "large": large, "memory": memory, "kills": kills}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", nargs="+", choices=parts, default=list(parts))
    for part in parser.parse_args().part:
        parts[part]()


if __name__ == "__main__":
    main()

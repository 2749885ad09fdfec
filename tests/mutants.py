"""Loads files with random damage, each in a forked process of limited memory and time.

usage: python tests/mutants.py KIND FOLDER COUNT SEED

Prints the number of each outcome as JSON: "right" (the data as they were), "refused" (one of the
errors that the scripts turn into a line), and whatever must not happen, with the seed of the first.
The process that forks only imports: the libraries start no threads before they are used.
"""

import hashlib
import json
import os
import pickle
import pickletools
import resource
import shutil
import signal
import sys
import time
from functools import cache
from pathlib import Path

import h5py  # noqa: F401
import numpy as np

from pyimagesearch.backend import keras  # noqa: F401
from pyimagesearch.datasets.array import ArrayDataset
from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.encoders.keras_files import load_model
from pyimagesearch.engines import engine_file, factory  # noqa: F401
from pyimagesearch.files import CHECKSUM_MARK, CHECKSUM_SIZE
from pyimagesearch.indexes.hdf5 import read_hdf5  # noqa: F401
from pyimagesearch.indexes.index_file import load_index
from pyimagesearch.indexes.journal import open_journal
from pyimagesearch.pictures import decoding as image_io
from pyimagesearch.training.checkpoint import Checkpoint

GIGABYTE = 1 << 30
MEMORY = 2 * GIGABYTE  # beyond the process that forks
SECONDS = 120
RESEALED = ("hostile", "opcodes")  # kinds whose damaged files get a valid checksum


def index_content(path):
    index = load_index(path)
    stats = None if index.file_stats is None else index.file_stats.tobytes()
    labels = None if index.labels is None else index.labels.tolist()
    encoder = index.encoder and index.encoder.to_dict()
    plain = list(index.ids), index.label_names, index.source, index.metric
    return index.codes.tobytes(), stats, labels, encoder, plain


def engine_content(path):
    index = load_index(str(path).removesuffix(".engine"))
    engine = index.engine
    distances, rows = engine.search(np.ascontiguousarray(index.codes[::50]), 10)
    return engine.name, engine.probe, distances.tobytes(), rows.tobytes()


def model_content(path):
    model, spec = load_model(path)
    return [weights.tobytes() for weights in model.get_weights()], spec.to_dict()


def encoder_content(path):
    encoder = Encoder.from_onnx(path)
    images = np.random.default_rng(0).random((3, *encoder.spec.shape), np.float32)
    return encoder.spec.to_dict(), encoder.encode(images).tobytes()


def dataset_content(path):
    dataset = ArrayDataset(str(path))
    return dataset.images.tobytes(), dataset.images.shape, dataset.labels.tolist()


def checkpoint_content(path):
    found = Checkpoint(str(path), {"objective": "reconstruction"}).resumed()
    arrays = {name: [array.tobytes() for array in row] for name, row in found.arrays.items()}
    return found.phase, found.epoch, found.history, found.best, arrays


def journal_content(path):
    """Return nothing: a row that is found must be the one that was written."""
    encoder = load_encoder_stub()
    rows = pickle.loads(Path(path.parent, "journal.rows").read_bytes())
    with open_journal(str(path).removesuffix(".progress"), encoder) as journal:
        for name, size, mtime_ns, digest, code in rows:
            found = journal.find(name, size, mtime_ns)
            if found is not None and (found[0], found[1].tobytes()) != (digest, code):
                return "another row"


def picture_content(path):
    """Return nothing: formats such as JPEG have no checksum, so that damage may show."""
    picture = image_io.read_picture(path)
    if picture.dtype != np.uint8 or picture.ndim != 3:
        return "not a picture"


def load_encoder_stub():
    from pyimagesearch.pictures.input_spec import InputSpec

    return Encoder(b"none", InputSpec(28, 28, 1), 16, "model.h5", "0" * 64)


CONTENT = {
    "index": index_content,
    "hostile": index_content,  # with a valid checksum
    "opcodes": index_content,  # and instructions of the pickle changed rather than bytes
    "engine": engine_content,
    "model": model_content,
    "encoder": encoder_content,
    "dataset": dataset_content,
    "checkpoint": checkpoint_content,
    "journal": journal_content,
    "picture": picture_content,
}


def mutate(data, random):
    """Return bytes with one kind of damage."""
    data, size = bytearray(data), len(data)
    start = int(random.integers(size))
    if random.random() < 0.4:  # where most formats keep their structure
        edge = int(random.integers(min(size, 512)))
        start = edge if random.random() < 0.5 else size - 1 - edge
    length = min(size - start, int(2 ** random.uniform(0, 13)))
    kind = random.integers(7)
    if kind == 0:
        for place in random.integers(size, size=random.integers(1, 9)):
            data[place] ^= 1 << int(random.integers(8))
    elif kind == 1:
        data[start] = int(random.choice([0, 1, 0x7F, 0x80, 0xFF, random.integers(256)]))
    elif kind == 2:
        del data[start:]
    elif kind == 3:
        data[start : start + length] = bytes(length)
    elif kind == 4:
        del data[start : start + length]
    elif kind == 5:
        data[start:start] = random.bytes(length)
    else:
        other = int(random.integers(size))
        block = data[other : other + length]
        data[start : start + len(block)] = block
    return bytes(data)


@cache
def instructions(data):
    """The places of the instructions of a pickle, and its end."""
    return [place for _, _, place in pickletools.genops(data)] + [len(data)]


def mutate_instructions(data, random):
    """Return a pickle with other instructions, more of them, or some of them again."""
    places = instructions(data)
    codes = [op.code.encode("latin-1") for op in pickletools.opcodes]
    changed = bytearray(data)
    kind = random.integers(3)
    if kind == 0:
        for place in random.choice(places[:-1], random.integers(1, 4)):
            changed[place : place + 1] = codes[random.integers(len(codes))]
    elif kind == 1:
        chosen = random.integers(len(codes), size=int(2 ** random.uniform(0, 7)))
        place = int(random.choice(places))
        changed[place:place] = b"".join(codes[number] for number in chosen)
    else:
        first, last = np.sort(random.integers(len(places), size=2))
        block = data[places[first] : places[last]][: 1 << 16]
        place = int(random.choice(places))
        changed[place:place] = block * int(2 ** random.uniform(0, 6))
    return bytes(changed)


def outcome(content, path, expected):
    """Load a file in a forked process; return what came of it and the memory it took, in bytes."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        code = 1
        try:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            limit = pages * resource.getpagesize() + MEMORY
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            signal.alarm(SECONDS)
            os.write(writer, verdict(content, path, expected).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        said = file.read().decode()
    _, status, usage = os.wait4(pid, 0)
    if os.WIFSIGNALED(status):
        said = f"signal {os.WTERMSIG(status)}"
    return said or "no answer", usage.ru_maxrss * 1024


def verdict(content, path, expected):
    try:
        found = fingerprint(content(path))
    except (ValueError, OSError, ImportError, MemoryError) as error:
        return "refused" if str(error).strip() else f"{type(error).__name__} without a message"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return "right" if expected in (None, found) else "other data"


def fingerprint(value):
    return hashlib.sha256(repr(value).encode()).hexdigest()


def main(kind, folder, count, seed):
    """Damage each file of a kind `count` times; return the outcomes."""
    content, outcomes, peak, first = CONTENT[kind], {}, 0, {}
    started = time.monotonic()
    files = sorted(path for path in Path(folder, kind).iterdir() if path.suffix != ".rows")
    if kind == "engine":
        files = [path for path in files if path.suffix == ".engine"]
    for number, file in enumerate(files):
        work = Path(folder, f"work-{kind}-{number}")
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(file.parent, work)
        path, data = work / file.name, file.read_bytes()
        said, _ = sound(content, path)
        if kind in RESEALED:
            data, said = data[:-CHECKSUM_SIZE], None  # other data are no fault: it is valid
        elif outcome(content, path, said)[0] != "right":
            raise RuntimeError(f"{path} is refused although it is not damaged")
        for i in range(count // len(files)):
            one = seed * 1_000_000 + number * 10_000 + i
            change = mutate_instructions if kind == "opcodes" else mutate
            damaged = change(data, np.random.default_rng(one))
            if kind in RESEALED:
                damaged += CHECKSUM_MARK + hashlib.sha256(damaged).digest()
            path.write_bytes(damaged)
            found, memory = outcome(content, path, said)
            outcomes[found] = outcomes.get(found, 0) + 1
            first.setdefault(found, f"{file.name} {one}")
            peak = max(peak, memory)
        shutil.rmtree(work)
    bad = {name: first[name] for name in outcomes if name not in ("right", "refused")}
    seconds = round(time.monotonic() - started)
    return {"outcomes": outcomes, "first": bad, "peak": peak, "seconds": seconds}


def sound(content, path):
    """Return the fingerprint of the undamaged file, from a process of its own."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        try:
            os.write(writer, fingerprint(content(path)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        said = file.read().decode()
    os.wait()
    if not said:
        raise RuntimeError(f"{path} cannot be loaded although it is not damaged")
    return said, path


if __name__ == "__main__":
    kind, folder, count, seed = sys.argv[1:]
    print(json.dumps(main(kind, folder, int(count), int(seed))))

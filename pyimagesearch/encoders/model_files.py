"""Which files are models: networks of Keras or ONNX, told by their content alone."""

import mmap
import zipfile
from itertools import islice
from pathlib import Path

from pyimagesearch.encoders.keras_config import MEMBERS
from pyimagesearch.encoders.wire import BYTES, VARINT, Field, fields
from pyimagesearch.hdf5_files import HDF5_SIGNATURE, has_hdf5_attribute

ARCHIVE = b"PK\3\4"
MAX_FIELDS = 100_000  # of an ONNX file, and of its graph up to its first output
MAX_ONNX_VERSION = 100  # of the format; the newest is 13
# Numbers of fields in onnx.proto.
MODEL_VERSION = 1
MODEL_GRAPH = 7
GRAPH_OUTPUT = 12


def is_model_file(path: str | Path) -> bool:
    """Whether a file is a network, of Keras or ONNX, by its content; False where there is none.

    An archive of Keras has its three members, an HDF5 file of Keras the attribute model_config. An
    ONNX file is a complete message with the version of its format and a graph that has an output.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(len(HDF5_SIGNATURE))
            if head.startswith(ARCHIVE):
                return _is_keras_archive(path)
            if head.startswith(HDF5_SIGNATURE):
                return bool(has_hdf5_attribute(path, "model_config"))
            if not head:
                return False
            return _is_onnx(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
    except OSError:
        return False


def _is_keras_archive(path: str | Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return set(archive.namelist()) >= MEMBERS
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return False


def _is_onnx(message: memoryview) -> bool:
    version = 0
    graph = None
    try:
        for count, one in enumerate(fields(message)):
            if count > MAX_FIELDS:
                return False
            if one.number == MODEL_VERSION and one.kind == VARINT:
                version = one.integer
            if one.number == MODEL_GRAPH and one.kind == BYTES:
                graph = one.content
        if graph is None or not 0 < version <= MAX_ONNX_VERSION:
            return False
        return any(_is_output(one) for one in islice(fields(graph), MAX_FIELDS))
    except ValueError:  # not a complete message
        return False


def _is_output(one: Field) -> bool:
    return one.number == GRAPH_OUTPUT and one.kind == BYTES

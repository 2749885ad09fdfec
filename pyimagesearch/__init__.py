"""Image search with codes you train yourself: datasets, encoders, indexes, engines."""

import os

__version__ = "1.0.0"

# TensorFlow reads these when it is first imported. Its C++ side talks to standard error before
# Python can ask it not to; and with its pooling allocator the memory of a training step is reused
# instead of being returned and faulted in again, which costs up to half the time of small batches.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "true")
# HDF5 reads this when h5py is first imported. Its locks fail on file systems without locks, and are
# not needed: files are replaced whole, and `locks` keeps a second writer out.
os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")
# OpenBLAS reads this when NumPy is first imported. Its threads would else spin for 2**26 ticks of
# the clock before they sleep, which took a quarter of the time of a search.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "20")
# ONNX Runtime reads this when it is first imported. It would else keep an identifier in the folder
# of temporary files, and could report its use to its makers.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

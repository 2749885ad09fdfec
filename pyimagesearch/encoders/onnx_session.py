"""ONNX Runtime: networks as bytes, opened and run, with errors of one line.

Networks come from strangers. They read no files, they end, they take limited memory, and nothing
of theirs is printed.
"""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyimagesearch.files import printable

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

# The key of the InputSpec in model files: a metadata entry of .onnx, a member of a .keras archive,
# an attribute of .h5.
INPUT_SPEC_KEY = "input_spec.json"
TRAINED_ON_KEY = "trained_on"  # and that of the source of the images that it was trained on
# Of an adapted network: the tensor that its head begins at, and the Origin of what the head takes.
HEAD_KEY = "head"
# The last bytes of an .onnx file of ours are a metadata entry, `sha256`, with the SHA-256 of all
# bytes before it, 64 hexadecimal digits.
CHECKSUM_ENTRY = b"\x72\x4a\x0a\x06sha256\x12\x40"
MAX_REASON = 300  # characters of ONNX Runtime's own message
SILENT = 4  # the severity of messages that end the process
FOLDED_BYTES = 64 << 20  # of a constant that is computed when a network is opened,
FOLDING_LIMITED = [1, 28]  # which is the first version of ONNX Runtime that has this limit

NetworkBytes = bytes | NDArray[np.uint8]


def open_session(onnx: NetworkBytes, name: object, threads: int = 0) -> "InferenceSession":
    """Return an ONNX Runtime session of a network, given as bytes, that needs no other files.

    `name` is that of the network in messages; `threads` is the number of threads that run it, 0 for
    one a core. Raises ValueError when it cannot be run, or may not end.
    """
    _require_harmless(onnx, name)
    # Imported here, as many searches need no network.
    import onnxruntime

    from pyimagesearch.encoders import allowance

    onnxruntime.set_default_logger_severity(SILENT)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = SILENT
    options.intra_op_num_threads = threads
    for key, value in _settings().items():
        options.add_session_config_entry(key, value)
    _limit_memory(allowance.WORKING_BYTES + allowance.COPIES * len(onnx))
    providers = ["CPUExecutionProvider"]
    call = partial(
        onnxruntime.InferenceSession,
        bytes(onnx),
        options,
        providers,
        enable_fallback=0,
        disabled_optimizers=_unlimited_optimizers(onnxruntime.__version__),
    )
    cancel = partial(_cancel_loading, options)
    use = allowance.Use(f"the encoder of {name}", size=len(onnx))
    try:
        return allowance.networks.run(call, cancel, use)
    except TimeoutError as error:
        raise ValueError(f"{use.name} {error} to be opened: use another model") from None
    except Exception as error:  # ONNX Runtime raises types of its own
        raise ValueError(f"{use.name} cannot be run: {_one_line(error)}") from None


def _require_harmless(onnx: NetworkBytes, name: object) -> None:
    from pyimagesearch.encoders.onnx_facts import network_facts

    try:
        facts = network_facts(onnx)
    except ValueError as error:
        raise ValueError(
            f"the encoder of {name} cannot be run: it is not a complete ONNX file: {error}"
        ) from error
    if facts.refers:
        raise ValueError(f"the encoder of {name} refers to other files")
    if facts.has_texts:  # which take memory that no limit of ONNX Runtime counts
        raise ValueError(f"the encoder of {name} computes with texts: use another model")
    if facts.endless:
        raise ValueError(f"the encoder of {name} may never end: {facts.endless}")


def _settings() -> dict[str, str]:
    """Return entries of ONNX Runtime's session configuration."""
    return {
        # Threads that wait by spinning would take the cores from those that decode pictures.
        "session.intra_op.allow_spinning": "0",
        # Bytes can be both ONNX, as they were read above, and a file of ONNX Runtime's own format.
        "session.load_model_format": "ONNX",
        # Nothing is below it, in case a reference to a file was missed.
        "session.model_external_initializers_file_folder_path": os.devnull,
        "session.use_env_allocators": "1",  # those of `_limit_memory`
        "optimization.constant_folding_max_output_size_in_bytes": str(FOLDED_BYTES),
    }


def _unlimited_optimizers(version: str) -> list[str]:
    """Return the optimizers that would take memory without limit, in a version of ONNX Runtime."""
    numbers = [int(number) for number in re.findall(r"\d+", version)[:2]]
    if numbers < FOLDING_LIMITED:
        return ["ConstantFolding"]
    return []


def _limit_memory(size: int) -> None:
    """Have the next session fail, rather than the machine, when it needs more than `size` bytes."""
    import onnxruntime

    arena = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    kind = onnxruntime.OrtMemoryInfo("Cpu", arena, 0, onnxruntime.OrtMemType.DEFAULT)
    limit = onnxruntime.OrtArenaCfg({"max_mem": size})
    with suppress(RuntimeError):  # before version 1.22 the first limit of a process stays
        onnxruntime.create_and_register_allocator(kind, limit)


def run_session(
    session: "InferenceSession", inputs: Mapping[str, NDArray[Any]], name: object
) -> NDArray[Any]:
    """Return the one output of a session, an array, for inputs {name: array}.

    Raises ValueError, which names the network `name`, when it cannot be run.
    """
    import onnxruntime

    from pyimagesearch.encoders import allowance

    options = onnxruntime.RunOptions()
    options.log_severity_level = SILENT
    count = max(len(values) for values in inputs.values())
    use = allowance.Use(f"the encoder of {name}", count=count)
    call = partial(session.run, None, dict(inputs), options)
    try:
        [output] = allowance.networks.run(call, partial(_terminate, options), use)
    except TimeoutError as error:
        raise ValueError(
            f"{use.name} {error} for a batch of {count:,}: use a smaller model"
        ) from None
    except Exception as error:  # ONNX Runtime raises types of its own
        raise ValueError(f"{use.name} cannot be run: {_one_line(error)}") from None
    if not isinstance(output, np.ndarray) or output.dtype.kind not in "fiu":
        raise ValueError(f"{use.name} gives no array of numbers: use another model")
    return output


def _cancel_loading(options: Any) -> None:
    if hasattr(options, "set_load_cancellation_flag"):  # since version 1.21
        options.set_load_cancellation_flag(True)


def _terminate(options: Any) -> None:
    options.terminate = True


def _one_line(error: Exception) -> str:
    """Return ONNX Runtime's message, which holds names of the network, fit for a terminal."""
    no_memory = re.search("bfc_arena|bad_alloc|Failed to allocate", str(error))
    if no_memory or isinstance(error, MemoryError):
        return "it needs more memory than a network of its size should"
    text = printable(" ".join(str(error).split()))
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
    if len(text) <= MAX_REASON:
        return text
    return text[:MAX_REASON] + "..."

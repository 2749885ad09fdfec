"""ONNX Runtime: networks as bytes, opened and run, with errors of one line."""

# The key of the InputSpec in model files: a metadata entry of .onnx, a member of a .keras archive,
# an attribute of .h5.
INPUT_SPEC_KEY = "input_spec.json"
# The last bytes of an .onnx file of ours are a metadata entry, `sha256`, with the SHA-256 of all
# bytes before it, 64 hexadecimal digits.
CHECKSUM_ENTRY = b"\x72\x4a\x0a\x06sha256\x12\x40"
# Begins a reference to a file with weights: the entry `location` of a tensor.
EXTERNAL_DATA = b"\x0a\x08location"


def open_session(onnx, name, threads=0):
    """Return an ONNX Runtime session of a network, given as bytes, that needs no other files.

    `name` is that of the network in messages; `threads` is the number of threads that run it, 0 for
    one a core. Raises ValueError when it cannot be run.
    """
    if EXTERNAL_DATA in onnx:
        raise ValueError(f"the encoder of {name} refers to other files")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    # Threads that wait by spinning would take the cores from those that decode pictures.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises types of its own
        raise ValueError(f"the encoder of {name} cannot be run: {_one_line(error)}") from error


def run_session(session, inputs, name):
    """Return the one output of a session, an array, for inputs {name: array}.

    Raises ValueError, which names the network `name`, when it cannot be run.
    """
    try:
        [output] = session.run(None, inputs)
    except Exception as error:  # ONNX Runtime raises types of its own
        raise ValueError(f"the encoder of {name} cannot be run: {_one_line(error)}") from error
    return output


def _one_line(error):
    return " ".join(str(error).split())

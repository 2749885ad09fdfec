"""Reading pickles without running what is in them."""

import importlib
import pickle

# What an array of plain numbers needs to come back to life, under its old and new module names;
# nothing here opens a file, imports a module or starts a process.
ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}, which plain data never needs: it may be an attack"
            )
        return getattr(importlib.import_module(module.replace("numpy.core", "numpy._core")), name)


def load_plain(path, encoding="ASCII"):
    """Return the plain containers and NumPy arrays pickled in the file `path`.

    Raises OSError when it cannot be read and ValueError when it is no pickle, is cut short, or
    asks for anything but plain data. `encoding` is that of `pickle.load`.
    """
    with open(path, "rb") as file:
        try:
            return _PlainUnpickler(file, encoding=encoding).load()
        except OSError:
            raise
        # A hostile or broken stream can make the unpickler raise nearly anything.
        except Exception as error:
            raise ValueError(f"{path} is no whole pickle of plain data: {error}") from error

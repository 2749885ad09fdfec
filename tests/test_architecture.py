"""Imports go one way: sub-packages form layers, and no circle of modules exists."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "pyimagesearch"
# A module may import from its own layer and from those above it in this list.
LAYERS = [
    {
        *("arrays", "backend", "cli", "convautoencoder", "files", "hdf5_files", "locks", "metric"),
        *("pickles", "startup", "suggestions", "terminal"),
    },
    {"pictures"},
    {"datasets"},
    {"engines"},
    {"decomposition"},
    {"encoders"},
    {"replacing"},
    {"evaluation"},
    {"indexes"},
    {"training"},
    {"queries"},
    {"show"},
    {"browse"},
    {"arguments"},
]


def modules():
    """Return the path of each module by its dotted name, without empty __init__ files."""
    paths = {p for p in PACKAGE.rglob("*.py") if p.name != "__init__.py"}
    return {".".join(p.relative_to(PACKAGE.parent).with_suffix("").parts): p for p in paths}


def imports(path, names, *, of_types=True):
    """Return the modules of the package that a module imports, inside its functions too.

    Imports `of_types` are those under `if TYPE_CHECKING`, which never run.
    """
    found = set()
    tree = ast.parse(path.read_text())
    left_out = set() if of_types else set(type_imports(tree))
    for node in ast.walk(tree):
        if node in left_out:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pyimagesearch"):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in names else node.module)
        elif isinstance(node, ast.Import):
            found |= {a.name for a in node.names if a.name.startswith("pyimagesearch")}
    return found - {"pyimagesearch"}  # the version: the package itself imports nothing of its own


def type_imports(tree):
    """Yield the imports under `if TYPE_CHECKING`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from ast.walk(node)


def graph(*, of_types=True):
    paths = modules()
    return {name: imports(path, paths, of_types=of_types) for name, path in paths.items()}


def layer(module):
    part = module.split(".")[1]
    return next(number for number, names in enumerate(LAYERS) if part in names)


def test_no_circle_of_imports_exists():
    assert list(
        TopologicalSorter(graph(of_types=False)).static_order()
    )  # CycleError names the circle


def test_no_module_imports_from_a_higher_layer():
    arrows = [(a, b) for a, others in graph().items() for b in others]
    assert len(arrows) > 50
    assert [f"{a} imports {b}" for a, b in arrows if layer(a) < layer(b)] == []


def test_no_module_of_the_package_prints():
    for name, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text())):
            called = getattr(node, "func", None)
            assert not (isinstance(called, ast.Name) and called.id == "print"), name

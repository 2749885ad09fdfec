"""Imports go one way: sub-packages form layers, and no circle of modules exists."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "pyimagesearch"
# A module may import from its own layer and from those above it in this list.
LAYERS = [
    {"cli", "terminal", "files", "metric", "backend", "convautoencoder"},
    {"pictures"},
    {"datasets"},
    {"engines"},
    {"decomposition"},
    {"encoders"},
    {"evaluation"},
    {"show"},
    {"indexes"},
    {"training"},
    {"queries"},
    {"browse"},
    {"arguments"},
]


def modules():
    """Return the path of each module by its dotted name, without empty __init__ files."""
    paths = {p for p in PACKAGE.rglob("*.py") if p.name != "__init__.py"}
    return {".".join(p.relative_to(PACKAGE.parent).with_suffix("").parts): p for p in paths}


def imports(path, names):
    """Return the modules of the package that a module imports, inside its functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pyimagesearch"):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in names else node.module)
        elif isinstance(node, ast.Import):
            found |= {a.name for a in node.names if a.name.startswith("pyimagesearch")}
    return found


def graph():
    paths = modules()
    return {name: imports(path, paths) for name, path in paths.items()}


def layer(module):
    part = module.split(".")[1]
    return next(number for number, names in enumerate(LAYERS) if part in names)


def test_no_circle_of_imports_exists():
    assert list(TopologicalSorter(graph()).static_order())  # CycleError names the circle


def test_no_module_imports_from_a_higher_layer():
    arrows = [(a, b) for a, others in graph().items() for b in others]
    assert len(arrows) > 50
    assert [f"{a} imports {b}" for a, b in arrows if layer(a) < layer(b)] == []


def test_no_module_of_the_package_prints():
    for name, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text())):
            called = getattr(node, "func", None)
            assert not (isinstance(called, ast.Name) and called.id == "print"), name

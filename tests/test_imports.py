"""Imports point one way, names say what they hold, and heavy libraries load only when used."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(importlib.util.find_spec("avshot").origin).parent

# From the bottom up. A module imports its own part and the parts of lower layers, never of its own or a higher layer
# (docs/architecture.md). A part that is not named here belongs to the application layer.
LAYERS = (
    {"types", "together", "device", "settings", "files", "names"},
    {"losses", "calibration", "finite", "needs", "media"},
    {"metrics", "ranking"},
    {"nn", "recipe", "features"},
    {"method"},
    {"official_weights", "data"},
    {"methods", "classes"},  # classes read released word vectors with the restricted unpickler of data
    {"processes", "checkpoint"},
    {"players"},
    {"train"},
    {"tasks", "experiment", "run_record"},
    {"run"},
    {"application"},
    {"serve", "cli"},
    {"__main__"},
)
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}
# The registry walks the folder of methods when asked what there is; it imports no method by name.
EXCEPTIONS = {("avshot.method", "avshot.methods")}
# Models know nothing of files, datasets or where features come from.
MODELS = {
    "types",
    "together",
    "settings",
    "finite",
    "needs",
    "losses",
    "calibration",
    "metrics",
    "ranking",
    "nn",
    "recipe",
    "method",
    "official_weights",
    "methods",
}
INPUTS = {"media", "features", "classes", "data", "files"}
FORBIDDEN_NAMES = {"utils", "util", "common", "helpers", "helper", "misc"}
# Their builds break transformers beside a torch for processors.
FORBIDDEN_LIBRARIES = {"torchvision", "timm", "open_clip", "litdata"}


def part_of(module: str) -> str:
    """The part of the package a module belongs to: its file or folder directly under avshot."""
    pieces = module.split(".")
    name = pieces[1] if len(pieces) > 1 else "__init__"
    return name if name in LEVEL or name == "__init__" else "application"


def modules() -> dict[str, ast.Module]:
    """Name and syntax tree of every module of the package."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        pieces = path.relative_to(PACKAGE.parent).with_suffix("").parts
        name = ".".join(pieces[:-1] if pieces[-1] == "__init__" else pieces)
        found[name] = ast.parse(path.read_text())
    return found


def imported(node: ast.AST) -> list[str]:
    """Names of the modules that an import statement brings in; a name imported from a package may itself be one."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "relative imports hide the direction of an import"
        return [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def imports_of(tree: ast.AST) -> list[str]:
    return [name for node in ast.walk(tree) for name in imported(node)]


def violations(module: str, names: list[str]) -> list[str]:
    """What `module` imports though it must not."""
    own, wrong = part_of(module), []
    if own == "__init__":
        return []
    for name in names:
        if not name.startswith("avshot."):
            continue
        other = part_of(name)
        if name == "avshot.__version__" or other == own or (module, name) in EXCEPTIONS:
            continue
        if LEVEL[other] >= LEVEL[own] or (own in MODELS and other in INPUTS):
            wrong.append(name)
    return wrong


def test_imports_point_one_way():
    wrong = {module: violations(module, imports_of(tree)) for module, tree in modules().items()}
    assert {module: names for module, names in wrong.items() if names} == {}


def test_the_rule_finds_violations():
    assert violations("avshot.types", ["avshot.method"]) == ["avshot.method"]
    assert violations("avshot.methods.avca", ["avshot.data.dataset", "torch"]) == ["avshot.data.dataset"]
    assert violations("avshot.metrics.stacking", ["avshot.classes.optimise.losses"]) == [
        "avshot.classes.optimise.losses"
    ]
    assert violations("avshot.training.loop", ["avshot.report"]) == ["avshot.report"]
    assert violations("avshot.report", ["avshot.cli.app"]) == ["avshot.cli.app"]
    assert violations("avshot.methods.avca", ["avshot.types", "avshot.nn.mlp", "avshot.method"]) == []
    assert violations("avshot.report", ["avshot.run", "avshot.prediction.predictor"]) == []


def test_no_two_modules_wait_for_each_other():
    """Imports at the top of files form no circle."""
    trees = modules()
    edges = {
        module: {
            name
            for node in tree.body
            for name in imported(node)
            if name in trees and name != module and not module.startswith(name + ".")
        }
        for module, tree in trees.items()
    }
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, f"circle: {' -> '.join([*path[path.index(module) :], module])}"
        if module not in done:
            for other in sorted(edges[module]):
                visit(other, (*path, module))
            done.add(module)

    for module in edges:
        visit(module, ())
    assert done == set(trees)


def test_modules_are_named_for_what_they_hold():
    for module in modules():
        assert not FORBIDDEN_NAMES & set(module.split(".")), f"{module}: name it for what it holds"


def test_libraries_that_break_transformers_are_neither_used_nor_installed():
    for module, tree in modules().items():
        used = {name.split(".")[0] for name in imports_of(tree)} & FORBIDDEN_LIBRARIES
        assert not used, f"{module} imports {used}"
    assert importlib.util.find_spec("torchvision") is None, "an installed torchvision may break transformers: remove it"


def loaded_by(statement: str, libraries: set[str]) -> set[str]:
    """Which of `libraries` a fresh interpreter has loaded after `statement`."""
    code = f"import sys; {statement}; print(*({libraries!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_methods_load_no_heavy_library_but_torch():
    statement = "from avshot.registry import get_method, list_methods; [get_method(name) for name in list_methods()]"
    heavy = {"transformers", "sklearn", "matplotlib", "av", "wordllama", "h5py", "pydantic", "scipy", "torchvision"}
    assert loaded_by(statement + "; import torch", heavy | {"torch"}) == {"torch"}


@pytest.mark.skipif(importlib.util.find_spec("avshot.cli.app") is None, reason="the command line is not written yet")
def test_the_command_line_starts_without_heavy_libraries():
    heavy = {"torch", "transformers", "sklearn", "matplotlib", "av", "wordllama", "h5py", "numpy"}
    assert loaded_by("import avshot.cli.app", heavy) == set()

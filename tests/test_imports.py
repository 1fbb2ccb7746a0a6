"""Imports point one way, names say what they hold, and heavy libraries load only when used."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(importlib.util.find_spec("avshot").origin).parent

# Rooms from the bottom up: a module imports its own room and rooms of lower layers (docs/architecture.md). A room is a
# folder or a file directly under avshot.
LAYERS = (
    {"errors"},
    {"types", "machine", "settings", "files"},
    {"media", "metrics", "recipe", "terminal"},
    {"nn", "games", "events"},
    {"method"},
    {"registry", "methods"},
    {"features", "classes"},
    {"data", "untrained", "encoders"},
    {"task"},
    {"tasks", "experiment"},
    {"training", "run"},
    {"runs"},
    {"prediction", "report"},
    {"protocol", "finding"},
    {"recognizer", "bench"},
    {"cli"},
    {"__main__"},
)
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
# Models know nothing of files, datasets or where features come from.
MODELS = {"types", "settings", "metrics", "nn", "recipe", "method", "registry", "methods"}
INPUTS = {"media", "features", "classes", "data", "files"}
# Reference games are a wing of their own on the ground floor; only the command line knows of them.
UNDER_GAMES = {"errors", "settings", "files", "machine", "terminal"}
FORBIDDEN_NAMES = {"utils", "util", "common", "helpers", "helper", "misc"}
# Their builds break transformers beside a torch for processors.
FORBIDDEN_LIBRARIES = {"torchvision", "timm", "open_clip", "litdata"}


def room_of(module: str) -> str:
    """The room a module lies in: its file or folder directly under avshot."""
    pieces = module.split(".")
    return pieces[1] if len(pieces) > 1 else "__init__"


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
    own, wrong = room_of(module), []
    if own == "__init__":
        return []
    for name in names:
        if not name.startswith("avshot."):
            continue
        other = room_of(name)
        if other == own:
            continue
        beside = (own == "games" and other not in UNDER_GAMES) or (other == "games" and own != "cli")
        if beside or LEVEL[other] >= LEVEL[own] or (own in MODELS and other in INPUTS):
            wrong.append(name)
    return wrong


def test_every_room_has_its_place():
    assert {room_of(module) for module in modules()} - {"__init__"} == set(LEVEL)


def test_imports_point_one_way():
    wrong = {module: violations(module, imports_of(tree)) for module, tree in modules().items()}
    assert {module: names for module, names in wrong.items() if names} == {}


def test_the_rule_finds_violations():
    assert violations("avshot.types", ["avshot.method"]) == ["avshot.method"]
    assert violations("avshot.methods.avca", ["avshot.data.dataset", "torch"]) == ["avshot.data.dataset"]
    assert violations("avshot.metrics.stacking", ["avshot.nn.mlp"]) == ["avshot.nn.mlp"]
    assert violations("avshot.training.loop", ["avshot.report.page"]) == ["avshot.report.page"]
    assert violations("avshot.report.page", ["avshot.cli.app"]) == ["avshot.cli.app"]
    assert violations("avshot.methods.avca", ["avshot.types", "avshot.nn.mlp", "avshot.method"]) == []
    assert violations("avshot.report.page", ["avshot.run", "avshot.runs.key", "avshot.task"]) == []
    assert violations("avshot.games.play", ["avshot.files.atomic", "avshot.metrics.accuracy"]) == [
        "avshot.metrics.accuracy"
    ]
    assert violations("avshot.report.page", ["avshot.games.play"]) == ["avshot.games.play"]
    assert violations("avshot.cli.games", ["avshot.games.play"]) == []


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Groups of names each of which leads to all others of its group, by Tarjan's algorithm."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(edges.get(node, ())):
            if other not in index:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1 or node in edges.get(node, ()):
                found.append(sorted(group))

    for node in sorted(edges):
        if node not in index:
            visit(node)
    return found


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"d"}}) == [["b", "c"], ["d"]]


def leads_to(trees: dict[str, ast.Module]) -> dict[str, set[str]]:
    """`{module: modules it imports}`, wherever in the file it does: an import inside a function hides no circle."""
    edges = {}
    for module, tree in trees.items():
        names = {name for name in imports_of(tree) if name in trees}
        edges[module] = {name for name in names if name not in (module, "avshot") and not module.startswith(name + ".")}
    return edges


def test_no_two_modules_wait_for_each_other():
    assert circles(leads_to(modules())) == []


def test_no_two_rooms_wait_for_each_other():
    rooms: dict[str, set[str]] = {}
    for module, others in leads_to(modules()).items():
        rooms.setdefault(room_of(module), set()).update({room_of(other) for other in others} - {room_of(module)})
    assert circles(rooms) == []


def test_only_the_command_line_prints():
    """A quiet function can be called from anywhere; what it has to say it returns, or tells who asked."""
    for module, tree in modules().items():
        if room_of(module) in ("cli", "terminal"):
            continue
        calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
        assert not any(isinstance(call, ast.Name) and call.id == "print" for call in calls), f"{module} prints"


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


def test_the_command_line_starts_without_heavy_libraries():
    heavy = {"torch", "transformers", "sklearn", "matplotlib", "av", "wordllama", "h5py", "numpy"}
    assert loaded_by("import avshot.cli.app", heavy) == set()

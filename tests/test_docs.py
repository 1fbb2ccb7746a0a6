"""The documentation says what is true: its code runs and prints what it says, its links and tables are up to date."""

import ast
import contextlib
import doctest
import importlib
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import avshot
from doc_blocks import code_blocks, differences, matches, run_page, run_shell, shell_lines, write_files

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "avshot"
PAGES = sorted((ROOT / "docs").glob("*.md"))
TEXTS = [*sorted(ROOT.glob("*.md")), *PAGES, ROOT / "benchmarks" / "README.md"]

# What stands in for the result of `make demo`: a small world, and an ez_avgzl that trained for a moment. The full one
# takes minutes.
DEMO = """
from avshot.data.rendered.world import Roster, demo_clip, render_world
from avshot.features.extract import extract
from avshot.data.load import load_dataset
from avshot.protocol import run
from avshot.experiment import Experiment

seen = ("red growing ringing", "blue sliding drumming", "red growing drumming", "blue sliding ringing")
roster = Roster(seen, (), ("red sliding drumming",))
toml = render_world("demo/world", classes=roster, clips_per_class=5, seconds=1.0, workers=1)
extract(load_dataset(str(toml)).clips, "demo/world/world.features", workers=1)
recipe = {"epochs": 1, "batches_per_epoch": 3, "batch_size": 8}
run(Experiment(dataset=str(toml), recipe=recipe), "demo/runs/ez_avgzl/seed-0")
demo_clip("demo/new", "red sliding drumming")
"""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_in_the_documentation_prints_what_it_says(page, tmp_path):
    if not code_blocks(page):
        pytest.skip("no Python code")
    assert differences(page, run_page(page, tmp_path)) == []


@pytest.mark.parametrize("page", ["adding-a-method", "adding-a-task"])
def test_what_these_pages_say_to_type_works_in_an_empty_folder(page, tmp_path):
    path = ROOT / "docs" / f"{page}.md"
    printed = run_shell(path, tmp_path)
    first = next(line for line in shell_lines(path) if line.startswith("avshot train"))
    (shown,) = re.findall(r"^```text\n(.*?)^```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert words_without_numbers(shown) == words_without_numbers(printed[first])


def words_without_numbers(table):
    """Rows and columns of a table; digits differ between machines, and lines are as wide as the terminal."""
    rows = [re.sub(r"\d+(\.\d+)?", "0", line).split() for line in table.splitlines() if "──" not in line]
    return [row for row in rows if row]


def test_a_line_of_a_page_that_fails_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```sh\navshot methods\navshot methods absent.py\n```\n")
    assert shell_lines(page) == ["avshot methods", "avshot methods absent.py"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        AssertionError, match=r"page.md: avshot methods absent.py\n.*The method .*absent.py cannot be read"
    ):
        run_shell(page, tmp_path / "empty")


def test_code_in_the_readme_runs(tmp_path):
    """On a stand-in for the demo, so what it prints differs, but not how many lines."""
    page = ROOT / "README.md"
    shown = [len(re.findall(r"^# => ", block, re.MULTILINE)) for block in code_blocks(page)]
    printed = run_page(page, tmp_path, before=DEMO)
    assert [len(output.splitlines()) for output in printed] == shown
    assert printed[0].split()[-2:] == ["False", "ok"] or printed[0].split()[-2:] == ["True", "ok"]
    assert printed[-1] == "6 classes, 5 with videos\n"


def test_differences_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text('```python\nprint("one")\n# => one\n```\n\n```python\nprint(2)\n# => three\n```\n')
    assert differences(page, run_page(page, tmp_path)) == ["page.md says ['three'], printed ['2']"]
    assert matches("a ... b", "a 0.17 b")
    assert not matches("a ... b", "a 0.17 c")
    page.write_text("```python\nraise ValueError\n```\n")
    with pytest.raises(AssertionError, match="ValueError"):
        run_page(page, tmp_path)


def test_the_method_of_the_guide_fulfils_the_contract(tmp_path):
    write_files(ROOT / "docs" / "adding-a-method.md", tmp_path)
    plugin = f"import avshot.methods\navshot.methods.__path__.append({str(tmp_path)!r})\n"
    (tmp_path / "guide_methods.py").write_text(plugin)
    contract = ROOT / "tests" / "test_every_method.py"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "guide_methods", "-p", "no:cacheprovider", str(contract)]
    chosen = ["-k", "scaled and not own_test_file"]  # the guide says that such a file is still to be written
    done = subprocess.run(
        [*command, *chosen], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 15


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text.stem)
def test_links_lead_somewhere(text):
    content = re.sub(r"^```.*?^```$", "", text.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", content):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        page = (text.parent / path) if path else text
        assert page.exists(), f"{text.name} links to {target}"
        if anchor:
            assert anchor in anchors(page), f"{text.name} links to {target}; it has {anchors(page)}"


def anchors(page):
    """Names of the sections, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_architecture_names_every_room_and_no_other():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text.partition("## Rooms")[2].partition("\n## ")[0]
    named = {
        name for cell in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`([^`]+)`", cell)
    }
    rooms = {
        path.name + "/" * path.is_dir() for path in PACKAGE.iterdir() if path.suffix == ".py" or any(path.glob("*.py"))
    }
    assert named == rooms - {"__init__.py", "__main__.py"}


def test_modules_named_in_architecture_exist():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_]+/[\w/]+\.py)`", text))
    assert named
    assert [name for name in sorted(named) if not (PACKAGE / name).exists() and not (ROOT / name).exists()] == []


def test_paths_named_in_the_documentation_exist():
    for text in TEXTS:
        found = re.findall(
            r"`((?:tests|docs|examples|benchmarks|src)/[\w/.-]+\.\w+)`", text.read_text(encoding="utf-8")
        )
        missing = [path for path in found if not (ROOT / path).exists()]
        assert not missing, f"{text.name} names {missing}"


def test_dotted_names_in_the_documentation_exist():
    for text in TEXTS:
        if text.name in ("CHANGELOG.md", "moving-to-0.2.md"):  # these name what was
            continue
        for name in re.findall(r"`(avshot(?:\.\w+)+)", text.read_text(encoding="utf-8")):
            assert exists(name), f"{text.name} names {name}"


def exists(name):
    """Whether a dotted name is a module, or something in one (an attribute of a class, too)."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        with contextlib.suppress(ModuleNotFoundError):
            found = importlib.import_module(".".join(parts[:cut]))
            for part in parts[cut:]:
                found = getattr(found, part, None)
            return found is not None
    return False


def load_script(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_methods_is_that_of_the_registry():
    script = load_script(ROOT / "docs" / "methods_table.py")
    text = script.PAGE.read_text(encoding="utf-8")
    assert script.update(text) == text, "run: python docs/methods_table.py"
    for name in avshot.list_methods():
        assert f"[`{name}`](../src/avshot/methods/{name}.py)" in text
    with pytest.raises(ValueError, match="markers"):
        script.update("no table")


def test_the_results_of_the_readme_are_rows_of_the_page():
    shown = (ROOT / "README.md").read_text(encoding="utf-8").partition("<!-- results:grid -->")[2]
    shown, end, _ = shown.partition("<!-- /results:grid -->")
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8").partition("## Real clips: GRID")[2]
    everything = [row[:6] for row in table_rows(page.partition("\n## ")[0])]
    rows = table_rows(shown)
    assert end
    assert len(rows) > 5
    assert [row for row in rows if row not in everything] == []


def table_rows(text):
    """Cells of the rows of Markdown tables, without their lines of dashes."""
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip(" `") for cell in row] for row in rows if set("".join(row)) - set("-: ")]


def command_lines():
    """Every `avshot ...` of the README and the documentation, as words."""
    found = []
    for text in TEXTS:
        content = text.read_text(encoding="utf-8")
        for block in re.findall(r"^```(?:console|sh)\n(.*?)^```$", content, re.MULTILINE | re.DOTALL):
            found += re.findall(r"^(?:\$ )?avshot (.+)$", block, re.MULTILINE)
    return found


@pytest.mark.parametrize("line", command_lines())
def test_commands_in_the_documentation_parse(line):
    import typer.main

    from avshot.cli.app import app

    name, *arguments = shlex.split(line)
    group = typer.main.get_command(app)
    command = group.get_command(None, name)
    assert command is not None, f"avshot {name} does not exist"
    command.make_context(name, arguments)  # parses, runs nothing


def test_citation_changelog_and_package_agree_on_versions():
    """The citation names the newest release; between releases the package is a development version of the next."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["license"] == "MIT"
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    listed = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (Unreleased|\d{4}-\d\d-\d\d)$", changelog, re.MULTILINE)
    assert len(listed) == len(re.findall(r"^## ", changelog, re.MULTILINE))
    numbers = [tuple(map(int, version.split("."))) for version, _ in listed]
    assert numbers == sorted(set(numbers), reverse=True)
    dates = dict(listed)
    open_ones = [version for version, date in listed if date == "Unreleased"]
    assert open_ones in ([], [listed[0][0]])
    (newest, date) = next((version, date) for version, date in listed if date != "Unreleased")
    assert (citation["version"], str(citation["date-released"])) == (newest, date)
    expected = rf"{re.escape(open_ones[0])}\.dev\d+" if open_ones else re.escape(newest)
    assert re.fullmatch(expected, avshot.__version__), (avshot.__version__, dates)


def test_every_new_home_of_a_moved_name_exists():
    text = (ROOT / "docs" / "moving-to-0.2.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `avshot\.[\w.]+` \| (.*) \|$", text, re.MULTILINE)
    assert len(rows) > 30
    for home in (name for row in rows for name in re.findall(r"`(avshot\.[\w.]+)`", row)):
        module, _, name = home.rpartition(".")
        assert hasattr(importlib.import_module(module), name), f"{home} does not exist"


def test_every_page_is_in_the_index_and_begins_with_who_needs_it():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for page in PAGES:
        if page.name == "README.md":
            continue
        assert f"]({page.name})" in index, f"docs/README.md does not link to {page.name}"
        lines = page.read_text(encoding="utf-8").splitlines()
        titled = page.name.startswith("adding-")  # that says for whom
        assert lines[0].startswith("# "), page.name
        assert titled or lines[2].startswith("For "), f"{page.name} does not begin with who needs it"


def test_the_readme_can_be_read_at_one_go():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) < 120
    assert max(map(len, lines)) <= 200


def test_the_readme_names_the_two_commands_that_the_makefile_has():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target} does not exist"


def modules_with_examples():
    return [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted(PACKAGE.rglob("*.py"))
        if ">>>" in "".join(doc for doc in docstrings(path))
    ]


def docstrings(path):
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    nodes = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, kinds)]
    return [doc for node in nodes if (doc := ast.get_docstring(node))]


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_in_docstrings(name):
    module = importlib.import_module(name)
    examples = [test for test in doctest.DocTestFinder().find(module) if test.examples]
    assert examples, f"{name} has examples that doctest does not find"
    done = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert done.failed == 0

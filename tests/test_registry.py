"""What there is by name: files of the package, paths, and what installed packages add."""

import sys

import pytest
import torch

from avshot.classes.embed import create_text_encoder
from avshot.experiment import Experiment, resolve
from avshot.features.extractor import create_extractor, extractor_of
from avshot.method import Inputs
from avshot.registry import EXTRACTORS, METHODS, create_method, digest_of, get_method, list_methods
from avshot.task import get_task, list_tasks
from plain_method import PLAIN

INPUTS = Inputs(audio=8, visual=6, text={"wordllama": 5})


@pytest.fixture
def plain(tmp_path):
    """A method in a file of somebody's own."""
    path = tmp_path / "plain.py"
    path.write_text(PLAIN)
    return path


def test_a_method_by_its_path(plain, monkeypatch):
    made = create_method(str(plain), INPUTS, width=9, names=["b"])
    assert (made.name, made.config.width, made.config.names) == ("plain", 9, ("b",))
    monkeypatch.chdir(plain.parent)
    monkeypatch.setenv("HOME", str(plain.parent))
    assert get_method("plain.py") is get_method("~/plain.py") is get_method(str(plain)) is type(made)
    assert "plain" not in list_methods()
    for written in ("plain.py", "~/plain.py"):
        assert Experiment(dataset="x", method=written).method == str(plain.resolve())
    assert digest_of(METHODS, "~/plain.py") == digest_of(METHODS, str(plain))
    assert digest_of(METHODS, "devise") is None
    with pytest.raises(ValueError, match="Config has no field 'widht'.*Did you mean 'width'"):
        create_method("plain.py", INPUTS, widht=3)


def test_a_file_named_like_a_method_of_avshot(plain, monkeypatch):
    other = plain.rename(plain.with_name("devise.py"))
    monkeypatch.chdir(plain.parent)
    assert get_method("devise").__name__ == "Devise"
    assert get_method("devise.py").__name__ == "Plain"
    asked = Experiment(dataset="x", method="devise.py")
    assert asked.label() == "devise.py"
    assert asked.in_full() == (str(other.resolve()),)
    assert Experiment(dataset="x", method="devise").label() == "devise"


def test_a_name_without_its_ending(plain, monkeypatch):
    monkeypatch.chdir(plain.parent)
    with pytest.raises(ValueError, match=r"'plain' does not exist; methods: .*There is a file plain\.py; pass that"):
        get_method("plain")
    with pytest.raises(ValueError, match=r"There is a file .*plain\.py; pass that to use it"):
        get_method(str(plain.with_suffix("")))
    with pytest.raises(ValueError, match=r"Did you mean 'devise'\?"):
        get_method("DeVise")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('    paper = "none"\n', "", r"plain\.py: class Plain lacks paper, which each method has"),
        ("    def score", "    def scores", r"class Plain lacks score, which each method has"),
        ("    presets = ", "    preset = ", r"class Plain lacks presets"),
        ("    Config = Config\n", "", r"class Plain lacks Config"),
        ("@dataclass(frozen=True)\n", "", r"cannot be imported \(TypeError|needs Config, a dataclass"),
        ('{"default": Preset(Config(), Recipe(epochs=2, batches_per_epoch=4), "made up")}', "{}", "needs Config"),
        ('Preset(Config(), Recipe(epochs=2, batches_per_epoch=4), "made up")', "Config()", "needs Config"),
        ('{"default"', '{"main"', r"has no preset 'default'; presets: main\."),
        ("class Plain(Method)", "class Plain(nn.Module)", r"plain\.py holds 0 methods"),
    ],
)
def test_a_file_that_is_not_quite_a_method(plain, old, new, words):
    assert old in PLAIN
    plain.write_text(PLAIN.replace(old, new))
    with pytest.raises(ValueError, match=words) as raised:
        resolve(Experiment(dataset="x", method=str(plain)))
    assert "\n" not in str(raised.value)


# --- what an installed package adds -------------------------------------------------------------------------------

TASK = """
from avshot.tasks.gzsl import GZSL
from avshot.task import Task

class Mine(Task):
    metrics, main, explain = ("S",), "S", "made up"

    def stages(self, dataset):
        return GZSL().stages(dataset)

    def measure(self, scored, settings):
        return {"S": 0.5}
"""
EXTRACTOR = """
from dataclasses import dataclass
import torch
from avshot.features.extractor import Extractor

@dataclass(frozen=True)
class Ones(Extractor):
    name = "ones"
    modality = "audio"
    width: int = 3

    @property
    def dim(self):
        return self.width

    def request(self):
        return {"rate": 8000}

    def __call__(self, media):
        return torch.ones(1, self.width), torch.zeros(1)
"""
ENCODER = """
import torch
from avshot.classes.encoder import TextEncoder

class Letters(TextEncoder):
    spec, name, dim = "letters", "letters", 26

    def encode(self, texts):
        rows = [[float(text.count(chr(97 + i))) for i in range(26)] for text in texts]
        return torch.nn.functional.normalize(torch.tensor(rows).reshape(-1, 26), dim=1)
"""
POINTS = {
    "avshot.methods": "extra = extra_of_{0}.plain\ndevise = extra_of_{0}.plain:Plain\n",
    "avshot.tasks": "mine = extra_of_{0}.task:Mine\n",
    "avshot.features.extractors": "units = extra_of_{0}.ones\n",
    "avshot.classes.encoders": "letters = extra_of_{0}.letters\n",
}


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a package on Python's path as pip would, with its entry points."""

    def installed(name, points=POINTS, **files):
        root = tmp_path / f"site of {name}"
        package, about = root / f"extra_of_{name}", root / f"extra_{name}-1.0.dist-info"
        package.mkdir(parents=True)
        about.mkdir()
        contents = {"__init__": "", "plain": PLAIN, "task": TASK, "ones": EXTRACTOR, "letters": ENCODER} | files
        for module, content in contents.items():
            (package / f"{module}.py").write_text(content)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: extra-{name}\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text("".join(f"[{g}]\n{p.format(name)}" for g, p in points.items()))
        monkeypatch.syspath_prepend(str(root))

    yield installed
    for module in [module for module in sys.modules if module.startswith("extra_of_")]:
        del sys.modules[module]


def test_a_package_adds_all_four_kinds(install):
    install("a")
    assert {"extra", "devise"} <= set(list_methods())
    assert list_tasks().count("mine") == 1
    made = create_method("extra", INPUTS, width=2)
    assert (made.name, made.config.width) == ("extra", 2)  # the name of the entry point, not of the file
    assert get_task("mine").name == "mine"
    ones = create_extractor("units?width=5")
    assert ones.spec()["name"] == "units"
    assert extractor_of(ones.spec()) == ones
    assert torch.equal(create_text_encoder("letters").encode(["ab"])[0, :3], torch.tensor([0.5, 0.5, 0.0]).sqrt())
    with pytest.raises(ValueError, match=r"'extro' does not exist; methods: .*extra.*Did you mean 'extra'"):
        get_method("extro")


def test_a_name_of_avshots_own_stays_its_own(install):
    install("a")
    assert get_method("devise").__name__ == "Devise"
    assert METHODS.hidden() == ["the package 'extra-a' adds the method 'devise' too; avshot's own is used."]
    assert EXTRACTORS.hidden() == []


def test_two_packages_with_one_name(install):
    install("a")
    install("b")
    words = "'extra' is added by several packages .*'extra-.'.* and 'extra-.'.*uninstall all but one"
    with pytest.raises(ValueError, match=words):
        get_method("extra")


@pytest.mark.parametrize(
    ("points", "files", "words"),
    [
        ("extra = extra_of_a.absent\n", {}, r"of the package 'extra-a' cannot be loaded \(ModuleNotFoundError"),
        ("extra = extra_of_a.plain:Absent\n", {}, r"cannot be loaded \(AttributeError"),
        ("extra = extra_of_a.plain\n", {"plain": "1 / 0"}, r"cannot be loaded \(ZeroDivisionError: division by zero"),
        ("extra = extra_of_a.plain:Config\n", {}, "is no method; expected a class derived from avshot's Method"),
        ("extra = extra_of_a.plain:torch.pi\n", {}, "is no method"),
        ("extra = extra_of_a\n", {}, "holds 0 methods"),
        ("extra = extra_of_a.plain\n", {"plain": PLAIN.replace("paper =", "papers =")}, "class Plain lacks paper"),
    ],
)
def test_a_package_that_does_not_work(install, points, files, words):
    install("a", {"avshot.methods": points}, **files)
    assert "extra" in list_methods()
    with pytest.raises(ValueError, match=words):
        get_method("extra")

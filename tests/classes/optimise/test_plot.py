"""The picture is drawn for every size of vocabulary, from an outcome or from what a Run stores of it."""

import json

import pytest
import torch

from avshot.classes.optimise.config import OptimiseConfig
from avshot.classes.optimise.optimise import optimise
from avshot.classes.optimise.plot import draw_outcome, plot_outcome


@pytest.mark.parametrize("count", [1, 2, 12, 45])
def test_plot(tmp_path, count):
    vectors = torch.randn(count, 24, generator=torch.Generator().manual_seed(0)) + 0.7
    _, outcome = optimise(vectors, OptimiseConfig(turn=2.0), names=[f"class number {i}" for i in range(count)])
    plot_outcome(outcome, tmp_path / "b.png")
    stored = json.loads(json.dumps(outcome.to_dict()))  # as a Run has it
    draw_outcome(stored, title="A set of classes").savefig(tmp_path / "a.svg")
    picture = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert picture.count("<!-- class number") == (count if count <= 40 else 0)
    for words in ("A set of classes", f"of {count} classes", "Separation", "Relations kept", "step"):
        assert f"<!-- {words}" in picture or words in picture
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")


def test_plot_opens_no_window_and_keeps_the_users_backend(tmp_path):
    import matplotlib

    before = matplotlib.get_backend(auto_select=False)
    _, outcome = optimise(torch.eye(3) + 0.1)
    plot_outcome(outcome, tmp_path / "a.png")
    assert matplotlib.get_backend(auto_select=False) == before

"""Factors of classes as tensors of a Run."""

import pytest
import torch

from avshot.classes.factors import factor_tensors, read_factors
from avshot.types import Classes, Factor


def test_factors_come_back_as_they_were():
    seen = torch.ones(2, dtype=torch.bool)
    action = Factor(torch.tensor([1, 0]), ("cut", "stir"), {"w/2": torch.randn(2, 3)})
    manner = Factor(torch.tensor([0, 0]), ("slowly", "quickly"), {}, torch.tensor([1, 0]))
    classes = Classes(("stir slowly", "cut slowly"), {}, seen, {"action": action, "adverb": manner})
    tensors = factor_tensors(classes) | {"seen": seen}
    words = {name: list(factor.names) for name, factor in classes.factors.items()}
    found = read_factors(tensors, words, 2)
    assert list(found) == ["action", "adverb"]
    assert found["action"].opposite is None
    assert torch.equal(found["action"].index, action.index)
    assert torch.equal(found["action"].text["w/2"], action.text["w/2"])
    assert found["adverb"].opposite.tolist() == [1, 0]
    assert found["adverb"].text == {}
    with pytest.raises(ValueError, match="not there for the 3 classes"):
        read_factors(tensors, words, 3)
    with pytest.raises(ValueError, match="not there"):
        read_factors({}, words, 2)

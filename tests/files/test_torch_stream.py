"""Files of torch.save's older form (before torch 1.6): what torch reads, and nothing that runs."""

import collections
import io
import os
import pickle

import numpy as np
import pytest
import torch

from avshot.files.torch_archive import restricted_archive
from avshot.files.torch_stream import MAGIC

FACTS = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2}}


def written(path, pickled, keys=(), numbers=b"", version=1001, facts=FACTS):
    parts = [MAGIC, pickle.dumps(version, 2), pickle.dumps(facts, 2), pickled, pickle.dumps(list(keys), 2), numbers]
    path.write_bytes(b"".join(parts))
    return path


def state_of_2017(rows):
    """A state dict as Python 2 and torch 0.2 pickled it: four arguments for a tensor, text of one byte a letter."""

    class Pickler(pickle._Pickler):
        def persistent_id(self, value):
            return ("storage", torch.FloatStorage, "7", "cuda:0", 6, None) if value == "numbers" else None

    class Tensor:
        def __reduce__(self):
            return torch._utils._rebuild_tensor, ("numbers", 2, (rows, 2), (2, 1))

    class State:
        def __reduce__(self):
            return collections.OrderedDict, ([["conv1.weight", Tensor()]],)

    out = io.BytesIO()
    Pickler(out, protocol=2).dump(State())
    return out.getvalue()


NUMBERS = (6).to_bytes(8, "little") + np.arange(6, dtype="<f4").tobytes()


def test_a_file_as_torch_0_2_wrote_it_is_read(tmp_path):
    got = restricted_archive(written(tmp_path / "c3d.pickle", state_of_2017(2), ["7"], NUMBERS))
    assert {name: value.tolist() for name, value in got.items()} == {"conv1.weight": [[2.0, 3.0], [4.0, 5.0]]}


class Hook:
    def __reduce__(self):
        return os.system, ("true",)


REFUSED = {
    "posix.system": {"pickled": pickle.dumps(Hook(), protocol=2)},
    "ends at number 7": {"pickled": state_of_2017(3), "keys": ["7"], "numbers": NUMBERS},
    "are not in it": {"pickled": state_of_2017(2)},
    "that no tensor asks for": {"pickled": state_of_2017(2), "keys": ["8"], "numbers": NUMBERS},
    "ends too early": {"pickled": state_of_2017(2), "keys": ["7"], "numbers": NUMBERS[:-1]},
    "highest byte comes first": {"pickled": state_of_2017(2), "facts": {**FACTS, "little_endian": False}},
    "another version": {"pickled": state_of_2017(2), "version": 1002},
    "of the older form": {"pickled": state_of_2017(2), "facts": 3},
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_is_no_data_is_refused_in_a_sentence(tmp_path, words):
    path = written(tmp_path / "bad.pt", **REFUSED[words])
    with pytest.raises(ValueError, match=r"bad\.pt") as caught:
        restricted_archive(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)

"""A device is refused in one sentence before anything is computed on it."""

import subprocess
import sys

import pytest
import torch

from avshot.machine.device import available_devices, check_device

no_gpu = pytest.mark.skipif(torch.accelerator.is_available(), reason="this machine has an accelerator")


@pytest.fixture
def two_gpus(monkeypatch):
    """A machine on which torch finds two GPUs (which it cannot compute on)."""
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available=False: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)


def test_the_processor_is_always_there():
    assert check_device("cpu") == torch.device("cpu")
    assert check_device(torch.device("cpu")) == torch.device("cpu")
    assert available_devices()[0] == "cpu"


@pytest.mark.parametrize("text", ["gpu", "CPU", "", " cpu", "cuda:-1", "cuda:x", "cuda:0:1", "cpu,cuda"])
def test_an_unknown_word_is_refused(text):
    with pytest.raises(ValueError, match=r"^Device .* does not exist; use cpu.*\.$") as error:
        check_device(text)
    assert "\n" not in str(error.value)
    assert repr(text) in str(error.value)


@no_gpu
@pytest.mark.parametrize("text", ["cuda", "cuda:7", "mps", "xpu", "hpu", "vulkan", "xla", "mkldnn", "lazy", "cpu:3"])
def test_a_device_that_this_torch_cannot_use_is_refused(text):
    with pytest.raises(ValueError, match=rf"Device '{text}' cannot be used: PyTorch .* on this machine; use cpu\.$"):
        check_device(text)


def test_a_device_without_numbers_in_it_is_refused():
    """On "meta" tensors have shapes and no values: every score would be a made-up one."""
    with pytest.raises(ValueError, match="Device 'meta' cannot be used"):
        check_device("meta")


@pytest.mark.usefixtures("two_gpus")
def test_a_number_beyond_the_last_one_is_refused():
    assert available_devices() == ("cpu", "cuda", "cuda:0", "cuda:1")
    with pytest.raises(ValueError, match=r"'cuda:7' cannot be used: .*; use cpu, cuda, cuda:0 or cuda:1\.$"):
        check_device("cuda:7")


@no_gpu
@pytest.mark.usefixtures("two_gpus")
def test_a_device_that_is_there_and_does_not_work_is_refused():
    with pytest.raises(ValueError, match=r"^Device 'cuda:1' is there but does not work: [^\n]*; try cpu\.$"):
        check_device("cuda:1")


@pytest.mark.usefixtures("two_gpus")
def test_a_device_that_works_keeps_its_number(monkeypatch):
    tried = []
    monkeypatch.setattr(torch, "zeros", lambda count, device: tried.append(device))
    assert check_device("cuda:1") == torch.device("cuda", 1)
    assert check_device("cuda") == torch.device("cuda")
    assert tried == [torch.device("cuda", 1), torch.device("cuda")]
    monkeypatch.setenv("LOCAL_RANK", "1")  # the second of two processes, as torchrun tells it
    assert check_device("cuda") == torch.device("cuda")
    assert check_device("cuda:0") == torch.device("cuda", 0)
    assert tried[2:] == [torch.device("cuda", 1), torch.device("cuda", 0)]


def test_naming_the_check_does_not_load_torch():
    code = "import sys, avshot.machine.device; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"

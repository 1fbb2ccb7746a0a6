"""What `torch.save` wrote, read without running code from it (`avshot.files.pickles`)."""

from __future__ import annotations

import os
import struct
import zipfile
from typing import Any

from avshot.files.pickles.arrays import Damaged, Refused
from avshot.files.pickles.machine import run
from avshot.files.pickles.reader import ByteReader, check_regular
from avshot.files.pickles.tensors import Tensors
from avshot.files.torch_stream import MAGIC, load_stream

_INDEX = "/data.pkl"
# What zipfile raises of a file whose table is damaged.
_BROKEN = (
    zipfile.BadZipFile,
    EOFError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    struct.error,
    ValueError,
)


def restricted_archive(path: str | os.PathLike[str]) -> Any:
    """Read tensors, numbers, text and containers of them; run nothing from the file.

    Settings of a program that stand beside them (`argparse.Namespace`) are left out: an empty dictionary.

    Args:
        path: A `.pt` or `.pth` file, of torch 1.6 and later or, in its older form, of torch 0.1 to 1.5.

    Returns:
        The object, with a numpy array in place of each tensor or parameter, and dictionaries in place of ordered ones.
        Memory stays in proportion to the file.

    Raises:
        ValueError: The file is no such archive, is damaged, or asks for anything else; the message names it.
        OSError: There is no such file, or it cannot be read.
    """
    check_regular(path)
    with open(path, "rb") as file:
        try:
            if file.read(len(MAGIC)) == MAGIC:
                return load_stream(file)
            with zipfile.ZipFile(file) as archive:
                return _load(archive, os.fstat(file.fileno()).st_size)
        except Refused as error:
            raise ValueError(
                f"{path} asks for {error} while being read; only tensors of plain numbers, numbers, text and builtin "
                "containers are read. Save its state dict alone where you trust it."
            ) from None
        except Damaged as error:
            raise ValueError(f"{path} is not a readable file of tensors ({error}); fetch it again.") from None
        except _BROKEN as error:
            reason = next(iter(str(error).splitlines()), "") or "cut off"
            raise ValueError(
                f"{path} is not a whole file of torch ({reason}); fetch it again, or save it again with torch.save."
            ) from None


def _load(archive: zipfile.ZipFile, size: int) -> Any:
    found = [name for name in archive.namelist() if name.endswith(_INDEX) and name.count("/") == 1]
    if len(found) != 1:
        raise Damaged(f"{len(found)} lists of tensors where there should be one")
    folder = found[0].removesuffix(_INDEX)
    order = f"{folder}/byteorder"
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
        raise Damaged("packed parts, which torch does not write")
    if order in archive.namelist() and archive.read(order).strip() != b"little":
        raise Refused("numbers whose highest byte comes first")
    with archive.open(found[0]) as index:
        return run(ByteReader(index), Tensors(archive, folder, size))  # type: ignore[arg-type]

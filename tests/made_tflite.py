"""Writes `.tflite` files with constants and nothing else: FlatBuffers put together by hand, after the specification."""

import struct

import numpy as np

KINDS = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "bool": 6, "int16": 7, "int8": 9}


class Blob:
    """Bytes that grow; what is referred to is written behind what refers to it."""

    def __init__(self):
        self.data = bytearray()

    def align(self, size):
        self.data += bytes(-len(self.data) % size)

    def vector(self, array):
        """Position of a vector of numbers."""
        array = np.asarray(array)
        self.align(8)
        self.data += bytes(4)  # so that numbers behind the count lie at a multiple of 8
        at = len(self.data)
        self.data += struct.pack("<I", array.size) + array.tobytes()
        return at

    def table(self, fields):
        """Position of a table of `{number: (format, value)}`, or `{number: what writes something referred to}`."""
        count = max(fields, default=-1) + 1
        self.align(8)
        self.data += bytes((4 + 2 * count) % 4)
        start = len(self.data)
        self.data += bytes(4 + 2 * count)
        self.align(4)
        at, offsets, refers = len(self.data), [0] * count, {}
        self.data += struct.pack("<i", at - start)
        for number, field in fields.items():
            offsets[number] = len(self.data) - at
            if callable(field):
                refers[len(self.data)] = field
                self.data += bytes(4)
            else:
                self.data += struct.pack("<" + field[0], field[1]).ljust(4, b"\0")
        struct.pack_into(f"<HH{count}H", self.data, start, 4 + 2 * count, len(self.data) - at, *offsets)
        self.fill(refers)
        return at

    def tables(self, many):
        """Position of a vector of tables, each as `table` takes it."""
        self.align(4)
        at = len(self.data)
        self.data += struct.pack("<I", len(many)) + bytes(4 * len(many))
        self.fill({at + 4 + 4 * i: (lambda fields=fields: self.table(fields)) for i, fields in enumerate(many)})
        return at

    def fill(self, refers):
        for place, write in refers.items():
            struct.pack_into("<I", self.data, place, write() - place)


def tflite(constants, *, graphs=1):
    """Bytes of a model. Constants: `{name: (array, scale, zero, axis)}` or `{name: array}`."""
    blob = Blob()
    blob.data += struct.pack("<I4s", 0, b"TFL3")
    listed = [(name, c if isinstance(c, tuple) else (c, (), (), 0)) for name, c in constants.items()]

    def tensor(index, name, constant):
        array, scale, zero, axis = constant
        quantised = {
            2: lambda: blob.vector(np.asarray(scale, "<f4")),
            3: lambda: blob.vector(np.asarray(zero, "<i8")),
            6: ("i", axis),
        }
        return {
            0: lambda: blob.vector(np.asarray(array.shape, "<i4")),
            1: ("b", KINDS[array.dtype.name]),
            2: ("I", index + 1),
            3: lambda: blob.vector(np.frombuffer(name.encode(), "u1")),
            4: lambda: blob.table(quantised),
        }

    tensors = [tensor(i, name, constant) for i, (name, constant) in enumerate(listed)]
    nothing = {2: ("I", 0), 3: lambda: blob.vector(np.frombuffer(b"input", "u1"))}
    buffers = [{}, *({0: lambda c=c: blob.vector(np.frombuffer(c[0].tobytes(), "u1"))} for _, c in listed)]
    graph = {0: lambda: blob.tables([nothing, *tensors])}
    model = {0: ("I", 3), 2: lambda: blob.tables([graph] * graphs), 4: lambda: blob.tables(buffers)}
    struct.pack_into("<I", blob.data, 0, blob.table(model))
    return bytes(blob.data)

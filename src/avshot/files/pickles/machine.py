"""An interpreter of pickles that can build data and nothing else.

A pickle is a program for a small machine. Python's own machine calls what the program names and sets attributes of what
it gets; this one has no such instruction. It knows numbers, text, bytes, lists, tuples, dictionaries, sets and numpy
arrays (`avshot.files.pickles.arrays`); a name in the program is an entry of the table in `avshot.files.pickles.names`
or the end of the reading. Every other instruction is refused. Memory stays in proportion to the file: an instruction
makes one object or refers to an older one, copies are counted, and what is repeated by reference is counted at the end.
"""

from __future__ import annotations

import pickle
import pickletools
from collections.abc import Callable
from typing import Any

from avshot.files.pickles.arrays import Damaged, Refused
from avshot.files.pickles.bounds import MAX_DEPTH, Bounds, check_key, check_tree
from avshot.files.pickles.names import Name, Unfinished, finish, make, named
from avshot.files.pickles.reader import ByteReader
from avshot.files.pickles.scalars import LITERALS
from avshot.files.pickles.tensors import Tensors

_PROTOCOLS = range(6)
_SET = 4  # what a set takes, in lists


def run(reader: ByteReader, tensors: Tensors | None = None) -> Any:
    """What the pickle at the reader's place makes; anything behind it is left unread.

    Args:
        reader: Where it lies.
        tensors: The archive that it is the index of; None where it stands alone, and asks for no tensors.

    Raises:
        Refused: It asks for something that is not data.
        Damaged: It is not a whole pickle.
    """
    return _Machine(reader, tensors).run()


class _Machine:
    def __init__(self, reader: ByteReader, tensors: Tensors | None) -> None:
        self.reader, self.tensors = reader, tensors
        self.bounds = Bounds(reader.size if tensors is None else tensors.size)
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # one stack for each mark that is open
        self.memo: dict[int, Any] = {}
        self.steps = 0

    def run(self) -> Any:
        take = self.reader.take
        while (code := take(1)) != pickle.STOP:
            self.steps += 1
            if (literal := LITERALS.get(code)) is not None:
                self.stack.append(literal(self.reader))
            elif (step := _STEPS.get(code)) is not None:
                step(self)
            else:
                raise _unknown(code)
        if self.below or len(self.stack) != 1:
            raise Damaged("it ends with parts left over")
        check_tree(self.stack[0], self.bounds)
        return self.stack[0]

    def named(self, module: Any, name: Any) -> Name:
        found = None if self.tensors is None else self.tensors.named(module, name)
        return named(module, name) if found is None else found

    def pop(self) -> Any:
        if not self.stack:
            raise Damaged("it takes a value that is not there")
        return self.stack.pop()

    def pop_to_mark(self) -> list[Any]:
        if not self.below:
            raise Damaged("it closes a group that was never opened")
        items, self.stack = self.stack, self.below.pop()
        return items

    def top(self, kind: type) -> Any:
        """The topmost value, which must be of exactly this type."""
        if not self.stack or type(self.stack[-1]) is not kind:
            raise Damaged(f"it adds to a {kind.__name__} that is not there")
        return self.stack[-1]

    def keep(self, index: int) -> None:
        """Remember the topmost value; indices can be no more than there were steps, so the memory of them is small."""
        if not 0 <= index <= self.steps or not self.stack:
            raise Damaged("it keeps a value that is not there, or under a number beyond all others")
        self.memo[index] = self.stack[-1]
        if type(self.stack[-1]) is Unfinished:
            self.stack[-1].kept.append(index)

    def recall(self, index: int) -> None:
        if index not in self.memo:
            raise Damaged("it asks for a value that it never kept")
        self.stack.append(self.memo[index])


def _unknown(code: bytes) -> Exception:
    known = pickletools.code2op.get(  # type: ignore[attr-defined]
        code.decode("latin1")
    )
    if known is None:
        return Damaged(f"an instruction 0x{code.hex()} that does not exist")
    return Refused(f"the pickle instruction {known.name}")


def _container(make_one: Callable[[], Any], share: int = 1) -> Callable[[_Machine], None]:
    def step(machine: _Machine) -> None:
        machine.bounds.container(share)
        machine.stack.append(make_one())

    return step


def _tuple(count: int) -> Callable[[_Machine], None]:
    def step(machine: _Machine) -> None:
        machine.bounds.container()
        items = [machine.pop() for _ in range(count)]
        machine.stack.append(tuple(items[::-1]))

    return step


def _grouped(make_one: Callable[[list[Any]], Any], share: int = 1) -> Callable[[_Machine], None]:
    """A container of everything above the last mark."""

    def step(machine: _Machine) -> None:
        machine.bounds.container(share)
        made = make_one(machine.pop_to_mark())
        machine.stack.append(made)

    return step


def _mark(machine: _Machine) -> None:
    if len(machine.below) >= MAX_DEPTH:
        raise Refused(f"data nested more than {MAX_DEPTH} deep")
    machine.below.append(machine.stack)
    machine.stack = []


def _append(machine: _Machine) -> None:
    item = machine.pop()
    machine.top(list).append(item)


def _appends(machine: _Machine) -> None:
    items = machine.pop_to_mark()
    machine.top(list).extend(items)


def _set_item(machine: _Machine) -> None:
    value, key = machine.pop(), machine.pop()
    machine.top(dict)[check_key(key)] = value


def _set_items(machine: _Machine) -> None:
    items = machine.pop_to_mark()
    machine.top(dict).update(_dict(items))


def _add_items(machine: _Machine) -> None:
    items = machine.pop_to_mark()
    machine.top(set).update(map(check_key, items))


def _dict(items: list[Any]) -> dict[Any, Any]:
    if len(items) % 2:
        raise Damaged("a key without a value")
    return dict(zip(map(check_key, items[::2]), items[1::2], strict=True))


def _name(machine: _Machine) -> None:
    module, name = machine.reader.line(), machine.reader.line()
    machine.stack.append(machine.named(module.decode("utf-8", "replace"), name.decode("utf-8", "replace")))


def _name_on_stack(machine: _Machine) -> None:
    name, module = machine.pop(), machine.pop()
    machine.stack.append(machine.named(module, name))


def _call(machine: _Machine) -> None:
    arguments, name = machine.pop(), machine.pop()
    if type(name) is not Name or type(arguments) is not tuple:
        raise Refused("a call of something that is no name")
    if machine.tensors is not None and name.meaning in machine.tensors.calls:
        machine.bounds.container()
        machine.stack.append(machine.tensors.calls[name.meaning](arguments, machine.bounds))
    else:
        machine.stack.append(make(name, arguments, machine.bounds))


def _new(machine: _Machine) -> None:
    """An object of a class, which only the settings of a program are; they are a dictionary here."""
    arguments, name = machine.pop(), machine.pop()
    if machine.tensors is None or type(name) is not Name or name.meaning != "settings" or type(arguments) is not tuple:
        raise _unknown(pickle.NEWOBJ)
    machine.bounds.container()
    machine.stack.append(machine.tensors.calls["settings"](arguments, machine.bounds))


def _stored(machine: _Machine) -> None:
    """What lies outside the pickle, by its key: the numbers of a tensor, where there is an archive of them."""
    if machine.tensors is None:
        raise _unknown(pickle.BINPERSID)
    machine.stack.append(machine.tensors.storage(machine.pop(), machine.bounds))


def _build(machine: _Machine) -> None:
    """The state of an array or dtype; the finished one takes the place of the unfinished one wherever that was kept."""
    state, blank = machine.pop(), machine.pop()
    if machine.tensors is not None and type(blank) is dict:  # versions of modules, which nothing here reads
        machine.stack.append(blank)
        return
    if type(blank) is not Unfinished:
        raise Refused("a change to the attributes of an object")
    made = finish(blank, state, machine.bounds)
    for index in blank.kept:
        if machine.memo[index] is blank:
            machine.memo[index] = made
    machine.stack.append(made)


def _protocol(machine: _Machine) -> None:
    if (version := machine.reader.number(1)) not in _PROTOCOLS:
        raise Refused(f"version {version} of pickles")


def _frame(machine: _Machine) -> None:
    machine.reader.check(machine.reader.number(8))


def _index(line: bytes) -> int:
    if not line.isdigit() or len(line) > 10:
        raise Damaged("a number that is none")
    return int(line)


_STEPS: dict[bytes, Callable[[_Machine], None]] = {
    pickle.PROTO: _protocol,
    pickle.FRAME: _frame,
    pickle.MARK: _mark,
    pickle.EMPTY_LIST: _container(list),
    pickle.EMPTY_DICT: _container(dict),
    pickle.EMPTY_SET: _container(set, _SET),
    pickle.EMPTY_TUPLE: _tuple(0),
    pickle.TUPLE1: _tuple(1),
    pickle.TUPLE2: _tuple(2),
    pickle.TUPLE3: _tuple(3),
    pickle.TUPLE: _grouped(tuple),
    pickle.LIST: _grouped(list),
    pickle.DICT: _grouped(_dict),
    pickle.FROZENSET: _grouped(lambda items: frozenset(map(check_key, items)), _SET),
    pickle.APPEND: _append,
    pickle.APPENDS: _appends,
    pickle.SETITEM: _set_item,
    pickle.SETITEMS: _set_items,
    pickle.ADDITEMS: _add_items,
    pickle.MEMOIZE: lambda machine: machine.keep(len(machine.memo)),
    pickle.PUT: lambda machine: machine.keep(_index(machine.reader.line())),
    pickle.BINPUT: lambda machine: machine.keep(machine.reader.number(1)),
    pickle.LONG_BINPUT: lambda machine: machine.keep(machine.reader.number(4)),
    pickle.GET: lambda machine: machine.recall(_index(machine.reader.line())),
    pickle.BINGET: lambda machine: machine.recall(machine.reader.number(1)),
    pickle.LONG_BINGET: lambda machine: machine.recall(machine.reader.number(4)),
    pickle.GLOBAL: _name,
    pickle.STACK_GLOBAL: _name_on_stack,
    pickle.REDUCE: _call,
    pickle.NEWOBJ: _new,
    pickle.BUILD: _build,
    pickle.BINPERSID: _stored,
}

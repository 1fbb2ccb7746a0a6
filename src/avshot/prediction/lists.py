"""Lists of class names made ready for scoring, the last ones kept; several threads may ask at once."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from avshot.classes.names import tidy_all
from avshot.machine.draws import sole_draws
from avshot.method import Method
from avshot.prediction.manners import Pair
from avshot.prediction.names import Names
from avshot.run import Run
from avshot.types import Classes

LISTS = 32  # of class names that are kept ready

_log = logging.getLogger(__name__)


_Asked = tuple[tuple[str, ...], tuple[Pair, ...] | None]  # names, and which pairs they are where that was said


@dataclass(frozen=True)
class Ready:
    """A list of class names, ready for scoring.

    Attributes:
        classes: The candidates, in the order and spelling that was asked for.
        meant: What each of them is called in the Run; its own name where it is new.
        model: The method that scores them.
    """

    classes: Classes
    meant: tuple[str, ...]
    model: Method

    def only(self, names: Sequence[str]) -> Ready:
        """Some of the candidates."""
        place = {name: i for i, name in enumerate(self.classes.names)}
        return Ready(self.classes.select(names), tuple(self.meant[place[name]] for name in names), self.model)


@dataclass
class _Slot:
    """One list, once it is made."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    made: Ready | None = None


class ClassLists:
    """Candidates of a Run by their list of names, and the method that scores them.

    Each list is made once, by the thread that asks first; who asks for the same one meanwhile waits for it, who asks
    for another one does not. Nothing that was handed out changes afterwards: a method that has to adapt to a list gets
    a copy of its own.

    Args:
        run: A finished Run.
        model: Its method, which stays as it is.
        device: torch device.
    """

    def __init__(self, run: Run, model: Method, device: str) -> None:
        closed = ""
        if model.closed:
            closed = f"Method {run.experiment.method!r} knows only its own {len(run.classes())} classes"
        self._run, self._model, self._device = run, model, device
        self._names = Names(run, closed)
        self._slots: OrderedDict[_Asked, _Slot] = OrderedDict()
        self._lock = threading.Lock()  # of the table of slots; held for no longer than a look into it

    @property
    def known(self) -> Classes:
        """The Run's own classes."""
        return self._names.known

    def ready(self, names: Sequence[str] | None, pairs: tuple[Pair, ...] | None = None) -> Ready:
        """Candidates `names` in that order and spelling, None for the Run's own, and the method that scores them.

        `pairs` says which action and adverb each name is, where that is known.

        Raises:
            ValueError: As `Names.classes`; a list that failed is tried again when it is asked for again.
        """
        if names is None:
            return Ready(self._names.known, self._names.known.names, self._model)
        wanted = (tidy_all(names), pairs)
        with self._lock:
            slot = self._slots.setdefault(wanted, _Slot())
            self._slots.move_to_end(wanted)
            if len(self._slots) > LISTS:
                self._slots.popitem(last=False)
        with slot.lock:
            if slot.made is None:
                slot.made = self._made(wanted, slot)
            return slot.made

    def _made(self, wanted: _Asked, slot: _Slot) -> Ready:
        started = time.perf_counter()
        try:
            meant, candidates = self._names.meant(wanted[0]), self._names.classes(*wanted)
            model = self._adapted(candidates)
        except BaseException:
            with self._lock:  # else lists that cannot be made would push out those that can
                if self._slots.get(wanted) is slot:
                    del self._slots[wanted]
            raise
        _log.info("list of %d class names ready in %.2f s", len(wanted[0]), time.perf_counter() - started)
        return Ready(candidates, meant, model)

    def _adapted(self, candidates: Classes) -> Method:
        """The model; where it scores nothing but the candidates it has adapted to, one that has adapted to these.

        It knows the Run's classes from their clips. With a new name among them it has to learn all candidates from what
        it kept, without clips.
        """
        if self._model.needs.open_vocabulary or not self._model.adapts():
            return self._model
        if _rows(candidates) <= _rows(self._names.known):
            return self._model
        _log.info("%s learns %d classes from what it generates", self._model.name, len(candidates))
        with sole_draws():
            model = self._run.method(self._device)
            torch.manual_seed(self._run.experiment.seed)
            model.adapt(None, candidates.to(self._device))
        return model


def _rows(classes: Classes) -> set[tuple[float, ...]]:
    """The class embeddings, to see whether two lists of classes share them."""
    return {tuple(row) for row in torch.cat(list(classes.text.values()), dim=1).tolist()}

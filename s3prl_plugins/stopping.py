"""Ctrl-C and SIGTERM as requests that a run grants where nothing gets lost."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from s3prl_plugins.errors import Interrupted

__all__ = ["Stop", "stoppable"]


class Stop:
    """Whether this process was asked to end. The second signal ends it where it is."""

    def __init__(self) -> None:
        self.number: int | None = None
        """Of the signal."""
        self._process = os.getpid()
        self._now = False

    @property
    def asked(self) -> bool:
        return self.number is not None

    def interrupted(self, step: int) -> Interrupted:
        """To be raised when the state after `step` is saved."""
        assert self.number is not None
        name = signal.Signals(self.number).name
        return Interrupted(self.number, f"ended by {name} after step {step}, which is saved; the run can be continued")

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Within, a signal raises `Interrupted` where it arrives: for what changes no state."""
        self._now = True
        try:
            yield
        finally:
            self._now = False

    def take(self, number: int, frame: FrameType | None) -> None:
        """The handler."""
        if os.getpid() != self._process:  # a data worker, forked meanwhile; who started it ends it
            if number == signal.SIGTERM:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            return
        again, self.number = self.asked, number
        if again or self._now:
            name = signal.Signals(number).name
            raise Interrupted(number, f"ended by {name}; the run can be continued from its last checkpoint")


@contextlib.contextmanager
def stoppable(wanted: bool = True) -> Iterator[Stop]:
    """A `Stop` that hears SIGINT and SIGTERM meanwhile, but takes none away from somebody else's handler.

    :param wanted: False gives one that hears nothing.
    """
    stop = Stop()
    own = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    if not wanted or threading.current_thread() is not threading.main_thread():
        own = {}
    taken = {number: before for number, before in own.items() if signal.getsignal(number) == before}
    for number in taken:
        signal.signal(number, stop.take)
    try:
        yield stop
    finally:
        for number, before in taken.items():
            signal.signal(number, before)

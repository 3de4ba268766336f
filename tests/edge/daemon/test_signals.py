"""A signal that comes at any moment ends what waits for it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator

import pytest

from edge.daemon.signals import StopSignals
from support.daemon import ended

# A signal each time that `wait` calls or is about to return from something, one such moment a round.
PROGRAM = """
import itertools, signal, sys
from edge.daemon.signals import StopSignals

for moment in range(20):
    stop, moments = StopSignals(), itertools.count()
    sys.setprofile(lambda *_: next(moments) == moment and signal.raise_signal(signal.SIGTERM))
    while not stop.wait(0.001):
        pass
    sys.setprofile(None)
print("ended")
"""


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_signal_that_comes_while_it_is_waited_for_is_never_lost_and_never_blocks() -> None:
    done = ended([sys.executable, "-c", PROGRAM], timeout_s=20)

    assert (done.returncode, done.stdout) == (0, "ended\n"), done.stderr


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_came_is_told_to_everybody_who_asks(number: signal.Signals) -> None:
    stop = StopSignals()
    assert (stop.is_set(), stop.wait(0.001)) == (False, False)

    signal.raise_signal(number)

    assert (stop.is_set(), stop.wait(0), stop.wait(0), stop.is_set()) == (True, True, True, True)

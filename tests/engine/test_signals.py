"""Ctrl-C and SIGTERM are counted in order, also where one that counts is entered within another."""

from __future__ import annotations

import os
import select
import signal

import pytest

from trainer_props.engine.signals import Signals


def send(number: int) -> None:
    os.kill(os.getpid(), number)


def readable(signals: Signals) -> bool:
    return bool(select.select([signals], [], [], 0)[0])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_counted_and_wakes(number: int) -> None:
    with Signals() as signals:
        assert (signals.count, readable(signals)) == (0, False)
        send(number)
        assert (signals.count, readable(signals)) == (1, True)
        signals.clear()
        assert (signals.count, readable(signals)) == (1, False)


def test_the_third_is_the_process_s_own() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Signals():
        send(signal.SIGINT)
        send(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is before
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)


def test_one_within_another_counts_for_both() -> None:
    with Signals() as outer, Signals() as inner:
        send(signal.SIGINT)
        assert (outer.count, inner.count) == (1, 1)
        send(signal.SIGINT)
        assert (outer.count, inner.count) == (2, 2)
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)


def test_one_within_another_begins_with_what_that_has_heard() -> None:
    with Signals() as outer:
        send(signal.SIGTERM)
        with Signals() as inner:
            assert (inner.count, readable(inner)) == (1, True)
        assert outer.count == 1


def test_a_process_that_was_forked_counts_for_itself() -> None:
    with Signals() as outer:
        child = os.fork()
        if child == 0:
            with Signals() as inner:
                send(signal.SIGINT)
                os._exit(10 * inner.count + outer.count)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 10
        assert (outer.count, readable(outer)) == (0, False)

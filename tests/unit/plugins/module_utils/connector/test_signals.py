# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Signals that end a run: at once, or at the end of what must not be torn."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils import _signals
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import Interrupted

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _ended(work):
    """Do some work that a signal ends; returns the Interrupted."""
    with pytest.raises(Interrupted) as raised, _signals.as_interrupts():
        work()
    return raised.value


@pytest.mark.parametrize("number", _NUMBERS)
def test_a_signal_ends_a_run_where_it_is(number):
    reached = []

    def work():
        signal.raise_signal(number)
        reached.append("after")

    assert number.name in str(_ended(work))
    assert reached == []


def test_one_that_is_held_back_ends_the_run_after_the_block():
    reached = []

    def work():
        with _signals.held_back():
            signal.raise_signal(signal.SIGTERM)
            reached.append("in the block")
        reached.append("after")

    assert "SIGTERM" in str(_ended(work))
    assert reached == ["in the block"]


def test_one_that_is_held_back_is_not_lost_where_the_block_fails():
    def work():
        with _signals.held_back():
            signal.raise_signal(signal.SIGINT)
            raise ValueError("lost connection")

    assert isinstance(_ended(work).__context__, ValueError)


def test_blocks_within_each_other():
    reached = []

    def work():
        with _signals.held_back():
            with _signals.held_back():
                reached.append("inner")
            signal.raise_signal(signal.SIGHUP)
            reached.append("outer")
        reached.append("after")

    _ended(work)
    assert reached == ["inner", "outer"]


def test_another_thread_ends_a_run_where_it_waits():
    end = threading.Timer(0.05, _signals.end_run, [Interrupted("Nobody waits for it.")])
    end.start()
    # The thread that waits is the one that is ended.
    assert "Nobody waits" in str(_ended(lambda: threading.Event().wait(30)))


@pytest.mark.parametrize("number", _NUMBERS)
def test_a_signal_that_another_thread_takes_ends_the_run_where_it_waits(number):
    def take():
        # Before it waits the main thread needs nobody to be woken.
        while sys._current_frames()[threading.main_thread().ident].f_code is not threading.Condition.wait.__code__:
            threading.Event().wait(0.01)
        threading.Event().wait(0.2)
        signal.pthread_kill(threading.get_ident(), number)

    other, begun = threading.Thread(target=take), time.monotonic()
    ending = _ended(lambda: (other.start(), threading.Event().wait(120)))
    other.join()
    assert number.name in str(ending)
    # Not at the end of the wait, where the main thread would act on it in any case.
    assert time.monotonic() - begun < 100


def test_the_thread_that_wakes_ends_with_the_run_and_leaves_no_file_open():
    before, files = set(threading.enumerate()), set(os.listdir("/proc/self/fd"))
    with _signals.as_interrupts():
        assert len(set(threading.enumerate()) - before) == 1
    assert set(threading.enumerate()) - before == set()
    assert set(os.listdir("/proc/self/fd")) == files


def test_what_ends_a_run_before_it_begins_is_not_lost():
    _signals.end_run(Interrupted("Nobody waits for it."))
    reached = []
    with pytest.raises(Interrupted), _signals.as_interrupts():
        reached.append("begun")
    assert reached == []


def test_a_signal_that_comes_with_the_end_of_the_task_does_not_kill():
    def work():
        try:
            _signals.end_run(Interrupted("Nobody waits for it."))
        finally:
            signal.raise_signal(signal.SIGTERM)

    assert "Nobody waits" in str(_ended(work))


def test_the_signal_is_ignored_where_somebody_else_sends_it():
    with _signals.as_interrupts():
        signal.raise_signal(signal.SIGURG)
        done = True
    assert done


def test_without_a_signal_a_block_changes_nothing():
    with _signals.as_interrupts(), _signals.held_back():
        done = True
    assert done

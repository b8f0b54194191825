# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose a snapshot is, and whether that run has ended."""

from __future__ import annotations

import dataclasses
import datetime
import os
import signal

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._temporary_snapshots import Owner, OwnerMark


def test_a_process_that_was_killed_and_not_waited_for_is_gone():
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:  # pragma: no cover
        os.write(tell, repr(dataclasses.astuple(Owner.this())).encode())
        signal.pause()
    owner = Owner(*_parsed(os.read(told, 4096)))
    try:
        assert (owner.pid, owner.is_gone()) == (pid, False)
        os.kill(pid, signal.SIGKILL)
        # It has ended, and is still there until it is waited for.
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert owner.is_gone()
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(told)
        os.close(tell)


def _parsed(text: bytes) -> tuple[str, int, str]:
    """The place, the process ID and the start, as the other process has written them."""
    place, pid, began = text.decode().strip("()").replace("'", "").split(", ")
    return place, int(pid), began


def test_a_mark_comes_back_from_its_text_for_the_one_it_was_made_for():
    mark = OwnerMark("a-disk", "run", Owner("place", 4, "5"), 60)
    assert OwnerMark.from_text(mark.as_text(), "a-disk") == mark
    for text, whose in ((mark.as_text(), "another"), ("", "a-disk"), ("[]", "a-disk"), ('{"vm": "a-disk"}', "a-disk")):
        assert OwnerMark.from_text(text, whose) is None


@pytest.mark.parametrize("seconds", ["1e999", "Infinity", "NaN", "[" * 5000, "[" * 200 + "]" * 200, '"never"'])
def test_a_mark_that_somebody_else_has_written_is_none(seconds):
    text = '{"vm": "a-disk", "run": "r", "place": "p", "pid": 1, "began": "1", "seconds": %s}'
    assert OwnerMark.from_text(text % 60, "a-disk") is not None
    assert OwnerMark.from_text(text % seconds, "a-disk") is None


def test_a_run_that_claims_to_take_for_ever_is_not_over():
    now = datetime.datetime.now(datetime.UTC)
    mark = OwnerMark("a-disk", "run", Owner("another place", 4, "5"), 10**40)
    assert not mark.is_over(now - datetime.timedelta(days=1), now)

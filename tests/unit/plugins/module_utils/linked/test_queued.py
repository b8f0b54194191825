# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clones for which a host has no room yet: vCenter queues their tasks."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.endings import Forked

_SIX = [{"name": f"web-{number}"} for number in range(6)]

# Longer than any test.
_FOR_EVER = ("--host-tasks", "2", "--clone-time", "1h")


def test_all_are_made_by_as_many_calls_as_without_a_limit(start):
    ran = start("--host-tasks", "2", "--clone-time", "5ms").run(clones=_SIX, disk_mode="full")
    assert ran.result["counts"] == {"created": 6}
    assert ran.called("CloneVM_Task") == 6


def test_at_the_deadline_those_that_wait_are_cancelled_and_make_nothing(start):
    tasks = start(*_FOR_EVER)
    before = tasks.names()
    ran = tasks.late("CloneVM_Task", 6, clones=_SIX, parallel=1)
    assert {clone["error"]["error_code"] for clone in ran.clones.values()} == {"cancelled"}
    assert ran.called("CancelTask") == 6
    assert tasks.names() == before


@pytest.mark.parametrize("name", ["TERM", "INT"])
def test_a_signal_while_tasks_are_queued_leaves_nothing_in_the_queue(start, tmp_path, name):
    tasks = start(*_FOR_EVER)
    before = tasks.names()
    asked = {"source": {"name": "golden"}, "snapshot": {"name": "base"}, "clones": _SIX}
    # The wait begins when all calls are made.
    rule = {"method": "WaitForUpdatesEx", "do": "signal", "signal": name}
    ended = Forked(tasks.sim, "linked_clone", tmp_path).run(asked, rule=rule)
    assert (ended.code, ended.result["error_code"]) == (1, "interrupted")
    assert ended.calls["CancelTask"] == 6
    # A run that is ended does not wait long for the ends of what it has cancelled.
    assert {clone["error_code"] for clone in ended.result["failures"]} <= {"cancelled", "still_running"}
    while tasks.names() != before:
        pass  # it has waited a while

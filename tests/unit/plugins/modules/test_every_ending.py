# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""However a module is ended: it ends in time, tells the truth, leaves nothing behind, and the next run converges.

Every module is in it by being there. By default each is ended in a quarter of the ways, by its place among the modules, so that
four modules beside each other are ended in all of them; with VFORGE_ENDINGS=all at ten moments in every way.
"""

from __future__ import annotations

import os
import pathlib

import pytest

from ansible_collections.vforge.vsphere.plugins import modules
from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.endings import STORIES, Forked
from vforge_ova import write_package

# What needs no vCenter has tests of its own.
_FILES = pathlib.Path(next(iter(modules.__path__))).glob("[!_]*.py")
_NAMES = sorted(file.stem for file in _FILES if "_argspec.connection()" in file.read_text(encoding="utf-8"))

_ALL = os.environ.get("VFORGE_ENDINGS") == "all"

# By default every second module meets sessions that end, and the others a full disk, as all do that write files.
_OF_SESSIONS = _NAMES if _ALL else _NAMES[::2]
_OF_DISKS = [name for place, name in enumerate(_NAMES) if _ALL or place % 2 or STORIES[name].files]
_TENTHS = [tenth / 10 for tenth in range(1, 11)]

# What a module may take to end after a signal, and with a server that does not answer, on a busy machine.
_SECONDS_AFTER_A_SIGNAL = 20
_SECONDS_OF_SILENCE = 30

_SIGNALS = {"TERM": [0.5, 0.8], "INT": [0.6], "KILL": [0.7]}
_SERVERS = {"silence": [0.5], "freeze": [0.7], "gone": [0.6], "restart": [0.5]}

# Errors of items of which it is not known whether they were done.
_NOT_KNOWN = {"still_running", "connection_lost", "call_timeout", "connection_timeout", "unreachable", "vcenter_unavailable"}


def test_every_module_has_its_story():
    assert sorted(STORIES) == _NAMES


class Scene:
    """One module against one simulator, in one attempt after the other."""

    def __init__(self, sim, which, folder):
        self.sim, self.which, self.story, self.folder = sim, which, STORIES[which], folder
        self.module = Forked(sim, which, folder)
        self.number = 0
        self.total = 0

    def measure(self):
        """How many calls an undisturbed run makes."""
        ended = self.run()
        assert ended.code == 0, ended.result
        self.total = ended.total
        self.story.check(self.sim, self.number)

    def run(self, **how):
        """A new attempt."""
        self.number += 1
        self.story.prepare(self.sim, self.number, self.folder)
        return self.again(**how)

    def again(self, connection_timeout=60, **how):
        """The attempt once more."""
        params = self.story.params(self.sim, self.number, self.folder)
        return self.module.run({"connection_timeout": connection_timeout, **params}, **how)

    def at(self, moment, **rule):
        """A rule that strikes at a part of all calls."""
        return {"method": "*", "nth": max(1, round(moment * self.total)), **rule}

    def converges(self):
        """Run again: now it succeeds, and all is as it should be; and then there is nothing left to be done."""
        ended = self.again()
        assert ended.code == 0, ended.result
        self.story.check(self.sim, self.number)
        assert self.again().result["changed"] is self.story.repeats
        assert list(self.module.temporary.iterdir()) == []

    def tells_the_truth(self, ended):
        """What is told as done is there, and what is told as not begun is not."""
        if self.story.made is None or self.story.entries not in ended.result:
            return
        there = self.story.made(self.sim, self.number)
        for entry in ended.result[self.story.entries]:
            code = entry.get("error", {}).get("error_code")
            if code is None:
                assert entry["name"] in there, ended.result
            elif code not in _NOT_KNOWN:
                assert entry["name"] not in there, (entry, ended)


@pytest.fixture(params=_NAMES)
def scene(request, make_sim, tmp_path):
    """Each module, measured."""
    if STORIES[request.param].images:
        request.getfixturevalue("libnbd")
    write_package(tmp_path / "ova")
    made = Scene(make_sim(*STORIES[request.param].flags), request.param, tmp_path)
    made.measure()
    return made


def _some(scene, ways):
    """Those of all ways that are this module's by default."""
    return ways if _ALL else ways[_NAMES.index(scene.which) % 4 :: 4]


def _moments(scene, table):
    return _some(scene, [(how, moment) for how, moments in table.items() for moment in (_TENTHS if _ALL else moments)])


def test_signals(scene):
    for name, moment in _moments(scene, _SIGNALS):
        ended = scene.run(rule=scene.at(moment, do="signal", signal=name, delay_ms=20))
        where = f"{name} at {moment} of {scene.total} calls: {ended}"
        assert ended.seconds < _SECONDS_AFTER_A_SIGNAL, where
        if name == "KILL":
            assert ended.code == -9 or ended.code == 0, where
        elif ended.code != 0:  # all was done when it came
            assert ended.result["error_code"] == "interrupted", where
            assert f"SIG{name}" in ended.result["msg"], where
            assert scene.sim.open_leases() == 0, where
            scene.tells_the_truth(ended)
        scene.converges()


def test_servers_that_do_not_answer(scene):
    for how, moment in _moments(scene, _SERVERS):
        # One that restarts is there again in time; the others are not.
        rule = scene.at(moment, do=how, **({"delay_ms": 500} if how == "restart" else {}))
        ended = scene.run(rule=rule, connection_timeout=3)
        where = f"{how} at {moment} of {scene.total} calls: {ended}"
        assert ended.seconds < _SECONDS_OF_SILENCE, where
        if ended.code != 0:
            assert ended.result["error_code"] != "internal_error", where
            assert "not_a_vcenter" not in str(ended.result), where
            scene.tells_the_truth(ended)
        else:  # all was done when it came, but for the end of its session
            is_over = not ended.struck or "DestroyPropertyCollector" in ended.calls
            assert how == "restart" or is_over or "could not be" in str(ended.result.get("warnings")), where
        scene.converges()


@pytest.mark.parametrize("scene", _OF_SESSIONS, indirect=True)
def test_sessions_that_end_every_twenty_calls(scene):
    for first in range(1, 21) if _ALL else _some(scene, [1, 1, 12, 12]):
        ended = scene.run(rule={"method": "*", "do": "expire", "nth": first, "every": 20, "times": 0})
        # A lease is its session's alone: one that never has twenty calls for itself ends with the task, and says so.
        failures = ended.result.get("failures") or [ended.result]
        late = {failure.get("error_code") for failure in failures} <= {"timeout", "not_attempted"}
        assert ended.code == 0 or (scene.story.imports and late), ended.result
        scene.converges()


@pytest.mark.parametrize("scene", _OF_DISKS, indirect=True)
def test_a_full_disk(scene):
    ended = scene.run(full_disk=True)
    if ended.code != 0:
        assert ended.result["error_code"] not in ("internal_error", "error"), ended.result
    else:
        assert not scene.story.files
    scene.converges()

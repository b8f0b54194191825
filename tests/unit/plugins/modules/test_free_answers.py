# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What vCenter may say in several ways every module understands as the same; where something is lacking it says so.

Every module does its task twice, with a relay before the simulator that answers as the API allows (`vforge_relay.py`), and
its results have to be those without a relay. By default all liberties are taken at once, by one seed;
VFORGE_SEEDS=1-20 tries each of them alone and all together with each of these seeds, VFORGE_KINDS=order,pages some of them;
besides, it has answers lack what is optional, and what a user may not read.
"""

from __future__ import annotations

import os
import re

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.connector.support import IMPOSTOR
from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.endings import STORIES, Forked
from vforge_ova import write_package
from vforge_relay import KINDS, OF_GAPS, Relayed
from vforge_sim import Simulator

_FIRST, _TO, _LAST = os.environ.get("VFORGE_SEEDS", "1").partition("-")
_SEEDS = range(int(_FIRST), int(_LAST or _FIRST) + 1)


def _ways():
    """Liberties that are taken together, with seeds."""
    asked = os.environ.get("VFORGE_KINDS")
    alone = asked.split(",") if asked else KINDS if "VFORGE_SEEDS" in os.environ else ()
    together = () if asked else (KINDS,)
    return [(kinds, seed) for kinds in (*((kind,) for kind in alone), *together) for seed in _SEEDS]


class Scene:
    """One module, each time against a simulator of its own."""

    def __init__(self, which, binary, folder):
        self._which, self._binary, self._folder = which, binary, folder
        self._story = STORIES[which]
        self._number = 0

    def results(self, kinds=(), seed=1):
        """What it returns when it does its task, and when it does it again."""
        with self._simulator(kinds, seed) as sim:
            self._prepare(sim)
            first = self._run(sim)
            self._story.check(sim, 1)
            return [_plain(first), _plain(self._run(sim))]

    def attempt(self, kinds, seed):
        """What it returns when its task may fail."""
        with self._simulator(kinds, seed) as sim:
            self._prepare(sim)
            params = self._story.params(sim, 1, self._files)
            return self._run(sim, timeout=20 + params.get("shutdown_timeout", 0) + params.get("tools_timeout", 0))

    def _simulator(self, kinds, seed):
        if not kinds:
            return Simulator(self._binary, *self._story.flags)
        return Relayed(self._binary, *self._story.flags, identity=IMPOSTOR, kinds=kinds, seed=seed)

    def _prepare(self, sim):
        self._number += 1
        self._files = self._folder / str(self._number)
        self._files.mkdir()
        write_package(self._files / "ova")
        self._story.prepare(sim, 1, self._files)

    def _run(self, sim, **changes):
        ended = Forked(sim, self._which, self._files).run(self._story.params(sim, 1, self._files) | changes)
        assert ended.code == 0 or changes, (ended.result.get("msg"), ended.result)
        return ended.result


@pytest.fixture(params=sorted(STORIES))
def scene(request, simulator_binary, tmp_path):
    """Each module."""
    if STORIES[request.param].images:
        request.getfixturevalue("libnbd")
    return Scene(request.param, simulator_binary, tmp_path)


def test_an_answer_may_come_in_any_way_that_the_api_allows(scene):
    usual = scene.results()
    different = {}
    for kinds, seed in _ways():
        found = _differences(usual, scene.results(kinds, seed))
        if found:
            different["all" if kinds == KINDS else kinds[0], seed] = found
    assert not different


if "VFORGE_SEEDS" in os.environ:

    def test_what_an_answer_lacks_ends_no_task_in_a_surprise(scene):
        for seed in _SEEDS:
            result = scene.attempt(OF_GAPS, seed)
            assert result.get("error_code") != "internal_error", (seed, result["trace"], result["msg"])


# What is another in each run: how far guests are, chance, and how long something took.
_UNLIKE = re.compile(
    "invocation|ip|ip_addresses|mac|local_ipv4|tools_running|delta_levels|stats|timing|calls|.*seconds|mib_per_second"
    "|sha256|digest|instance_id|.*_id|id|moid|.*uuid|at|created"
)
_SIGNS = re.compile(
    r"/\S*/test_\w+/\d+/|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}|\d{15,}"
    r"|\b(vm|task|host|snapshot|datastore|domain|resgroup|group|network)-[a-z]?\d+x?\b"
    r"|\d{8}[T-]\d{6}Z?|-[0-9a-f]{6,8}\b",
    re.IGNORECASE,
)


def _plain(value):
    """A result without what is another in each run."""
    if isinstance(value, dict):
        return {_SIGNS.sub("#", key): _plain(each) for key, each in value.items() if not _UNLIKE.fullmatch(key)}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return _SIGNS.sub("#", value) if isinstance(value, str) else value


def _differences(one, other, where=""):
    """The places at which two results differ, with what is there."""
    if isinstance(one, dict) and isinstance(other, dict):
        pairs = {f"{where}.{key}": (one.get(key), other.get(key)) for key in sorted({*one, *other})}
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = {f"{where}[{place}]": pair for place, pair in enumerate(zip(one, other, strict=True))}
    else:
        return {} if one == other else {where: (one, other)}
    return {at: what for place, pair in pairs.items() for at, what in _differences(*pair, place).items()}

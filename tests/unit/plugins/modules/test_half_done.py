# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was done before something failed is reported: ``changed`` is true as soon as anything was.

Each task of several changing calls is run once for each of its calls, with all calls of that name failing.
Every module is in it by its story of ``endings.py``, and those with several ways to change something by more.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.endings import STORIES, Forked, Story
from vforge_ova import write_package

_GOLDEN = {"name": "golden-parent"}

# The calls that change something. In a guest it is the start of a program; files of the collection go again.
_CHANGES = re.compile(r"(?!Check|Retrieve).*_Task$|MarkAs|(Shutdown|Reboot)Guest$|ImportVApp$|StartProgramInGuest$")


def _guest(sim: Any) -> dict[str, str]:
    return {"guest_username": sim.guest_username, "guest_password": sim.guest_password}


def _clone(name: str, **more: Any) -> dict[str, Any]:
    return {"source": {"name": "server-00002"}, "disk_mode": "full", "name": name, **more}


def _make_level(sim: Any, number: int, folder: Path) -> None:
    """A clone that is to become a template, and runs."""
    assert Forked(sim, "linked_clone", folder).run(_clone(f"level-{number}", as_template=True)).code == 0


def _plain_source(sim: Any, number: int, _folder: Path) -> None:
    sim.create_vm(f"source-{number}", on=False)


def _running_clones(sim: Any, number: int, folder: Path) -> None:
    for which in ("a", "b"):
        assert Forked(sim, "linked_clone", folder).run(_clone(f"vm-{number}-{which}", powered_on=True)).code == 0


def _used_parent(sim: Any, number: int, folder: Path) -> None:
    """A parent that runs and has delta disks."""
    params = {"parent": _GOLDEN, "name": f"used-{number}"}
    assert Forked(sim, "instant_clone", folder).run(params).code == 0


def _untracked(sim: Any, number: int, _folder: Path) -> None:
    sim.create_vm(f"vm-{number}", disks=[{"bytes": 2**22}])


def _children(sim: Any, number: int, folder: Path) -> None:
    params = {"parent": _GOLDEN, "state": "quiesced", "children": [{"name": f"child-{number}"}], **_guest(sim)}
    assert Forked(sim, "fork_parent", folder).run(params).code == 0


def _template(name: str, folder: Path, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "datacenter": "DC0",
        "cluster": "DC0_C0",
        "default_network": "VM Network",
        "source": str(folder / "ova" / "tiny.ova"),
        "takeover_after": 1,
        "timeout": 15,
        **more,
    }


def _older_version(sim: Any, number: int, folder: Path) -> None:
    """A template of another package has the name."""
    older = _template(f"tpl-{number}", folder, source=str(write_package(folder / "older", "older").ova))
    assert Forked(sim, "cached_ovf_template", folder).run(older).code == 0


# More ways to change something, by module.
_MORE = {
    "linked_clone, published": Story(
        lambda _sim, number, _folder: {"source": {"name": "server-00002"}, "name": f"level-{number}", "state": "published"},
        prepare=_make_level,
    ),
    "linked_clone, add_delta_disks": Story(
        lambda _sim, number, _folder: {
            "source": {"name": f"source-{number}"},
            "name": f"vm-{number}",
            "add_delta_disks": True,
        },
        prepare=_plain_source,
    ),
    "linked_clone, absent": Story(
        lambda _sim, number, _folder: {
            "source": {"name": "server-00002"},
            "state": "absent",
            "clones": [{"name": f"vm-{number}-a"}, {"name": f"vm-{number}-b"}],
        },
        prepare=_running_clones,
    ),
    "instant_clone, customize": Story(
        lambda sim, number, _folder: {
            "parent": _GOLDEN,
            "name": f"vm-{number}",
            "customize": {"linux": {"timezone": "UTC"}, "nics": [{"ip": "dhcp"}]},
            **_guest(sim),
        },
    ),
    "instant_clone_parent, collapse": Story(
        lambda _sim, _number, _folder: {"parent": _GOLDEN, "state": "running", "collapse_deltas": True},
        prepare=_used_parent,
    ),
    "cbt_changed_areas, power_cycle": Story(
        lambda _sim, number, _folder: {"vm": {"name": f"vm-{number}"}, "state": "enabled", "activation": "power_cycle"},
        prepare=_untracked,
    ),
    "fork_parent, absent": Story(
        lambda _sim, number, _folder: {
            "parent": _GOLDEN,
            "children": [{"name": f"child-{number}", "state": "absent"}],
        },
        flags=STORIES["fork_parent"].flags,
        prepare=_children,
    ),
    "cached_ovf_template, replace": Story(
        lambda _sim, number, folder: _template(f"tpl-{number}", folder, on_mismatch="replace", remove_old_versions=True),
        flags=STORIES["cached_ovf_template"].flags,
        prepare=_older_version,
    ),
}
_ALL = {**{name: story for name, story in STORIES.items() if not name.endswith("_info")}, **_MORE}

# These change nothing, whatever their calls.
_READERS = {"fleet_plan"}

# What a task undoes when it fails, by the call that fails.
_UNDONE = {
    ("cached_ovf_template", "ImportVApp"),
    ("cached_ovf_template, replace", "ImportVApp"),
    # The snapshot that was made for it was removed again.
    ("backup_clone", "CloneVM_Task"),
}


@dataclasses.dataclass
class _Attempts:
    """Attempts of one task, each with other names."""

    sim: Any
    which: str
    folder: Path
    number: int = 0

    def run(self, **rule: Any) -> Any:
        self.number += 1
        story = _ALL[self.which]
        story.prepare(self.sim, self.number, self.folder)
        module = Forked(self.sim, self.which.partition(",")[0], self.folder)
        return module.run(story.params(self.sim, self.number, self.folder), rule=rule or None)


@pytest.mark.parametrize("which", [name for name in _ALL if name not in _READERS])
def test_what_was_done_before_a_call_failed_is_reported(make_sim, tmp_path, request, which):
    if _ALL[which].images:
        request.getfixturevalue("libnbd")
    write_package(tmp_path / "ova")
    attempts = _Attempts(make_sim(*_ALL[which].flags), which, tmp_path)
    undisturbed = attempts.run()
    assert (undisturbed.code, undisturbed.result["changed"]) == (0, True), undisturbed
    changing = [method for method in undisturbed.calls if _CHANGES.match(method)]
    assert changing, undisturbed.calls
    for method in changing:
        do = "task-fault" if method.endswith("_Task") else "fault"
        ended = attempts.run(method=method, do=do, fault="SystemError", times=0)
        where = f"{method} of {changing}: {ended}"
        if ended.code == 0:
            continue
        carried_out = [name for name in changing if name != method and ended.calls.get(name)]
        assert ended.result["changed"] is (bool(carried_out) and (which, method) not in _UNDONE), where

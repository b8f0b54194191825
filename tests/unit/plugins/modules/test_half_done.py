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

from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.endings import STORIES, Forked
from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.ways import WAYS
from vforge_ova import write_package

# The calls that change something. In a guest it is the start of a program; files of the collection go again.
_CHANGES = re.compile(
    r"(?!Check|Retrieve).*_Task$|MarkAs|.*AuthorizationRole$|(Shutdown|Reboot)Guest$|ImportVApp$|StartProgramInGuest$"
)


_ALL = {**{name: story for name, story in STORIES.items() if not name.endswith("_info")}, **WAYS}

# These change nothing, whatever their calls.
_READERS = {"fleet_plan", "vm_guest_check"}

# What a task undoes when it fails, by the call that fails.
_UNDONE = {
    # It is marked as a template again, and is what it was.
    ("capv_template", "MarkAsVirtualMachine"),
    ("capv_template", "UpgradeVM_Task"),
    ("cached_ovf_template", "ImportVApp"),
    ("vmdk, imported", "ReconfigVM_Task"),
    ("vmdk, imported", "MoveVirtualDisk_Task"),
    # The file that says that a copy has begun was deleted.
    ("vmdk, copied", "CopyVirtualDisk_Task"),
    ("cached_ovf_template, replace", "ImportVApp"),
    # The snapshot that was made for it was removed again.
    ("backup_clone", "CloneVM_Task"),
    # The only disk did not get to its place, and was deleted with the VM of its import.
    ("vm_restore", "ReconfigVM_Task"),
    ("vm_restore", "MoveVirtualDisk_Task"),
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

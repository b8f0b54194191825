# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changed areas of first class disks that no VM has, through the code for disks of VMs."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._cbt import first_class, task
from ansible_collections.vforge.vsphere.plugins.module_utils._cbt.model import AreaOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption
from ansible_collections.vforge.vsphere.plugins.module_utils._temporary_snapshots import Owner
from ansible_collections.vforge.vsphere.plugins.modules import cbt_changed_areas
from ansible_collections.vforge.vsphere.tests.unit.plugins.accepted import accepted
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.fcd.running import (
    STORE,
    Disks,
    entry,
)
from ansible_collections.vforge.vsphere.tests.unit.plugins.running import Ran, succeeded
from ansible_collections.vforge.vsphere.tests.unit.plugins.unreturned import no_results

NAMED = {"name": "d", "datastore": STORE}


class Areas(Disks):
    """Asks about the disk d."""

    def attempt_areas(self, *, check: bool = False, disk=None, **given) -> Ran:
        """Ask; this may fail."""
        params = {"first_class_disk": {**NAMED, **(disk or {})}, **given}
        options = AreaOptions.from_params(accepted(cbt_changed_areas.argument_spec(), params))
        ran = self.ran(
            lambda session: first_class.run(session, options, options.disk, check=check),
            before=lambda: task.prepare(options),
        )
        return self.documented(ran, "cbt_changed_areas")

    def areas(self, **given) -> dict:
        """Ask, and the entry of the disk."""
        ran = succeeded(self.attempt_areas(**given))
        assert ran.result["vms"] == []
        (found,) = ran.result["first_class_disks"]
        return found

    def commit(self, question: str, path: str) -> None:
        """Commit a question."""
        given = {"state": "committed", "question": question, "state_file": path}
        options = AreaOptions.from_params(accepted(cbt_changed_areas.argument_spec(), given))
        task.commit(options, self.warnings.append, check=False)


@pytest.fixture
def areas(make_sim, tmp_path, monkeypatch):
    """A simulator with the tracked disk d of 8 MiB."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    made = Areas(make_sim("--vms", "1"))
    made.one(name="d", size="8 MiB", change_tracking=True)
    made.id = entry(made.one(name="d"))["id"]
    made.sim.datastore_type(STORE, "VMFS")
    return made


def test_the_snapshot_that_a_killed_query_has_left_goes_with_the_next_one(areas, monkeypatch):
    def leave():
        with monkeypatch.context() as killed:
            # What a run that is killed does not come to.
            killed.setattr(first_class, "_remove", lambda *_args: True)
            areas.areas()
        assert areas.seen(areas.id)["snapshots"] == 1

    leave()
    # Its process, this one, may still be at work.
    beside = areas.areas()
    assert "may still be at work" in beside["warnings"][0]
    assert areas.seen(areas.id)["snapshots"] == 1
    monkeypatch.setattr(Owner, "is_gone", lambda _self: True)
    checked = areas.areas(check=True)
    assert (checked["actions"], areas.seen(areas.id)["snapshots"]) == (["leftover_removed"], 1)
    cleaned = areas.areas()
    assert (cleaned["actions"], cleaned["changed"], areas.seen(areas.id)["snapshots"]) == (["leftover_removed"], True, 0)
    assert (areas.areas()["actions"], areas.areas()["changed"]) == ([], False)


def test_what_was_written_between_two_questions_is_returned(areas, tmp_path):
    path = str(tmp_path / "state.json")
    areas.write(areas.id, 0)
    first = succeeded(areas.attempt_areas(state_file=path))
    (found,) = first.result["first_class_disks"]
    assert found["full_required_code"] == "no_change_id"
    areas.commit(first.result["question"]["id"], path)
    areas.write(areas.id, 4096)
    second = areas.areas(state_file=path)
    assert second["since"] == found["change_id"]
    assert second["areas"] == [{"start": 4096, "length": 512}]
    assert areas.seen(areas.id)["snapshots"] == 0


def test_areas_in_use_and_a_changeid_of_the_users_own(areas):
    areas.write(areas.id, 512)
    found = areas.areas()
    assert (found["since"], found["areas"]) == ("*", [{"start": 512, "length": 512}])
    areas.write(areas.id, 8192)
    assert areas.areas(change_id=found["change_id"])["areas"] == [{"start": 8192, "length": 512}]


def test_a_snapshot_that_is_named_stays(areas):
    made = areas.snapshots({"disk": {"name": "d"}, "description": "kept"})
    areas.write(areas.id, 0)
    for named in ({"description": "kept"}, {"id": entry(made)["id"]}):
        found = areas.areas(disk={"snapshot": named})
        assert found["areas"] == []
    ran = areas.attempt_areas(disk={"snapshot": {"description": "none"}})
    assert ran.code == "not_found"
    assert areas.seen(areas.id)["snapshots"] == 1


def test_a_snapshot_that_vcenter_does_not_return_is_known_by_its_mark(areas, monkeypatch):
    kept = entry(areas.snapshots({"disk": {"name": "d"}, "description": "kept"}))["id"]
    areas.write(areas.id, 512)
    no_results(monkeypatch)
    found = areas.areas()
    assert found["areas"] == [{"start": 512, "length": 512}]
    assert found["snapshot"]["id"] != kept
    assert areas.seen(areas.id)["snapshots"] == 1


def test_a_disk_that_is_not_tracked_has_to_be_read_whole(areas):
    areas.one(name="d", change_tracking=False)
    found = areas.areas()
    assert (found["full_required"], found["full_required_code"]) == (True, "not_tracked")
    assert any("change_tracking" in text for text in areas.warnings)
    failed = areas.attempt_areas(on_full_required="fail")
    (told,) = failed.result["first_class_disks"]
    assert told["error"]["error_code"] == "full_required"


def test_a_disk_that_a_vm_has_is_asked_of_that_vm(areas):
    areas.sim.create_vm("box", on=False)
    areas.one(name="d", attached_to={"name": "box"})
    ran = areas.attempt_areas()
    assert "Set vm in place of first_class_disk" in str(ran.error)
    assert "VStorageObjectCreateSnapshot_Task" not in ran.calls


def test_the_datacenter_of_a_disk_is_named_in_any_spelling(areas):
    wrong = areas.attempt_areas(datacenter="DC9")
    assert (wrong.code, str(wrong.error)) == ("not_found", "No datacenter DC9 was found. There are: DC0.")
    areas.sim.govc("object.rename", "/DC0", "R&D%2fEU")
    for spelling in ("R&D/EU", "/R&D%2FEU"):
        assert areas.areas(datacenter=spelling)["name"] == "d"


def test_the_snapshot_goes_also_when_the_question_fails(areas):
    areas.sim.inject(method="VstorageObjectVCenterQueryChangedDiskAreas", do="fault", fault="SystemError")
    ran = areas.attempt_areas()
    (told,) = ran.result["first_class_disks"]
    assert told["error"]["error_code"] == "system_error"
    assert areas.seen(areas.id)["snapshots"] == 0


def test_a_snapshot_that_stays_is_said_to(areas):
    areas.sim.inject(method="DeleteSnapshot_Task", do="task-fault", fault="SystemError")
    found = areas.areas()
    assert "first_class_disk_snapshot" in found["warnings"][0]


def test_check_mode_makes_no_snapshot(areas):
    ran = succeeded(areas.attempt_areas(check=True))
    assert "VStorageObjectCreateSnapshot_Task" not in ran.calls
    (found,) = ran.result["first_class_disks"]
    assert (found["full_required"], found["since"], found["areas"]) == (False, "*", None)


def test_areas_come_in_pages(areas):
    areas.one(name="d", size="32 MiB")
    areas.sim.request(
        "POST",
        f"/fcds/{areas.id}/writes",
        {"offset": 0, "length": 512, "seed": 1, "count": 4500, "stride": 4096},
    )
    ran = succeeded(areas.attempt_areas(areas_limit=5000))
    assert ran.called("VstorageObjectVCenterQueryChangedDiskAreas") == 3
    (found,) = ran.result["first_class_disks"]
    assert (found["area_count"], len(found["areas"])) == (4500, 4500)


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"vm": {"name": "box"}}, "first_class_disk"),
        ({"state": "enabled"}, "first_class_disk"),
        ({"create_snapshot": "never"}, "create_snapshot"),
    ],
)
def test_what_does_not_go_together_is_refused(areas, given, option):
    if option == "create_snapshot":
        assert areas.attempt_areas(**given).error.details["option"] == option
        return
    with pytest.raises(InvalidOption) as refused:
        areas.attempt_areas(**given)
    assert refused.value.details["option"] == option

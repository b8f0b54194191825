# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups by clones: what is made, what counts as one, and what is kept."""

from __future__ import annotations

import dataclasses
import datetime
import threading
import types
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._clone_backup import plan, task
from ansible_collections.vforge.vsphere.plugins.module_utils._clone_backup.model import BackupOptions, Mark, Vm, backup_name
from ansible_collections.vforge.vsphere.plugins.module_utils._connector import batch, names
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.props import read
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.pyvmomi import vim
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.session import Session
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption
from ansible_collections.vforge.vsphere.plugins.module_utils._retention import Retention
from ansible_collections.vforge.vsphere.plugins.modules.backup_clone import argument_spec
from ansible_collections.vforge.vsphere.tests.unit.plugins.accepted import accepted
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.connector.support import make_vapp, session
from ansible_collections.vforge.vsphere.tests.unit.plugins.running import Runner

NOW = datetime.datetime(2026, 5, 30, 2, tzinfo=datetime.UTC)


class Backups(Runner):
    """Runs backups against one simulator."""

    module = "backup_clone"

    def work(self, given, check):
        params = accepted(argument_spec(), {**given, "vm": {"name": given["vm"]}} if "vm" in given else given)
        options = BackupOptions.from_params(params)
        return lambda session: task.run(session, options, check=check)

    def vm(self, *, on=False):
        name = f"kept-{uuid.uuid4().hex[:8]}"
        self.sim.create_vm(name, on=True)
        self.sim.write_disk(name, offset=0, length=2**20)
        if not on:
            self.sim.govc("vm.power", "-off", name)
        return name

    def old(self, source, days, name=None, value=None):
        """A backup that was made some days ago."""
        at = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=days)
        name = name or f"{source}-old-{days}"
        mark = Mark(at, "crash", self.sim.vm(source)["instance_uuid"], name)
        self.sim.create_vm(name, on=False)
        self.sim.govc("vm.change", "-vm", name, "-e", f"vforge.backup={value or mark}")
        return name

    def there(self, name):
        return bool(self.sim.govc("find", "/", "-type", "m", "-name", name))


@pytest.fixture
def backups(shared_sim, tmp_path, monkeypatch):
    """Backups against the simulator of many tests."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return Backups(shared_sim)


def test_a_backup_is_a_clone_that_is_off_with_its_mark_and_disks_of_its_own(backups):
    name = backups.vm()
    entry = backups.run(vm=name).vms[0]
    assert entry["actions"] == ["cloned"]
    made = backups.sim.vm(entry["backup"]["name"])
    assert made["power"] == "poweredOff"
    assert made["extra_config"]["vforge.backup"].endswith(f" {backups.sim.vm(name)['instance_uuid']} {made['name']}")
    source_files = {file for disk in backups.sim.vm(name)["disks"] for file in disk["files"]}
    assert not source_files & {file for disk in made["disks"] for file in disk["files"]}
    data = [backups.sim.read_disk(each, length=2 * 2**20) for each in (name, made["name"])]
    assert data[0] == data[1]
    assert data[0].strip(b"\0")


@pytest.mark.parametrize("name", ["a/b", "c%2fd", "e%f"])
def test_a_vm_whose_name_has_escapes_has_a_backup_of_that_name(backups, name):
    source, shown = backups.vm(), names.unescape(name)
    backups.sim.govc("vm.change", "-vm", source, "-name", name)
    made = backups.run(vm=name).vms[0]["backup"]["name"]
    assert made.startswith(f"{shown}-")
    for each in (made, shown):
        backups.sim.govc("vm.destroy", "-vm.ipath", f"/DC0/vm/{names.escape(each)}")


@pytest.mark.parametrize("drs", ["off", "manual", "fullyAutomated"])
def test_a_backup_is_in_the_pool_of_its_source_whoever_chooses_hosts(make_sim, drs):
    backups = Backups(make_sim("--vms", "0"))
    name = backups.vm()
    backups.sim.cluster_drs("DC0_C0", drs)
    made = backups.sim.vm(backups.run(vm=name).vms[0]["backup"]["name"])
    assert [made[place] for place in ("pool", "host")] == [backups.sim.vm(name)[place] for place in ("pool", "host")]


@pytest.mark.parametrize("drs", ["off", "fullyAutomated"])
def test_a_template_has_a_backup_in_the_root_pool_of_its_host(make_sim, drs):
    backups = Backups(make_sim("--vms", "0"))
    name = backups.vm()
    backups.sim.govc("vm.markastemplate", name)
    backups.sim.cluster_drs("DC0_C0", drs)
    made = backups.sim.vm(backups.run(vm=name).vms[0]["backup"]["name"])
    assert (made["pool"], made["power"]) == ("/DC0/host/DC0_C0/Resources", "poweredOff")


def test_the_backup_of_a_vm_in_a_vapp_is_not_in_it(make_sim):
    """Else it would be started with the vApp, beside its source."""
    backups = Backups(make_sim("--vms", "0", "--parents", "0"))
    with session(backups.sim) as known:
        vapp = make_vapp(known, "shop", "till")
        backups.run(vm="till", folder="/DC0/vm", check=True)
        entry = backups.run(vm="till", folder="/DC0/vm").vms[0]
        rows = read(known, [vapp], vim.VirtualApp, ("vm",))
        inside = [vm._GetMoId() for vm in rows[vapp._GetMoId()].get("vm")]
    assert (inside, backups.sim.vm(entry["backup"]["name"])["pool"]) == ([entry["moid"]], "/DC0/host/DC0_C0/Resources")


def test_a_template_whose_root_pool_nobody_sees_is_refused():
    unseen = Vm(moid="vm-1", name="a", path="/DC0/vm/a", power_state="poweredOff", in_pool=False)
    with pytest.raises(plan.NotClonable, match="does not see the root resource pool"):
        plan.decide(unseen, [], _options(), NOW)


def test_a_backup_that_vcenter_does_not_return_fails_its_vm_and_counts_in_the_next_run(backups, monkeypatch):
    name = backups.vm()
    with monkeypatch.context() as patch:
        patch.setattr(batch._Batch, "_ended", _without_result(batch._Batch._ended))
        patch.setattr(batch, "read", lambda *_args: {})
        ran = backups.attempt(vm=name)
    assert (ran.code, ran.vms[0]["backup"]) == ("task_gone", None)
    assert backups.run(vm=name, fresh_hours=1).vms[0]["actions"] == []


def test_a_snapshot_that_vcenter_does_not_return_is_known_by_its_mark(backups, monkeypatch):
    name = backups.vm(on=True)
    ended = batch._Batch._ended

    def without_snapshot(self, moid, end):
        unreturned = isinstance(end.result, vim.vm.Snapshot)
        ended(self, moid, dataclasses.replace(end, result=None) if unreturned else end)

    monkeypatch.setattr(batch._Batch, "_ended", without_snapshot)
    monkeypatch.setattr(batch, "read", lambda *_args: {})
    entry = backups.run(vm=name, quiesce="no").vms[0]
    assert entry["backup"]["consistency"] == "crash"
    assert not backups.sim.govc("snapshot.tree", "-vm", name)


def _options(**given):
    return BackupOptions.from_params(accepted(argument_spec(), {"vm": {"name": "a"}, **given}))


def _without_result(real):
    def ended(self, moid, end):
        real(self, moid, dataclasses.replace(end, result=None))

    return ended


def test_a_running_vm_is_cloned_from_a_snapshot_that_is_gone_then(backups):
    name = backups.vm(on=True)
    entry = backups.run(vm=name, quiesce="no").vms[0]
    assert entry["backup"]["consistency"] == "crash"
    assert not backups.sim.govc("snapshot.tree", "-vm", name)


def test_vms_of_one_name_have_backups_of_two_names_in_one_folder(backups):
    name = backups.vm()
    for folder in ("one", "other", "backups"):
        backups.sim.govc("folder.create", f"/DC0/vm/{name}-{folder}")
    backups.sim.govc("object.mv", f"/DC0/vm/{name}", f"/DC0/vm/{name}-one")
    backups.sim.create_vm(name, on=False)
    backups.sim.govc("object.mv", f"/DC0/vm/{name}", f"/DC0/vm/{name}-other")
    paths = [f"/DC0/vm/{name}-{folder}/{name}" for folder in ("one", "other")]
    run = backups.run(vms=[{"path": path} for path in paths], folder=f"/DC0/vm/{name}-backups")
    made = {entry["backup"]["name"] for entry in run.vms}
    assert len(made) == 2
    assert all(each.startswith(f"{name}-") for each in made)


def test_backups_of_one_second_have_names_of_their_own(backups, monkeypatch):
    name, now = backups.vm(), datetime.datetime.now(datetime.UTC)
    monkeypatch.setattr(Session, "current_time", lambda _session: now)
    made = [backups.run(vm=name).vms[0]["backup"]["name"] for _run in range(3)]
    assert made == [backup_name(types.SimpleNamespace(name=name), now, number=number) for number in (1, 2, 3)]
    assert made[1] == f"{made[0]}-2"
    counted = backups.run(vm=name, fresh_hours=1).vms[0]
    assert (counted["actions"], counted["backups"]) == ([], sorted(made))


def test_a_name_of_a_backup_that_is_taken_for_ever_is_an_error(backups):
    name = backups.vm()
    backups.sim.inject(method="CloneVM_Task", name=f"{name}-*", do="task-fault", fault="DuplicateName", times=0)
    ran = backups.attempt(vm=name)
    backups.sim.clear()
    assert (ran.code, ran.called("CloneVM_Task"), ran.vms[0]["backup"]) == ("duplicate_name", 9, None)


def test_the_consistency_that_was_reached_is_in_the_result_and_in_the_mark(backups):
    name = backups.vm(on=True)
    backups.sim.patch_guest(name, tools="running")
    entry = backups.run(vm=name, quiesce="require").vms[0]
    assert entry["backup"]["consistency"] == "file_system"
    assert " file_system " in backups.sim.vm(entry["backup"]["name"])["extra_config"]["vforge.backup"]


@pytest.mark.parametrize(("quiesce", "made"), [("try", True), ("require", False)])
def test_when_quiescing_fails_the_choice_decides(backups, quiesce, made):
    name = backups.vm(on=True)
    backups.sim.patch_guest(name, tools="running")
    backups.sim.inject(method="CreateSnapshot_Task", nth=1, do="fault", fault="FilesystemQuiesceFault")
    entry = backups.attempt(vm=name, quiesce=quiesce).vms[0]
    assert ("cloned" in entry["actions"]) is made
    assert (entry["backup"] or {}).get("consistency") == ("crash" if made else None)
    assert not backups.sim.govc("snapshot.tree", "-vm", name)


@pytest.mark.parametrize(("quiesce", "consistency"), [("try", "crash"), ("require", None)])
def test_a_guest_whose_tools_stop_before_the_snapshot_is_not_called_quiesced(backups, quiesce, consistency):
    name = backups.vm(on=True)
    backups.sim.patch_guest(name, tools="running")
    rule = backups.sim.inject(method="CreateSnapshot_Task", name=name, do="delay")
    backups.sim.reset_calls()

    def stop():
        if backups.sim.called("CreateSnapshot_Task", 1, within=30):
            backups.sim.patch_guest(name, tools="notRunning")
        backups.sim.clear(rule)

    stopping = threading.Thread(target=stop)
    stopping.start()
    entry = backups.attempt(vm=name, quiesce=quiesce).vms[0]
    stopping.join()
    assert (entry["backup"] or {}).get("consistency") == consistency
    if consistency:
        assert "so its backup is crash-consistent" in entry["warnings"][0]
    else:
        assert entry["error"]["error_code"] == "not_quiesced"
    assert not backups.sim.govc("snapshot.tree", "-vm", name)


def test_a_fresh_backup_is_enough(backups):
    name = backups.vm()
    first, second = (backups.run(vm=name, fresh_hours=1) for _number in range(2))
    assert second.result["changed"] is False
    assert second.vms[0]["backup"]["name"] == first.vms[0]["backup"]["name"]
    assert second.called("CloneVM_Task") == 0
    assert second.total <= 10


def test_a_fresh_backup_that_is_not_as_consistent_as_asked_is_not_enough(backups):
    name = backups.vm(on=True)
    backups.sim.patch_guest(name, tools="running")
    asked = {"vm": name, "fresh_hours": 1}
    assert backups.run(**asked, quiesce="no").vms[0]["backup"]["consistency"] == "crash"
    assert backups.run(**asked, quiesce="try").result["changed"] is False
    assert backups.run(**asked, quiesce="require", check=True).result["changed"] is True


def test_a_named_snapshot_is_cloned_full_or_linked(backups):
    name = backups.vm()
    backups.sim.govc("snapshot.create", "-vm", name, "-m=false", "before")
    entry = backups.run(vm=name, snapshot={"name": "before"}, mode="linked").vms[0]
    assert entry["backup"]["independent"] is False
    base = backups.sim.vm(name)["disks"][0]["files"][-1]
    assert base in backups.sim.vm(entry["backup"]["name"])["disks"][0]["files"]


def test_a_linked_clone_without_a_snapshot_is_refused(backups):
    with pytest.raises(InvalidOption, match="rests on a snapshot"):
        backups.attempt(vm="web", mode="linked")


def test_old_backups_go_by_number_and_age_and_vms_of_others_stay(backups):
    name = backups.vm()
    old = [backups.old(name, days) for days in (1, 5, 20, 40)]
    stranger = backups.old(name, 90, name=f"{name}-stranger", value="20200101T000000Z crash x y")
    other = backups.old(backups.vm(), 90)
    checked = backups.run(vm=name, keep_last=2, keep_days=10, check=True).vms[0]
    assert [each["name"] for each in checked["removed"]] == [old[3], old[2]]
    assert backups.there(old[3])
    entry = backups.run(vm=name, keep_last=2, keep_days=10).vms[0]
    assert [each["name"] for each in entry["removed"]] == [old[3], old[2]]
    assert [backups.there(each) for each in (*old, stranger, other)] == [True, True, False, False, True, True]


def test_an_old_backup_that_somebody_renames_while_vms_are_cloned_stays(backups):
    name = backups.vm()
    kept, gone = backups.old(name, 40), backups.old(name, 50)

    def rename():
        backups.sim.govc("object.rename", f"/DC0/vm/{kept}", f"{kept}-ours")

    entry = backups.meanwhile("CloneVM_Task", 1, rename, vm=name, keep_last=1).vms[0]
    assert [each["name"] for each in entry["removed"]] == [gone]
    assert any(f"was renamed to {kept}-ours meanwhile" in warning for warning in entry["warnings"])
    assert [backups.there(each) for each in (f"{kept}-ours", gone)] == [True, False]


def test_one_of_each_month_stays_where_that_is_asked_for(backups, monkeypatch):
    name = backups.vm()
    # Sixty days apart, no two are of one month.
    old = [backups.old(name, days) for days in (60, 120, 400)]
    entry = backups.run(vm=name, keep_monthly=3).vms[0]
    assert [each["name"] for each in entry["removed"]] == [old[2]]
    assert [backups.there(each) for each in old] == [True, True, False]
    # The next one may be of the same second, and has to have another name.
    monkeypatch.setattr(task, "backup_name", lambda vm, _at, **how: backup_name(vm, NOW, **how))
    # The one of a minute ago is of today, as the newest is.
    assert [each["name"] for each in backups.run(vm=name, keep_daily=1).vms[0]["removed"]] == [
        old[1],
        old[0],
        entry["backup"]["name"],
    ]


def test_an_old_backup_whose_disks_a_linked_clone_uses_stays(backups):
    name = backups.vm()
    used, free = backups.old(name, 40), backups.old(name, 50)
    backups.sim.govc("snapshot.create", "-vm", used, "-m=false", "to look at")
    backups.sim.create_vm(f"{name}-look", on=False)
    (base,) = backups.sim.vm(used)["disks"][0]["files"][1:]
    file = base.removeprefix("[LocalDS_0] ")
    backups.sim.govc("vm.disk.attach", "-vm", f"{name}-look", "-ds", "LocalDS_0", "-disk", file, "-link=true")
    for check in (True, False):
        entry = backups.run(vm=name, keep_last=1, check=check).vms[0]
        assert [each["name"] for each in entry["removed"]] == [free]
        assert any(f"used by {name}-look" in warning for warning in entry["warnings"])
    assert (backups.there(used), backups.there(free)) == (True, False)


def test_an_old_backup_stays_that_a_vm_has_a_disk_of(backups):
    """Files are got out of a backup so: its disk is attached to another VM."""
    name = backups.vm()
    used, free = backups.old(name, 40), backups.old(name, 50)
    backups.sim.create_vm(f"{name}-files", on=False)
    file = backups.sim.vm(used)["disks"][0]["files"][0].removeprefix("[LocalDS_0] ")
    backups.sim.govc("vm.disk.attach", "-vm", f"{name}-files", "-ds", "LocalDS_0", "-disk", file, "-link=false")
    for check in (True, False):
        entry = backups.run(vm=name, keep_last=1, check=check).vms[0]
        assert [each["name"] for each in entry["removed"]] == [free]
        assert any(f"used by {name}-files" in warning for warning in entry["warnings"])
    assert (backups.there(used), backups.there(free)) == (True, False)


def test_an_old_backup_stays_whose_disk_one_has_that_stays(backups):
    name = backups.vm()
    below, used, free = (backups.old(name, days) for days in (30, 40, 50))
    backups.sim.create_vm(f"{name}-files", on=False)
    for owner, user in ((used, f"{name}-files"), (below, used)):
        file = backups.sim.vm(owner)["disks"][0]["files"][0].removeprefix("[LocalDS_0] ")
        backups.sim.govc("vm.disk.attach", "-vm", user, "-ds", "LocalDS_0", "-disk", file, "-link=false")
    entry = backups.run(vm=name, keep_last=1).vms[0]
    assert [each["name"] for each in entry["removed"]] == [free]
    (about,) = [warning for warning in entry["warnings"] if f"/{below} is" in warning]
    assert f"used by {used}." in about
    assert [backups.there(each) for each in (below, used, free)] == [True, True, False]


def test_nothing_is_removed_of_a_vm_whose_backup_failed(backups):
    name = backups.vm()
    old = backups.old(name, 40)
    backups.sim.inject(method="CloneVM_Task", nth=1, do="task-fault", fault="SystemError")
    assert backups.attempt(vm=name, keep_last=1).error is not None
    assert backups.there(old)


def test_a_backup_that_runs_is_not_removed(backups):
    name = backups.vm()
    old = backups.old(name, 40)
    backups.sim.govc("vm.power", "-on", old)
    entry = backups.run(vm=name, keep_last=1).vms[0]
    assert entry["removed"] == []
    assert "stays since it is not off" in entry["warnings"][0]
    assert backups.there(old)


def test_a_clone_of_a_backup_is_no_backup():
    mark = Mark(NOW, "crash", "u", "web-backup-1")
    assert Mark.of(str(mark), "web-backup-1") == mark
    assert Mark.of(str(mark), "web-restored") is None


@pytest.mark.parametrize("value", ["", "x", "20260101T000000Z crash u", "yesterday crash u web", "20260101T000000Z good u web"])
def test_what_is_no_mark_makes_no_backup(value):
    assert Mark.of(value, "web") is None


@pytest.mark.parametrize(
    ("last", "days", "gone"),
    [(None, None, []), (1, None, [40, 20, 5]), (2, None, [40, 20]), (None, 10, [40, 20]), (1, 30, [40]), (9, 1, [])],
)
def test_what_is_kept(last, days, gone):
    made = [(NOW - datetime.timedelta(days=age), age) for age in (20, 1, 40, 5)]
    assert Retention(last, days).expired(made, NOW) == gone


@given(ages=st.lists(st.integers(0, 100), min_size=1), last=st.none() | st.integers(1, 9), days=st.none() | st.integers(1, 90))
def test_the_newest_is_always_kept(ages, last, days):
    made = [(NOW - datetime.timedelta(days=age), number) for number, age in enumerate(ages)]
    gone = Retention(last, days).expired(made, NOW)
    kept = [ages[number] for _at, number in made if number not in gone]
    assert min(ages) in kept
    assert len(kept) >= min(last or 1, len(ages))


@pytest.mark.parametrize("option", ["keep_last", "keep_days", "keep_daily", "keep_weekly", "keep_monthly"])
def test_nothing_kept_is_refused(option):
    with pytest.raises(InvalidOption, match=option):
        Retention.from_params({option: 0})

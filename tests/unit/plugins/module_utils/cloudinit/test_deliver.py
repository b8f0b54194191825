# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Delivering to VMs of the simulator: what is there afterwards, what a second run does, and what it costs."""

from __future__ import annotations

import json

import pytest
from pyVim.task import WaitForTask
from pyVmomi import vim

from ansible_collections.vforge.vsphere.plugins.module_utils._cloudinit import bundle, report_script, task
from ansible_collections.vforge.vsphere.plugins.module_utils._cloudinit.model import Machine
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.session import Session
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption, NotSupported
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.cloudinit.running import Cloud

NEVER_SHOWN = "hunter2-and-more"
GIVEN = {"metadata": {"local_hostname": "web-1"}, "userdata": {"password": NEVER_SHOWN}}


def test_data_are_delivered_compared_changed_and_taken_away(cloud, vm):
    name = vm()
    first = cloud.run(vm={"name": name}, **GIVEN)
    assert (first.one["actions"], first.one["takes_effect"]) == (["delivered"], "at_power_on")
    assert json.loads(cloud.delivered(name, "userdata").partition("\n")[2]) == GIVEN["userdata"]
    metadata = json.loads(cloud.delivered(name, "metadata"))
    assert metadata == {"local-hostname": "web-1", "instance-id": first.one["instance_id"]}
    assert metadata["instance-id"].startswith(cloud.sim.vm(name)["instance_uuid"])
    before = cloud.config(name)
    assert cloud.run(vm={"name": name}, **GIVEN).result["changed"] is False

    renamed = cloud.run(vm={"name": name}, **{**GIVEN, "metadata": {"local_hostname": "web-2"}})
    assert [change["key"] for change in renamed.one["changed_keys"]] == ["guestinfo.metadata"]
    assert renamed.one["instance_id"] == first.one["instance_id"]  # a name is no new instance
    changed = cloud.run(vm={"name": name}, **{**GIVEN, "userdata": {"password": "other"}})
    assert changed.one["instance_id"] != first.one["instance_id"]
    assert [change["key"] for change in changed.one["changed_keys"]] == ["guestinfo.metadata", "guestinfo.userdata"]
    cloud.run(vm={"name": name}, **GIVEN)
    assert cloud.config(name) == before

    gone = cloud.run(vm={"name": name}, state="absent")
    assert gone.one["actions"] == ["removed"]
    assert cloud.config(name) == {}
    assert cloud.run(vm={"name": name}, state="absent").calls.get("ReconfigVM_Task", 0) == 0


@pytest.mark.parametrize("there", ["plain", "base64", "gzip+base64"])
def test_another_encoding_or_spelling_is_no_difference(cloud, vm, there):
    name = vm()
    first = cloud.run(vm={"name": name}, encoding=there, **GIVEN)
    written = f"# by hand\ninstance-id: {first.one['instance_id']}\nlocal-hostname: web-1\n"
    assert cloud.run(vm={"name": name}, metadata=written, encoding=there).result["changed"] is False
    assert cloud.run(vm={"name": name}, **GIVEN).result["changed"] is False


def test_check_mode_changes_nothing_and_says_the_same(cloud, vm):
    name = vm()
    checked = cloud.run(check=True, vm={"name": name}, power_on=True, **GIVEN)
    assert (cloud.config(name), cloud.sim.vm(name)["power"]) == ({}, "poweredOff")
    real = cloud.run(vm={"name": name}, power_on=True, **GIVEN)
    for key in ("actions", "changed", "takes_effect", "instance_id", "power_state"):
        assert checked.one[key] == real.one[key], key
    assert [change["key"] for change in checked.one["changed_keys"]] == [change["key"] for change in real.one["changed_keys"]]
    # To wait is no change.
    for wait in ("none", "network"):
        assert cloud.run(check=True, vm={"name": name}, power_on=True, wait=wait, **GIVEN).result["changed"] is False


def test_no_secret_is_in_a_result_or_a_diff(cloud, vm):
    name = vm()
    for _time in range(2):
        told = json.dumps(cloud.run(vm={"name": name}, **GIVEN).result)
        assert NEVER_SHOWN not in told
        assert cloud.config(name)["guestinfo.userdata"] not in told
    info = cloud.info(vm={"name": name})
    assert NEVER_SHOWN not in json.dumps(info.result)
    assert NEVER_SHOWN in cloud.info(vm={"name": name}, show_content=True).one["userdata"]["content"]


def test_the_diff_shows_sizes_and_digests_that_differ(cloud, vm):
    name = vm()
    cloud.run(vm={"name": name}, **GIVEN)
    ran = cloud.run(vm={"name": name}, **{**GIVEN, "userdata": {"password": "x" * len(NEVER_SHOWN)}})
    before, after = (ran.result["diff"][side].splitlines() for side in ("before", "after"))
    assert before[0] == after[0] == f"{name}:"
    assert "bytes as base64, digest " in before[2]
    assert before[2] != after[2]
    assert before[2].partition(", digest ")[0] == after[2].partition(", digest ")[0]


def test_a_clone_is_another_instance(cloud, vm):
    parent, other = vm(), vm()
    assert (
        cloud.run(vm={"name": parent}, **GIVEN).one["instance_id"] != cloud.run(vm={"name": other}, **GIVEN).one["instance_id"]
    )


def test_an_instance_may_be_derived_from_a_name(cloud, vm):
    ran = cloud.run(vm={"name": vm()}, **{**GIVEN, "metadata": {"instance_id": "auto:web-1"}})
    assert ran.one["instance_id"].startswith("web-1-")
    pairs = bundle.packed({**GIVEN, "metadata": {"instance_id": "auto:web-1"}}, "auto", report=True)
    name = vm(extra_config=pairs)
    again = cloud.run(vm={"name": name}, wait="finished", power_on=True, **{**GIVEN, "metadata": {"instance_id": "auto:web-1"}})
    assert (again.one["actions"], again.one["changed_keys"]) == (["powered_on"], [])
    assert again.one["instance_id"] == ran.one["instance_id"]


def test_a_mark_of_another_vm_proves_nothing(cloud, vm):
    asked = {"metadata": {"redact": ["userdata"]}, "userdata": "#!/bin/sh\n"}
    first = vm()
    cloud.run(vm={"name": first}, **asked)
    cloud.run(vm={"name": first}, state="redacted")
    assert cloud.run(vm={"name": first}, **asked).result["changed"] is False
    inherited = vm(extra_config=cloud.config(first))
    assert [change["key"] for change in cloud.run(vm={"name": inherited}, **asked).one["changed_keys"]] == [
        "guestinfo.metadata",
        "guestinfo.userdata",
    ]


def test_what_somebody_broke_is_delivered_again(cloud, vm):
    name = vm(extra_config={"guestinfo.userdata": "x", "guestinfo.userdata.encoding": "base64"})
    assert cloud.info(vm={"name": name}).one["userdata"]["state"] == "broken"
    ran = cloud.run(vm={"name": name}, userdata="#!/bin/sh\n")
    assert ran.one["changed_keys"][0]["before"]["broken"]
    assert cloud.delivered(name, "userdata") == "#!/bin/sh\n"


def test_redacting_overwrites_as_cloud_init_does(cloud, vm):
    name = vm()
    cloud.run(vm={"name": name}, vendordata="#!/bin/sh\n", **GIVEN)
    assert cloud.run(vm={"name": name}, state="redacted").one["actions"] == ["redacted"]
    config = cloud.config(name)
    for kind in ("userdata", "vendordata"):
        assert (config[f"guestinfo.{kind}"], config[f"guestinfo.{kind}.encoding"]) == ("---", " ")
    assert cloud.delivered(name, "metadata")
    assert cloud.run(vm={"name": name}, state="redacted").result["changed"] is False
    assert cloud.run(vm={"name": name}, vendordata="#!/bin/sh\n", **GIVEN).result["changed"] is False


def _give_ovf_environment(cloud, name):
    with Session(cloud.connection) as session:
        ref = session.content.searchIndex.FindByInventoryPath(f"DC0/vm/{name}")
        vapp = vim.vApp.VmConfigSpec(ovfEnvironmentTransport=["com.vmware.guestInfo"])
        WaitForTask(ref.ReconfigVM_Task(vim.vm.ConfigSpec(vAppConfig=vapp)))


def test_an_ovf_environment_that_older_releases_prefer_is_warned_of(cloud, vm):
    name = vm()
    checked = cloud.run(check=True, vm={"name": name}, **GIVEN)
    _give_ovf_environment(cloud, name)
    ran = cloud.run(vm={"name": name}, **GIVEN)
    assert "has an OVF environment (com.vmware.guestInfo)" in "".join(cloud.warnings)
    assert ran.called("RetrievePropertiesEx") == checked.called("RetrievePropertiesEx")
    cloud.run(vm={"name": name}, **GIVEN)
    assert cloud.warnings == []


def test_large_values_are_warned_of(cloud, vm):
    noise = "".join(chr(0x21 + n * n * 7919 % 90) for n in range(200_000))
    cloud.run(vm={"name": vm()}, userdata=f"#!/bin/sh\n# {noise}\n", encoding="base64")
    assert any("65536" in warning for warning in cloud.warnings)


# Power


def test_a_running_vm_waits_for_its_next_boot_unless_it_may_be_rebooted(cloud, vm):
    name = vm(on=True)
    ran = cloud.run(vm={"name": name}, wait="network", **GIVEN)
    assert (ran.one["actions"], ran.one["takes_effect"], ran.one["reached"]) == (["delivered"], "at_next_boot", None)
    assert cloud.warnings == [f"{name} is not waited for: cloud-init reads the data at the next boot."]
    changed = {**GIVEN, "userdata": {"password": "other"}}
    ran = cloud.run(vm={"name": name}, wait="network", allow_reboot=True, **changed)
    assert (ran.one["actions"], ran.one["reached"]) == (["delivered", "rebooted"], True)
    assert cloud.sim.vm(name)["host_name"] == "web-1"
    again = cloud.run(vm={"name": name}, wait="network", allow_reboot=True, **changed)
    assert (again.result["changed"], again.one["reached"]) == (False, True)


def test_data_that_were_left_for_the_next_boot_wait_for_it_and_for_leave(cloud, vm):
    name = vm(on=True)
    given = {"vm": {"name": name}, "wait": "finished", "timeout": 600, **GIVEN}
    cloud.run(**given)
    again = cloud.run(**given)
    assert (again.result["changed"], again.one["takes_effect"], again.one["reached"]) == (False, "at_next_boot", None)
    assert "next boot" in cloud.warnings[0]
    allowed = cloud.run(**given, allow_reboot=True)
    assert (allowed.one["actions"], allowed.one["changed_keys"], allowed.one["finished"]) == (["rebooted"], [], "done")
    last = cloud.run(**given, allow_reboot=True)
    assert (last.result["changed"], last.one["takes_effect"], last.one["finished"]) == (False, None, "done")


@pytest.mark.parametrize("given", [GIVEN, {**GIVEN, "metadata": {"redact": ["userdata"]}, "wait": "read"}])
def test_a_reboot_happens_once_whatever_the_guest_reports(cloud, vm, given):
    name = vm(on=True)
    assert cloud.run(vm={"name": name}, allow_reboot=True, **given).one["actions"] == ["delivered", "rebooted"]
    assert cloud.run(vm={"name": name}, allow_reboot=True, **given).result["changed"] is False


def test_a_reboot_that_failed_is_made_up_for(cloud, vm):
    name = vm(on=True)
    cloud.sim.inject(method="RebootGuest", name=name, do="fault", fault="SystemError")
    failed = cloud.attempt(vm={"name": name}, allow_reboot=True, **GIVEN)
    assert failed.one["actions"] == ["delivered"]
    assert cloud.run(vm={"name": name}, allow_reboot=True, **GIVEN).one["actions"] == ["rebooted"]


def test_a_power_cycle_is_a_boot_too(cloud, vm):
    name = vm(on=True)
    cloud.run(vm={"name": name}, **GIVEN)
    cloud.sim.govc("vm.power", "-off", "-force", name)
    assert cloud.run(vm={"name": name}, power_on=True, allow_reboot=True, **GIVEN).one["actions"] == ["powered_on"]
    assert cloud.run(vm={"name": name}, allow_reboot=True, **GIVEN).result["changed"] is False


def test_a_suspended_vm_goes_on_and_does_not_boot(cloud, vm):
    name = vm(on=True)
    cloud.sim.govc("vm.power", "-suspend", name)
    ran = cloud.run(vm={"name": name}, power_on=True, wait="network", **GIVEN)
    assert (ran.one["actions"], ran.one["takes_effect"]) == (["delivered", "powered_on"], "at_next_boot")
    assert "next boot" in cloud.warnings[0]


def test_a_reboot_needs_tools(cloud, vm):
    name = vm(on=True)
    cloud.sim.patch_vm(name, tools="notRunning")
    ran = cloud.attempt(vm={"name": name}, allow_reboot=True, **GIVEN)
    assert ran.one["error"]["option"] == "allow_reboot"
    assert cloud.config(name) == {}


def test_an_instance_that_stays_the_same_is_warned_of(cloud, vm):
    name = vm()
    cloud.run(vm={"name": name}, metadata={"instance_id": "i-1"}, userdata="#!/bin/sh\n")
    cloud.run(vm={"name": name}, metadata={"instance_id": "i-1"}, userdata="#!/bin/sh\ntrue\n")
    assert "stays i-1" in cloud.warnings[0]


# Waiting


@pytest.mark.parametrize("wait", ["read", "network", "finished"])
def test_what_is_waited_for_comes_from_the_guest(cloud, vm, wait):
    name = vm()
    given = {**GIVEN, "metadata": {"local_hostname": "web-1", "redact": ["userdata", "vendordata"]}}
    ran = cloud.run(vm={"name": name}, power_on=True, wait=wait, **given)
    assert (ran.one["reached"], ran.one["power_state"]) == (True, "poweredOn")
    if wait == "network":
        assert ran.one["local_ipv4"] == cloud.config(name)["guestinfo.local-ipv4"]
    if wait == "finished":
        assert ran.one["finished"] == "done"
        assert cloud.config(name)[report_script.KEY] == f"{ran.one['instance_id']} done"
        assert ran.one["ssh_host_keys"] == [
            cloud.sim.guest_file(name, f"/etc/ssh/ssh_host_{kind}_key.pub").rpartition(" ")[0]
            for kind in ("ecdsa", "ed25519", "rsa")
        ]
    assert cloud.config(name)["guestinfo.userdata"] == "---"
    again = cloud.run(vm={"name": name}, power_on=True, wait=wait, **given)
    assert (again.result["changed"], again.one["reached"]) == (False, True)


def test_an_old_report_is_not_taken_for_the_answer(cloud, vm):
    stale = {"guestinfo.local-ipv4": "192.0.2.1", report_script.KEY: "another done"}
    name = vm(extra_config=stale)
    ran = cloud.run(vm={"name": name}, power_on=True, wait="network", **GIVEN)
    assert ran.one["local_ipv4"] not in (None, "192.0.2.1")


def test_a_script_that_fails_fails_the_task(cloud, vm):
    name = vm()
    ran = cloud.attempt(vm={"name": name}, power_on=True, wait="finished", metadata={}, userdata="#!/bin/sh\nexit 3\n")
    assert (ran.one["error"]["error_code"], ran.one["finished"]) == ("cloud_init_failed", "error")
    assert ran.one["actions"] == ["delivered", "powered_on"]


def test_a_guest_that_reports_nothing_is_an_error(cloud, vm):
    name = vm()
    cloud.sim.patch_guest(name, missing=["cloud-init"])
    # One filter for each step, and one for the wait.
    since = ("CreateFilter", 3)
    ran = cloud.late("WaitForUpdatesEx", since=since, vm={"name": name}, power_on=True, wait="network", **GIVEN)
    assert (ran.one["error"]["error_code"], ran.one["reached"]) == ("cloud_init_timeout", False)
    assert "Run again" not in ran.one["error"]["msg"]
    assert cloud.delivered(name, "userdata")


def test_a_vm_that_is_removed_while_it_is_waited_for_is_not_called_late(cloud, vm, monkeypatch):
    name, real = vm(), task._wait_for_guests

    def removed(*given):
        cloud.sim.govc("vm.destroy", name)
        real(*given)

    monkeypatch.setattr(task, "_wait_for_guests", removed)
    ran = cloud.attempt(vm={"name": name}, power_on=True, wait="network", **GIVEN)
    assert (ran.one["error"]["error_code"], ran.one["reached"]) == ("not_found", False)


@pytest.mark.parametrize("last_words", [False, True])
def test_a_vm_that_somebody_powers_off_is_waited_for_no_longer_than_its_last_words(cloud, vm, monkeypatch, last_words):
    monkeypatch.setattr(task, "_LAST_WORDS_SECONDS", 0.5)
    name = vm()
    cloud.sim.patch_guest(name, missing=["cloud-init"])

    def off():
        if last_words:
            cloud.sim.govc("vm.change", "-vm", name, "-e", "guestinfo.local-ipv4=192.0.2.7")
        cloud.sim.govc("vm.power", "-off", "-force", name)

    # One filter for each step, and one for the wait.
    asked = {"vm": {"name": name}, "power_on": True, "wait": "network", "timeout": 6000, **GIVEN}
    ran = cloud.meanwhile("CreateFilter", 3, off, **asked)
    assert (ran.one["reached"], ran.one["power_state"]) == (last_words, "poweredOff")
    assert last_words or ran.one["error"]["error_code"] == "guest_powered_off"


@pytest.mark.parametrize("running", [False, True])
def test_a_report_that_was_overwritten_is_delivered_again_for_another_boot(cloud, vm, running):
    name = vm()
    metadata = {"local_hostname": "web-1", "redact": ["userdata", "vendordata"]}
    given = {"vm": {"name": name}, "userdata": GIVEN["userdata"], "wait": "finished", "power_on": True, "timeout": 600}
    cloud.run(**given, metadata=metadata)
    if running:
        again = cloud.run(**given, metadata={**metadata, "role": "web"}, allow_reboot=True)
    else:
        cloud.sim.govc("vm.power", "-off", "-force", name)
        again = cloud.run(**given, metadata=metadata)
    assert again.one["finished"] == "done"
    assert "guestinfo.vendordata" in [change["key"] for change in again.one["changed_keys"]]
    assert "guestinfo.userdata" not in [change["key"] for change in again.one["changed_keys"]]


def test_a_key_of_ones_own_reports_the_end(cloud, vm):
    name = vm()
    script = "#!/bin/sh\nvmware-rpctool 'info-set guestinfo.ready yes'\n"
    given = {"metadata": {}, "userdata": script, "wait": "finished", "finished_key": "guestinfo.ready"}
    assert cloud.run(vm={"name": name}, power_on=True, **given).one["finished"] == "yes"
    assert "guestinfo.vendordata" not in cloud.config(name)


def test_waiting_for_the_end_later_is_no_difference(cloud, vm):
    name = vm()
    cloud.run(vm={"name": name}, power_on=True, wait="network", **GIVEN)
    ran = cloud.run(vm={"name": name}, wait="finished", **GIVEN)
    assert ran.result["changed"] is False
    assert "without the script" in cloud.warnings[0]


def test_the_script_is_no_difference_in_vendor_data(cloud, vm):
    name = vm()
    given = {**GIVEN, "vendordata": "#!/bin/sh\ntrue\n", "vm": {"name": name}}
    cloud.run(**given)
    assert [change["key"] for change in cloud.run(**given, wait="finished").one["changed_keys"]] == ["guestinfo.vendordata"]
    assert cloud.run(**given).result["changed"] is False
    assert cloud.run(**given, wait="finished", power_on=True).one["actions"] == ["powered_on"]
    assert cloud.run(**given, wait="finished").one["finished"] == "done"


# The other transport


def test_a_customization_carries_what_guestinfo_would(cloud, vm):
    name = vm()
    given = {"vm": {"name": name}, "transport": "customization", **GIVEN}
    first = cloud.run(**given)
    assert first.one["actions"] == ["customized"]
    assert first.calls["CustomizeVM_Task"] == 1
    assert not any(key.startswith("guestinfo.") for key in cloud.config(name))
    assert cloud.run(**given).result["changed"] is False
    assert cloud.run(**given, power_on=True, wait="network").one["reached"] is True
    assert cloud.sim.vm(name)["host_name"] == "web-1"
    refused = cloud.attempt(**{**given, "metadata": {"local_hostname": "web-2"}})
    assert refused.one["error"]["option"] == "transport"


@pytest.mark.parametrize(
    "given",
    [
        GIVEN,
        {**GIVEN, "transport": "customization"},
        {"state": "absent"},
        {"state": "redacted"},
        {"userdata": "#!/bin/sh\n", "power_on": True},
    ],
)
def test_a_template_is_refused_in_check_mode_too_unless_nothing_is_to_be_done(cloud, vm, given):
    name = vm()
    cloud.run(vm={"name": name}, userdata="#!/bin/sh\n")
    cloud.sim.govc("vm.markastemplate", name)
    for check in (True, False):
        refused = cloud.attempt(check=check, vm={"name": name}, **given)
        assert "is a template" in refused.one["error"]["msg"]
        assert refused.result["changed"] is False
    assert cloud.run(vm={"name": name}, userdata="#!/bin/sh\n").result["changed"] is False


def test_a_customization_beside_data_in_guestinfo_is_warned_of(cloud, vm):
    """cloud-init asks guestinfo first (DataSourceVMware, possible_data_access_method_list)."""
    name = vm()
    given = {"vm": {"name": name}, "metadata": {"local_hostname": "web-1"}, "userdata": "#!/bin/sh\n"}
    cloud.run(**given)
    said = [f"{name} has metadata and userdata in guestinfo, which cloud-init reads first"]
    for check in (True, False):
        warnings = cloud.run(check=check, **given, transport="customization").one["warnings"]
        assert [warning.partition(":")[0] for warning in warnings] == said
    other = vm()
    assert cloud.run(**{**given, "vm": {"name": other}}, transport="customization").one["warnings"] == []


def test_a_customization_takes_what_vsphere_takes_and_no_byte_more(cloud, vm):
    script = "#!/bin/sh\n#"
    given = {"vm": {"name": vm()}, "transport": "customization", "metadata": {}}
    largest = script + "x" * (512 * 1024 - len(script))
    with pytest.raises(InvalidOption, match="524289"):
        cloud.run(**given, userdata=f"{largest}x")
    assert cloud.run(**given, userdata=largest).one["actions"] == ["customized"]


def test_one_customization_waits_at_a_time(cloud, vm):
    given = {"vm": {"name": vm()}, "transport": "customization", "metadata": {}}
    cloud.run(**given, userdata="#!/bin/sh\n")
    assert cloud.attempt(**given, userdata="#!/bin/sh\ntrue\n").one["error"]["fault"] == "CustomizationPending"


def test_an_old_vcenter_knows_no_such_customization(make_sim):
    cloud = Cloud(make_sim("--api-version", "7.0.2.0", "--vms", "1"))
    ran = cloud.attempt(vm={"name": "server-00001"}, transport="customization", **GIVEN)
    assert isinstance(ran.error, NotSupported)


# Failures


def test_a_vm_that_fails_stops_no_other_and_a_second_run_does_what_is_missing(cloud, vm):
    names = [vm() for number in range(3)]
    cloud.sim.inject(method="ReconfigVM_Task", name=names[1], do="task-fault", fault="SystemError")
    ran = cloud.attempt(vms=[{"name": name} for name in names], **GIVEN)
    assert ran.error.error_code == "partial_failure"
    assert [entry["changed"] for entry in ran.vms] == [True, False, True]
    assert [entry["name"] for entry in ran.result["failures"]] == [names[1]]
    again = cloud.run(vms=[{"name": name} for name in names], **GIVEN)
    assert [entry["changed"] for entry in again.vms] == [False, True, False]


def test_two_vms_of_one_name_are_told_apart(cloud, vm):
    name = vm()
    cloud.sim.create_vm(name, folder="/DC0/vm/DC0_F0", on=False)
    paths = [f"/DC0/vm/{name}", f"/DC0/vm/DC0_F0/{name}"]
    cloud.sim.inject(method="ReconfigVM_Task", name=name, do="task-fault", fault="SystemError", times=1)
    ran = cloud.attempt(vms=[{"path": path} for path in paths], **GIVEN)
    (failed,) = [entry for entry in ran.vms if "error" in entry]
    assert sorted(entry["changed"] for entry in ran.vms) == [False, True]
    assert ran.error.message.startswith(f"1 of 2 VMs failed: {failed['path']} ({failed['moid']}): ")
    again = cloud.run(vms=[{"path": path} for path in paths], **GIVEN)
    assert [entry["changed"] for entry in again.vms] == ["error" in entry for entry in ran.vms]


def test_no_two_titles_are_the_same_though_folders_cannot_be_seen():
    """Of a VM whose folders the user may not see the path is the name alone."""
    named = (("vm-1", "web"), ("vm-2", "web"), ("vm-3", "db"))
    found = [Machine(moid=moid, name=name, path=name, power_state="poweredOff") for moid, name in named]
    assert task._titles(found) == {"vm-1": "web (vm-1)", "vm-2": "web (vm-2)", "vm-3": "db"}


def test_a_wait_that_ends_early_is_reported_of_those_that_it_was_for(cloud, vm):
    silent, told = vm(), vm()
    cloud.sim.patch_guest(silent, missing=["cloud-init"])
    cloud.run(vm={"name": silent}, power_on=True, **GIVEN)
    cloud.run(vm={"name": told}, power_on=True, wait="network", **GIVEN)
    cloud.sim.inject(method="CreateFilter", do="fault", fault="SystemError")
    ran = cloud.attempt(vms=[{"name": name} for name in (silent, told)], wait="network", **GIVEN)
    cloud.sim.clear()
    assert [entry["reached"] for entry in ran.vms] == [None, True]
    assert [entry["name"] for entry in ran.result["failures"]] == [silent]
    assert ran.vms[0]["error"]["error_code"] == "not_attempted"
    assert f"{silent}: waiting was not finished." in ran.error.message


def test_no_secret_is_in_a_fault(cloud, vm):
    name = vm()
    cloud.sim.inject(method="ReconfigVM_Task", name=name, do="fault", fault="SystemError")
    ran = cloud.attempt(vm={"name": name}, encoding="plain", **GIVEN)
    assert NEVER_SHOWN not in json.dumps([ran.result, ran.error.as_result()])


def test_a_missing_privilege_is_named(make_sim):
    sim = make_sim("--vms", "1")
    sim.add_user("reader", "secret", ["System.Read", "System.View"])
    cloud = Cloud(sim)
    sim.username, sim.password = "reader", "secret"
    ran = Cloud(sim).attempt(vm={"name": "server-00001"}, **GIVEN)
    assert "VirtualMachine.Config.AdvancedConfig" in str(ran.one["error"])
    assert cloud.config("server-00001") == {}


# What it costs


@pytest.mark.parametrize("size", [100, 10_000])
def test_a_hundred_vms_cost_a_call_each_and_sixteen_more_at_most(make_sim, size):
    cloud = Cloud(make_sim("--vms", str(size)))
    vms = [{"name": f"server-{n:05}", "metadata": {"local_hostname": f"web-{n}"}} for n in range(1, 101)]
    given = {"vms": vms, "userdata": GIVEN["userdata"]}
    first = cloud.run(**given)
    assert first.calls["ReconfigVM_Task"] == 100
    second = cloud.run(**given)
    assert second.result["changed"] is False
    # All names of a large inventory come in five pages; before they are read on, its folders are
    # counted: to ask each of them for each of the names would cost more.
    pages = {} if size == 100 else {"ContinueRetrievePropertiesEx": 4}
    assert second.calls == {
        "CreatePropertyCollector": 1,
        "Login": 1,
        "Logout": 1,
        "RetrievePropertiesEx": 2 if size == 100 else 3,
        "RetrieveServiceContent": 1,
        **pages,
    }
    assert second.total == (6 if size == 100 else 11)  # at most 16
    assert first.total == second.total + 102  # at most 100 + 16


def test_a_card_by_its_label_costs_no_call_and_stays_the_same(cloud, vm):
    name, other = vm(), vm()
    device = {"match": {"macaddress": "Network adapter 1"}, "set-name": "eth0", "dhcp4": True}
    asked = {"metadata": {"network": {"ethernets": {"eth0": device}}}}
    by_label = cloud.run(vm={"name": name}, **asked)
    assert by_label.one["warnings"] == []
    plain = cloud.run(vm={"name": other}, metadata={"network": {"ethernets": {"ens192": {"dhcp4": True}}}})
    assert by_label.calls == plain.calls
    match = json.loads(cloud.delivered(name, "metadata"))["network"]["ethernets"]["eth0"]["match"]
    assert match["macaddress"].startswith("00:50:56:")
    assert cloud.run(vm={"name": name}, **asked).result["changed"] is False


def test_data_that_keep_cloud_init_from_all_others_are_warned_of(cloud, vm):
    name = vm(extra_config={"guestinfo.userdata": "no base64!", "guestinfo.userdata.encoding": "base64"})
    ran = cloud.run(vm={"name": name}, metadata={"local_hostname": "web-1"})
    (warning,) = ran.one["warnings"]
    assert f"{name} has userdata that cannot be decoded" in warning
    assert cloud.run(vm={"name": name}, metadata={"local_hostname": "web-1"}, userdata={"a": 1}).one["warnings"] == []

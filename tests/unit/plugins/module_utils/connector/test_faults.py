# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""vSphere's faults as typed errors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._connector import faults
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.pyvmomi import vim, vmodl
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import Cancelled, Fault, SessionExpired


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("DuplicateName", "duplicate_name"),
        ("NotFound", "not_found"),
        ("Timedout", "timedout"),
        ("SSLVerifyFault", "ssl_verify_fault"),
        ("OvfXmlFormat", "ovf_xml_format"),
        ("EVCModeIllegalByVendor", "evc_mode_illegal_by_vendor"),
    ],
)
def test_a_code_is_the_name_in_snake_case(name, code):
    assert faults.snake(name) == code


@given(st.from_regex(r"[A-Z][A-Za-z0-9]*", fullmatch=True))
def test_a_code_is_the_name_but_for_case_and_underscores(name):
    code = faults.snake(name)
    assert code.replace("_", "") == name.lower()
    assert "__" not in code
    assert not code.startswith("_")


def vm(moid="vm-7"):
    return vim.VirtualMachine(moid)


def test_the_faults_own_words_are_kept_and_its_name_is_reported():
    error = faults.translate(vim.fault.GenericVmConfigFault(msg="The disk is too fragmented."), "clone web-1")
    assert isinstance(error, Fault)
    assert error.message == "clone web-1: The disk is too fragmented (GenericVmConfigFault)."
    assert error.as_result()["error_code"] == "generic_vm_config_fault"
    assert error.as_result()["fault"] == "GenericVmConfigFault"


def test_who_lacks_a_privilege_learns_where_it_comes_from():
    assert "role" in faults.translate(vim.fault.NoPermission(object=vm())).hint


def test_what_holds_a_taken_name_can_be_looked_up():
    assert faults.translate(vim.fault.DuplicateName(name="web-1", object=vm())).holder == "vm-7"


def test_the_lines_behind_a_fault_are_in_the_result():
    line = vmodl.LocalizableMessage(key="k", message="Resource pool and host do not belong together.")
    error = faults.translate(vmodl.fault.SystemError(msg="x", faultMessage=[line]))
    assert error.as_result()["fault_messages"] == ["Resource pool and host do not belong together."]


def test_a_derived_fault_has_the_advice_of_its_base():
    assert issubclass(vim.fault.InvalidHostConnectionState, vim.fault.InvalidState)
    assert "state of the VM and its host" in faults.translate(vim.fault.InvalidHostConnectionState()).hint
    assert "power state" in faults.translate(vim.fault.InvalidPowerState()).hint


def test_a_dead_session_is_no_missing_privilege():
    # In the API NotAuthenticated is a kind of NoPermission.
    assert isinstance(faults.translate(vim.fault.NotAuthenticated(), "read"), SessionExpired)


def test_a_cancelled_task_is_no_fault():
    assert isinstance(faults.translate(vmodl.fault.RequestCanceled()), Cancelled)


def test_a_vapp_that_is_worked_on_is_waited_for_as_any_other_object():
    task = vim.Task("task-7", None)
    error = faults.translate(vim.fault.VAppTaskInProgress(task=task))
    assert (error.fault, error.details["task"]) == ("TaskInProgress", "task-7")


def test_a_fault_of_a_newer_release_has_the_name_of_its_type_whatever_else_its_element_has():
    kind = 'lang="en" xsi:type="vim:QuotaOfTomorrow" z="1"'
    fault = f'<f:QuotaFault xmlns:f="urn:vim25" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" {kind}/>'
    document = f"<Fault><faultstring> Too many. </faultstring><detail>{fault}</detail></Fault>".encode()
    known = faults.unknown_fault(document)
    assert (known.fault, known.error_code, known.message) == (
        "QuotaOfTomorrow",
        "quota_of_tomorrow",
        "Too many (QuotaOfTomorrow).",
    )
    untyped = faults.unknown_fault(document.replace(kind.encode(), b""))
    assert (untyped.fault, untyped.error_code) == ("Quota", "quota")


def lacking(*privileges, entity=None):
    return vim.fault.NoPermission.EntityPrivileges(entity=entity or vm(), privilegeIds=list(privileges))


@pytest.mark.parametrize(
    ("fault", "message", "facts"),
    [
        (vim.fault.ToolsUnavailable(msg=" Tools do not run. "), "Tools do not run (ToolsUnavailable).", {}),
        (vim.fault.DuplicateName(name="a", object=vm()), "the name 'a' is taken by VirtualMachine vm-7", {"holder": "vm-7"}),
        (vim.fault.DuplicateName(name="a"), "the name 'a' is taken by another object", {"holder": None}),
        (
            vim.fault.NoPermission(object=vm(), privilegeId="A.B", missingPrivileges=[lacking("C.D")]),
            "the privilege A.B is missing on VirtualMachine vm-7",
            {"privilege": "A.B", "object": "vm-7"},
        ),
        # vSphere 7.0.3.2 and later list what is missing for each entity.
        (
            vim.fault.NoPermission(missingPrivileges=[lacking("A.B", "C.D"), lacking("E.F", entity=vm("vm-8"))]),
            "the privilege A.B, C.D, E.F is missing on VirtualMachine vm-7",
            {"privilege": None, "object": "vm-7"},
        ),
        (vim.fault.NoPermission(), "the privilege needed is missing on the object", {"privilege": None, "object": None}),
        (
            vmodl.fault.InvalidArgument(invalidProperty="pool", msg="no"),
            "vCenter refuses pool: no",
            {"invalid_property": "pool"},
        ),
        (
            vmodl.fault.InvalidArgument(invalidProperty="pool"),
            "vCenter refuses pool: invalid argument",
            {"invalid_property": "pool"},
        ),
        (vmodl.fault.InvalidArgument(msg="It is wrong."), "It is wrong", {"invalid_property": None}),
        (vim.fault.HttpFault(statusCode=404, statusMessage="gone", msg="No."), "No: 404 gone", {}),
        (vim.fault.HttpFault(statusCode=404), "HTTP failed: 404", {}),
        (vim.fault.HttpFault(), "HTTP failed", {}),
        (vim.fault.FileNotFound(file="[a] b", msg="Not found."), "Not found: [a] b", {}),
        (vim.fault.FileNotFound(file="[a] b"), "vCenter refused without a message: [a] b", {}),
        (vim.fault.FileNotFound(file="[a] b", msg="No [a] b."), "No [a] b", {}),
        (vim.fault.FileNotFound(msg="Not found."), "Not found", {}),
        (vmodl.fault.MethodNotFound(method="X_Task"), "this vCenter does not offer X_Task", {}),
        (vim.fault.InvalidPowerState(existingState="poweredOn", msg="No."), "No", {"existing_state": "poweredOn"}),
        (vim.fault.InvalidPowerState(msg="No."), "No", {}),
        (vim.fault.TaskInProgress(task=vim.Task("task-7"), msg="Busy."), "Busy", {"task": "task-7"}),
        (vmodl.fault.ManagedObjectNotFound(obj=vm(), msg="Gone."), "Gone", {"object": "vm-7"}),
    ],
)
@pytest.mark.parametrize("doing", [(), ("clone web-1",)])
def test_the_sentence_of_a_fault_and_what_it_says_besides(fault, message, facts, doing):
    error = faults.translate(fault, *doing)
    named = f" ({faults.fault_name(fault)})."
    assert error.message == ": ".join([*doing, message.removesuffix(named) + named])
    assert error.details == {"fault": faults.fault_name(fault), "fault_messages": [], **facts}


@pytest.mark.parametrize(("doing", "begins"), [((), ""), (("clone web-1",), "clone web-1: ")])
def test_a_session_or_a_task_that_is_gone_says_what_was_being_done(doing, begins):
    gone, cancelled = vim.fault.NotAuthenticated(), vmodl.fault.RequestCanceled()
    assert faults.translate(gone, *doing).message == f"{begins}vCenter no longer knows the session."
    assert faults.session_expired(*doing).message == f"{begins}vCenter no longer knows the session."
    assert faults.translate(cancelled, *doing).message == f"{begins}the task was cancelled in vCenter."


@pytest.mark.parametrize(
    ("fault", "subject", "called"),
    [
        (vim.fault.NoPermission(object=vm()), "vm-7", "VirtualMachine vm-7"),
        (vim.fault.NoPermission(missingPrivileges=[lacking("A.B", entity=vm("vm-8"))]), "vm-8", "VirtualMachine vm-8"),
        (vim.fault.NoPermission(), None, ""),
        (vim.fault.DuplicateName(name="a", object=vm()), None, ""),
    ],
)
def test_the_object_of_a_missing_privilege_can_be_called_by_its_path(fault, subject, called):
    error = faults.translate(fault)
    assert (error.subject and error.subject._GetMoId(), error.called) == (subject, called)


@pytest.mark.parametrize(
    ("document", "known"),
    [
        (b"<Fault><faultstring>Too many</faultstring><detail><NewFault/></detail></Fault>", ("New", "Too many (New).")),
        (b"<Fault><detail><NewFault/></detail></Fault>", ("New", "vCenter refused without a message (New).")),
        (b"<Fault><faultstring/><detail><New/></detail></Fault>", ("New", "vCenter refused without a message (New).")),
        (b"<Fault><faultstring>No</faultstring><detail/></Fault>", None),
        (b"<Fault><faultstring>No</faultstring></Fault>", None),
        (b"no document", None),
    ],
)
def test_a_fault_that_pyvmomi_does_not_know(document, known):
    error = faults.unknown_fault(document)
    assert (error and (error.fault, error.message)) == known

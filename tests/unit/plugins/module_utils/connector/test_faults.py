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


def test_a_taken_name_says_what_holds_it():
    error = faults.translate(vim.fault.DuplicateName(name="web-1", object=vm()))
    assert (error.fault, error.holder) == ("DuplicateName", "vm-7")
    assert "'web-1' is taken by VirtualMachine vm-7" in str(error)


def test_a_missing_privilege_is_named_with_its_object():
    fault = vim.fault.NoPermission(object=vm(), privilegeId="VirtualMachine.Provisioning.Clone")
    error = faults.translate(fault)
    assert "the privilege VirtualMachine.Provisioning.Clone is missing on VirtualMachine vm-7" in error.message
    assert error.as_result()["privilege"] == "VirtualMachine.Provisioning.Clone"
    assert "role" in error.hint


def test_several_missing_privileges_are_all_named():
    # vSphere 7.0.3.2 and later list what is missing for each entity.
    missing = [vim.fault.NoPermission.EntityPrivileges(entity=vm(), privilegeIds=["A.B", "C.D"])]
    assert "A.B, C.D" in faults.translate(vim.fault.NoPermission(missingPrivileges=missing)).message


def test_a_refused_argument_is_named():
    error = faults.translate(vmodl.fault.InvalidArgument(invalidProperty="spec.pool", msg="wrong host"))
    assert error.message == "vCenter refuses spec.pool: wrong host (InvalidArgument)."
    assert error.as_result()["invalid_property"] == "spec.pool"


def test_a_file_that_the_words_do_not_name_is_named():
    file = "[ds] web-1/web-1.vmdk"
    error = faults.translate(vim.fault.FileNotFound(file=file, msg="It was not found."))
    assert error.message == f"It was not found: {file} (FileNotFound)."
    assert faults.translate(vim.fault.FileLocked(file=file, msg=f"{file} is locked.")).message.count(file) == 1


def test_a_method_that_the_vcenter_does_not_have_is_named():
    error = faults.translate(vmodl.fault.MethodNotFound(method="InstantClone_Task"))
    assert "does not offer InstantClone_Task" in error.message
    assert error.error_code == "method_not_found"


def test_the_lines_behind_a_fault_are_in_the_result():
    line = vmodl.LocalizableMessage(key="k", message="Resource pool and host do not belong together.")
    error = faults.translate(vmodl.fault.SystemError(msg="x", faultMessage=[line]))
    assert error.as_result()["fault_messages"] == ["Resource pool and host do not belong together."]


def test_a_fault_without_a_message_is_a_sentence_too():
    assert faults.translate(vim.fault.Timedout()).message == "vCenter refused without a message (Timedout)."


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

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Methods that no SDK has, added to pyVmomi's own classes."""

from __future__ import annotations

import concurrent.futures
import subprocess
import sys

from pyVmomi import VmomiSupport, vim

from ansible_collections.vforge.vsphere.plugins.module_utils._connector.undocumented import (
    Method,
    Property,
    add_data_type,
    add_methods,
)
from ansible_collections.vforge.vsphere.plugins.module_utils._fork import read

_VERSION = "vim.version.version10"


def test_the_class_stays_and_keeps_every_method_that_it_had():
    kind = vim.ResourcePool
    before = {name: getattr(kind, name) for name in kind._methodInfo}
    assert len(before) > 5
    add_methods(
        kind, [Method("ForTests_Task", _VERSION, (Property("name", "string"), Property("note", "string", optional=True)))]
    )
    assert vim.ResourcePool is kind
    assert VmomiSupport.GetVmodlType("vim.ResourcePool") is kind
    assert {name: getattr(kind, name) for name in before} == before
    assert set(kind._methodInfo) == {*before, "ForTests_Task"}
    # A class that comes from it has it too.
    assert vim.VirtualApp._GetMethodInfo("ForTests_Task").wsdlName == "ForTests_Task"


def test_adding_twice_and_from_many_threads_changes_nothing():
    kind, methods = vim.Folder, [Method("AlsoForTests_Task", _VERSION)]

    def add():
        add_methods(kind, methods)
        return kind._methodInfo["AlsoForTests_Task"], add_data_type("vim.ForTestsSpec", "ForTestsSpec", _VERSION, [])

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        first, *others = [future.result() for future in [pool.submit(add) for _n in range(32)]]
    assert all(method is first[0] and spec is first[1] for method, spec in others)


def test_a_data_type_is_sent_in_the_order_of_its_properties():
    kind = add_data_type(
        "vim.OrderSpec", "OrderSpec", _VERSION, [Property("b", "string"), Property("a", "string", optional=True)]
    )
    spec = kind(a="1", b="2")
    assert [info.name for info in spec._GetPropertyList()][-2:] == ["b", "a"]
    assert (spec.a, spec.b) == ("1", "2")


_ALL_METHODS = """
import sys
from pyVmomi import vim, VmomiSupport
kind = vim.VirtualMachine
before = {name: getattr(kind, name) for name in kind._methodInfo}
from ansible_collections.vforge.vsphere.plugins.module_utils._fork import read
from types import SimpleNamespace
session = SimpleNamespace(about={"apiVersion": "6.5"}, options=SimpleNamespace(endpoint="here"))
read.require_vmfork(session)
read.require_vmfork(session)
assert vim.VirtualMachine is kind and VmomiSupport.GetVmodlType("vim.VirtualMachine") is kind
assert {name: getattr(kind, name) for name in before} == before
print(len(before), sorted(set(kind._methodInfo) - set(before)))
"""


def test_of_the_virtual_machine_nothing_is_lost():
    """In a process of its own, where nobody has added them yet."""
    done = subprocess.run(
        [sys.executable, "-c", _ALL_METHODS],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    count, _space, added = done.stdout.strip().partition(" ")
    assert int(count) > 40
    assert added == str(sorted(method.name for method in read.METHODS))

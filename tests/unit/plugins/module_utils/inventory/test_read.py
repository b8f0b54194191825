# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which VMs are below the search paths, whatever else a server sends."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._connector.props import Row
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.pyvmomi import vim
from ansible_collections.vforge.vsphere.plugins.module_utils._inventory import read

ROOT, DATACENTER = vim.Folder("group-d1"), vim.Datacenter("datacenter-1")
VMS, WEB, HOSTS = vim.Folder("group-v1"), vim.Folder("group-v2"), vim.Folder("group-h1")
VAPP, INNER = vim.VirtualApp("resgroup-v1"), vim.VirtualApp("resgroup-v2")
CLUSTER = vim.ClusterComputeResource("domain-c1")
OF_VMS, OF_HOSTS = ["Folder", "VirtualMachine", "VirtualApp"], ["Folder", "ComputeResource"]


def _row(ref, **values):
    return Row(ref, values)


ROWS = {
    row.moid: row
    for row in (
        _row(ROOT, childType=["Folder", "Datacenter"]),
        _row(DATACENTER, parent=ROOT),
        _row(VMS, parent=DATACENTER, childType=OF_VMS),
        _row(WEB, parent=VMS, childType=OF_VMS),
        _row(HOSTS, parent=DATACENTER, childType=OF_HOSTS),
        _row(VAPP, parentFolder=WEB),
        _row(INNER, parent=VAPP),
    )
}


@pytest.mark.parametrize(
    ("roots", "places"),
    [
        ([ROOT], {"group-d1"}),
        ([WEB, DATACENTER], {"group-v2", "datacenter-1"}),
        ([HOSTS], set()),
        ([CLUSTER], set()),
        # Which of them a VM was found below, nobody can say.
        ([WEB, CLUSTER], set()),
    ],
)
def test_only_folders_and_datacenters_are_above_vms(roots, places):
    assert read._folders_of_vms(ROWS, roots) == places


@pytest.mark.parametrize(
    ("where", "place", "below"),
    [
        ({"parent": WEB}, WEB, True),
        ({"parent": WEB}, VMS, True),
        ({"parent": WEB}, DATACENTER, True),
        ({"parent": VMS}, WEB, False),
        ({"parentVApp": INNER}, WEB, True),
        ({"parentVApp": INNER}, VMS, True),
        ({"parent": vim.Folder("group-v9")}, ROOT, False),
        ({}, ROOT, False),
    ],
)
def test_a_vm_is_below_what_is_above_it_by_way_of_its_vapps_too(where, place, below):
    vm = _row(vim.VirtualMachine("vm-1"), **where)
    assert read._is_below(ROWS, vm, {place._GetMoId()}) is below

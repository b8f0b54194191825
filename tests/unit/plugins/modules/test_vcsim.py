# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every module against a server that was not made beside it: govmomi's own vcsim, unmodified.

It lacks much of what a vCenter has: calls, managers, properties, the bytes of disks. What a module can do there it does, once;
where it cannot, it ends with the error that says why. In both cases nothing is left that nobody has asked for.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib

import pytest
from vforge_vcsim import Vcsim

from ansible_collections.vforge.vsphere.plugins import modules
from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.endings import Forked
from vforge_ova import write_package

# What needs no vCenter has tests of its own.
_FILES = pathlib.Path(next(iter(modules.__path__))).glob("[!_]*.py")
_NAMES = sorted(file.stem for file in _FILES if "_argspec.connection()" in file.read_text(encoding="utf-8"))

_STORE = "LocalDS_0"
_ON = {"name": "DC0_C0_RP0_VM0"}
_OFF = {"name": "off"}
_GUEST = {"guest_username": "root", "guest_password": "guest-password"}


@dataclasses.dataclass(frozen=True)
class Case:
    """What a module is given, and what comes of it.

    Attributes:
        params: of the module; FOLDER stands for a folder of the test.
        error: the code of its error; empty where it succeeds.
        makes: the names of the VMs that it makes; a star stands for what is not known before.
        asks: whether it changes nothing by its nature.
    """

    params: dict
    error: str = ""
    makes: tuple[str, ...] = ()
    asks: bool = False


_CASES = {
    "backup_clone": Case({"vms": [_ON], "fresh_hours": 24}, makes=("DC0_C0_RP0_VM0-backup-*",)),
    "cached_ovf_template": Case(
        {
            "name": "tpl",
            "datacenter": "DC0",
            "cluster": "DC0_C0",
            "default_network": "VM Network",
            "source": "FOLDER/ova/tiny.ova",
        },
        makes=("tpl",),
    ),
    "cached_ovf_template_info": Case({"used_by": True}, asks=True),
    "capv_template": Case({"template": _OFF, "hardware_version": "vmx-19"}),
    # Its disks get no changeId.
    "cbt_changed_areas": Case({"vms": [_ON], "state": "enabled"}, error="tracking_not_proved"),
    "cloud_init_guestinfo": Case({"vms": [{**_OFF, "metadata": {"local_hostname": "web-01"}}], "power_on": True}),
    "cloud_init_guestinfo_info": Case({"vm": _ON}, asks=True),
    "cpu_features_info": Case({"compare": True}, asks=True),
    "disk_tool_info": Case({"question": "info", "vm": _ON}, asks=True),
    # It offers no EVC mode at all.
    "evc": Case({"vms": [_ON], "mode": "intel-ivybridge", "power_cycle": True}, error="invalid_option"),
    "first_class_disk": Case({"datastore": _STORE, "disks": [{"name": "data", "size": "1 MiB"}]}),
    "first_class_disk_info": Case({"orphans": True}, asks=True),
    "first_class_disk_snapshot": Case(
        {"datastore": _STORE, "snapshots": [{"disk": {"name": "data"}, "description": "before"}]}, error="not_found"
    ),
    "fleet_plan": Case({"name": "web-##", "count": 3, "golden": _ON, "clusters": ["DC0_C0"], "folder": "/DC0/vm"}, asks=True),
    "fork_parent": Case({"parent": _ON, "state": "quiesced", "children": [{"name": "child"}], **_GUEST}, error="not_supported"),
    # It has no InstantClone_Task, no ExportVm, and no Tools in its guests.
    "instant_clone": Case({"parent": _ON, "clones": [{"name": "clone"}]}, error="method_not_found"),
    "instant_clone_parent": Case({"parents": [_ON], "timeout": 2, **_GUEST}, error="guest_tools_not_running"),
    "instant_clone_parent_info": Case({"parents": [_ON]}, asks=True),
    "linked_clone": Case(
        {"source": _OFF, "disk_mode": "full", "powered_on": False, "clones": [{"name": "one"}, {"name": "two"}]},
        makes=("one", "two"),
    ),
    "vcenter_role": Case({"name": "cloning", "flows": ["instant_clone"]}),
    # Its leases give the text of a disk's descriptor in place of the disk.
    "vm_backup": Case({"vms": [_ON], "repository": "FOLDER/repository"}, error="export_incomplete"),
    "vm_export": Case({"vms": [_OFF], "dest": "FOLDER/exports"}, error="method_not_found"),
    "vm_from_disks": Case({"name": "new", "disks": [f"[{_STORE}] DC0_C0_RP0_VM0/disk1.vmdk"]}, error="in_use"),
    "vm_guest_check": Case({"vm": _ON, "command": ["/bin/true"], "timeout": 2, **_GUEST}, error="timeout"),
    "vm_restore": Case({"repository": "FOLDER/repository", "vm": "web", "into": _OFF}, error="not_found"),
    # Its disks have no bytes.
    "vmdk": Case({"state": "exported", "vm": _OFF, "path": "FOLDER/disk.vmdk"}, error="export_incomplete"),
    "vmdk_info": Case({"vm": _ON}, asks=True),
}


def test_every_module_is_tried():
    assert sorted(_CASES) == _NAMES


@pytest.mark.parametrize("which", _NAMES)
def test_a_module_meets_a_server_that_it_does_not_know(which, tmp_path, govc_binary, request):
    case = _CASES[which]
    # libnbd, which backups need, is there for one Python alone.
    request.getfixturevalue("programs" if which in ("vm_backup", "vm_restore") else "tools")
    write_package(tmp_path / "ova")
    (tmp_path / "repository").mkdir(mode=0o700)
    params = json.loads(json.dumps(case.params).replace("FOLDER", str(tmp_path)))
    with Vcsim(govc_binary.with_name("vcsim"), api_version="8.0.3.0") as vcsim:
        pool = "/DC0/host/DC0_C0/Resources"
        vcsim.govc("vm.create", "-on=false", "-ds", _STORE, "-pool", pool, "-net", "VM Network", "-disk", "4MB", "off")
        before = _vms(vcsim)
        module = Forked(vcsim, which, tmp_path)
        first, second = (_ran(module, {**vcsim.connection, **params}) for _run in range(2))
        made = {name.partition("-backup-")[0] + "-backup-*" if "-backup-" in name else name for name in _vms(vcsim) - before}
        snapshots = vcsim.govc("snapshot.tree", "-vm", _ON["name"])
    assert first.get("error_code", "") == second.get("error_code", "") == case.error, first
    assert made == set(case.makes)
    assert not snapshots
    if not case.error:
        assert (first["changed"], second["changed"]) == (not case.asks, False)


def _ran(module, params):
    """The result of a run, which says nothing else."""
    text, _code, _memory = module.played(params, lambda _pid: None, lambda: None, patience=60)
    [line] = text.strip().splitlines()
    return json.loads(line)


def _vms(vcsim):
    return {path.rpartition("/")[2] for path in vcsim.govc("find", "/DC0/vm", "-type", "m")}

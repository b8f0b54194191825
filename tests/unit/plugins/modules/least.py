# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each module needs at least."""

from __future__ import annotations

from typing import Any

_VM: dict[str, Any] = {"name": "server-00001"}
LEAST: dict[str, dict[str, Any]] = {
    "backup_clone": {"vm": _VM},
    "cached_ovf_template": {"name": "web", "source": "/nowhere/web.ova"},
    "cached_ovf_template_info": {},
    "capv_template": {"template": _VM},
    "cbt_changed_areas": {"vm": _VM},
    "cloud_init_guestinfo": {"vm": _VM, "metadata": {"local_hostname": "web"}},
    "cloud_init_guestinfo_info": {"vm": _VM},
    "cpu_features_info": {},
    "disk_tool_info": {"question": "info", "vm": _VM},
    "evc": {"cluster": "DC0_C0", "mode": "intel-haswell"},
    "first_class_disk": {"datastore": "LocalDS_0", "disks": [{"name": "data-1", "size": "8 MiB"}]},
    "first_class_disk_info": {},
    "first_class_disk_snapshot": {
        "datastore": "LocalDS_0",
        "snapshots": [{"disk": {"name": "data-1"}, "description": "before"}],
    },
    "fleet_plan": {"name": "web-##", "golden": _VM, "clusters": ["DC0_C0"]},
    "fork_parent": {"parent": _VM},
    "instant_clone": {"parent": _VM, "name": "web-1"},
    "instant_clone_parent": {"parent": _VM, "guest_username": "root", "guest_password": "a-secret-of-the-guest"},
    "instant_clone_parent_info": {"parent": _VM},
    "linked_clone": {"source": _VM, "name": "web-1"},
    "vcenter_role": {"name": "builders", "flows": ["instant_clone"]},
    "vm_backup": {"vm": _VM, "repository": "/nowhere/backups"},
    "vm_export": {"vm": _VM, "dest": "/nowhere/exports"},
    "vm_from_disks": {"name": "web-1", "disks": ["[ds] web-1/web-1.vmdk"]},
    "vm_guest_check": {"vm": _VM},
    "vm_restore": {"repository": "/nowhere/backups", "vm": "web-1", "into": _VM},
    "vmdk": {"state": "exported", "vm": _VM, "path": "/nowhere/a.vmdk"},
    "vmdk_info": {"vm": _VM},
}

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values for the tests of changed areas."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.vforge.vsphere.plugins.module_utils._cbt.model import AreaOptions, Vm
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.areas import Page
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.disks import Disk
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.snapshots import Snapshot
from ansible_collections.vforge.vsphere.plugins.modules.cbt_changed_areas import argument_spec
from ansible_collections.vforge.vsphere.tests.unit.plugins.accepted import accepted

TRACKING = "52 de c0 d9 b9 43 9d 10-61 d5 4c 1b e9 7b 65 63"
MIB = 1 << 20


def params(**given: t.Any) -> dict[str, t.Any]:
    """Parameters as AnsibleModule would hand them over; the VM is web-1 unless others are given."""
    named = {} if "vms" in given or "vm" in given else {"vm": {"name": "web-1"}}
    return accepted(argument_spec(), {**named, **given})


def options(**given: t.Any) -> AreaOptions:
    """Typed options of a task."""
    return AreaOptions.from_params(params(**given))


def disk(key: int = 2000, **changes: t.Any) -> Disk:
    """A tracked disk of 64 MiB."""
    number = key - 1999
    known = Disk(
        key=key,
        label=f"Hard disk {number}",
        unit=f"scsi0:{number - 1}",
        files=(f"[ds] web-1/disk{number}-000001.vmdk", f"[ds] web-1/disk{number}.vmdk"),
        capacity=64 * MIB,
        change_id=f"{TRACKING}/5",
        uuid=f"6000c29{number}",
        object_id=f"1-{key}",
    )
    return dataclasses.replace(known, **changes)


def vm(**changes: t.Any) -> Vm:
    """A running VM with one tracked disk."""
    known = Vm(
        moid="vm-1",
        name="web-1",
        path="/DC0/vm/web-1",
        instance_uuid="50000000-0000-0000-0000-000000000001",
        power_state="poweredOn",
        template=False,
        hardware=19,
        supported=True,
        tracking=True,
        disks=(disk(),),
    )
    return dataclasses.replace(known, **changes)


def snapshot(path: str, moid: str = "", **changes: t.Any) -> Snapshot:
    """A snapshot by its path in the tree."""
    return dataclasses.replace(Snapshot(moid or f"snapshot-{path}", path.rsplit("/", 1)[-1], path), **changes)


def asked(pages: t.Sequence[Page]) -> t.Callable[[int], Page]:
    """Something that answers with these pages, one after the other, whatever it is asked."""
    left = iter(pages)
    return lambda _offset: next(left)

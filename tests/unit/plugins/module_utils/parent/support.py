# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values for the tests of parents, as a small vCenter would give them."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.vforge.vsphere.plugins.module_utils._parent.model import Parent, ParentOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.disks import Disk
from ansible_collections.vforge.vsphere.plugins.modules.instant_clone_parent import argument_spec
from ansible_collections.vforge.vsphere.tests.unit.plugins.accepted import accepted

CREDENTIALS = {"guest_username": "root", "guest_password": "not-shown"}


def validated(spec: dict[str, t.Any], **given: t.Any) -> dict[str, t.Any]:
    """Parameters as AnsibleModule would hand them over: with defaults, types converted."""
    return accepted(spec, given)


def options(**given: t.Any) -> ParentOptions:
    """Typed options; the parent is golden-parent unless others are given, and there are credentials."""
    named = {} if "parents" in given else {"parent": {"name": "golden-parent"}}
    return ParentOptions.from_params(validated(argument_spec(), **{**named, **CREDENTIALS, **given}))


def disk(levels: int, own: int | None = None, label: str = "Hard disk 1") -> Disk:
    """A disk with so many delta disks, all of them the VM's own unless said otherwise."""
    files = tuple(f"[ds] golden/golden-{number:06}.vmdk" for number in range(levels, -1, -1))
    return Disk(2000, label, "scsi0:0", files, 1024, own_levels=levels if own is None else own)


def parent(levels: int = 0, own: int | None = None, **changes: t.Any) -> Parent:
    """A running VM with Tools, whose disk has so many delta levels."""
    known = Parent(
        moid="vm-1",
        name="golden",
        path="/DC0/vm/golden",
        instance_uuid="50000000-0000-0000-0000-000000000001",
        power_state="poweredOn",
        template=False,
        frozen=False,
        tools=True,
        tools_installed=True,
        host="host-1",
        host_name="esx-1",
        host_available=True,
        disks=(disk(levels, own),),
    )
    return dataclasses.replace(known, **changes)

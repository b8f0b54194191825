# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values for the tests of parents, as a small vCenter would give them."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.vforge.vsphere.plugins.module_utils._parent.model import Disk, Parent, ParentOptions
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
        disks=(Disk("Hard disk 1", levels, levels if own is None else own),),
    )
    return dataclasses.replace(known, **changes)

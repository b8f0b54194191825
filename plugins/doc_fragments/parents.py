# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which VMs are meant, one or several; the argument spec is ``_argspec.parents``."""

from __future__ import annotations


class ModuleDocFragment:
    """The options of the modules for parents of instant clones."""

    DOCUMENTATION = r"""
options:
  parent:
    description:
      - The VM, named in exactly one way. Either this or O(parents) is required.
      - A text is its name, or its path where it begins with a slash.
    type: dict
    suboptions: &vm
      name:
        description:
          - Name of the VM. When several VMs have it, this one fails and lists their paths.
        type: str
      path:
        description:
          - Inventory path of the VM, such as V(/DC0/vm/web/web-1), or its path below
            the VM folder of O(datacenter).
          - A slash within a name is written V(%2f).
        type: str
      uuid:
        description:
          - BIOS UUID of the VM, or its instance UUID with C(use_instance_uuid=true).
        type: str
      use_instance_uuid:
        description:
          - Whether C(uuid) is the instance UUID, which vCenter keeps
            unique, rather than the BIOS UUID.
        type: bool
        default: false
      moid:
        description:
          - Managed object ID of the VM, such as V(vm-42).
        type: str
      folder:
        description:
          - Inventory path of the folder that holds the VM named by C(name).
        type: str
  parents:
    description:
      - The VMs, when there is more than one. They are worked on at once, in one
        session, with one lookup and one wait.
    type: list
    elements: dict
    suboptions: *vm
  datacenter:
    description:
      - Name or path of the datacenter to look in. Without it the whole inventory is searched.
    type: str
"""

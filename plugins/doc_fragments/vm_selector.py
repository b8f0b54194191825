# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What names one VM; the argument spec is ``_argspec.vm_selector``."""

from __future__ import annotations


class ModuleDocFragment:
    """The suboptions of every option that names a VM."""

    DOCUMENTATION = r"""
options:
  name:
    description:
      - Name of the VM. When several VMs have it, the task fails and lists their paths.
    type: str
  path:
    description:
      - Inventory path of the VM, such as V(/DC0/vm/web/golden), or its path below the VM folder of
        the datacenter that the task names.
      - A slash within a name is written V(%2f).
    type: str
  uuid:
    description:
      - BIOS UUID of the VM, or its instance UUID with O(use_instance_uuid=true).
    type: str
  use_instance_uuid:
    description:
      - Whether O(uuid) is the instance UUID, which vCenter keeps unique, rather than the BIOS UUID.
    type: bool
    default: false
  moid:
    description:
      - Managed object ID of the VM, such as V(vm-42).
    type: str
  folder:
    description:
      - Inventory path of the folder that holds the VM named by O(name).
    type: str
"""

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every task that clones can be told; the argument spec is ``_argspec.clone_task``."""

from __future__ import annotations


class ModuleDocFragment:
    """The options that the modules for clones have in common."""

    DOCUMENTATION = r"""
options:
  name:
    description:
      - Name of the clone. Either O(name) or O(clones) is required.
    type: str
  networks:
    description:
      - NICs that are to be different in the clones. Those that are not listed keep their network and get a new MAC.
    type: list
    elements: dict
    suboptions:
      label:
        description:
          - Label of the NIC, such as V(Network adapter 1). Either this or O(networks[].index) is required.
        type: str
      index:
        description:
          - Position of the NIC, from 0.
        type: int
      network:
        description:
          - Port group or network, by name or moid. The host of the clone must see it.
        type: str
      mac:
        description:
          - MAC address, or V(automatic) for one that vCenter chooses.
        type: str
      connected:
        description:
          - Whether the NIC is connected.
        type: bool
  guestinfo:
    description:
      - Pairs that the guest can read with C(vmware-rpctool "info-get guestinfo.KEY"). The prefix C(guestinfo.) is
        added where it is missing.
      - Values are texts, numbers, or booleans, which become V(TRUE) and V(FALSE). Other data is passed as text, by the
        filter P(ansible.builtin.to_json#filter) for instance.
      - Values are never shown, in no result, no diff and at no verbosity.
    type: json
  extra_config:
    description:
      - Further pairs for the C(extraConfig) of the clones. Values are never shown either.
    type: json
  bios_uuid:
    description:
      - BIOS UUID of the clone. vCenter chooses one by default.
    type: str
  wait_for_ip_address:
    description:
      - Whether to wait until the guest of every clone reports an address of its own. Link-local addresses do not count,
        nor does what an instant clone still has of its parent's when it begins.
    type: bool
    default: false
  ip_family:
    description:
      - Which address is waited for.
    type: str
    choices: [any, ipv4, ipv6]
    default: any
  ip_nic:
    description:
      - Label of the NIC whose address is waited for. Any NIC by default.
    type: str
  timeout:
    description:
      - Seconds for all of the work of the task, waiting for addresses included.
    type: int
    default: 900
  parallel:
    description:
      - How many calls are made at the same time, each over a connection of its own.
    type: int
    default: 8
  on_error:
    description:
      - What becomes of the clones that this task made when another one failed. V(keep) leaves them, so that the next
        run makes only what is missing. V(rollback) removes them.
    type: str
    choices: [keep, rollback]
    default: keep
"""

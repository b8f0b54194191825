# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of every task that clones; the argument spec is ``_argspec.clone_task``."""

from __future__ import annotations


class ModuleDocFragment:
    """The options that the modules for clones have in common."""

    DOCUMENTATION = r"""
options:
  name:
    description:
      - Name of the clone. Either O(name) or O(clones) is required.
    type: str
  wait_for_ip_address:
    description:
      - Whether to wait until the guest of every clone reports an address of its own. Link-local
        addresses are not used, nor are those of its parent that an instant clone still reports when
        it begins.
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
      - Seconds that the task may take, from its beginning. Waiting for addresses is part of it.
    type: int
    default: 900
  parallel:
    description:
      - How many calls are made at the same time, from 1 to 64. Each has a connection of its own.
    type: int
    default: 8
  on_error:
    description:
      - What becomes of what this task made when something else failed. V(keep) leaves it, so that
        the next run makes only what is missing. V(rollback) removes it.
    type: str
    choices: [keep, rollback]
    default: keep
"""

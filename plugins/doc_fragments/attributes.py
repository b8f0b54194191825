# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The attributes that modules declare."""

from __future__ import annotations


class ModuleDocFragment:
    """Descriptions; each module states its own support."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and say what would change without changing it.
  diff_mode:
    description: Returns what changes, or would change in check mode, when run with C(--diff).
  idempotent:
    description: When run again with the same arguments, it changes nothing and says so.
  action_group:
    description: Is part of an action group, so that C(module_defaults) can set the
      connection once for all modules.
    support: full
    membership:
      - vforge.vsphere.all
"""

    # Of modules that work on the controller alone, with results of other modules.
    CONTROLLER = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and say what would change without changing it.
    support: full
  diff_mode:
    description: Returns what changes, or would change in check mode, when run with C(--diff).
  idempotent:
    description: When run again with the same arguments, it changes nothing and says so.
    support: full
  action_group:
    description: Is part of an action group. It connects to no vCenter, so that
      there is nothing to set for it.
    support: none
    membership: []
"""

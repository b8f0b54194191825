# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guest OS credentials; the argument spec is ``_argspec.guest``."""

from __future__ import annotations


class ModuleDocFragment:
    """The options of every module that works inside guests."""

    DOCUMENTATION = r"""
options:
  guest_username:
    description:
      - User inside the guest, with the rights of an administrator, such as V(root). This is not a
        user of the vCenter.
      - If unset, the environment variable E(VFORGE_GUEST_USERNAME) is used.
    type: str
  guest_password:
    description:
      - Password of O(guest_username). It goes to the guest through vCenter and VMware Tools, never
        as an argument of a program, and is shown nowhere.
      - If unset, the environment variable E(VFORGE_GUEST_PASSWORD) is used.
    type: str
"""

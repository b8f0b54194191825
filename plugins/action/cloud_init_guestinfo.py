# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module of the same name, with its secrets sealed and its progress shown."""

from __future__ import annotations

import typing as t

from ansible_collections.vforge.vsphere.plugins.plugin_utils.module_action import ModuleAction
from ansible_collections.vforge.vsphere.plugins.plugin_utils.secrets import sealed_texts, sealed_whole


class ActionModule(ModuleAction):
    """What is delivered is secret, whether it is a mapping, a list or a text."""

    SECRET = ("metadata", "userdata", "vendordata")
    LISTS = ("vms",)

    def arguments(self) -> dict[str, t.Any]:
        """The task's arguments, with the secrets sealed."""
        return sealed_texts(sealed_whole(self.meant(), self.SECRET, self.LISTS))

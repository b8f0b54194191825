# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module of the same name, with ready-made scripts put in and its progress shown."""

from __future__ import annotations

import typing as t

from ansible_collections.vforge.vsphere.plugins.plugin_utils import ready_made
from ansible_collections.vforge.vsphere.plugins.plugin_utils.module_action import ModuleAction


class ActionModule(ModuleAction):
    """A module has no files of its own, so the scripts of the collection are read here, on the controller."""

    def arguments(self) -> dict[str, t.Any]:
        """The task's arguments, with the names of ready-made scripts replaced by their texts."""
        args = super().arguments()
        if "on_wake" in args:
            args["on_wake"] = ready_made.resolved(args["on_wake"])
        if "before_freeze" in args:
            args["before_freeze"] = ready_made.ended(args["before_freeze"])
        return args

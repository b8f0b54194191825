# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module of the same name, with the progress of conversions and transfers shown."""

from __future__ import annotations

import typing as t

from ansible_collections.vforge.vsphere.plugins.plugin_utils.module_action import ModuleAction


class ActionModule(ModuleAction):
    """Nothing of it is secret."""

    def kept(self, args: dict[str, t.Any]) -> list[str]:
        """What is exported or converted."""
        names = {"exported": "path", "converted": "destination"}
        file = args.get(names.get(args.get("state", ""), ""))
        return [file] if isinstance(file, str) else []

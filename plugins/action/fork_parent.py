# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module of the same name, with its secrets sealed, ready-made scripts put in and its
progress shown.
"""

from __future__ import annotations

from ansible_collections.vforge.vsphere.plugins.plugin_utils.module_action import ScriptsAction


class ActionModule(ScriptsAction):
    """Of fork_parent, config_params may hold secrets."""

    SECRET = ("config_params",)
    LISTS = ("children",)
    BEFORE = "before_quiesce"

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module of the same name, with its secrets sealed and the progress of the upload shown."""

from __future__ import annotations

from ansible_collections.vforge.vsphere.plugins.plugin_utils.module_action import ModuleAction


class ActionModule(ModuleAction):
    """Headers and address of the source and properties of the descriptor may hold secrets."""

    SECRET = ("source_headers", "properties")
    ADDRESS = True

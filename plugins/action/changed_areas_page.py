# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the page of changed areas, on the controller."""

from __future__ import annotations

import typing as t

from ansible_collections.vforge.vsphere.plugins.plugin_utils import changed_areas_page
from ansible_collections.vforge.vsphere.plugins.plugin_utils.page_action import PageAction, arguments

ARGUMENTS = arguments(vcenter={"type": "str", "default": ""})


class ActionModule(PageAction):
    """What it shows is in the result of another task."""

    spec = ARGUMENTS

    def page(self, args: t.Mapping[str, t.Any]) -> str:
        """The page of the result."""
        return changed_areas_page.render(args["result"], args["vcenter"])

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the page of first class disks that nobody seems to use, on the controller."""

from __future__ import annotations

import typing as t

from ansible_collections.vforge.vsphere.plugins.plugin_utils import first_class_disk_page
from ansible_collections.vforge.vsphere.plugins.plugin_utils.page_action import (
    ARGUMENTS,
    PageAction,
)

__all__ = ["ARGUMENTS", "ActionModule"]


class ActionModule(PageAction):
    """The page is made by ``first_class_disk_page``."""

    def render(self, result: t.Any, vcenter: str) -> str:
        """The page."""
        return first_class_disk_page.render(result, vcenter)

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the page of which VM could move where, on the controller."""

from __future__ import annotations

import typing as t

from ansible_collections.vforge.vsphere.plugins.plugin_utils import cpu_compatibility_page
from ansible_collections.vforge.vsphere.plugins.plugin_utils.page_action import (
    ARGUMENTS,
    PageAction,
)

__all__ = ["ARGUMENTS", "ActionModule"]


class ActionModule(PageAction):
    """The page is made by ``cpu_compatibility_page``."""

    def render(self, result: t.Any, vcenter: str) -> str:
        """The page."""
        return cpu_compatibility_page.render(result, vcenter)

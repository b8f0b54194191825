# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the page of a repository of backups, on the controller."""

from __future__ import annotations

import typing as t

from ansible_collections.vforge.vsphere.plugins.plugin_utils import backup_page
from ansible_collections.vforge.vsphere.plugins.plugin_utils.page_action import (
    ARGUMENTS,
    PageAction,
)

__all__ = ["ARGUMENTS", "ActionModule"]


class ActionModule(PageAction):
    """The page is made by ``backup_page``."""

    def render(self, result: t.Any, vcenter: str) -> str:
        """The page."""
        return backup_page.render(result, vcenter)

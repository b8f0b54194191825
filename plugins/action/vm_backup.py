# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module of the same name, with its scripts held back and its progress shown."""

from __future__ import annotations

import typing as t

from ansible_collections.vforge.vsphere.plugins.module_utils._job_container import require_kept
from ansible_collections.vforge.vsphere.plugins.plugin_utils import ready_made
from ansible_collections.vforge.vsphere.plugins.plugin_utils.module_action import ModuleAction


class ActionModule(ModuleAction):
    """The scripts may hold secrets. A password of an NBD server stands in a file that its command
    names.

    Backups are the one thing that a job must not lose: a repository that would go with it is
    refused.
    """

    def meant(self) -> dict[str, t.Any]:
        """The task's arguments, with a line end after each script."""
        args = super().meant()
        scripts = args.get("scripts")
        if isinstance(scripts, dict):
            args["scripts"] = {
                key: ready_made.ended(value) if key in ("before", "after") else value for key, value in scripts.items()
            }
        return args

    def check_kept(self, args: dict[str, t.Any]) -> None:
        """Refuse a repository that would be gone with the job.

        :raises InvalidOption: it would.
        """
        if isinstance(args.get("repository"), str):
            require_kept(args["repository"], "repository")

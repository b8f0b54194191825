# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An action plugin that writes a page of the result of another task, on the controller."""

from __future__ import annotations

import os
import time
import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec, _files
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import (
    InvalidOption,
    VforgeError,
)
from ansible_collections.vforge.vsphere.plugins.plugin_utils.controller_action import (
    ControllerAction,
)

_WHAT = "page"

# Of a page that is there already: one of ten thousand VMs or disks has some megabytes.
_MOST = 256 * 1024 * 1024

ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "path": {"type": "path", "required": True},
    "result": {"type": "dict"},
    "vcenter": {"type": "str", "default": ""},
    "timeout": {"type": "int", "default": 300},
}


class PageAction(ControllerAction):
    """It needs no vCenter: what it shows is in the result of another task."""

    def render(self, result: t.Any, vcenter: str) -> str:
        """The page.

        :param vcenter: what the head names as where it comes from.
        :raises AnsibleFilterError: it is no result that has what the page shows.
        """
        raise NotImplementedError

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Write the page; without a result, or in check mode, make sure that it could be written."""
        result = super().run(tmp, task_vars)
        try:
            args = self.checked(ARGUMENTS)
            deadline = time.monotonic() + args["timeout"]
            path = os.path.abspath(os.path.expanduser(args["path"]))
            _argspec.check_bounds(args)
            _files.check(path, what=_WHAT)
            self.warn_if_lost(path)
            changed = False
            if args.get("result") is not None:
                changed = self._write(path, self._page(args), deadline)
        except VforgeError as error:
            return self.refused(result, error)
        return {**result, "changed": changed, "path": path}

    def _page(self, args: t.Mapping[str, t.Any]) -> bytes:
        try:
            page = self.render(args["result"], args["vcenter"])
        except AnsibleFilterError as error:
            raise InvalidOption(str(error), option="result") from error
        return page.encode(errors="replace")

    def _write(self, path: str, page: bytes, deadline: float) -> bool:
        """Bring the file to what it is to be; returns whether it was anything else."""
        changed = _read(path, deadline) != page
        if changed and not self._task.check_mode:
            _files.replace(path, page, 0o644, what=_WHAT)
        return changed


def _read(path: str, deadline: float) -> bytes | None:
    try:
        return _files.read(path, _MOST, what=_WHAT, deadline=deadline)
    except _files.FileMissing:
        return None

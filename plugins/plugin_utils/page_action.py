# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the action plugins have in common that write a page for people: one HTML file, on the controller."""

from __future__ import annotations

import abc
import os
import time
import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec, _files
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption, VforgeError
from ansible_collections.vforge.vsphere.plugins.plugin_utils.controller_action import ControllerAction

_WHAT = "page"

# Of a page that is there already: one of thousands of disks has some megabytes.
_MOST = 256 * 1024 * 1024


def arguments(**more: dict[str, t.Any]) -> dict[str, dict[str, t.Any]]:
    """The argument spec of such an action.

    :param more: what it has besides.
    """
    return {
        "path": {"type": "path", "required": True},
        "result": {"type": "dict"},
        **more,
        "timeout": {"type": "int", "default": 300},
    }


class PageAction(ControllerAction, abc.ABC):
    """It needs no vCenter: what it shows is in the result of another task.

    :ivar spec: the argument spec.
    """

    spec: t.ClassVar[dict[str, dict[str, t.Any]]]

    @abc.abstractmethod
    def page(self, args: t.Mapping[str, t.Any]) -> str:
        """The page.

        :param args: checked, with a result.
        :raises InvalidOption, AnsibleFilterError: the result is none of which a page can be made.
        """

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Write the page; without a result, or in check mode, make sure that it could be written."""
        result = super().run(tmp, task_vars)
        try:
            args = self.checked(self.spec)
            deadline = time.monotonic() + args["timeout"]
            path = os.path.abspath(os.path.expanduser(args["path"]))
            _argspec.check_bounds(args)
            _files.check(path, what=_WHAT)
            changed = False
            if args.get("result") is not None:
                changed = self._write(path, self._rendered(args), deadline)
        except VforgeError as error:
            return {**result, "failed": True, **error.as_result()}
        return {**result, "changed": changed, "path": path}

    def _rendered(self, args: t.Mapping[str, t.Any]) -> bytes:
        try:
            return self.page(args).encode(errors="replace")
        except AnsibleFilterError as error:
            raise InvalidOption(str(error), option="result") from error

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

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes hosts for the inventory of what guests report, and writes their SSH host keys down. All of
it on the controller.
"""

from __future__ import annotations

import os
import time
import typing as t

from ansible.utils.display import Display

from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec, _files
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import VforgeError
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.addresses import parsed
from ansible_collections.vforge.vsphere.plugins.plugin_utils import reported_hosts
from ansible_collections.vforge.vsphere.plugins.plugin_utils.controller_action import ControllerAction
from ansible_collections.vforge.vsphere.plugins.plugin_utils.reported_hosts import Found, Options

_WHAT = "file of known hosts"

# Tens of thousands of hosts.
_MOST = 64 * 1024 * 1024

ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "vms": {"type": "list", "elements": "dict", "required": True},
    "addresses": {"type": "dict"},
    "known_hosts": {"type": "path"},
    "replace_host_keys": {"type": "bool", "default": False},
    "groups": {"type": "list", "elements": "str", "default": []},
    "variables": {"type": "dict", "default": {}},
    "timeout": {"type": "int", "default": 300},
}


class ActionModule(ControllerAction):
    """What no module could do: it knows the inventory, and the controller's file of known hosts."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Judge what the VMs report, and write what is taken for true."""
        result = super().run(tmp, task_vars)
        try:
            args = self.checked(ARGUMENTS)
            options = Options(dict(args.get("addresses") or {}), bool(args["replace_host_keys"]))
            deadline = time.monotonic() + args["timeout"]
            _argspec.check_bounds(args)
            found = reported_hosts.judge(args["vms"], options, _Inventory(task_vars or {}))
            path = args.get("known_hosts")
            diff = self._write(path, found, options, deadline) if path else None
        except VforgeError as error:
            return self.refused(result, error)
        for refused in found.refused:
            Display().warning(f"{refused['msg']} It is left out of the inventory.")
        hosts = found.as_result()
        inventory = [reported_hosts.arguments(host, args["groups"], args["variables"]) for host in hosts]
        done = {"changed": diff is not None, "hosts": hosts, "inventory": inventory, "refused": found.refused}
        return {**result, **done, **({"diff": diff} if diff is not None and self._task.diff else {})}

    def _write(self, path: str, found: Found, options: Options, deadline: float) -> dict[str, str] | None:
        """Bring the file to what it is to be; returns what changed of it, or None."""
        path = os.path.abspath(os.path.expanduser(path))
        _files.check(path, what=_WHAT)
        if self._task.check_mode:
            before = _read(path, deadline)
            after = found.write_down(before, options)
        else:
            with _files.locked(path, deadline, Display().display, what=_WHAT):
                before = _read(path, deadline)
                after = found.write_down(before, options)
                if after != before:
                    _files.replace(path, after.encode("utf-8", "surrogateescape"), what=_WHAT)
        return None if after == before else reported_hosts.difference(path, before, after)


def _read(path: str, deadline: float) -> str:
    try:
        return _files.read(path, _MOST, what=_WHAT, deadline=deadline).decode("utf-8", "surrogateescape")
    except _files.FileMissing:
        return ""


class _Inventory:
    """The addresses of the inventory's hosts; read only when it is asked for, since that takes time
    in a large one.
    """

    def __init__(self, task_vars: dict[str, t.Any]) -> None:
        self._vars = task_vars
        self._known: dict[str, list[str]] | None = None

    def holders(self, address: str) -> list[str]:
        """Names of the hosts that have an address; one that is worked out by a template is not
        known.
        """
        if self._known is None:
            self._known = {}
            every = self._vars.get("hostvars") or {}
            for name in every:
                known = every.raw_get(name).get("ansible_host", name)
                one = parsed(known) if isinstance(known, str) else None
                if one is not None:
                    self._known.setdefault(str(one), []).append(str(name))
        return self._known.get(address, [])

    @property
    def groups(self) -> t.Collection[str]:
        """Names that no host can have."""
        return t.cast("t.Collection[str]", self._vars.get("groups") or {})

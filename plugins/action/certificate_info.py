# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the certificate of a server, on the controller."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec
from ansible_collections.vforge.vsphere.plugins.module_utils._connector import certificate
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.options import (
    LONGEST_TIMEOUT,
    ConnectionOptions,
)
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import (
    InvalidOption,
    VforgeError,
)
from ansible_collections.vforge.vsphere.plugins.module_utils._text import shown
from ansible_collections.vforge.vsphere.plugins.plugin_utils.controller_action import (
    ControllerAction,
)

ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "host": {"type": "str", "required": True},
    "port": {"type": "int", "default": 443},
    "ca_path": {"type": "path"},
    "proxy_host": {"type": "str"},
    "proxy_port": {"type": "int"},
    "timeout": {"type": "int", "default": 60},
}


class ActionModule(ControllerAction):
    """It needs no vCenter and no credentials, and sends nothing but handshakes."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Read it, and say whether it is trusted."""
        result = super().run(tmp, task_vars)
        try:
            args = self.checked(ARGUMENTS)
            _argspec.check_bounds(args)
            return {**result, "changed": False, **shown(_found(args))}
        except VforgeError as error:
            return self.refused(result, error)


def _found(args: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    options = _options(args)
    found = certificate.shown(options, time.monotonic() + args["timeout"])
    return {
        "endpoint": options.endpoint,
        "sha256": found.thumbprint("sha256"),
        "sha1": found.thumbprint("sha1"),
        "pem": found.pem,
        "trusted": found.distrust is None,
        "distrust": found.distrust.as_result() if found.distrust is not None else None,
        **certificate.details(found.der),
    }


def _options(args: t.Mapping[str, t.Any]) -> ConnectionOptions:
    """The way to the server. Its name is checked as that of a vCenter is; there is no user.

    :raises InvalidOption: naming the option.
    """
    way = {key: args.get(key) for key in ("port", "ca_path", "proxy_host", "proxy_port")}
    nobody = {"username": "-", "password": "-"}
    seconds = min(args["timeout"], LONGEST_TIMEOUT)
    try:
        return ConnectionOptions.from_params({"hostname": args["host"], **way, **nobody, "connection_timeout": seconds})
    except InvalidOption as error:
        if error.details.get("option") != "hostname":
            raise
        if not args["host"]:
            raise InvalidOption("The option host is empty.", hint="Name the server.", option="host") from error
        message = error.message.replace("The hostname", "The host")
        raise InvalidOption(message, hint=error.hint.replace("hostname", "host"), option="host") from error

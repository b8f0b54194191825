# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An action for targets: a request to the control endpoint of a simulator, with ``url``, ``method`` and ``body``.

In place of ansible.builtin.uri, which starts a module for it: 0.5 s of processor time each.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from ansible.plugins.action import ActionBase

# Straight to the loopback address: a proxy in the environment is not asked.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ActionModule(ActionBase):
    """Needs no module."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send it; the answer is in ``json``, as of ansible.builtin.uri."""
        result = super().run(tmp, task_vars)
        args = self._task.args
        body = json.dumps(args["body"]).encode() if "body" in args else None
        request = urllib.request.Request(args["url"], data=body, method=args.get("method", "GET"))  # noqa: S310 (a simulator of ours)
        try:
            with _OPENER.open(request, timeout=60) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError as refused:
            return {**result, "failed": True, "msg": f"{refused}: {refused.read().decode()}"}
        return {**result, "changed": False, "json": json.loads(text) if text.strip() else {}}

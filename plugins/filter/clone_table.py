# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The clones of a task as a table for people."""

from __future__ import annotations

import typing as t

from ansible_collections.vforge.vsphere.plugins.module_utils._connector import names
from ansible_collections.vforge.vsphere.plugins.module_utils._text import number, seconds
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.addresses import plain
from ansible_collections.vforge.vsphere.plugins.plugin_utils import task_results

DOCUMENTATION = r"""
name: clone_table
short_description: Show what a clone task did as a table
version_added: 0.9.0
description:
  - Turns the result of P(vforge.vsphere.instant_clone#module), or of another module that makes
    clones, into a text table, one line a clone, with a line for each kind of failure and one of
    totals. Failures are of one kind where only the names of the clones differ in their messages.
positional: _input
options:
  _input:
    description: The registered result of the task.
    type: dict
    required: true
  check_mode:
    description:
      - Whether the result is that of a task in check mode. The line of totals
        then says that nothing was done.
      - A result does not say it itself, so give C(ansible_check_mode). That is true with C(--check)
        alone. Give V(true) for a task that has C(check_mode=true), or whose play or block has it.
    type: bool
    default: false
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: Show the fleet
  ansible.builtin.debug:
    # In lines, because Ansible's usual output shows a line end within a text as a backslash and an n.
    msg: "{{ (fleet | vforge.vsphere.clone_table(check_mode=ansible_check_mode)).splitlines() }}"
"""

RETURN = r"""
_value:
  description: The table, without a line end after its last line.
  type: str
"""


def _short_host(clone: dict[str, t.Any]) -> str:
    """The host without its domain, which all of them share; an address stays whole."""
    host = clone.get("host") or ""
    return host if host.replace(".", "").isdigit() or ":" in host else host.split(".")[0]


# Title, how a cell aligns, and what is in it.
_COLUMNS: tuple[tuple[str, t.Callable[[str, int], str], t.Callable[[dict[str, t.Any]], t.Any]], ...] = (
    ("NAME", str.ljust, lambda clone: clone["name"]),
    ("ACTION", str.ljust, lambda clone: clone.get("action")),
    ("HOST", str.ljust, _short_host),
    ("POOL", str.ljust, lambda clone: clone.get("resource_pool")),
    ("IP", str.ljust, lambda clone: clone.get("ip")),
    ("SECONDS", str.rjust, lambda clone: "" if clone.get("seconds") is None else f"{clone['seconds']:.2f}"),
    ("CALLS", str.rjust, lambda clone: clone.get("calls")),
)


def clone_table(result: t.Any, check_mode: t.Any = False) -> str:
    """The table of a task's result.

    :param check_mode: whether it is one of check mode.
    :raises AnsibleFilterError: when the input is no such result.
    """
    clones = result.get("clones", result.get("children")) if isinstance(result, dict) else None
    if not isinstance(clones, list):
        wanted = "clone_table wants the registered result of a clone task, which has a list 'clones', or 'children' of VMFork."
        raise task_results.refusal(wanted, result)
    rows = [[title for title, _align, _cell in _COLUMNS]]
    rows += [[plain(str(cell(clone) or "-")) for _title, _align, cell in _COLUMNS] for clone in clones]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligns = [align for _title, align, _cell in _COLUMNS]
    lines = ["  ".join(align(text, width) for align, text, width in zip(aligns, row, widths, strict=True)) for row in rows]
    return "\n".join([*(line.rstrip() for line in lines), "", *_failures(clones), _totals(result, check_mode=check_mode)])


def _failures(clones: list[dict[str, t.Any]]) -> list[str]:
    """Which clones failed, and why, a line for each reason, whichever clone it is about."""
    kinds: dict[tuple[str, str], list[dict[str, t.Any]]] = {}
    for clone in clones:
        if clone.get("error"):
            error = clone["error"]
            reason = error["msg"].replace(clone["name"], "")
            kinds.setdefault((error["error_code"], reason), []).append(clone)
    return [
        plain(f"{names.listing([clone['name'] for clone in failed], most=5)}: {code}. {failed[0]['error']['msg']}")
        for (code, _reason), failed in kinds.items()
    ]


def _totals(result: dict[str, t.Any], *, check_mode: bool) -> str:
    actions = ", ".join(f"{count} {action}" for action, count in sorted(result.get("counts", {}).items()))
    calls = result.get("calls", {})
    logins = calls.get("by_method", {}).get("Login", 0)
    logged_in = f"{logins} login{'' if logins == 1 else 's'}"
    spent = result.get("timing", {}).get("total", 0)
    if check_mode:
        actions = f"check mode, nothing was done. It would be {actions or 'no clones'}"
    return f"{actions or 'no clones'}: {number(calls.get('total', 0))} SOAP calls, {logged_in}, {seconds(spent)}"


class FilterModule:
    """The filter, for Ansible."""

    def filters(self) -> dict[str, t.Callable[[t.Any], str]]:
        """Name and function."""
        return {"clone_table": clone_table}

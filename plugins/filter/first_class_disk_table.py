# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""First class disks that nobody seems to use as a table for people."""

from __future__ import annotations

import typing as t

from ansible_collections.vforge.vsphere.plugins.module_utils._text import number, seconds, size
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.addresses import plain
from ansible_collections.vforge.vsphere.plugins.plugin_utils import task_results

DOCUMENTATION = r"""
name: first_class_disk_table
short_description: Show the first class disks and snapshots that nobody seems to use as a table
version_added: 0.9.0
description:
  - Turns the result of P(vforge.vsphere.first_class_disk_info#module), asked with its option
    C(orphans), into a text table. There is one line for each disk and each snapshot that nobody
    seems to use, those first that cannot be found.
positional: _input
options:
  _input:
    description: The registered result of the task.
    type: dict
    required: true
  most:
    description: How many lines are shown. The totals are of all.
    type: int
    default: 50
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: Show what nobody seems to use
  ansible.builtin.debug:
    msg: "{{ (found | vforge.vsphere.first_class_disk_table).splitlines() }}"
"""

RETURN = r"""
_value:
  description: The table, without a line end after its last line.
  type: str
"""

_TITLES = ("WHAT", "ID", "NAME", "DATASTORE", "SIZE", "WHY", "KUBERNETES")


def claim(cns: t.Mapping[str, str]) -> str:
    """What CNS says of a disk in a few words: its claim and that one's namespace, where it says so."""
    name = cns.get("cns.k8s.pvc.name", "")
    space = cns.get("cns.k8s.pvc.namespace", "")
    return f"{space}/{name}".strip("/") or (f"{len(cns)} keys" if cns else "")


def lines_of(result: t.Mapping[str, t.Any]) -> list[tuple[str, ...]]:
    """A line for each disk and each snapshot, in the order of the titles."""
    disks = [
        (
            "disk",
            each["id"],
            each["name"],
            each["datastore"],
            size(each["capacity_mb"] << 20) if each["capacity_mb"] else "",
            ", ".join(each["reasons"]),
            claim(each["cns"]),
        )
        for each in result["orphans"]
    ]
    snapshots = [
        (
            "snapshot",
            each["id"],
            f"{each['description']} of {each['disk_name']}",
            each["datastore"],
            "",
            ", ".join(each["reasons"]),
            "",
        )
        for each in result["orphan_snapshots"]
    ]
    return [*disks, *snapshots]


def check(result: t.Any) -> None:
    """Make sure that a value is the result of the module, asked about orphans.

    :raises AnsibleFilterError: it is not.
    """
    if not isinstance(result, dict) or not {"orphans", "orphan_snapshots", "disks"} <= set(result):
        wanted = (
            "What is wanted is the registered result of first_class_disk_info with orphans set to true, "
            "which has the lists 'disks', 'orphans' and 'orphan_snapshots'."
        )
        raise task_results.refusal(wanted, result)


def summary(result: t.Mapping[str, t.Any]) -> str:
    """How many there are in all, and what it took to find out."""
    calls = result.get("calls", {})
    # Those that are only listed are among the orphans alone.
    listed = len(result["disks"]) + sum("not_found" in each["reasons"] for each in result["orphans"])
    return (
        f"{len(result['orphans'])} of {listed} disks and "
        f"{len(result['orphan_snapshots'])} snapshots on {len(result.get('datastores', ()))} datastores: "
        f"{number(calls.get('total', 0))} SOAP calls, "
        f"{seconds(result.get('timing', {}).get('total', 0))}"
    )


def first_class_disk_table(result: t.Any, most: int = 50) -> str:
    """The table of a task's result.

    :raises AnsibleFilterError: when the input is no such result.
    """
    check(result)
    found = lines_of(result)
    rows = [_TITLES, *([plain(cell) or "-" for cell in line] for line in found[:most])]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    more = [f"and {len(found) - most} more"] if len(found) > most else []
    return "\n".join([*lines, *more, "", summary(result)])


class FilterModule:
    """The filter, for Ansible."""

    def filters(self) -> dict[str, t.Callable[..., str]]:
        """Name and function."""
        return {"first_class_disk_table": first_class_disk_table}

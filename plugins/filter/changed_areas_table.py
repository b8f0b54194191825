# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What changed on the disks of VMs as a table for people."""

from __future__ import annotations

import typing as t

from ansible_collections.vforge.vsphere.plugins.module_utils._text import number, seconds, size
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.addresses import plain
from ansible_collections.vforge.vsphere.plugins.plugin_utils import task_results

DOCUMENTATION = r"""
name: changed_areas_table
short_description: Show which VMs change most as a table
version_added: 0.9.0
description:
  - Turns the result of P(vforge.vsphere.cbt_changed_areas#module) into a text table, one line a VM,
    the one with most to read first, with a line of totals.
positional: _input
options:
  _input:
    description: The registered result of the task.
    type: dict
    required: true
  most:
    description: How many VMs are listed. The totals are of all.
    type: int
    default: 20
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: Show the ten that change most
  ansible.builtin.debug:
    msg: "{{ (night | vforge.vsphere.changed_areas_table(most=10)).splitlines() }}"
"""

RETURN = r"""
_value:
  description: The table, without a line end after its last line.
  type: str
"""


def _to_read(vm: dict[str, t.Any]) -> int:
    """What a backup would read now: what changed, and disks whole of which that is not known."""
    return sum(disk["capacity"] if disk["full_required"] else disk["changed_bytes"] or 0 for disk in vm["disks"])


def _changed(vm: dict[str, t.Any]) -> str:
    known = [disk for disk in vm["disks"] if disk["changed_bytes"] is not None]
    return size(sum(disk["changed_bytes"] for disk in known)) if known else "unknown"


def _remarks(vm: dict[str, t.Any]) -> str:
    if "error" in vm:
        return f"failed: {vm['error']['error_code']}"
    full = sum(disk["full_required"] for disk in vm["disks"])
    found = [f"{full} to read whole"] if full else []
    return ", ".join(found + ([f"{len(vm['excluded'])} left out"] if vm["excluded"] else []))


# Title, how a cell aligns, and what is in it.
_COLUMNS: tuple[tuple[str, t.Callable[[str, int], str], t.Callable[[dict[str, t.Any]], str]], ...] = (
    ("VM", str.ljust, lambda vm: vm["name"]),
    ("TO READ", str.rjust, lambda vm: size(_to_read(vm)) if vm["disks"] else ""),
    ("CHANGED", str.rjust, _changed),
    ("CAPACITY", str.rjust, lambda vm: size(sum(disk["capacity"] for disk in vm["disks"])) if vm["disks"] else ""),
    ("REMARKS", str.ljust, _remarks),
)


def changed_areas_table(result: t.Any, most: int = 20) -> str:
    """The table of a task's result.

    :raises AnsibleFilterError: when the input is no such result.
    """
    if not isinstance(result, dict) or not isinstance(result.get("vms"), list) or "totals" not in result:
        wanted = "changed_areas_table wants the registered result of cbt_changed_areas, which has a list 'vms'."
        raise task_results.refusal(wanted, result)
    vms = sorted(result["vms"], key=lambda vm: (-_to_read(vm), vm["name"]))
    rows = [[title for title, _align, _cell in _COLUMNS]]
    rows += [[plain(cell(vm)) or "-" for _title, _align, cell in _COLUMNS] for vm in vms[:most]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligns = [align for _title, align, _cell in _COLUMNS]
    lines = ["  ".join(align(text, width) for align, text, width in zip(aligns, row, widths, strict=True)) for row in rows]
    more = [f"and {len(vms) - most} more"] if len(vms) > most else []
    return "\n".join([*(line.rstrip() for line in lines), *more, "", _totals(result)])


def _totals(result: dict[str, t.Any]) -> str:
    totals, calls = result["totals"], result.get("calls", {})
    return (
        f"{size(totals['bytes_to_read'])} to read of {size(totals['capacity'])} on {totals['disks']} disks "
        f"of {totals['vms']} VMs: "
        f"{number(calls.get('total', 0))} SOAP calls, {seconds(result.get('timing', {}).get('total', 0))}"
    )


class FilterModule:
    """The filter, for Ansible."""

    def filters(self) -> dict[str, t.Callable[..., str]]:
        """Name and function."""
        return {"changed_areas_table": changed_areas_table}

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which VM could move where, by its processor, as a table for people."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.vforge.vsphere.plugins.module_utils._text import number, seconds
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.addresses import plain
from ansible_collections.vforge.vsphere.plugins.plugin_utils import task_results

DOCUMENTATION = r"""
name: cpu_compatibility_table
short_description: Show which VM could move to which host and cluster as a table
version_added: 0.9.0
description:
  - Turns the result of P(vforge.vsphere.cpu_features_info#module), asked with its option
    C(compare), into a text table. There is a line for each group of VMs that require the same and
    each cluster, or host that is in none, with the features that stand in the way.
positional: _input
options:
  _input:
    description: The registered result of the task.
    type: dict
    required: true
  most:
    description: How many lines are shown. The totals are of all.
    type: int
    default: 100
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: Show which VM could move where
  ansible.builtin.debug:
    msg: "{{ (found | vforge.vsphere.cpu_compatibility_table).splitlines() }}"
"""

RETURN = r"""
_value:
  description: The table, without a line end after its last line.
  type: str
"""

YES = "yes"
NO = "no"
UNKNOWN = "unknown"

_TITLES = ("VMS", "NEED", "TO", "FIT", "IN THE WAY")

# Names of VMs and of features that a line has.
_MOST_NAMES = 3
_MOST_FEATURES = 6


@dataclasses.dataclass(frozen=True)
class Cell:
    """What a group of VMs finds in a place.

    :ivar fit: ``yes``, ``no``, ``unknown``, or how many of the hosts fit: ``2 of 3 hosts``.
    :ivar features: what stands in the way on any of its hosts.
    """

    fit: str
    features: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Place:
    """A cluster with its hosts, or a host alone.

    :ivar hosts: names.
    """

    title: str
    hosts: tuple[str, ...]


def check(result: t.Any) -> None:
    """Make sure that a value is the result of the module, asked to compare.

    :raises AnsibleFilterError: it is not.
    """
    comparison = result.get("comparison") if isinstance(result, dict) else None
    if not isinstance(comparison, dict) or not {"hosts", "clusters", "groups"} <= set(comparison):
        wanted = "What is wanted is the registered result of cpu_features_info with compare: true, which has 'comparison'."
        raise task_results.refusal(wanted, result)


def places_of(result: t.Mapping[str, t.Any]) -> list[Place]:
    """The clusters that are compared with their hosts, and the hosts that are in none of them."""
    comparison = result["comparison"]
    inside: dict[str, list[str]] = {each["path"]: [] for each in comparison["clusters"]}
    alone = []
    for host in comparison["hosts"]:
        if host["cluster"] in inside:
            inside[host["cluster"]].append(host["name"])
        else:
            alone.append(Place(host["name"], (host["name"],)))
    return [*(Place(path, tuple(hosts)) for path, hosts in inside.items()), *alone]


def cell_of(group: t.Mapping[str, t.Any], place: Place) -> Cell:
    """What the VMs of a group find in a place."""
    unknown = set(group["unknown_hosts"])
    known = [name for name in place.hosts if name not in unknown]
    if not known:
        return Cell(UNKNOWN)
    fitting = set(group["hosts"])
    fit = sum(name in fitting for name in known)
    features = {each["feature"] for each in group["obstacles"] if not set(known).isdisjoint(each["hosts"])}
    words = YES if fit == len(known) else NO if not fit else f"{fit} of {len(known)} hosts"
    if len(known) < len(place.hosts):
        words += f", {len(place.hosts) - len(known)} unknown"
    return Cell(words, tuple(sorted(features)))


def names_of(group: t.Mapping[str, t.Any], most: int = _MOST_NAMES) -> str:
    """The VMs of a group in a few words."""
    called = [each["name"] for each in group["vms"]]
    rest = len(called) - most
    return ", ".join(called[:most]) + (f" and {number(rest)} more" if rest > 0 else "")


def needs_of(group: t.Mapping[str, t.Any]) -> str:
    """What the VMs of a group need, in a few words."""
    words = {"running": "", "powered_off": "off", "unknown": "unknown"}[group["basis"]]
    return ", ".join(part for part in (*group["min_evc_modes"], words) if part)


def features_in(cell: Cell, most: int = _MOST_FEATURES) -> str:
    """Features in a few words, without what all of their names begin with."""
    named = [feature.removeprefix("cpuid.") for feature in cell.features]
    rest = len(named) - most
    return ", ".join(named[:most]) + (f" and {rest} more" if rest > 0 else "")


def summary(result: t.Mapping[str, t.Any]) -> str:
    """How much was compared, and what that took."""
    comparison, calls = result["comparison"], result.get("calls", {})
    vms = sum(len(group["vms"]) for group in comparison["groups"])
    return (
        f"{number(vms)} VMs in {number(len(comparison['groups']))} groups, {number(len(comparison['hosts']))} hosts: "
        f"{number(calls.get('total', 0))} SOAP calls, {seconds(result.get('timing', {}).get('total', 0))}"
    )


def cpu_compatibility_table(result: t.Any, most: int = 100) -> str:
    """The table of a task's result.

    :raises AnsibleFilterError: when the input is no such result.
    """
    check(result)
    places = places_of(result)
    found = [
        (names_of(group), needs_of(group), place.title, cell.fit, features_in(cell))
        for group in result["comparison"]["groups"]
        for place in places
        for cell in (cell_of(group, place),)
    ]
    rows = [_TITLES, *(tuple(plain(word) or "-" for word in line) for line in found[:most])]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    more = [f"and {number(len(found) - most)} more"] if len(found) > most else []
    return "\n".join([*lines, *more, "", summary(result)])


class FilterModule:
    """The filter, for Ansible."""

    def filters(self) -> dict[str, t.Callable[..., str]]:
        """Name and function."""
        return {"cpu_compatibility_table": cpu_compatibility_table}

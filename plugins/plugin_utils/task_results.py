# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What filters are given, and why a registered result has not what they want. Pure."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError


def refusal(wanted: str, result: t.Any) -> AnsibleFilterError:
    """The error for a result that has nothing to show.

    :param wanted: one sentence: which result it has to be.
    :param result: what was given instead.
    """
    return AnsibleFilterError(f"{wanted} {why_not(result)}".strip())


def mappings(entries: t.Any, name: str) -> list[t.Mapping[str, t.Any]]:
    """The input of a filter that takes a list of mappings, or what yields them, as filters of Jinja do.

    :param name: of the filter.
    :raises AnsibleFilterError: for anything else.
    """
    if isinstance(entries, t.Iterable) and not isinstance(entries, (str, t.Mapping)):
        found = list(entries)
        if all(isinstance(entry, t.Mapping) for entry in found):
            return found
    raise refusal(f"{name} wants a list of mappings.", entries)


def why_not(result: t.Any) -> str:
    """Why a task has returned nothing to show, as far as its result says so; or an empty text."""
    if not isinstance(result, dict):
        return ""
    if isinstance(result.get("results"), list):
        return "This is that of a loop: give each of its results, or name all items in one task."
    if result.get("skipped"):
        return "The task was skipped."
    if result.get("failed"):
        return f"The task failed: {result.get('msg', 'it does not say why')}"
    if "ansible_job_id" in result:
        return "The task runs in the background: give what async_status returns once it has finished."
    return ""

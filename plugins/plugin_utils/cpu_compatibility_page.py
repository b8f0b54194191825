# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page that says which VM could move where: a matrix in one HTML file that needs no network.

The rows are groups of VMs that require the same, however many VMs there are; the columns are
clusters, and hosts that are in none. All names in a result come from tenants and administrators:
the template escapes whatever it is given, and the page allows no scripts.
"""

from __future__ import annotations

import typing as t

import jinja2

from ansible_collections.vforge.vsphere.plugins.filter.cpu_compatibility_table import (
    NO,
    UNKNOWN,
    YES,
    cell_of,
    check,
    needs_of,
    places_of,
    summary,
)

# VMs of a group that are listed by name.
_MOST_NAMES = 1_000

_TEMPLATE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Which VM could move where</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; }
th, td { border: 1px solid #ccc; padding: .3rem .6rem; text-align: left; vertical-align: top; }
thead th { position: sticky; top: 0; background: #eee; }
td.yes { background: #d9f2d9; } td.no { background: #f7d6d6; } td.some { background: #fdf0c8; } td.unknown { background: #eee; }
small { color: #555; overflow-wrap: anywhere; }
summary { cursor: pointer; }
@media (prefers-color-scheme: dark) {
  body { background: #111; color: #eee; } thead th, td.unknown { background: #333; } small { color: #aaa; }
  td.yes { background: #143d14; } td.no { background: #4a1616; } td.some { background: #453a10; }
}
</style>
</head>
<body>
<h1>Which VM could move where</h1>
<p>{% if vcenter %}{{ vcenter }}. {% endif %}{{ summary }}.</p>
<p>Compared is what VMs require of processors with what hosts offer behind the masks of EVC modes. A VM that is off may be moved
anywhere, and must find what it requires where it is powered on. Networks, datastores and devices are not compared.</p>
<table>
<thead>
<tr><th>VMs</th><th>Need</th>{% for place in places %}<th>{{ place.title }}<br>
<small>{{ place.hosts | length }} host{{ "" if place.hosts | length == 1 else "s" }}{% for cpu in cpus[place.title] %}<br>
{{ cpu }}{% endfor %}</small></th>{% endfor %}</tr>
</thead>
<tbody>
{% for row in rows -%}
<tr><td><details><summary>{{ row.count }} VM{{ "" if row.count == 1 else "s" }}: {{ row.first }}</summary>
<small>{{ row.names }}</small></details></td><td>{{ row.needs }}{% if row.why %}<br>
<small>{{ row.why }}</small>{% endif %}</td>
{% for cell in row.cells %}<td class="{{ cell.kind }}">{{ cell.fit }}{% if cell.features %}<br>
<small>{{ cell.features }}</small>{% endif %}</td>{% endfor %}</tr>
{% else -%}
<tr><td colspan="{{ 2 + places | length }}">No VM was compared.</td></tr>
{% endfor -%}
</tbody>
</table>
</body>
</html>
"""


def render(result: t.Any, vcenter: str) -> str:
    """The page of a task's result.

    :param vcenter: what the head names as where the VMs are.
    :raises AnsibleFilterError: the result is no such one.
    """
    check(result)
    places = places_of(result)
    cpu_of = {host["name"]: host["cpu"] for host in result["comparison"]["hosts"]}
    # What it took to find out differs from run to run, and is no news: the same VMs make the same
    # page.
    said = summary({**result, "calls": {}, "timing": {}}).partition(":")[0]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(_TEMPLATE).render(
        places=places,
        cpus={place.title: sorted({cpu_of[name] for name in place.hosts} - {""}) for place in places},
        rows=[_row(group, places) for group in result["comparison"]["groups"]],
        summary=said,
        vcenter=vcenter,
    )


def _row(group: t.Mapping[str, t.Any], places: t.Sequence[t.Any]) -> dict[str, t.Any]:
    called = [each["name"] for each in group["vms"]]
    more = len(called) - _MOST_NAMES
    return {
        "count": len(called),
        "first": called[0] if called else "",
        "names": ", ".join(called[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else ""),
        "needs": needs_of(group),
        "why": group["why_unknown"],
        "cells": [_cell(group, place) for place in places],
    }


def _cell(group: t.Mapping[str, t.Any], place: t.Any) -> dict[str, str]:
    cell = cell_of(group, place)
    word = cell.fit.partition(",")[0]
    kind = word if word in (YES, NO, UNKNOWN) else "some"
    return {"kind": kind, "fit": cell.fit, "features": ", ".join(cell.features)}

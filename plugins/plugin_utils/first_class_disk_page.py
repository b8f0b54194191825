# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of first class disks that nobody seems to use: one HTML file that needs no network.

All names in a result come from tenants and administrators: the template escapes whatever it is
given, and the page allows no scripts.
"""

from __future__ import annotations

import typing as t

import jinja2

from ansible_collections.vforge.vsphere.plugins.filter.first_class_disk_table import (
    check,
    lines_of,
    summary,
)

_TEMPLATE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>First class disks that nobody seems to use</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid #ccc; padding: .3rem .6rem; text-align: left; vertical-align: top; }
td.id { font-family: monospace; overflow-wrap: anywhere; }
@media (prefers-color-scheme: dark) { body { background: #111; color: #eee; } }
</style>
</head>
<body>
<h1>First class disks that nobody seems to use</h1>
<p>{% if vcenter %}{{ vcenter }}. {% endif %}{{ summary }}.</p>
<p>not_found: listed, and cannot be found; reconcile the datastore. vmdk_gone: its file is not where it should be.
not_attached: no VM has it; a disk of Kubernetes may belong to a pod that does not run. unreferenced: no metadata names
the snapshot, and no other disk rests on it.</p>
<table>
<thead><tr><th>What</th><th>ID</th><th>Name</th><th>Datastore</th><th>Size</th><th>Why</th><th>Kubernetes</th></tr></thead>
<tbody>
{% for line in lines -%}
<tr>{% for cell in line %}<td{% if loop.index == 2 %} class="id"{% endif %}>{{ cell }}</td>{% endfor %}</tr>
{% else -%}
<tr><td colspan="7">Nothing.</td></tr>
{% endfor -%}
</tbody>
</table>
</body>
</html>
"""


def render(result: t.Any, vcenter: str) -> str:
    """The page of a task's result.

    :param vcenter: what the head names as where the disks are.
    :raises AnsibleFilterError: the result is no such one.
    """
    check(result)
    # What it took to find out differs from run to run, and is no news: the same disks make the same
    # page.
    quiet = {**result, "calls": {}, "timing": {}}
    said = summary(quiet).partition(":")[0]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(_TEMPLATE)
    return template.render(lines=lines_of(result), summary=said, vcenter=vcenter)

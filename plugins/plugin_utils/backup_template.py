# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The template of the page of a repository of backups."""

from __future__ import annotations

TEMPLATE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Backups: {{ title | line }}</title>
<style>
:root { color-scheme: light dark; --text: #1c2126; --soft: #5b6670; --line: #d8dde2; --page: #fff;
  --none: #edf0f2;
  --part: #8fbbe0; --full: #1f6fb2; --good: #1d7a3d; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e9ec; --soft: #9aa5ae; --line: #363d44;
  --page: #14181b;
  --none: #242a2f; --part: #2f5f86; --full: #6db3ec; --good: #6fce8e; --bad: #ff8a80; } }
body { margin: 0 auto; padding: 1rem; max-width: 75rem; background: var(--page); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
tr.day th { color: var(--text); padding-top: 1rem; } .at { white-space: nowrap; }
.soft { color: var(--soft); font-size: .9rem; } .bad { color: var(--bad); }
.good { color: var(--good); }
.id { font-family: ui-monospace, monospace; font-size: .85rem; }
.tiles { display: flex; flex-wrap: wrap; gap: .6rem; margin: 1rem 0; }
.tile { flex: 1 1 9rem; border: 1px solid var(--line); border-radius: .4rem; padding: .5rem .8rem; }
.tile b { display: block; font-size: 1.3rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .35rem .8rem .35rem 0;
  border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
td.n, th.n { text-align: right; white-space: nowrap; }
.calendar { display: flex; gap: 2px; margin: .5rem 0; }
.calendar i { flex: 1 1 0; min-width: 4px; height: 1.3rem; border-radius: 2px;
  background: var(--none);
  position: relative; }
i.incremental { background: var(--part) !important; } i.full { background: var(--full) !important; }
i.proved::after { content: ""; position: absolute; left: 0; right: 0; bottom: 0; height: 4px;
  background: var(--good);
  border-radius: 0 0 2px 2px; }
.axis { display: flex; justify-content: space-between; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1rem; }
.legend span { display: flex; align-items: center; gap: .4rem; }
.legend i { display: inline-block; width: 1rem; height: 1rem; border-radius: 2px;
  background: var(--none);
  position: relative; }
details.vm { border-top: 1px solid var(--line); padding: .6rem 0; }
summary { cursor: pointer; } summary b { margin-right: .6rem; }
footer { margin-top: 2rem; border-top: 1px solid var(--line); padding-top: .6rem; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap; }
@media (max-width: 45rem) {
  table.cards thead { position: absolute; width: 1px; height: 1px; overflow: hidden;
    clip-path: inset(50%); }
  table.cards tr { display: block; border-bottom: 1px solid var(--line); padding: .4rem 0; }
  table.cards td { display: flex; justify-content: space-between; gap: 1rem; border: 0;
    padding: .1rem 0;
    text-align: right; }
  table.cards td::before { content: attr(data-label); color: var(--soft); text-align: left;
    white-space: nowrap; }
}
@media print { details.vm { break-inside: avoid; } }
</style>
</head>
<body>
<header>
<h1>Backups</h1>
<p class="soft">{{ title | line }}{% if title != repository %},
<span class="id">{{ repository | line }}</span>{% endif %}</p>
</header>
<main>
<div class="tiles">
<div class="tile"><b>{{ vms | length }}</b><span class="soft">VM{{ "" if vms | length == 1 else "s" }} with backups</span></div>
<div class="tile"><b>{{ points }}</b><span class="soft">point{{ "" if points == 1 else "s" }}</span></div>
<div class="tile"><b>{{ stored }}</b><span class="soft">on the file system</span></div>
<div class="tile"><b class="at">{{ newest or "none" }}</b><span class="soft">the newest point</span></div>
<div class="tile"><b>{{ not_verified }}</b>
<span class="soft">point{{ "" if not_verified == 1 else "s" }} not verified</span></div>
{% if damaged %}
<div class="tile"><b class="bad">{{ damaged }}</b><span class="soft">point{{ "" if damaged == 1 else "s" }} damaged</span></div>
{% endif %}
</div>

<h2>VMs</h2>
<table class="cards">
<thead><tr><th>VM</th><th>Newest point</th><th class="n">Points</th><th class="n">Stored</th>
<th>Verified</th>
<th>Restored</th></tr></thead>
<tbody>
{% for vm in vms %}
<tr><td data-label="VM"><span>{{ vm.name }}{% if vm.damaged or vm.error %} <span class="bad">damaged</span>
{% endif %}</span></td>
<td class="at" data-label="Newest point">{{ vm.newest or "none" }}</td>
<td class="n" data-label="Points">{{ vm.points }}</td>
<td class="n" data-label="Stored">{{ vm.stored }}</td>
<td class="at" data-label="Verified"><span>{{ vm.verified or "never" }}{% if vm.verified and vm.never_verified %}
 <span class="soft">({{ vm.never_verified }} not)</span>{% endif %}</span></td>
<td class="at" data-label="Restored">{{ vm.restored or "never" }}</td></tr>
{% else %}
<tr><td colspan="6">There are no backups.</td></tr>
{% endfor %}
</tbody>
</table>

{% if days %}
<h2>Day by day</h2>
<div class="legend soft"><span><i class="full"></i>full</span><span><i class="incremental"></i>incremental</span>
<span><i></i>no backup</span><span><i class="incremental proved"></i>all of the day verified</span></div>
{% endif %}
{% for vm in vms %}
<details class="vm"{% if vm.unfolded %} open{% endif %}>
<summary><b>{{ vm.name }}</b><span class="soft">{{ vm.points }}
point{{ "" if vm.points == 1 else "s" }},
{{ vm.stored }}</span>{% if vm.damaged or vm.error %} <span class="bad">damaged</span>{% endif %}</summary>
<p class="soft id">{{ vm.uuid }}</p>
{% if vm.error %}<p class="bad">{{ vm.error }}</p>{% endif %}
{% for id, msg in vm.damaged %}
<p class="bad"><span class="id">{{ id }}</span> is damaged. {{ msg }}</p>
{% endfor %}
{% if days %}
<div class="calendar" role="list" aria-label="The last {{ days | length }} days">
{% for day in vm.calendar %}
<i role="listitem" class="{{ day.mark }}" title="{{ day.day }}: {{ day.text }}">
<span class="unseen">{{ day.day }}: {{ day.text }}</span></i>
{% endfor %}
</div>
<div class="axis soft" aria-hidden="true"><span>{{ days | first }}</span><span>{{ days | last }}</span></div>
{% endif %}
{% if vm.days %}
<table class="cards">
<thead><tr><th>Time</th><th>Point</th><th>Kind</th><th>Consistency</th><th class="n">Size</th>
<th class="n">Read</th>
<th class="n">Stored</th><th>Verified</th><th>Restored</th></tr></thead>
{% for day, points in vm.days %}
<tbody>
<tr class="day"><th colspan="9" scope="rowgroup">{{ day }}</th></tr>
{% for point in points %}
<tr><td class="at" data-label="Time">{{ point.at }}</td>
<td data-label="Point"><span><span class="id">{{ point.id }}</span>
{% for disk in point.disks %}<br><span class="soft">{{ disk }}</span>{% endfor %}</span></td>
<td class="at" data-label="Kind">{{ point.kind }}</td>
<td data-label="Consistency">{{ point.consistency }}</td>
<td class="n" data-label="Size">{{ point.capacity }}</td>
<td class="n" data-label="Read">{{ point.read }}</td>
<td class="n" data-label="Stored">{{ point.stored }}</td>
<td class="at" data-label="Verified">{% if point.verified %}<span class="good">{{ point.verified }}</span>
{% else %}never{% endif %}</td>
<td data-label="Restored"><span>{% for each in point.restored %}{{ each }}{% if not loop.last %}<br>{% endif %}
{% else %}never{% endfor %}</span></td></tr>
{% endfor %}
</tbody>
{% endfor %}
</table>
{% endif %}
</details>
{% endfor %}
</main>
<footer class="soft">Times and days are UTC.
A point was verified when every byte of it was last compared with its digests,
since its images were written. Damaged here are points whose manifests cannot be read;
only a verification finds damage of
images.</footer>
</body>
</html>
"""

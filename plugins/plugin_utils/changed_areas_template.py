# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Jinja2 template of the page of changed areas. All that it is given is escaped."""

from __future__ import annotations

TEMPLATE = """\
{% macro strip(item, label) %}
<svg class="strip" viewBox="0 0 {{ item.width }} 1" preserveAspectRatio="none" shape-rendering="crispEdges" role="img"
  aria-label="{{ label }}, {{ item.at }}: {{ item.text }}">
{% if item.full %}
<path class="full" d="M0 0h{{ item.width }}v1h-{{ item.width }}z"/>
{% else %}
{% for level, shape in item.paths %}
<path class="h{{ level }}" d="{{ shape }}"/>
{% endfor %}
{% endif %}
</svg>
{% endmacro %}
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Changed areas{% if at %}, {{ at }} UTC{% endif %}</title>
<style>
:root {
  color-scheme: light dark;
  --page: #ffffff; --card: #f5f7fa; --line: #d9dfe7; --ink: #17202b; --soft: #566474;
  --h0: #e6ebf1; --h1: #bcd7f2; --h2: #84b8e8; --h3: #4490d6; --h4: #1f66ad; --h5: #0b3a70;
  --full: #b4540a; --bad: #b3261e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #10161d; --card: #18212b; --line: #2c3947; --ink: #e6edf4; --soft: #9dacbc;
    --h0: #25313e; --h1: #214a75; --h2: #2b6cae; --h3: #4a95de; --h4: #8cc0f2; --h5: #d6eafd;
    --full: #f0a04b; --bad: #ff8a80;
  }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 70rem; padding: 1.5rem 1rem 3rem; background: var(--page);
  color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; }
h3 { font-size: 1rem; margin: 0; }
p { margin: .3rem 0; } .soft { color: var(--soft); } .bad { color: var(--bad); }
.full-text { color: var(--full); }
.file { overflow-wrap: anywhere; font-size: .85rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .7rem;
  margin: 1.2rem 0; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  padding: .6rem .8rem; }
.tile b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem .9rem; font-size: .85rem; color: var(--soft);
  margin: .4rem 0; }
.legend span { display: inline-flex; align-items: center; gap: .35rem; }
.legend i { width: 1rem; height: .8rem; border-radius: .15rem; display: inline-block; }
i.h0 { background: var(--h0); } i.h1 { background: var(--h1); } i.h2 { background: var(--h2); }
i.h3 { background: var(--h3); } i.h4 { background: var(--h4); } i.h5 { background: var(--h5); }
i.full { background: var(--full); }
path.h1 { fill: var(--h1); } path.h2 { fill: var(--h2); } path.h3 { fill: var(--h3); }
path.h4 { fill: var(--h4); }
path.h5 { fill: var(--h5); } .strip .full, .bar .full { fill: var(--full); opacity: .75; }
details.vm { border: 1px solid var(--line); border-radius: .5rem; margin: .7rem 0;
  padding: 0 .8rem; }
details.vm > summary { cursor: pointer; padding: .6rem 0; display: flex; flex-wrap: wrap;
  gap: .2rem .8rem;
  align-items: baseline; }
details.vm > summary::before { content: "\\25b8"; color: var(--soft); }
details.vm[open] > summary::before { content: "\\25be"; }
details.vm > summary b { overflow-wrap: anywhere; } details.vm > summary .soft { font-size: .9rem; }
.disk { border-top: 1px solid var(--line); padding: .7rem 0 .9rem; }
.row { display: grid; grid-template-columns: 9.2rem 1fr 6.5rem; gap: .1rem .7rem;
  align-items: center; font-size: .85rem;
  font-variant-numeric: tabular-nums; margin: .15rem 0; }
.row .amount { text-align: right; }
.strip { width: 100%; height: .75rem; display: block; background: var(--h0);
  border-radius: .15rem; }
.latest .strip { height: 1.5rem; } .latest { font-weight: 600; }
.axis { display: flex; justify-content: space-between; font-size: .8rem; color: var(--soft);
  margin: 0 7.2rem 0 9.9rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem;
  font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
td.n, th.n { text-align: right; white-space: nowrap; }
td .full-text { white-space: nowrap; } td.name { overflow-wrap: anywhere; min-width: 8rem; }
.bar { width: 100%; min-width: 5rem; height: .8rem; display: block; background: var(--h0);
  border-radius: .15rem; }
.bar rect { fill: var(--h3); }
.run { grid-template-columns: 9.2rem 1fr 6.5rem 16rem; } .run .bar { height: 1rem; }
.run .soft { font-weight: 400; }
footer { margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: .6rem;
  font-size: .85rem; color: var(--soft); }
.narrow { display: none; font-size: .85rem; }
.tables { margin-top: .5rem; font-size: .9rem; }
.tables summary { cursor: pointer; color: var(--soft); }
@media (max-width: 40rem) {
  .row { grid-template-columns: 1fr auto; } .row svg { grid-column: 1 / -1; grid-row: 2; }
  .axis { margin: 0; }
  .run .soft { grid-column: 1 / -1; }
  .wide { display: none; } .narrow { display: inline; }
}
@media print { details.vm { break-inside: avoid; } }
</style>
</head>
<body>
<header>
<h1>Changed areas</h1>
<p class="soft">{% if at %}{{ at }} UTC{% endif %}{% if at and vcenter %},
{% endif %}{{ vcenter }}</p>
{% if stopped %}<p class="bad">The run ended early: {{ stopped }}</p>{% endif %}
</header>
<main>
<div class="tiles">
<div class="tile"><b>{{ totals.bytes_to_read }}</b><span class="soft">to read for a backup now</span></div>
<div class="tile"><b>{{ totals.changed_bytes }}</b>
<span class="soft">changed, in {{ "{:,}".format(totals.areas) }} areas</span></div>
<div class="tile"><b>{{ totals.capacity }}</b>
<span class="soft">capacity of {{ totals.disks }} disks of {{ totals.vms }} VMs</span></div>
<div class="tile"><b>{{ totals.full_required_disks }}</b><span class="soft">disks to read whole</span></div>
{% if totals.excluded_disks %}
<div class="tile"><b>{{ totals.excluded_disks }}</b><span class="soft">disks of which nothing is known</span></div>
{% endif %}
{% if totals.failures %}
<div class="tile"><b class="bad">{{ totals.failures }}</b><span class="soft">VMs that failed</span></div>
{% endif %}
</div>

<h2>Which VMs change most</h2>
<div class="scroll">
<table>
<thead><tr><th>VM</th><th class="n">To read</th><th class="wide" aria-hidden="true"></th>
<th class="n wide">Changed</th>
<th class="n">Capacity</th><th class="wide">Remarks</th></tr></thead>
<tbody>
{% for vm in vms %}
<tr><td class="name">{{ vm.name }}{% if vm.error %} <span class="bad narrow">failed</span>{% endif %}
{% if vm.full_disks %} <span class="full-text narrow">{{ vm.full_disks }}
to read whole</span>{% endif %}</td>
<td class="n">{{ vm.to_read }}</td>
<td class="wide"><svg class="bar" viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">
<rect x="0" y="0" width="{{ vm.share }}" height="1"/>
<rect class="full" x="{{ vm.share }}" y="0" width="{{ vm.full_share }}" height="1"/></svg></td>
<td class="n wide">{{ vm.changed }}</td><td class="n">{{ vm.capacity }}</td>
<td class="wide">{% if vm.error %}<span class="bad">failed</span> {% endif %}
{% if vm.full_disks %}<span class="full-text">{{ vm.full_disks }} to read whole</span> {% endif %}
{% if vm.excluded %}{{ vm.excluded | length }} left out{% endif %}</td></tr>
{% endfor %}
</tbody>
</table>
</div>

{% if runs %}
<h2>Run by run</h2>
<p class="soft">What changed on all of these disks since the run before it: what an incremental backup would have read.</p>
{% for run in runs %}
<div class="row run{% if loop.first %} latest{% endif %}"><span>{{ run.at }}</span>
<svg class="bar" viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">
<rect x="0" y="0" width="{{ run.share }}" height="1"/></svg>
<span class="amount">{{ run.changed }}</span>
<span class="soft">{{ run.disks }} disk{{ "" if run.disks == 1 else "s" }}{% if run.full_disks %},
<span class="full-text">
{{ run.full_disks }} to read whole ({{ run.full }})</span>{% endif %}</span></div>
{% endfor %}
{% endif %}

<h2>Where they change</h2>
<p class="soft">Each strip is the address space of a disk,
from its first byte on the left to its last one on the right; the
darker, or in the dark the brighter, the more of a region changed. The newest run is on top.</p>
<div class="legend">
{% for level, text in legend %}<span><i class="h{{ level }}"></i>{{ text }}</span>
{% endfor %}<span><i class="full"></i>to be read whole</span>
</div>
{% for vm in vms %}
<details class="vm"{% if vm.unfolded %} open{% endif %}>
<summary><b>{{ vm.name }}</b><span class="soft">{{ vm.to_read }} to read of {{ vm.capacity }}</span>
{% if vm.error %}<span class="bad">failed</span>{% endif %}</summary>
<p class="soft file">{{ vm.path }}</p>
{% if vm.error %}<p class="bad">{{ vm.error }}</p>{% endif %}
{% for disk in vm.disks %}
<section class="disk">
<h3>{{ disk.label }} <span class="soft">({{ disk.unit }}, {{ disk.capacity }})</span></h3>
<p class="soft file">{{ disk.backing }}</p>
{% if disk.error %}
<p class="bad">{{ disk.error }}</p>
{% elif disk.full %}
<p class="full-text">To be read whole: {{ disk.full }}</p>
{% else %}
<p>{{ disk.changed }} changed ({{ disk.percent }}), in {{ disk.areas }}
area{{ "" if disk.areas == "1" else "s" }}.</p>
{% endif %}
{% for item in disk.strips %}
<div class="row{% if item.latest %} latest{% endif %}">
<span>{{ item.at }}</span>{{ strip(item, disk.label) }}<span class="amount">{{ item.text }}</span></div>
{% endfor %}
{% if disk.strips %}<div class="axis" aria-hidden="true"><span>0</span><span>{{ disk.capacity }}</span></div>{% endif %}
{% if disk.strips %}
<details class="tables"><summary>As tables</summary>
<div class="scroll">
<table><caption class="soft">Runs of {{ disk.label }}</caption>
<thead><tr><th>Run (UTC)</th><th class="n">Changed</th><th class="n">Areas</th></tr></thead>
<tbody>
{% for item in disk.strips %}
<tr><td>{{ item.at }}</td><td class="n">{{ item.text }}{% if item.full %} ({{ item.full }}){% endif %}</td>
<td class="n">{{ item.areas or "-" }}</td></tr>
{% endfor %}
</tbody></table>
{% if disk.regions %}
<table><caption class="soft">Regions of {{ disk.label }} that changed most, newest run</caption>
<thead><tr><th>From</th><th>To</th><th class="n">Changed</th><th class="n">Share</th></tr></thead>
<tbody>
{% for region in disk.regions %}
<tr><td>{{ region.begins }}</td><td>{{ region.ends }}</td><td class="n">{{ region.changed }}</td>
<td class="n">{{ region.percent }}</td></tr>
{% endfor %}
</tbody></table>
{% if disk.more_regions %}<p class="soft">and {{ disk.more_regions }} regions more</p>{% endif %}
{% endif %}
</div>
</details>
{% endif %}
</section>
{% endfor %}
{% for label, reason in vm.excluded %}
<section class="disk"><h3>{{ label }}</h3><p class="soft">Nothing is known of it.
{{ reason }}</p></section>
{% endfor %}
</details>
{% endfor %}
</main>
<footer>Tracking may report more than what changed, never less. Times are UTC;
1 GiB is 1,073,741,824 bytes.</footer>
</body>
</html>
"""

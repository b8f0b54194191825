# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Draws the chart of docs/benchmarks.md: `chart.py FIGURES.json CHART.svg`. Runs in the benchmark's own environment."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
# Text stays text, and the same figures give the same file.
mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "vforge", "font.family": "sans-serif", "font.size": 10})

from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.ticker import FuncFormatter  # noqa: E402

# Colours of Okabe and Ito, which colour-blind people can tell apart; markers for print without colour.
TOOLS = {
    "community.vmware loop": ("community.vmware", "#D55E00", "s"),
    "govc loop": ("govc", "#E69F00", "^"),
    "vforge.vsphere": ("vforge.vsphere", "#0072B2", "o"),
    "plain pyVmomi script": ("plain script", "#555555", "x"),
}


def main(source: Path, target: Path) -> None:
    """Draw calls a clone by the size of the inventory, both axes logarithmic."""
    samples = json.loads(source.read_text(encoding="utf-8"))
    figure, axes = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
    for tool, (label, colour, marker) in TOOLS.items():
        mine = sorted((sample for sample in samples if sample["tool"] == tool), key=lambda sample: sample["vms"])
        sizes = [sample["vms"] for sample in mine]
        calls = [sample["calls"] / sample["clones"] for sample in mine]
        axes.plot(sizes, calls, color=colour, marker=marker, markersize=6, linewidth=2, label=label)
    axes.set(xscale="log", yscale="log", xlabel="VMs in the inventory", title="SOAP calls for each clone")
    axes.minorticks_off()
    axes.grid(visible=True, which="major", color="#dddddd", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}"))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(target, metadata={"Date": None, "Creator": None}, facecolor="white")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

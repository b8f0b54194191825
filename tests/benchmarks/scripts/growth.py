# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Draws how the role's processor time grows: `growth.py POINTS.json PLOT.svg`. Runs in the benchmark's own environment."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
# Text stays text, and the same figures give the same file.
mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "vforge", "font.family": "sans-serif", "font.size": 10})

from matplotlib import pyplot as plt  # noqa: E402

# Colours of Okabe and Ito, which colour-blind people can tell apart; markers for print without colour.
LINES = {
    ("before", False): ("before", "#D55E00", "s"),
    ("now", False): ("now", "#0072B2", "o"),
    ("now", True): ("now, the same again", "#56B4E9", "^"),
}


def main(source: Path, target: Path) -> None:
    """Draw processor seconds by VMs."""
    points = json.loads(source.read_text(encoding="utf-8"))
    figure, axes = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
    for (tool, again), (label, colour, marker) in LINES.items():
        mine = sorted((each["vms"], each["cpu"]) for each in points if (each["tool"], each["again"]) == (tool, again))
        if mine:
            axes.plot(*zip(*mine, strict=True), color=colour, marker=marker, markersize=6, linewidth=2, label=label)
    axes.set(
        xlabel="VMs of one play", ylabel="Processor seconds", title="The role guest_cloud_init", xlim=(0, None), ylim=(0, None)
    )
    axes.grid(visible=True, color="#dddddd", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(target, metadata={"Date": None, "Creator": None}, facecolor="white")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

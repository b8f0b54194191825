# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Draws the diagrams of the guides, one SVG each, into a folder: diagrams.py FOLDER. `make diagrams` calls it.

They are narrow, with text that can be read on a telephone, and have a background of their own, for pages that are dark.
"""

from __future__ import annotations

import sys
from pathlib import Path

import schemdraw
from schemdraw import flow

# Units of schemdraw; with the size of its text that is some 340 pixels.
_WIDTH = 6.4
_HEIGHT = 1.3
_STEP = 1.1

# Each step: what there is then, and what leads to it.
FLOWS: dict[str, list[tuple[str, str]]] = {
    "flow-instant-clones": [
        ("a golden VM\n(off, or running)", ""),
        ("one parent on each host\n(running, then frozen)", "fleet_plan, linked_clone"),
        ("the guest waits in its\nwake script", "instant_clone_parent"),
        ("clones: memory and disks of\ntheir parent, on its host", "instant_clone"),
        ("each with its own name,\naddress and host keys", "the wake script"),
    ],
    "flow-linked-clones": [
        ("an OVA, OVF or address", ""),
        ("a template, uploaded once,\nwith empty delta disks on top", "cached_ovf_template"),
        ("linked clones: delta disks\non what lies below these", "linked_clone"),
        ("running VMs that cloud-init\nhas set up", "cloud_init_guestinfo"),
        ("hosts of the inventory", "reported_hosts"),
    ],
    "flow-backup": [
        ("VMs whose changes are\ntracked", "cbt_changed_areas"),
        ("what changed, read from a\nsnapshot, which then goes", "vm_backup"),
        ("a repository of images:\nthinned, and read back", "backup_repository"),
        ("disks or a VM as they were,\ncompared with the backup", "vm_restore"),
        ("a VM that answered\nin an isolated network", "restore_drill"),
    ],
}


def draw(steps: list[tuple[str, str]], path: Path) -> None:
    """Draw a flow from the top to the bottom. steps: as in FLOWS; path: of the SVG."""
    with schemdraw.Drawing(file=str(path), show=False) as drawing:
        drawing.config(bgcolor="white", fontsize=13, font="sans-serif", margin=0.3)
        at = (0.0, 0.0)
        for text, by in steps:
            if by:
                arrow = drawing.add(flow.Arrow().at(at).down(_STEP).label(by, loc="bottom", halign="left", fontsize=11))
                at = arrow.end
            box = drawing.add(flow.Box(w=_WIDTH, h=_HEIGHT).at(at).anchor("N").label(text).fill("#eef4fb"))
            at = box.S


def main() -> int:
    """Draw all of them."""
    schemdraw.use("svg")
    # Text as text, which can be searched and read aloud, not as outlines.
    schemdraw.svgconfig.text = "text"
    for name, steps in FLOWS.items():
        draw(steps, Path(sys.argv[1]) / f"{name}.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())

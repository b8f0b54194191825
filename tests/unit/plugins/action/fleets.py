# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Play the roles for fleets against a simulator, and look at it from outside."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from ansible_collections.vforge.vsphere.tests.unit.plugins.action.plays import Played, Plays

__all__ = ["Fleet", "Played"]


class Fleet(Plays):
    """Plays a role against one simulator, for a fleet web-### of a VM that is powered off.

    :param golden: whether that VM is to be made.
    """

    def __init__(self, sim: Any, folder: Path, role: str, *, golden: bool = True) -> None:
        super().__init__(sim, folder, role, keep=("result", "plan", "reported"))
        if golden:
            sim.create_vm("golden", on=False)

    def start(self, *words: str, **given: Any) -> subprocess.Popen[str]:
        """Start a play; the variables of the role are given without their prefix."""
        asked = {
            "name": "web-###",
            "golden": {"path": "/DC0/vm/golden"},
            "golden_version": "1",
            "clusters": ["DC0_C0"],
            "folder": "DC0_F0",
            "guest_username": self.sim.guest_username,
            "guest_password": self.sim.guest_password,
        }
        return super().start(*words, **{**asked, **given})

    def vms(self, pattern: str) -> dict[str, dict[str, Any]]:
        """The VMs of the fleet's folder, as govc reads them."""
        return super().vms(f"/DC0/vm/DC0_F0/{pattern}")

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An earlier build of this collection, to compare with."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

from devtools import layout

# The last commit whose roles shaped the data of VMs in loops of Ansible's, and whose modules always came as Ansible's file.
BEFORE = "4d714ffd30825ce580e4915a0a334c8a233ce356"


def earlier_build(work: Path) -> Path | None:
    """A folder of collections with the build of the commit `BEFORE`; None where the checkout has no history."""
    done = subprocess.run(["git", "-C", layout.ROOT, "archive", BEFORE], capture_output=True, check=False)
    if done.returncode:
        return None
    folder = work / "earlier"
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder / "ansible_collections" / "vforge" / "vsphere", filter="data")
    return folder

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the benchmark lies, and its charts."""

from __future__ import annotations

from pathlib import Path

from devtools import layout, processes

HERE = Path(__file__).resolve().parents[1]


def plot(peer: Path, script: str, data: Path, target: Path) -> Path:
    """Draw the figures of a JSON file by one of the scripts; returns the picture's path. Raises CommandFailed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    python = peer / "venv" / "bin" / "python"
    processes.check([python, HERE / "scripts" / script, data, target], layout.LOGS / "bench.log")
    return target

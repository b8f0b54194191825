# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where everything lies: the checkout, and the one folder that the build writes to."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
TOOLS = ROOT / "tests" / "tools"
SIMULATOR = ROOT / "tests" / "simulator"
JUDGE = ROOT / "tests" / "judge"

# Resolved, so that checkouts whose .build is a link to the same folder share what is built.
BUILD = (ROOT / ".build").resolve()
LOCKS = BUILD / "locks"
LOGS = BUILD / "logs"
RUNS = BUILD / "runs"
CACHE = BUILD / "cache"

NAMESPACE = "vforge"
NAME = "vsphere"

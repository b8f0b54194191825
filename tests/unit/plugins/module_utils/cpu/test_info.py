# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is told of hosts, clusters and VMs, in how many calls."""

from __future__ import annotations

import json


def test_thread(start):
    ran = start("--vms", "4").run(compare=True)
    print(json.dumps(ran.result, indent=1)[:6000], ran.calls)
    assert ran.result["hosts"] == 1

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible loads all filters of a collection, and compiles what they import, in each task that uses one of them."""

from __future__ import annotations

import pathlib
import subprocess
import sys

from ansible_collections.vforge.vsphere.plugins import filter as filters

_FOLDER = pathlib.Path(next(iter(filters.__path__)))

_LOAD = """
import importlib, sys
sys.path.insert(0, sys.argv[1])
for name in sys.argv[2:]:
    importlib.import_module(f"ansible_collections.vforge.vsphere.plugins.filter.{name}")
print(*sorted(name for name, module in sys.modules.items() if name.startswith(("ansible_collections.", "pyVmomi"))))
"""


def test_filters_load_little():
    names = sorted(file.stem for file in _FOLDER.glob("[!_]*.py"))
    command = [sys.executable, "-c", _LOAD, str(_FOLDER.parents[4]), *names]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    others = {name.partition(".module_utils.")[2] for name in loaded if ".plugins.filter" not in name} - {""}
    assert {"_text", "_vsphere", "_vsphere.addresses", "_connector", "_connector.names"} >= others

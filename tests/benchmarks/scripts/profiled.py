# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a module as Ansible does, below a profiler that writes to standard output: the module's own is descriptor 3."""

from __future__ import annotations

import os
import runpy
import sys

if __name__ == "__main__":
    os.dup2(3, 1)
    os.close(3)
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")

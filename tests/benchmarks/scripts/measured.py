# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs Python with the arguments given, as Ansible runs a module, and writes what the process used to a file.

The file is named in VFORGE_BENCH_USAGE; it gets the largest resident set (KiB) and the CPU seconds. Of a play with many modules
VFORGE_BENCH_USAGES names a folder, in which each gets a file; ``all`` counts this process, too.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Run it to its end; returns its exit code."""
    process = subprocess.Popen([sys.executable, *sys.argv[1:]])
    _pid, status, usage = os.wait4(process.pid, 0)
    # wait4 has taken what Popen would look for.
    process.returncode = os.waitstatus_to_exitcode(status)
    cpu, own = usage.ru_utime + usage.ru_stime, resource.getrusage(resource.RUSAGE_SELF)
    figures = {"peak_kib": usage.ru_maxrss, "cpu": cpu, "all": cpu + own.ru_utime + own.ru_stime}
    folder = os.environ.get("VFORGE_BENCH_USAGES")
    path = Path(folder) / f"{os.getpid()}.json" if folder else Path(os.environ["VFORGE_BENCH_USAGE"])
    path.write_text(json.dumps(figures), encoding="utf-8")
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())

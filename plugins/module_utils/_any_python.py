# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module says on a Python that is too old for it.

A module calls ``require`` before it imports anything else of the collection, which older Pythons
could not even compile. So this file, and all of a module but its other imports, is kept to what
Python 3.6 understands; a test holds them to that. It is Ansible itself that refuses Pythons that
are older than these.
"""

import json
import platform
import shutil
import sys

OLDEST = (3, 11)
_NEWEST = 20

# What every module needs. requirements.txt has the rest.
_LIBRARIES = "'pyvmomi>=8.0.3.0.1' 'requests>=2.32.3'"


def require() -> None:
    """End the module, with a result as any other failure has, where this Python is too old."""
    if sys.version_info[:2] >= OLDEST:
        return
    # What AnsibleModule does at its end, which is not there yet.
    sys.stdout.write(json.dumps(result()) + "\n")
    raise SystemExit(1)


def result() -> "dict[str, object]":
    """The result of a module that cannot begin: which Python it is, and how to give it a newer one."""
    minors = range(_NEWEST, OLDEST[1] - 1, -1)
    newer = next(filter(None, (shutil.which(f"python3.{minor}") for minor in minors)), None)
    use = newer or f"/path/to/python3.{OLDEST[1]}"
    version = ".".join(str(part) for part in sys.version_info[:3])
    msg = (
        f"Python 3.11 or later is needed, and the module runs with {sys.executable} on {platform.node()}, which is Python "
        f"{version}. Set ansible_python_interpreter of that host to a newer one ({use}), and install for it: "
        f"{use} -m pip install {_LIBRARIES}."
    )
    return {
        "failed": True,
        "changed": False,
        "error_code": "missing_library",
        "msg": msg,
        "timing": {"total": 0.0},
    }

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of VMs as names of hosts in Ansible's inventory. Pure."""

from __future__ import annotations

import ipaddress

# What patterns of hosts are made of; what ends a name before a port; what leads out of a folder of
# cached facts.
_SPECIAL = set(",:;&!~@*?[]{}<>|\"'`$\\/")

# Both mean the machine that Ansible runs on, whatever the inventory says.
_OWN = ("localhost", "localhost.localdomain")

_LONGEST = 253


def objection(name: str) -> str:
    """Why a VM's name cannot be a host's, to go on after "the name"; or empty."""
    if not name or len(name) > _LONGEST:
        return f"has {len(name)} characters"
    if not name.isprintable() or name != name.strip() or "  " in name:
        return "has control characters, or blanks that nobody sees"
    if name.startswith(("-", ".")):
        return f"begins with {name[0]}"
    if set(name) & _SPECIAL:
        return f"has the character {min(set(name) & _SPECIAL)}"
    return f"means another machine, {name}" if name.lower() in _OWN or _is_address(name) else ""


def _is_address(name: str) -> bool:
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False

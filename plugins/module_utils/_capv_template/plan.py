# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a template lacks for CAPV, and what has to be done; check mode, diff and the real run all
use it. Pure.

The rules are those of CAPV's own code (pkg/services/govmomi/vcenter/clone.go): a linked clone is
made of the current snapshot of the template, or of the one that is named, and where there is none a
full clone is made without saying so.
"""

from __future__ import annotations

from .._errors import InvalidOption
from .model import NodeTemplate, Options

# In the order in which they are done. A template cannot be changed: it is a VM meanwhile.
OPEN, UPGRADE, CLEAN, SNAPSHOT, CLOSE = "made_vm", "hardware_upgraded", "cleaned", "snapshot_created", "made_template"

# The steps that a user asked for; making it a VM and a template again is the way.
WORK = (UPGRADE, CLEAN, SNAPSHOT)


def lacks(template: NodeTemplate, options: Options) -> dict[str, str]:
    """What is not as CAPV needs it, by the step that mends it."""
    found = {}
    if options.hardware > template.hardware:
        found[UPGRADE] = f"hardware version vmx-{template.hardware}, not vmx-{options.hardware}"
    left = [*(["vApp properties"] if template.vapp else []), *template.guest_keys]
    if left:
        found[CLEAN] = f"has {', '.join(left)}"
    # After an upgrade an older snapshot would still have the older hardware.
    if options.snapshot and (template.current_snapshot != options.snapshot or found):
        found[SNAPSHOT] = f"current snapshot {template.current_snapshot or 'missing'}, not {options.snapshot}"
    if not template.template:
        found[CLOSE] = "is no template"
    return found


def steps(template: NodeTemplate, options: Options) -> tuple[str, ...]:
    """What brings a template to what is asked, in this order.

    :raises InvalidOption: it cannot be one of nodes.
    """
    found = lacks(template, options)
    _check(template, options, found)
    work = tuple(step for step in WORK if step in found)
    if not template.template:
        return (*work, CLOSE)
    if work and not template.pool:
        raise InvalidOption(
            f"{template.path} has to be made a VM for a moment, and this user does not see the resource pool of its host.",
            hint="Give the user the privilege System.View on the cluster and the host that it is registered on.",
            option="template",
        )
    return (OPEN, *work, CLOSE) if work else ()


def _check(template: NodeTemplate, options: Options, found: dict[str, str]) -> None:
    if not template.disks:
        raise InvalidOption(f"{template.path} has no disk, and is no template of nodes.", option="template")
    if found and not template.powered_off:
        raise InvalidOption(
            f"{template.path} is {template.power_state or 'in an unknown state'}, and cannot be made a template.",
            hint="Power it off.",
            option="template",
        )
    taken = [each.path for each in template.snapshots if each.name == options.snapshot]
    if SNAPSHOT in found and taken:
        raise InvalidOption(
            f"{template.path} has a snapshot {taken[0]} already, which CAPV would not clone as it is to be.",
            hint="Choose another name for the snapshot, or make the template again from its package.",
            option="snapshot",
        )

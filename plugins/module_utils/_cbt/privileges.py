# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this user may do with each VM, found out before anything is done to one of them.

A user who may make snapshots and may not remove them would leave one behind. Check mode finds it out, too.
"""

from __future__ import annotations

import time
import typing as t

from .._errors import VforgeError
from . import api, plan
from .job import Job, Standing
from .options import AreaOptions

SWITCH = "VirtualMachine.Config.ChangeTracking"
MAKE = "VirtualMachine.State.CreateSnapshot"
REMOVE = "VirtualMachine.State.RemoveSnapshot"
READ = "VirtualMachine.Provisioning.DiskRandomRead"
POWER_OFF = "VirtualMachine.Interact.PowerOff"
POWER_ON = "VirtualMachine.Interact.PowerOn"


class NotPermitted(VforgeError):
    """This user may not do with a VM what is asked for."""

    error_code = "no_permission"


def check(job: Job) -> None:
    """Let each VM fail on which this user lacks something that its plan needs; one call for all of them."""
    begun = time.monotonic()
    wanted = {standing.moid: needed(standing, job.options) for standing in job.standings}
    wanted = {moid: names for moid, names in wanted.items() if names}
    if not wanted or job.session_key is None:
        return
    missing = api.missing_privileges(job.session, job.session_key, wanted)
    for standing in job.standings:
        lacked = missing.get(standing.moid)
        if lacked:
            _refuse(standing, lacked)
    job.lap("privileges", begun)


def needed(standing: Standing, options: AreaOptions) -> list[str]:
    """What the plan of a VM needs, and the removal of left-overs (API reference, the methods' required privileges)."""
    names = [REMOVE] if standing.leftovers else []
    if standing.error is None:
        names += _of_plan(standing, options)
    return list(dict.fromkeys(names))


def _of_plan(standing: Standing, options: AreaOptions) -> t.Iterator[str]:
    steps, questions = standing.plan.steps, standing.plan.questions
    if plan.SWITCH_ON in steps or plan.SWITCH_OFF in steps:
        yield SWITCH
    if plan.ACTIVATE in steps and plan.cycles_power(standing.vm, options):
        yield from (POWER_OFF, POWER_ON)
    elif plan.ACTIVATE in steps or standing.plan.create:
        yield from (MAKE, REMOVE)
    # In a first run nothing is read yet; what is missing is told then, and not in the second night.
    if standing.plan.snapshot is not None or questions.asked:
        yield READ


def _refuse(standing: Standing, lacked: t.Sequence[str]) -> None:
    path = standing.vm.path
    if REMOVE in lacked and standing.leftovers:
        names = ", ".join(snapshot.moid for snapshot in standing.leftovers)
        standing.warnings.append(f"{path} has the left-over {names} of an earlier run, which this user may not remove.")
        standing.leftovers = []
    standing.fail(
        NotPermitted(
            f"This user may not do with {path} what is asked for: {', '.join(lacked)} is missing.",
            hint="Give the user a role with these privileges on this VM.",
            privileges=list(lacked),
        )
    )

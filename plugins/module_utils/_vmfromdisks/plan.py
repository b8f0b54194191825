# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be done with the VM. Pure."""

from __future__ import annotations

import itertools
import typing as t

from .._connector import names
from .._engine import Difference
from .._errors import Fault, InvalidOption, NotFound

if t.TYPE_CHECKING:
    from .._errors import VforgeError
    from .model import MadeVm, Owner, VmOptions

CREATE, POWER_ON, POWER_OFF, REMOVE = "created", "powered_on", "powered_off", "removed"


class NameTaken(InvalidOption):
    """Another VM has the name."""

    error_code = "exists"


class InUse(InvalidOption):
    """A disk belongs to somebody else."""

    error_code = "in_use"


def check_free(owners: t.Mapping[str, Owner]) -> None:
    """Make sure that nobody has the disks of a new VM: two that write to one spoil it, and it goes with either.

    :param owners: by the files of disks.
    :raises InUse: somebody has.
    """
    for file, owner in owners.items():
        if owner.first_class:
            message = f"{file} is the first class disk {owner.name}."
            hint = "Attach it to the VM by first_class_disk once that is there, or copy it by vmdk with state copied."
        else:
            message = f"{file} belongs to {owner.name}."
            hint = "Take it off first, or copy it by vmdk with state copied."
        raise InUse(message, hint=hint, option="disks")


def check_there(missing: t.Sequence[str]) -> None:
    """Make sure that a new VM gets disks that there are.

    :param missing: those that there are not.
    :raises NotFound: there are some.
    """
    if missing:
        hint = "Look whether datastore, datacenter and path are right, or make it by vmdk with state imported or copied."
        raise NotFound(f"There is no disk {names.listing(missing, most=5)}.", hint=hint, option="disks")


def check_unused(title: str, dependents: t.Sequence[str]) -> None:
    """Make sure that no other VM uses the disks of one that goes.

    :raises InUse: one does.
    """
    if dependents:
        raise InUse(
            f"{title} stays, since its disks are used by {names.listing(dependents, most=5)}.",
            hint="Remove these first, or move them to disks of their own.",
        )


# What to look at where vCenter refuses to make the VM, by its fault. Others are said by the connector.
_WHERE_REFUSED = {
    "FileAlreadyExists": "Files of another VM lie beside the first of the disks. Move the disk, or choose another name.",
    "VirtualHardwareVersionNotSupported": "The host has no such hardware. Set another hardware_version, or leave it out.",
}
_WHERE_REFUSED_OTHERWISE = "Look at disks, controller, networks and hardware_version, and at the task in the vSphere Client."


def explain(error: VforgeError, title: str) -> None:
    """Have the error of a VM that vCenter has refused to make say which VM it is, and what to look at."""
    if isinstance(error, Fault):
        error.message = f"{title} could not be made: {error.message}"
        error.hint = _WHERE_REFUSED.get(error.fault) or error.hint or _WHERE_REFUSED_OTHERWISE


def present(options: VmOptions, now: MadeVm | None) -> tuple[str, ...]:
    """The steps to a VM that is there.

    :raises NameTaken: a VM of this name has other disks, or other hardware:
        what is there is never changed.
    """
    on = (POWER_ON,) if options.powered_on else ()
    if now is None:
        return (CREATE, *on)
    found = differences(options, now)
    if found:
        listed = "; ".join(f"{each.what} is {each.actual}, not {each.wanted}" for each in found)
        raise NameTaken(
            f"{now.path} is there, and is not as asked: {listed}.",
            hint="Choose another name, or remove or change that VM by hand.",
            differences=[each.as_result() for each in found],
        )
    return () if now.powered_on else on


def differences(options: VmOptions, now: MadeVm) -> list[Difference]:
    """In what a VM is not as asked."""
    wanted = options.hardware
    disks = tuple(str(disk) for disk in options.disks)
    pairs = (
        ("disks", _as_made(now, disks), disks),
        ("cpus", now.cpus, wanted.cpus),
        ("memory", now.memory, wanted.memory),
        ("guest_id", now.guest_id, wanted.guest_id),
        ("firmware", now.firmware, wanted.firmware),
        ("secure_boot", now.secure_boot, wanted.secure_boot),
    )
    return [
        Difference(what, _text(actual), _text(asked), "it is never changed") for what, actual, asked in pairs if actual != asked
    ]


def _as_made(now: MadeVm, asked: tuple[str, ...]) -> tuple[str, ...]:
    """The disks of a VM, each by the file that was asked for where its snapshots have put delta
    disks over it.

    Without snapshots a VM over that file is a linked clone, which is another VM.
    """
    pairs = itertools.zip_longest(now.disks, asked[: len(now.disks)])
    return tuple(disk if now.has_snapshots and disk in files else files[0] for files, disk in pairs)


def _text(value: t.Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(value) or "none" if isinstance(value, tuple) else str(value)


def absent(options: VmOptions, now: MadeVm | None) -> tuple[str, ...]:
    """The steps to a VM that is gone.

    :raises NameTaken: it is not the one that is meant, or it runs.
    """
    if now is None:
        return ()
    if now.instance_uuid.lower() != options.instance_uuid:
        raise NameTaken(f"{now.path} is another VM: its instance UUID is {now.instance_uuid}.", hint="It is left alone.")
    if not now.powered_off:
        raise InvalidOption(
            f"{now.path} is {now.power_state or 'in an unknown state'}.",
            hint="Only a VM that is powered off is removed.",
        )
    return (REMOVE,)

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked for of a VM that is made around disks, and what there is. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector.find import as_uuid
from .._errors import InvalidOption
from .._vsphere import hardware_version, vm
from .._vsphere.datastore_files import DatastorePath

PRESENT, ABSENT = "present", "absent"

_MOST_DISKS = 15
_MOST_IDE = 4
_LEAST_MEMORY, _MOST_MEMORY = 4, 25_165_824
_MOST_CPUS = 768


@dataclasses.dataclass(frozen=True)
class Hardware:
    """What the VM has besides its disks.

    :ivar guest_id: as ``debian12_64Guest``.
    :ivar version: 19 for ``vmx-19``; 0 for the newest that the host has.
    """

    cpus: int
    memory: int
    guest_id: str
    firmware: str
    secure_boot: bool
    version: int
    controller: str
    networks: tuple[str, ...]
    card: str


@dataclasses.dataclass(frozen=True)
class VmOptions:
    """What is asked for.

    :ivar disks: in the order in which they are put on the controller.
    :ivar instance_uuid: of the VM that is removed; any other one of the name is left alone.
    """

    name: str
    state: str
    datacenter: str | None
    folder: str
    host: str | None
    disks: tuple[DatastorePath, ...]
    hardware: Hardware
    annotation: str
    instance_uuid: str
    powered_on: bool
    wait_for_tools: bool
    timeout: int

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> VmOptions:
        """Take the options out of a module's parameters.

        :raises InvalidOption: something is missing, or no VM can have it.
        """
        state = params["state"]
        disks = tuple(DatastorePath.parse(text, "disks") for text in params.get("disks") or ())
        if state == PRESENT and not disks:
            raise InvalidOption("For state present disks has to be set.", option="disks")
        if state == ABSENT and not params.get("instance_uuid"):
            raise InvalidOption(
                "For state absent instance_uuid has to be set.",
                hint="It makes sure that the VM that is removed is the one that is meant.",
                option="instance_uuid",
            )
        if len(set(disks)) != len(disks) or len(disks) > _MOST_DISKS:
            raise InvalidOption("disks names a disk twice, or more than 15.", option="disks")
        if params["controller"] == "ide" and len(disks) > _MOST_IDE:
            raise InvalidOption(
                f"disks has {len(disks)} disks, and the IDE controllers of a VM have {_MOST_IDE} places.",
                hint="Choose another controller.",
                option="disks",
            )
        for option, value, least, most in (
            ("cpus", params["cpus"], 1, _MOST_CPUS),
            ("memory", params["memory"], _LEAST_MEMORY, _MOST_MEMORY),
        ):
            if not least <= value <= most:
                raise InvalidOption(f"{option} is {value}.", hint=f"Set it to a number from {least} to {most}.", option=option)
        if params["memory"] % 4:
            hint = "vSphere wants a multiple of 4."
            raise InvalidOption(f"memory is {params['memory']}.", hint=hint, option="memory")
        if params["secure_boot"] and params["firmware"] != "efi":
            raise InvalidOption("secure_boot needs the firmware efi.", option="secure_boot")
        return cls(
            name=vm.vm_name(params["name"], "VM"),
            state=state,
            datacenter=params.get("datacenter") or None,
            folder=params.get("folder") or "",
            host=params.get("host") or None,
            disks=disks,
            hardware=Hardware(
                cpus=params["cpus"],
                memory=params["memory"],
                guest_id=params["guest_id"],
                firmware=params["firmware"],
                secure_boot=params["secure_boot"],
                version=hardware_version.from_option(params.get("hardware_version") or ""),
                controller=params["controller"],
                networks=tuple(params.get("networks") or ()),
                card=params["card"],
            ),
            annotation=params.get("annotation") or "",
            instance_uuid=as_uuid(params["instance_uuid"], "instance_uuid") if params.get("instance_uuid") else "",
            powered_on=params["powered_on"],
            wait_for_tools=params["wait_for_tools"],
            timeout=params["timeout"],
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class MadeVm(vm.Vm):
    """The VM as it is.

    :ivar disks: the files of each, the topmost first, in the order of their keys.
    """

    disks: tuple[tuple[str, ...], ...]
    has_snapshots: bool
    cpus: int
    memory: int
    guest_id: str
    firmware: str
    secure_boot: bool
    tools: bool


class Owner(t.NamedTuple):
    """What has a disk.

    :ivar name: of the VMs, or of the first class disk that it is.
    """

    name: str
    first_class: bool = False

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked for of a VMDK, and what there is, as plain values. Pure."""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t

from .._connector.find import Selector
from .._errors import InvalidOption, NotFound
from .._vsphere import vm
from .._vsphere.datastore_files import DatastorePath
from .._vsphere.disks import Disk
from .._vsphere.snapshots import Snapshot, SnapshotSelector
from .._vsphere.transports import Store, Subject
from . import metadata

EXPORTED, IMPORTED, COPIED, CONVERTED, ABSENT = "exported", "imported", "copied", "converted", "absent"
DESCRIBED = "described"

# How a disk of a VM comes: over the path of its datastore, or by a lease.
AUTO, DATASTORE, LEASE = "auto", "datastore", "lease"

# How an imported disk is proved.
MANIFEST, CONTENT = "manifest", "content"

STREAM = "streamOptimized"

# How an imported disk takes space; thin is only what is used.
THIN = "thin"
PROVISIONINGS = (THIN, "thick", "eager_zeroed_thick")

RAW, VMDK = "raw", "vmdk"

# The adapters that a descriptor of an imported disk can name.
ADAPTERS = ("lsilogic", "buslogic", "ide")

# Virtual hardware of which a descriptor may speak.
_HARDWARE = range(4, 41)

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

# What each state needs, and what it may have besides.
_NEEDS = {
    EXPORTED: ("vm", "path"),
    IMPORTED: ("path", "datastore_path"),
    COPIED: ("datastore_path", "destination"),
    CONVERTED: ("path", "destination"),
    DESCRIBED: ("metadata",),
    ABSENT: (),
}


@dataclasses.dataclass(frozen=True)
class Output:
    """What a disk is to be like, on this machine.

    :ivar format: as qemu-img calls it.
    :ivar subformat: of a VMDK; empty for others.
    :ivar adapter: of a VMDK, in its descriptor; empty where it is not asked for.
    :ivar hardware: version of the virtual hardware in the descriptor; 0 where it is not asked for.
    """

    format: str = VMDK
    subformat: str = STREAM
    adapter: str = ""
    hardware: int = 0

    @property
    def options(self) -> dict[str, str]:
        """For qemu-img."""
        wanted = {
            "subformat": self.subformat,
            "adapter_type": self.adapter,
            "hwversion": str(self.hardware or ""),
        }
        return {name: value for name, value in wanted.items() if value}

    @property
    def streamed(self) -> bool:
        """Whether it is what a host takes."""
        return self.format == VMDK and self.subformat == STREAM


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the VM is made that an import needs, and which is removed again.

    :ivar host: name of an ESXi host; None: any that has the datastore.
    """

    datacenter: str | None = None
    host: str | None = None


@dataclasses.dataclass(frozen=True)
class DiskOptions:
    """What is asked for.

    :ivar path: of a file on this machine; empty where none is named.
    :ivar on_datastore: a disk on a datastore; None where none is named.
    :ivar destination: of a conversion a path on this machine.
    :ivar copy_to: of a copy.
    :ivar disk: names one disk of the VM, by its label, place, key or file; empty for its only one.
    :ivar metadata: entries of the disk database that are set, by name; an empty value removes one.
    """

    state: str
    path: str
    on_datastore: DatastorePath | None
    destination: str
    copy_to: DatastorePath | None
    vm: Selector | None
    disk: str
    snapshot: SnapshotSelector | None
    transport: str
    source_format: str
    output: Output
    adapter: str
    provisioning: str
    place: Place
    checksum: str
    verify: str
    metadata: t.Mapping[str, str]
    force: bool
    timeout: int

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> DiskOptions:
        """Take the options out of a module's parameters.

        :raises InvalidOption: they contradict each other, or miss something.
        """
        state = params["state"]
        missing = [option for option in _NEEDS[state] if not params.get(option)]
        if missing:
            raise InvalidOption(f"For state {state} {' and '.join(missing)} has to be set.", option=missing[0])
        _check_named(params)
        on_datastore = params.get("datastore_path")
        destination = params.get("destination") or ""
        return cls(
            state=state,
            path=_path(params.get("path") or "", "path"),
            on_datastore=_vmdk(on_datastore, "datastore_path") if on_datastore else None,
            destination=_path(destination, "destination") if state == CONVERTED else "",
            copy_to=_vmdk(destination, "destination") if state == COPIED else None,
            vm=Selector.from_params(params["vm"], "vm") if params.get("vm") else None,
            disk=str(params.get("disk") or ""),
            snapshot=SnapshotSelector.from_params(params.get("snapshot")),
            transport=params["transport"],
            source_format=params["source_format"],
            output=_output(params),
            adapter=_adapter(params),
            provisioning=params["provisioning"],
            place=Place(params.get("datacenter") or None, params.get("host") or None),
            checksum=_checksum(params.get("checksum") or ""),
            verify=params["verify"],
            metadata=_metadata(params),
            force=params["force"],
            timeout=params["timeout"],
        )

    @property
    def import_adapter(self) -> str:
        """Of the controller by which a disk is imported."""
        return self.adapter or ADAPTERS[0]

    @property
    def alone(self) -> bool:
        """Whether it needs no vCenter."""
        return self.state == CONVERTED or (self.state in (DESCRIBED, ABSENT) and bool(self.path))


# What names the disk of a state that works on a disk wherever it is.
_NAMED_BY = {
    DESCRIBED: {"path": "a file on this machine", "datastore_path": "a disk on a datastore", "vm": "a disk of a VM"},
    ABSENT: {"path": "a file on this machine", "datastore_path": "a disk on a datastore"},
}


def _check_named(params: t.Mapping[str, t.Any]) -> None:
    """Make sure that one disk is named.

    :raises InvalidOption: none is, or several are.
    """
    state = params["state"]
    ways = _NAMED_BY.get(state, {})
    if ways and sum(bool(params.get(option)) for option in ways) != 1:
        raise InvalidOption(
            f"For state {state} one of {', '.join(ways)} has to be set.",
            hint=f"Set {', '.join(f'{option} for {what}' for option, what in ways.items())}.",
            option="path",
        )


def _path(text: str, option: str) -> str:
    if text.startswith("["):
        raise InvalidOption(
            f"{option} is {text}, which looks like a path on a datastore.",
            hint="A disk on a datastore is named by datastore_path; a copy goes from there to destination.",
            option=option,
        )
    if not text.isprintable() or '"' in text:
        # The descriptor of a VMDK has names of files in its lines, between quotation marks.
        raise InvalidOption(f"{option} has a control character or a quotation mark in it.", option=option)
    if text.endswith("/"):
        raise InvalidOption(f"{option} is {text}, which is a folder.", hint="Name the file.", option=option)
    return os.path.abspath(os.path.expanduser(text)) if text else ""


def _vmdk(text: str, option: str) -> DatastorePath:
    found = DatastorePath.parse(text, option)
    if not found.path.endswith(".vmdk") or found.path.endswith(("-flat.vmdk", "-delta.vmdk", "-ctk.vmdk", "-sesparse.vmdk")):
        raise InvalidOption(
            f"{option} is {text}, which is not the descriptor of a disk.",
            hint="Name the disk as vSphere does: '[datastore1] web/web.vmdk', without -flat.",
            option=option,
        )
    return found


def _output(params: t.Mapping[str, t.Any]) -> Output:
    kind = params["format"]
    hardware = params.get("hardware_version") or 0
    if hardware and hardware not in _HARDWARE:
        raise InvalidOption(
            f"hardware_version is {hardware}.",
            hint=f"Set it to a number from {_HARDWARE[0]} to {_HARDWARE[-1]}.",
            option="hardware_version",
        )
    of_vmdk = {
        "subformat": params.get("subformat"),
        "adapter": params.get("adapter") if params["state"] == CONVERTED else None,
        "hardware_version": params.get("hardware_version"),
    }
    given = [option for option, value in of_vmdk.items() if value]
    if kind != VMDK and given:
        raise InvalidOption(f"{given[0]} is set, which only a VMDK has, and format is {kind}.", option=given[0])
    if kind != VMDK:
        return Output(kind, "")
    return Output(kind, params.get("subformat") or STREAM, of_vmdk["adapter"] or "", hardware)


def _adapter(params: t.Mapping[str, t.Any]) -> str:
    """Of an import; a conversion has it in its output.

    :raises InvalidOption: vSphere imports no disk by it, or there is no descriptor to have it.
    """
    adapter = params.get("adapter") or ""
    if adapter and params["state"] not in (IMPORTED, CONVERTED):
        raise InvalidOption(f"adapter is set, and state is {params['state']}.", option="adapter")
    if params["state"] != IMPORTED:
        return ""
    if adapter and adapter not in ADAPTERS:
        raise InvalidOption(f"adapter is {adapter}, which vSphere does not import.", option="adapter")
    return adapter


def _metadata(params: t.Mapping[str, t.Any]) -> dict[str, str]:
    given = params.get("metadata") or {}
    if given and params["state"] != DESCRIBED:
        raise InvalidOption(
            f"metadata is set, and state is {params['state']}.",
            hint="Set state to described.",
            option="metadata",
        )
    return metadata.wanted(given)


def _checksum(text: str) -> str:
    if text and not _DIGEST.fullmatch(text.lower()):
        raise InvalidOption(f"checksum is {text}.", hint="It looks like sha256: and 64 hexadecimal digits.", option="checksum")
    return text.lower().removeprefix("sha256:")


@dataclasses.dataclass(frozen=True)
class InfoOptions:
    """Which disk is looked at: exactly one of a file, a disk on a datastore, and a disk of a VM.

    :ivar digest: whether the digest of the content is made, which reads all of it.
    """

    path: str
    on_datastore: DatastorePath | None
    vm: Selector | None
    disk: str
    source_format: str
    datacenter: str | None
    digest: bool
    timeout: int

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> InfoOptions:
        """Take the options out of a module's parameters.

        :raises InvalidOption: they name no disk, or several.
        """
        given = [option for option in ("path", "datastore_path", "vm") if params.get(option)]
        if len(given) != 1:
            raise InvalidOption(
                f"The disk is given by {' and '.join(given) or 'nothing'}.",
                hint="Set exactly one of path, datastore_path and vm.",
                option=given[0] if given else "path",
            )
        path = params.get("datastore_path")
        return cls(
            path=_path(params.get("path") or "", "path"),
            on_datastore=_vmdk(path, "datastore_path") if path else None,
            vm=Selector.from_params(params["vm"], "vm") if params.get("vm") else None,
            disk=str(params.get("disk") or ""),
            source_format=params["source_format"],
            datacenter=params.get("datacenter") or None,
            digest=params["digest"],
            timeout=params["timeout"],
        )


# What there is


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiskVm(vm.Vm):
    """A VM whose disk is exported.

    :ivar datacenter: path of its datacenter.
    :ivar stores: its datastores, by their names.
    :ivar encrypted: whether its home is.
    :ivar change_version: changes with every change of its configuration, a start too.
    :ivar hardware: number of its hardware version; empty where it is not known.
    """

    disks: tuple[Disk, ...]
    snapshots: tuple[Snapshot, ...]
    datacenter: str
    stores: t.Mapping[str, Store]
    encrypted: bool = False
    change_version: str = ""
    hardware: str = ""

    @property
    def subject(self) -> Subject:
        """What decides which transports lead to its disks."""
        return Subject(self.moid, self.power_state, self.datacenter, self.stores, self.encrypted)


def choose_disk(found: DiskVm, disk: str) -> Disk:
    """The disk of a VM that is meant.

    :param disk: its label (``Hard disk 1``), place (``scsi0:0``), key or file; empty for the only
        one.
    :raises NotFound: there is no such disk, or several to choose from.
    """
    fits = [
        each
        for each in found.disks
        if not disk or disk.casefold() == each.label.casefold() or disk in (each.unit, str(each.key), each.file)
    ]
    if len(fits) == 1:
        return fits[0]
    known = [f"{each.label} ({each.unit})" for each in found.disks]
    what = f"disk {disk}" if disk else "single disk"
    raise NotFound(
        f"{found.path} has no {what}.",
        hint=f"Set disk to one of: {', '.join(known) or 'none'}.",
        known=known,
    )

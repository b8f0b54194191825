# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tasks about first class disks are asked to do. Pure."""

from __future__ import annotations

import collections
import dataclasses
import re
import typing as t

from .._connector import names
from .._connector.find import Selector
from .._errors import InvalidOption
from .._vsphere.fcd import FLAGS, DiskSelector, selector_from

PRESENT, ABSENT, REVERTED = "present", "absent", "reverted"

PROVISIONING = {
    "thin": "thin",
    "lazy_zeroed_thick": "lazyZeroedThick",
    "eager_zeroed_thick": "eagerZeroedThick",
}

# vSphere counts in powers of two, whatever the letters say.
_UNITS = {"M": 1, "G": 1024, "T": 1024 * 1024}
_SIZE = re.compile(r"(\d{1,12})(?:\.(\d{1,6}))?\s*([MGT])(?:i?B)?", re.IGNORECASE)

_PATH = re.compile(r"\[(?P<datastore>[^\[\]]+)\] *(?P<file>[^/\s].*\.vmdk)")


def size_mb(text: str, where: str) -> int:
    """A size in MiB, in which vSphere counts the capacity of first class disks.

    :param text: a number with M, MB, MiB, G, GB, GiB, T, TB or TiB.
    :param where: begins the message.
    :raises InvalidOption: it is none, is nothing, or is no whole number of MiB.
    """
    fits = _SIZE.fullmatch(text.strip())
    if not fits:
        raise InvalidOption(
            f"{where}: {text!r} is no size.",
            hint="Write a number and a unit, such as 10 GiB or 512 MiB.",
            option="size",
        )
    whole, rest, unit = fits.group(1), fits.group(2) or "", _UNITS[fits.group(3).upper()]
    parts = 10 ** len(rest)
    total = int(whole + rest) * unit
    if total == 0 or total % parts:
        raise InvalidOption(
            f"{where}: {text} is not a whole number of MiB above 0, in which vSphere counts these disks.",
            hint="Write it as a whole number of MiB.",
            option="size",
        )
    return int(total // parts)


@dataclasses.dataclass(frozen=True)
class Tag:
    """A tag, and whether it is to be attached."""

    category: str
    name: str
    attached: bool = True

    def __str__(self) -> str:
        return f"{self.category}:{self.name}"


# Where the data of a disk comes from that is not there yet: one of these


@dataclasses.dataclass(frozen=True)
class Empty:
    """A new disk with nothing on it."""


@dataclasses.dataclass(frozen=True)
class CloneOf:
    """A copy of another first class disk of the same datastore, which no VM has."""

    disk: DiskSelector


@dataclasses.dataclass(frozen=True)
class Existing:
    """A VMDK that is there already.

    :ivar file: what follows the datastore: ``folder/name.vmdk``.
    """

    datastore: str
    file: str

    @property
    def path(self) -> str:
        """As vSphere writes it."""
        return f"[{self.datastore}] {self.file}"


Origin: t.TypeAlias = Empty | CloneOf | Existing


# Whose a disk is to be: one of these


@dataclasses.dataclass(frozen=True)
class AsItIs:
    """It stays with the VM that has it, or with none."""


@dataclasses.dataclass(frozen=True)
class Detached:
    """No VM is to have it."""


@dataclasses.dataclass(frozen=True)
class AttachedTo:
    """A VM is to have it.

    :ivar controller: key of the controller; None where vCenter chooses.
    :ivar unit: on that controller.
    """

    vm: Selector
    controller: int | None = None
    unit: int | None = None


Owner: t.TypeAlias = AsItIs | Detached | AttachedTo


@dataclasses.dataclass(frozen=True)
class DiskRequest:
    """One disk that is wanted, or is to go.

    :ivar datastore: on which it is, as the options name it.
    :ivar new_name: that it is to have.
    :ivar relocate_to: the datastore on which it is to be.
    :ivar flags: control flags that are to be set or cleared; the others are left alone.
    :ivar metadata: pairs to set; a value of None is a key to remove.
    """

    disk: DiskSelector
    datastore: str
    state: str = PRESENT
    size: int | None = None
    provisioning: str | None = None
    policy: str | None = None
    origin: Origin = dataclasses.field(default_factory=Empty)
    new_name: str | None = None
    relocate_to: str | None = None
    inflated: bool = False
    owner: Owner = dataclasses.field(default_factory=AsItIs)
    flags: t.Mapping[str, bool] = dataclasses.field(default_factory=dict)
    metadata: t.Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    tags: tuple[Tag, ...] = ()

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"{self.disk.name or self.disk.id} on {self.datastore}"

    @property
    def final_name(self) -> str | None:
        """The name that it is to have; None where it keeps its own."""
        return self.new_name or (self.disk.name if not self.disk.id else None)


@dataclasses.dataclass(frozen=True)
class DiskOptions:
    """What one task is asked to do.

    :ivar reconcile: datastores whose list of disks is to be put right first.
    """

    disks: tuple[DiskRequest, ...]
    reconcile: tuple[str, ...]
    datacenter: str | None
    timeout: int
    parallel: int

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> DiskOptions:
        """Take the options out of a module's parameters.

        :raises InvalidOption: naming the option and the disk.
        """
        disks = tuple(_request(item, params) for item in params.get("disks") or ())
        reconcile = tuple(dict.fromkeys(params.get("reconcile") or ()))
        if not disks and not reconcile:
            raise InvalidOption("Neither disks nor reconcile is given.", hint="Set one of them.", option="disks")
        counts = collections.Counter((disk.datastore, str(disk.disk)) for disk in disks)
        twice = [f"{which} on {where}" for (where, which), count in counts.items() if count > 1]
        if twice:
            raise InvalidOption(f"disks has {names.listing(twice)} more than once.", option="disks")
        return cls(
            disks=disks,
            reconcile=reconcile,
            datacenter=params.get("datacenter") or None,
            timeout=params["timeout"],
            parallel=params["parallel"],
        )


def _request(item: t.Mapping[str, t.Any], common: t.Mapping[str, t.Any]) -> DiskRequest:
    disk = selector_from(item, "disks")
    where = f"disk {disk.name or disk.id!r}"
    datastore = item.get("datastore") or common.get("datastore")
    if not datastore:
        raise InvalidOption(
            f"{where}: no datastore is given.",
            hint="Set datastore in its item, or for the whole task.",
            option="datastore",
        )
    for option in ("name", "new_name"):
        _check_name(item.get(option), option, where)
    request = DiskRequest(
        disk=disk,
        datastore=datastore,
        state=item.get("state") or PRESENT,
        size=size_mb(item["size"], where) if item.get("size") else None,
        provisioning=PROVISIONING.get(item.get("provisioning") or ""),
        policy=item.get("storage_policy") or None,
        origin=_origin(item, where),
        new_name=item.get("new_name") or None,
        relocate_to=item.get("relocate_to") or None,
        inflated=bool(item.get("inflated")),
        owner=_owner(item, where),
        flags={name: item[name] for name in FLAGS if item.get(name) is not None},
        metadata=_metadata(item.get("metadata"), where),
        tags=_tags(item.get("tags"), where),
    )
    _check_whole(request, where)
    return request


def _check_name(text: str | None, option: str, where: str) -> None:
    if text is not None and text != "" and (not text.strip() or len(text) > 80 or not names.is_sendable(text)):
        raise InvalidOption(
            f"{where}: the {option} must have 1 to 80 characters, and no control characters.",
            option=option,
        )


def _check_whole(request: DiskRequest, where: str) -> None:
    """Refuse options of one disk that contradict each other.

    :raises InvalidOption: naming the option.
    """
    if request.state == ABSENT and isinstance(request.owner, AttachedTo):
        raise InvalidOption(f"{where}: a disk that is to be absent cannot be attached.", option="attached_to")
    if request.disk.id and not isinstance(request.origin, Empty):
        raise InvalidOption(
            f"{where}: a disk that is made gets its ID from vCenter.",
            hint="Name it by its name.",
            option="id",
        )
    if request.state == ABSENT and not isinstance(request.origin, Empty):
        raise InvalidOption(f"{where}: a disk that is to be absent is made of nothing.", option="state")


def _origin(item: t.Mapping[str, t.Any], where: str) -> Origin:
    if item.get("clone_of") and item.get("register"):
        raise InvalidOption(f"{where}: it is either a clone or an existing VMDK.", option="register")
    if item.get("clone_of"):
        return CloneOf(selector_from(item["clone_of"], "clone_of"))
    if not item.get("register"):
        return Empty()
    fits = _PATH.fullmatch(item["register"].strip())
    if not fits or ".." in fits["file"].split("/"):
        raise InvalidOption(
            f"{where}: {item['register']!r} is no path of a VMDK.",
            hint="It looks like '[datastore] folder/disk.vmdk'.",
            option="register",
        )
    if fits["file"].endswith(("-flat.vmdk", "-delta.vmdk", "-sesparse.vmdk")):
        raise InvalidOption(
            f"{where}: {item['register']} is the data of a disk, and a disk is named by its descriptor.",
            hint="Leave out what stands between the name and .vmdk.",
            option="register",
        )
    return Existing(fits["datastore"], fits["file"])


def _owner(item: t.Mapping[str, t.Any], where: str) -> Owner:
    wanted = item.get("attached_to")
    if wanted and item.get("detached"):
        raise InvalidOption(f"{where}: it is either attached or detached.", option="detached")
    if not wanted:
        return Detached() if item.get("detached") else AsItIs()
    return AttachedTo(
        Selector.from_params(wanted, "attached_to"),
        wanted.get("controller_key"),
        wanted.get("unit_number"),
    )


def _metadata(given: t.Any, where: str) -> dict[str, str | None]:
    if given in (None, ""):
        return {}
    if not isinstance(given, dict):
        raise InvalidOption(f"{where}: metadata is not a mapping of keys to values.", option="metadata")
    found: dict[str, str | None] = {}
    for key, value in given.items():
        if not isinstance(value, (str, int, float, bool, type(None))) or isinstance(value, bool):
            raise InvalidOption(
                f"{where}: metadata.{key} is neither text nor number.",
                hint="Write it in quotation marks. null removes the key.",
                option="metadata",
            )
        text = None if value is None else str(value)
        if not str(key).strip() or not names.is_sendable(str(key)) or not names.is_sendable(text or ""):
            raise InvalidOption(f"{where}: metadata has an empty key, or a control character.", option="metadata")
        if text == "":
            raise InvalidOption(
                f"{where}: metadata.{key} is empty, which vCenter takes for a tag (API reference, VslmCreateSpec).",
                hint="Give it a text, null to remove the key, or name the tag in tags.",
                option="metadata",
            )
        found[str(key)] = text
    return found


def _tags(given: t.Sequence[t.Mapping[str, t.Any]] | None, where: str) -> tuple[Tag, ...]:
    tags = tuple(Tag(item["category"], item["name"], item.get("state") != ABSENT) for item in given or ())
    counts = collections.Counter(str(tag) for tag in tags)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise InvalidOption(f"{where}: tags has {names.listing(twice)} more than once.", option="tags")
    return tags


# Snapshots


@dataclasses.dataclass(frozen=True)
class SnapshotRequest:
    """One snapshot that is wanted, is to go, or is to be reverted to.

    :ivar disk: whose it is; ``datastore`` on which that is.
    :ivar id: of the snapshot, or
    :ivar description: that it has; descriptions may repeat.
    :ivar new_disk: name of a disk that is to be made of it.
    """

    disk: DiskSelector
    datastore: str
    state: str = PRESENT
    id: str | None = None
    description: str | None = None
    new_disk: str | None = None

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"{self.description or self.id} of {self.disk.name or self.disk.id} on {self.datastore}"


@dataclasses.dataclass(frozen=True)
class SnapshotOptions:
    """What one task about snapshots is asked to do."""

    snapshots: tuple[SnapshotRequest, ...]
    datacenter: str | None
    timeout: int
    parallel: int

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> SnapshotOptions:
        """Take the options out of a module's parameters.

        :raises InvalidOption: naming the option.
        """
        found = tuple(_snapshot_request(item, params) for item in params["snapshots"])
        if not found:
            raise InvalidOption("snapshots is empty.", option="snapshots")
        reverted = collections.Counter((each.datastore, str(each.disk)) for each in found if each.state == REVERTED)
        if any(count > 1 for count in reverted.values()):
            raise InvalidOption("A disk can be reverted to one snapshot.", option="snapshots")
        counts = collections.Counter(each.title for each in found)
        twice = [title for title, count in counts.items() if count > 1]
        if twice:
            raise InvalidOption(f"snapshots has {names.listing(twice)} more than once.", option="snapshots")
        return cls(found, params.get("datacenter") or None, params["timeout"], params["parallel"])


def _snapshot_request(item: t.Mapping[str, t.Any], common: t.Mapping[str, t.Any]) -> SnapshotRequest:
    disk = selector_from(item["disk"], "disk")
    datastore = item.get("datastore") or common.get("datastore")
    if not datastore:
        raise InvalidOption(
            "A snapshot has no datastore.",
            hint="Set datastore in its item, or for all.",
            option="datastore",
        )
    if bool(item.get("id")) == bool(item.get("description")):
        raise InvalidOption(
            "A snapshot is named by its id or by its description.",
            hint="Set one of them.",
            option="snapshots",
        )
    state = item.get("state") or PRESENT
    if state == ABSENT and item.get("new_disk"):
        raise InvalidOption("No disk can be made of a snapshot that is to be absent.", option="new_disk")
    _check_name(item.get("new_disk"), "new_disk", "snapshot")
    return SnapshotRequest(
        disk=disk,
        datastore=datastore,
        state=state,
        id=item.get("id") or None,
        description=item.get("description") or None,
        new_disk=item.get("new_disk") or None,
    )


# What is only looked at


@dataclasses.dataclass(frozen=True)
class InfoOptions:
    """What is asked of first class disks.

    :ivar datastores: on which to look; all where none is named.
    :ivar ids: of the disks that are asked about; all where none is named. ``names`` likewise.
    :ivar details: whether each disk is asked about what the catalogue does not have.
    :ivar orphans: whether what nobody uses is looked for.
    """

    datastores: tuple[str, ...]
    ids: tuple[str, ...]
    names: tuple[str, ...]
    details: bool
    tags: bool
    orphans: bool
    datacenter: str | None
    timeout: int
    parallel: int

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> InfoOptions:
        """Take the options out of a module's parameters."""
        return cls(
            datastores=tuple(params.get("datastores") or ()),
            ids=tuple(params.get("ids") or ()),
            names=tuple(params.get("names") or ()),
            details=params["details"],
            tags=params["tags"],
            orphans=params["orphans"],
            datacenter=params.get("datacenter") or None,
            timeout=params["timeout"],
            parallel=params["parallel"],
        )

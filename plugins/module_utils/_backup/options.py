# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked for, and VMs as far as backups go. Pure."""

from __future__ import annotations

import dataclasses
import string
import typing as t

from .. import _devices
from .._connector.find import Selector
from .._errors import InvalidOption
from .._vsphere import transports, vm
from .._vsphere.disks import Disk
from .._vsphere.snapshots import Snapshot
from .._vsphere.transports import EXPORT, NBD

if t.TYPE_CHECKING:
    from .._vsphere.guest import GuestCredentials

AUTO, FULL, INCREMENTAL, AUDIT = "auto", "full", "incremental", "audit"

# Whether Tools are to quiesce the guest's file systems for the snapshot.
TRY, REQUIRE, NO = "try", "require", "no"

# What becomes of a VM with disks that no snapshot has, or with a script that fails;
# the other choice is to go on.
FAIL = "fail"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Vm(vm.Vm):
    """A VM of which a backup is made.

    :ivar consolidate: whether vCenter says that its disks need consolidation.
    :ivar tools: whether VMware Tools run.
    :ivar networks: names of its networks, by what the backing of a NIC holds for them.
    :ivar datacenter: inventory path of the one that it is in; empty where this user may not see it.
    :ivar host: moid of the host that it is on; empty where this user may not see it.
    :ivar pool: name of its resource pool.
    :ivar attributes: its custom attributes.
    :ivar nvram: path of the settings of its firmware, ``[datastore]
        folder/name.nvram``; empty where it is not known.
    :ivar stores: the datastores of its files, by their names.
    :ivar encrypted: whether its home is.
    """

    disks: tuple[Disk, ...]
    snapshots: tuple[Snapshot, ...] = ()
    consolidate: bool = False
    tools: bool = False
    networks: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    datacenter: str = ""
    host: str = ""
    pool: str = ""
    attributes: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    nvram: str = ""
    stores: t.Mapping[str, transports.Store] = dataclasses.field(default_factory=dict)
    encrypted: bool = False

    @property
    def subject(self) -> transports.Subject:
        """What decides which transports lead to its disks."""
        return transports.Subject(self.moid, self.power_state, self.datacenter, self.stores, self.encrypted)


@dataclasses.dataclass(frozen=True)
class HotAdd:
    """How disks are attached to the VM that the module runs in.

    :ivar proxy: what names that VM; None to find it by its BIOS UUID.
    :ivar folder: where its disks show, named by their UUIDs.
    """

    proxy: Selector | None = None
    folder: str = _devices.BY_ID

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any] | None) -> HotAdd:
        """The option ``hotadd``.

        :raises InvalidOption: the VM is named by nothing, or in two ways.
        """
        given = params or {}
        proxy = Selector.from_params(given["proxy"], "hotadd.proxy") if given.get("proxy") else None
        return cls(proxy, given.get("device_folder") or _devices.BY_ID)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NbdServer:
    """Where the disks of a snapshot are served over NBD.

    Both forms may have placeholders in them, which ``PLACEHOLDERS`` names.

    :ivar uri: of a server that is there; or empty.
    :ivar command: a program and its arguments that serves one disk; or empty.
    :ivar libdir: folder of VDDK, or of what takes its place; or empty.
    """

    uri: str = ""
    command: tuple[str, ...] = ()
    libdir: str = ""

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any] | None) -> NbdServer | None:
        """The server of the option ``nbd``; None where it is not set.

        :raises InvalidOption: it has a placeholder that is none.
        """
        if params is None:
            return None
        server = cls(
            uri=params.get("uri") or "",
            command=tuple(params.get("command") or ()),
            libdir=params.get("libdir") or "",
        )
        try:
            server.filled(dict.fromkeys(PLACEHOLDERS, "x"))
            wanted = server.placeholders
        except (KeyError, IndexError, ValueError) as error:
            raise InvalidOption(
                f"The option nbd has a placeholder that is none: {error}.",
                hint=f"There are {', '.join('{' + name + '}' for name in PLACEHOLDERS)}. A brace itself is written twice.",
                option="nbd",
            ) from error
        if server.uri and PASSWORD_FILE in wanted:
            raise InvalidOption(
                "nbd.uri has {password_file} in it, which only a command that is started gets.",
                hint="Set nbd.command, or take it out.",
                option="nbd",
            )
        return server

    @property
    def placeholders(self) -> set[str]:
        """The placeholders that it has."""
        texts = (self.uri, *self.command)
        return {name for text in texts for _literal, name, _form, _conversion in string.Formatter().parse(text) if name}

    def filled(self, values: t.Mapping[str, str]) -> NbdServer:
        """The same with values in place of placeholders."""
        return NbdServer(
            uri=self.uri.format_map(values),
            command=tuple(word.format_map(values) for word in self.command),
            libdir=self.libdir,
        )


PASSWORD_FILE = "password_file"  # noqa: S105 (the name of a placeholder)

PLACEHOLDERS = (
    "vm",
    "snapshot",
    "file",
    "key",
    "server",
    "user",
    PASSWORD_FILE,
    "thumbprint",
    "thumbprint_sha1",
    "libdir",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScriptOptions:
    """Scripts for the guest around its snapshot; none of the texts is in ``repr``, as they may hold
    secrets.

    :ivar timeout: seconds for each.
    :ivar fails: whether one that fails ends the backup of its VM; else it is made without them.
    """

    before: str = dataclasses.field(default="", repr=False)
    after: str = dataclasses.field(default="", repr=False)
    timeout: int
    fails: bool
    credentials: GuestCredentials

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> ScriptOptions | None:
        """The scripts of a module's parameters; None where there are none.

        :raises InvalidOption: there is no script, a path in the place of one, or nobody to run it.
        """
        scripts = params.get("scripts")
        if scripts is None:
            return None
        from .._vsphere.guest import GuestCredentials
        from .._vsphere.wake import refuse_no_script

        before, after = scripts.get("before") or "", scripts.get("after") or ""
        if not before.strip() and not after.strip():
            raise InvalidOption("The option scripts has no script.", hint="Set before, after, or both.", option="scripts")
        for name, text in (("scripts.before", before), ("scripts.after", after)):
            refuse_no_script(text.strip(), name)
        if not 1 <= scripts["timeout"] <= _MOST_SECONDS:
            raise InvalidOption(
                f"The option scripts.timeout is {scripts['timeout']}.",
                hint=f"Set it to a number from 1 to {_MOST_SECONDS}.",
                option="scripts",
            )
        credentials = GuestCredentials.from_params(params)
        if credentials is None:
            raise InvalidOption(
                "The option scripts needs guest OS credentials.",
                hint="Set guest_username and guest_password.",
                option="guest_username",
            )
        return cls(
            before=before,
            after=after,
            timeout=scripts["timeout"],
            fails=scripts["on_failure"] == FAIL,
            credentials=credentials,
        )


_MOST_SECONDS = 86400


@dataclasses.dataclass(frozen=True, kw_only=True)
class BackupOptions:
    """What a task of backups is asked for.

    :ivar repository: the folder.
    :ivar mode: ``auto``, ``full``, ``incremental`` or ``audit``.
    :ivar gap: areas with at most so many unchanged bytes between them are read at once.
    :ivar streams: connections to each disk.
    :ivar max_chain: before a chain of images would have more than so many, its
        newest point is made a full one.
    :ivar excluded: ``report`` or ``fail``: what becomes of disks that snapshots leave out.
    :ivar per_host: VMs of one host that are backed up at the same time, ``per_datastore`` those
        with a disk on one datastore; 0 is for any number.
    """

    repository: str
    selectors: tuple[Selector, ...]
    datacenter: str | None
    mode: str
    transport: str
    nbd: NbdServer | None
    hotadd: HotAdd
    quiesce: str
    excluded: str
    gap: int
    streams: int
    max_chain: int
    fresh_hours: int
    timeout: int
    parallel: int
    scripts: ScriptOptions | None = None
    per_host: int = 0
    per_datastore: int = 0

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> BackupOptions:
        """The options of the module.

        :raises InvalidOption: what cannot be right.
        """
        listed = params.get("vms")
        if bool(params.get("vm")) == (listed is not None):
            raise InvalidOption("Set either vm, for one VM, or vms, for a list of them.", option="vm")
        option = "vm" if listed is None else "vms"
        bounds = (
            ("gap", 0, 65536),
            ("streams", 1, 16),
            ("max_chain", 2, 500),
            ("per_host", 0, 64),
            ("per_datastore", 0, 64),
        )
        for name, least, most in bounds:
            if not least <= params[name] <= most:
                raise InvalidOption(
                    f"The option {name} is {params[name]}.", hint=f"Set it to a number from {least} to {most}.", option=name
                )
        if params["fresh_hours"] < 0:
            raise InvalidOption("The option fresh_hours must be at least 0.", option="fresh_hours")
        nbd = NbdServer.from_params(params.get("nbd"))
        if params["transport"] == NBD and nbd is None:
            raise InvalidOption("transport is nbd, and nbd is not set.", hint="Set nbd.uri or nbd.command.", option="nbd")
        if params["transport"] == EXPORT and params["mode"] == INCREMENTAL:
            raise InvalidOption(
                "An export lease has whole disks, so transport export makes no increments.",
                hint="Set mode to auto or full, or use another transport.",
                option="transport",
            )
        return cls(
            repository=params["repository"],
            selectors=tuple(Selector.from_params(one, option) for one in listed or [params["vm"]]),
            datacenter=params.get("datacenter"),
            mode=params["mode"],
            transport=params["transport"],
            nbd=nbd,
            hotadd=HotAdd.from_params(params.get("hotadd")),
            quiesce=params["quiesce"],
            excluded=params["excluded_disks"],
            gap=params["gap"] * 1024,
            streams=params["streams"],
            max_chain=params["max_chain"],
            fresh_hours=params["fresh_hours"],
            timeout=params["timeout"],
            parallel=params["parallel"],
            scripts=ScriptOptions.from_params(params),
            per_host=params["per_host"],
            per_datastore=params["per_datastore"],
        )

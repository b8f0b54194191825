# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find objects by inventory path, name, moid, instance UUID or BIOS UUID, at a cost that does not
grow with the inventory.

SearchIndex answers a path or a UUID in one call, and a name in one call for each folder. All names
of a small place come in one answer, which is cheaper; those of a large one do not. How large a
place is shows when it is read: what is looked for is read until asking for it would have cost less
(``is_dearer``), so no way costs more than twice the better one.

The REST API has a filter by name, too. It is no way here: it leaves VM templates out, so that each
folder would have to be asked besides for the same answers, and that answers for VMs as well.

What is spent on a good error message is spent only when there is an error.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import re
import typing as t
from concurrent.futures import ThreadPoolExecutor

from .. import _signals
from .._errors import Ambiguous, Fault, Interrupted, InvalidOption, NotFound, VforgeError
from . import names
from .names import is_sendable
from .props import PAGE, PAGE_OF_LITTLE, Route, Row, collect, collect_until
from .pyvmomi import vim

if t.TYPE_CHECKING:
    from .session import Session

X = t.TypeVar("X")

_UUIDS = ("config.uuid", "config.instanceUuid")

# What one call costs, in objects of which little is read: some 50 of them take the processor as
# long as the way there and back.
_OBJECTS_A_CALL = 50

# Questions that are under way at once.
_PARALLEL = 8

_DOWN = ("folder-children", "datacenter-vms", "vapp-vms", "vapp-owner", "vm-host")

# To the vApps within vApps: by way of their cluster, whose every pool is then looked at. Their own
# property for it, ``resourcePool``, is one that VMs have, too: a server that follows a route from
# objects of every type, as govmomi's simulator does, would go from each VM to all of its pool.
TO_NESTED_VAPPS = (
    Route("vapp-owner", vim.VirtualApp, "owner", ("owner-pool",)),
    Route("owner-pool", vim.ComputeResource, "resourcePool", ("pool-vapps",)),
    Route("pool-vapps", vim.ResourcePool, "resourcePool", ("pool-vapps", "vapp-vms")),
)

# From any folder or datacenter down to every VM, through vApps too, and through nothing else; and
# from there to the VMs' hosts, where ``compute.VM_TO_HOST`` is among the routes.
TO_VMS = (
    Route("folder-children", vim.Folder, "childEntity", _DOWN),
    Route("datacenter-vms", vim.Datacenter, "vmFolder", _DOWN),
    Route("vapp-vms", vim.VirtualApp, "vm", ("vm-host",)),
    *TO_NESTED_VAPPS,
)

# From any object up to the root folder; a VM in a vApp has no parent but a parentVApp.
TO_ANCESTORS = (
    Route("parent", vim.ManagedEntity, "parent", ("parent",)),
    Route("vm-vapp", vim.VirtualMachine, "parentVApp", ("vapp-folder", "vapp-vapp")),
    Route("vapp-folder", vim.VirtualApp, "parentFolder", ("parent",)),
    Route("vapp-vapp", vim.VirtualApp, "parent", ("vapp-folder", "vapp-vapp")),
)


def is_dearer(read: int, calls: int) -> bool:
    """Whether to have read so many objects has cost more than calls that answer the question would.

    :param read: how many objects; there are more.
    :param calls: how many calls it would take to ask for what is looked for, one by one.
    """
    return read >= calls * _OBJECTS_A_CALL


def page_for(calls: int) -> int:
    """How many objects are read at first where so many calls would do as well: just enough to
    decide, and no fewer than a small place has.
    """
    return min(max(PAGE, calls * _OBJECTS_A_CALL), PAGE_OF_LITTLE)


def ask_each(session: Session, calls: t.Sequence[t.Callable[[], t.Any]]) -> list[t.Any]:
    """The answers to calls that change nothing, in their order; some are under way at once.

    :raises VforgeError: the first that one of them ends with.
    """
    if len(calls) == 1:
        return [session.retrying(calls[0])]
    pool = ThreadPoolExecutor(_PARALLEL)
    try:
        with _signals.held_back():  # a thread that is just being started would be lost
            answers = [pool.submit(session.retrying, call) for call in calls]
        return [answer.result() for answer in answers]
    except Interrupted:
        # What is under way is waited for no longer: it changes nothing.
        with session.stub.connections.halted(lambda: None):
            pool.shutdown(cancel_futures=True)
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@dataclasses.dataclass(frozen=True)
class Selector:
    """What names one VM: exactly one of ``name``, ``path``, ``uuid`` and ``moid``.

    :ivar name: its name; ``folder`` may narrow it.
    :ivar path: its inventory path, ``/Datacenter/vm/folder/name``, or relative to the VM folder of
        the datacenter in scope.
    :ivar uuid: its BIOS UUID, or with ``use_instance_uuid`` its instance UUID.
    :ivar moid: its managed object ID, such as ``vm-42``.
    :ivar folder: inventory path of the folder that holds the name.
    """

    name: str | None = None
    path: str | None = None
    uuid: str | None = None
    use_instance_uuid: bool = False
    moid: str | None = None
    folder: str | None = None

    def __str__(self) -> str:
        if self.path:
            return f"path {names.shown(self.path)}"
        if self.uuid:
            return f"{'instance' if self.use_instance_uuid else 'BIOS'} UUID {self.uuid}"
        if self.moid:
            return f"moid {self.moid}"
        where = f" in folder {names.shown(self.folder)}" if self.folder else ""
        return f"name {names.shown(self.name or '')}{where}"

    @property
    def blanks(self) -> str:
        """What a message says of the blanks at the ends of its texts; empty where there are none."""
        texts = (("path", self.path), ("name", self.name), ("folder", self.folder))
        return " ".join(filter(None, (names.blanks(what, text or "") for what, text in texts)))

    def fits(self, *, name: str, path: str, moid: str, uuid: str, datacenter: str | None = None) -> bool:
        """Whether it names a VM of which this is known, as ``find_vm`` would find it: no call.

        :param path: its inventory path.
        :param uuid: the one that ``use_instance_uuid`` asks for.
        :param datacenter: name or path of the datacenter to look in. Without it a relative path fits
            below the VM folder of each.
        """
        if self.moid:
            return self.moid == moid
        if self.uuid:
            return self.uuid.strip().lower() == uuid.lower()
        whole = names.split(path)
        relative = _below_vm_folder(whole, datacenter)
        if datacenter and relative is None:
            return False
        text = self.path or self.folder
        if not text:
            return names.same(self.name or "", name)
        parts = names.split(text) + ([] if self.path else [names.unescape(self.name or "")])
        return parts == whole or (not text.startswith("/") and parts == relative)

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any], option: str) -> Selector:
        """The selector in a module's suboptions.

        :raises InvalidOption: when it names no VM, or in two ways.
        """
        given = [key for key in ("name", "path", "uuid", "moid") if params.get(key)]
        if len(given) != 1:
            raise InvalidOption(
                f"{option} is given by {' and '.join(given) or 'nothing'}.",
                hint="Set exactly one of name, path, uuid and moid.",
                option=option,
            )
        if not is_sendable(params[given[0]]) or not is_sendable(params.get("folder") or ""):
            raise InvalidOption(f"{option} has a control character, or one that cannot be sent.", option=option)
        fields = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: params[name] for name in fields if params.get(name) is not None})


def _below_vm_folder(whole: list[str], datacenter: str | None) -> list[str] | None:
    """What a path has below the VM folder of its datacenter, which may lie in folders; None where
    it leads into no VM folder, or not into that of this datacenter.
    """
    for place in range(1, len(whole)):
        above = whole[:place]
        if whole[place] == "vm" and (not datacenter or names.means(datacenter, above[-1], names.join(above))):
            return whole[place + 1 :]
    return None


def find_vm(session: Session, selector: Selector, datacenter: str | None = None) -> t.Any:
    """The one VM that the selector names.

    :param datacenter: name or path of the datacenter to look in; the whole inventory when None.
    :returns: a ``vim.VirtualMachine`` reference. One from a moid is not checked: the first read of
        it tells.
    :raises NotFound: none fits; the details say where was searched and the nearest names.
    :raises Ambiguous: several fit; the details list their paths.
    """
    if selector.moid:
        return session.reference(vim.VirtualMachine, selector.moid)
    scope = _scope(session, datacenter) if datacenter else _EVERYWHERE
    kind, text = key = _key_of(selector, scope)
    by_name = kind == _NAME
    asked = _Asked(session, scope)
    found = _by_name(session, text, scope) if by_name else _vms(session.retrying(_question(session, scope, key)))
    return _exactly_one(asked, found or asked.beyond(key), selector, scope)


def find_vms(session: Session, selectors: t.Sequence[Selector], datacenter: str | None = None) -> list[t.Any]:
    """The VMs that the selectors name, in their order; see ``find_some`` for what it costs.

    :raises NotFound: as ``find_vm``, for the first that fits nothing.
    :raises Ambiguous: as ``find_vm``.
    """
    found = find_some(session, selectors, datacenter)
    for each in found:
        if isinstance(each, VforgeError):
            raise each
    return found


def find_some(
    session: Session,
    selectors: t.Sequence[Selector],
    datacenter: str | None = None,
) -> list[t.Any | VforgeError]:
    """As ``find_vms``, with the error of each selector that does not name one VM in the place of
    that VM.

    A single one is found as ``find_vm`` does. For more, one traversal reads what names VMs, and
    what an error message lists comes from there, too; in a large inventory a few are asked for one
    by one instead. Those named by their moid cost nothing.

    :raises NotFound: the datacenter is not there.
    """
    asked = {selector for selector in selectors if not selector.moid}
    if len(asked) < 2:
        return [_or_error(lambda each=each: find_vm(session, each, datacenter)) for each in selectors]  # type: ignore[misc]
    scope = _scope(session, datacenter) if datacenter else _EVERYWHERE
    keys = {each: _or_error(functools.partial(_key_of, each, scope)) for each in asked}
    wanted = {key for key in keys.values() if not isinstance(key, VforgeError)}
    by_key, every = _by_keys(session, scope, wanted)
    lookup = _Sparing(every)

    def find(selector: Selector) -> t.Any:
        if selector.moid:
            return session.reference(vim.VirtualMachine, selector.moid)
        key = keys[selector]
        if isinstance(key, VforgeError):
            raise key
        return _exactly_one(lookup, by_key.get(key, []), selector, scope)

    return [_or_error(lambda each=each: find(each)) for each in selectors]  # type: ignore[misc]


def _or_error(find: t.Callable[[], t.Any]) -> t.Any | VforgeError:
    """What is found, or why it is not: which VM is meant, or that there is no such VM."""
    try:
        return find()
    except (Ambiguous, InvalidOption, NotFound) as error:
        return error


def selectors(params: t.Mapping[str, t.Any]) -> tuple[Selector, ...]:
    """The VMs that a module's parameters name: ``parent``, or the list ``parents``.

    :raises InvalidOption: when neither is given, or both, or one of them names no VM.
    """
    listed = params.get("parents")
    if bool(params.get("parent")) == (listed is not None):
        raise InvalidOption("Set either parent, for one VM, or parents, for a list of them.", option="parent")
    if listed is None:
        return (Selector.from_params(params["parent"], "parent"),)
    return tuple(Selector.from_params(item, "parents") for item in listed)


def find_each(
    session: Session,
    wanted: t.Sequence[Selector],
    datacenter: str | None,
    read: t.Callable[[list[str]], t.Mapping[str, X]],
    option: str = "vms",
) -> list[X | VforgeError]:
    """What is read of the VMs of a list, which must not name a VM twice, in the order of the list.

    In the place of one that cannot be found, or of which nothing can be read, is its error, so that
    the task goes on with the others. Of a single VM the error is raised: there are no others.

    :param read: of VMs by their moids what is known of each, by moid; one of which nothing can be
        read is left out.
    :param option: in which the list was given.
    :raises InvalidOption: when it names a VM twice.
    :raises NotFound: the datacenter, or the only VM, is not there.
    :raises Ambiguous: the only VM is one of several.
    """
    found = [each if isinstance(each, VforgeError) else each._GetMoId() for each in find_some(session, wanted, datacenter)]
    counts = collections.Counter(each for each in found if isinstance(each, str))
    for each, selector in zip(found, wanted, strict=True):
        if isinstance(each, str) and counts[each] > 1:
            raise InvalidOption(f"The list {option} names the VM with the {selector} more than once.", option=option)
    _check_only(found)
    known = read([each for each in found if isinstance(each, str)])
    whole = [
        each if isinstance(each, VforgeError) else known[each] if each in known else unreadable(selector)
        for each, selector in zip(found, wanted, strict=True)
    ]
    _check_only(whole)
    return whole


def _check_only(found: t.Sequence[object]) -> None:
    only = found[0] if len(found) == 1 else None
    if isinstance(only, VforgeError):
        raise only


def unreadable(wanted: object) -> NotFound:
    """The error for a VM of which nothing can be read: a moid is taken as it is given, until the
    first read of it.

    :param wanted: the selector.
    """
    return NotFound(
        f"No readable VM with the {wanted} exists.",
        hint="A moid is valid only within one vCenter and looks like vm-42; this user must be allowed to see the VM, and "
        "vCenter to reach it: of one that is inaccessible or orphaned it has no configuration.",
    )


# What names a VM: the kind of it, and its text.
_Key = tuple[str, str]
_NAME, _PATH, _UUID, _INSTANCE_UUID = "name", "path", "UUID", "instance UUID"


def _key_of(selector: Selector, scope: _Scope) -> _Key:
    if selector.uuid:
        return _INSTANCE_UUID if selector.use_instance_uuid else _UUID, as_uuid(selector.uuid or "", "uuid")
    if selector.path or selector.folder:
        return _PATH, _whole_path(selector, scope)
    return _NAME, names.unescape(selector.name or "")


class _Lookup(t.Protocol):
    """Where the text of an error comes from: what was read already, or what is asked now."""

    def paths(self, refs: t.Sequence[t.Any]) -> dict[str, str]:
        """The inventory paths of VMs, by moid."""

    def nearest(self, wanted: str) -> list[str]:
        """The paths of VMs whose names look most like this one."""

    def has_vapps(self) -> bool:
        """Whether there are vApps in scope."""


class _Sparing:
    """Suggests names for the first few VMs that are missing: each time all names of the inventory are looked at."""

    _MOST = 10

    def __init__(self, lookup: _Lookup) -> None:
        self._lookup = lookup
        self._left = self._MOST
        self.paths = lookup.paths
        self.has_vapps = lookup.has_vapps

    def nearest(self, wanted: str) -> list[str]:
        self._left -= 1
        return self._lookup.nearest(wanted) if self._left >= 0 else []


class _Asked:
    """Asks vCenter; for all names only once."""

    def __init__(self, session: Session, scope: _Scope) -> None:
        self._session = session
        self._scope = scope

    def beyond(self, key: _Key) -> list[t.Any]:
        """The VMs at a path that SearchIndex does not know: it need not look into vApps."""
        kind, path = key
        if kind != _PATH or not path.startswith(f"{self._scope.path}/"):
            return []
        namesakes = self._by_name.get(names.split(path)[-1], [])
        paths = paths_of(self._session, namesakes)
        return [ref for ref in namesakes if paths.get(ref._GetMoId()) == path]

    def paths(self, refs: t.Sequence[t.Any]) -> dict[str, str]:
        return paths_of(self._session, refs)

    def nearest(self, wanted: str) -> list[str]:
        near = names.nearest(wanted, self._by_name)
        close = [ref for name in near for ref in self._by_name[name]]
        paths = paths_of(self._session, close)
        return [paths[ref._GetMoId()] for ref in close if ref._GetMoId() in paths]

    def has_vapps(self) -> bool:
        return any(isinstance(row.ref, vim.VirtualApp) for row in self._rows)

    @functools.cached_property
    def _rows(self) -> list[Row]:
        wanted = {**_OF_VM_NAME, vim.VirtualApp: ("name",)}
        return collect(self._session, [self._scope.root(self._session)], wanted, TO_VMS, page=PAGE_OF_LITTLE)

    @functools.cached_property
    def _by_name(self) -> dict[str, list[t.Any]]:
        found: dict[str, list[t.Any]] = {}
        for row in self._rows:
            if isinstance(row.ref, vim.VirtualMachine):
                found.setdefault(names.unescape(row.get("name", "")), []).append(row.ref)
        return found


@dataclasses.dataclass
class _Known:
    """Every VM in scope.

    :ivar by_key: by what names it, its path among it.
    :ivar path: by moid.
    :ivar vapps: whether there are vApps, too.
    """

    by_key: dict[_Key, list[t.Any]] = dataclasses.field(default_factory=dict)
    path: dict[str, str] = dataclasses.field(default_factory=dict)
    vapps: bool = False

    def has_vapps(self) -> bool:
        return self.vapps

    def paths(self, refs: t.Sequence[t.Any]) -> dict[str, str]:
        return {ref._GetMoId(): self.path[ref._GetMoId()] for ref in refs}

    def nearest(self, wanted: str) -> list[str]:
        every = [name for kind, name in self.by_key if kind == _NAME]
        found = [ref for name in names.nearest(wanted, every) for ref in self.by_key[_NAME, name]]
        return [self.path[ref._GetMoId()] for ref in found]


def _by_keys(session: Session, scope: _Scope, wanted: t.Collection[_Key]) -> tuple[dict[_Key, list[t.Any]], _Lookup]:
    """The VMs that have the wanted keys, and where messages come from."""
    places = _Places(session, scope)
    by_name = [name for kind, name in wanted if kind == _NAME]
    at_once = [key for key in wanted if key[0] != _NAME]

    def enough(read: int) -> bool:
        # The folders are counted only where it may be worth it.
        if not is_dearer(read, len(wanted)):
            return False
        return is_dearer(read, len(at_once) + (places.calls(len(by_name)) if by_name else 0))

    uuids = any(kind in (_UUID, _INSTANCE_UUID) for kind, _text in wanted)
    part = _read_all(session, scope, page_for(len(wanted)), enough, uuids=uuids)
    if part is not None:
        return part.by_key, part
    asked = _Asked(session, scope)
    answers = ask_each(session, [_question(session, scope, key) for key in at_once])
    found = {key: _vms(answer) or asked.beyond(key) for key, answer in zip(at_once, answers, strict=True)}
    if by_name:
        found.update({(_NAME, name): refs for name, refs in places.having(by_name).items()})
    return found, asked


def _question(session: Session, scope: _Scope, key: _Key) -> t.Callable[[], t.Any]:
    """The call that finds what has a path or a UUID."""
    kind, text = key
    search = session.manager("searchIndex")
    if kind == _PATH:
        if not text.startswith(f"{scope.path}/"):
            return lambda: None  # what is outside of the scope is not found, wherever it is
        return lambda: search.FindByInventoryPath(text[1:])
    return lambda: search.FindAllByUuid(scope.ref, text, True, kind == _INSTANCE_UUID)


def _vms(answer: t.Any) -> list[t.Any]:
    """The VMs of an answer that is one object, a list of them, or nothing."""
    every = answer if isinstance(answer, list) else [answer]
    return [ref for ref in every if isinstance(ref, vim.VirtualMachine)]


def _read_all(session: Session, scope: _Scope, page: int, enough: t.Callable[[int], bool], *, uuids: bool) -> _Known | None:
    """Every VM in scope by its name, its path and, where they are asked for, its UUIDs.

    None where there was enough of it.
    """
    of_vm = ("name", "parent", "parentVApp", *(_UUIDS if uuids else ()))
    wanted: dict[type, tuple[str, ...]] = {
        vim.VirtualMachine: of_vm,
        vim.Folder: ("name", "parent"),
        vim.Datacenter: ("name", "parent"),
        vim.VirtualApp: ("name", "parent", "parentFolder"),
    }
    part = collect_until(session, [scope.root(session)], wanted, TO_VMS, page, enough)
    if not part.whole:
        return None
    rows = {row.moid: row for row in part.rows}
    above = names.split(scope.path)[:-1]
    found = _Known(vapps=any(isinstance(row.ref, vim.VirtualApp) for row in rows.values()))
    for moid, row in rows.items():
        if isinstance(row.ref, vim.VirtualMachine):
            path = names.join([*above, *names.split(path_in(rows, moid))])
            keys = [(_NAME, names.unescape(row.get("name", ""))), (_PATH, path)]
            keys += [(_UUID, row.get(_UUIDS[0], "")), (_INSTANCE_UUID, row.get(_UUIDS[1], ""))]
            found.path[moid] = path
            for key in keys:
                found.by_key.setdefault(key, []).append(row.ref)
    return found


def _by_name(session: Session, name: str, scope: _Scope) -> list[t.Any]:
    """The VMs of an unescaped name, templates among them: one call in a small inventory; in a large
    one another finds the folders, and one goes to each of them.
    """
    places = _Places(session, scope)
    part = collect_until(
        session,
        [scope.root(session)],
        _OF_VM_NAME,
        TO_VMS,
        page_for(1),
        lambda read: is_dearer(read, places.calls(1)),
    )
    if not part.whole:
        return places.having([name])[name]
    return [row.ref for row in part.rows if names.unescape(row.get("name", "")) == name]


class _Places:
    """The folders and vApps in which VMs of a scope are; they are read when they are asked for."""

    def __init__(self, session: Session, scope: _Scope) -> None:
        self._session = session
        self._scope = scope

    def calls(self, wanted: int) -> int:
        """How many calls it takes to find so many names in all of them."""
        folders, vapps = self._read
        return len(folders) * wanted + bool(vapps) + 1

    def having(self, wanted: t.Collection[str]) -> dict[str, list[t.Any]]:
        """The VMs of these unescaped names."""
        folders, vapps = self._read
        search = self._session.manager("searchIndex")
        kept = [names.escape(name) for name in wanted]
        calls = [functools.partial(search.FindChild, each, name) for name in kept for each in folders]
        children = [child for answer in ask_each(self._session, calls) for child in _vms(answer)]
        # vCenter may leave upper and lower case aside where it looks for a child, so the names are
        # read again; and it looks for none in a vApp.
        found_vms = collect(self._session, [*children, *vapps], _OF_VM_NAME, _IN_VAPPS)
        rows = {row.moid: row for row in found_vms}
        found: dict[str, list[t.Any]] = {name: [] for name in wanted}
        for row in rows.values():
            name = names.unescape(row.get("name", ""))
            if name in found:
                found[name].append(row.ref)
        return found

    @functools.cached_property
    def _read(self) -> tuple[list[t.Any], list[t.Any]]:
        root = self._scope.root(self._session)
        rows = collect(self._session, [root], _OF_PLACES, TO_VMS, page=PAGE_OF_LITTLE)
        folders = [row.ref for row in rows if isinstance(row.ref, vim.Folder) and _holds_vms(row)]
        return folders, [row.ref for row in rows if isinstance(row.ref, vim.VirtualApp)]


_OF_VM_NAME = {vim.VirtualMachine: ("name",)}
_OF_PLACES = {vim.Folder: ("childType",), vim.VirtualApp: ("name",)}
_IN_VAPPS = tuple(route for route in TO_VMS if route.kind is vim.VirtualApp)


def _holds_vms(folder: Row) -> bool:
    """Whether VMs may be in a folder, which is one of VMs or of datacenters."""
    return not any(kind.endswith("Datacenter") for kind in folder.get("childType") or ())


def find_datacenter(session: Session, name: str) -> t.Any:
    """A datacenter by its name or path, in one call where it lies in the root folder or its path is
    given.

    :raises NotFound: with the datacenters that there are.
    :raises Ambiguous: when two folders have one of this name.
    """
    return _scope(session, name).ref


def datacenter_path(session: Session, name: str | None) -> str:
    """The path of a datacenter by its name; of the only one, where no name is given.

    :raises NotFound: with the datacenters that there are.
    :raises Ambiguous: when there are several to choose from.
    """
    if name:
        return _scope(session, name).path
    rows = _datacenters(session)
    if len(rows) == 1:
        return paths_of(session, [rows[0].ref])[rows[0].moid]
    known = sorted(names.unescape(row.get("name", "")) for row in rows)
    hint = f"There are: {names.listing(known) or 'none that this user may see'}."
    raise Ambiguous(
        "The option datacenter is not set.",
        hint=f"Set datacenter, or a whole path as folder. {hint}",
        matches=known,
    )


@dataclasses.dataclass(frozen=True)
class _Scope:
    """Where to look: a datacenter and its path, or the whole inventory."""

    ref: t.Any = None
    path: str = ""

    def root(self, session: Session) -> t.Any:
        """Where a traversal begins."""
        return self.ref or session.content.rootFolder

    def __str__(self) -> str:
        return f"datacenter {self.path}" if self.path else "the whole inventory"


_EVERYWHERE = _Scope()


def _scope(session: Session, name: str) -> _Scope:
    found = _at(session, name)
    if isinstance(found, vim.Datacenter):
        return _Scope(found, names.join(names.split(name)))
    rows = _datacenters(session)
    named = [row for row in rows if names.same(row.get("name", ""), name)]
    paths = paths_of(session, [row.ref for row in named])
    only = _only_datacenter(name, rows, {row.moid: paths.get(row.moid, "") for row in named})
    return _Scope(next(row.ref for row in named if row.moid == only), paths.get(only, ""))


def datacenter_in(rows: t.Mapping[str, Row], name: str) -> str:
    """The moid of a datacenter by its name or path, among rows that were read anyway: no call.

    :param rows: all datacenters and the folders above them, with ``name`` and ``parent``.
    :raises NotFound: with the datacenters that there are.
    :raises Ambiguous: when two folders have one of this name.
    """
    every = [row for row in rows.values() if isinstance(row.ref, vim.Datacenter)]
    paths = {row.moid: path_in(rows, row.moid) for row in every}
    at_path = [moid for moid, path in paths.items() if names.split(path) == names.split(name)]
    if len(at_path) == 1:
        return at_path[0]
    named = {row.moid: paths[row.moid] for row in every if names.same(row.get("name", ""), name)}
    return _only_datacenter(name, every, named)


def _only_datacenter(name: str, every: t.Iterable[Row], named: t.Mapping[str, str]) -> str:
    """The moid of the only datacenter of a name.

    :param named: the paths of those that have it, by moid.
    :raises NotFound: none has.
    :raises Ambiguous: several have.
    """
    if len(named) == 1:
        return next(iter(named))
    if named:
        listed = sorted(named.values())
        raise Ambiguous(
            f"{len(named)} datacenters are named {name}: {names.listing(listed)}.",
            hint="Give the path of the one you mean.",
            matches=listed,
        )
    known = sorted(names.unescape(row.get("name", "")) for row in every)
    raise NotFound(
        f"No datacenter {name} was found.",
        hint=f"There are: {names.listing(known) or 'none that this user may see'}.",
        known=known,
    )


def find_folder(session: Session, path: str) -> t.Any:
    """A folder by its whole path, in one call.

    :raises NotFound: when no folder has this path.
    """
    found = _at(session, path)
    if isinstance(found, vim.Folder):
        return found
    raise NotFound(
        f"No folder {path} was found.",
        hint="Write its whole path, as /Datacenter/vm/folder.",
        searched="the whole inventory",
    )


def find_entity(session: Session, path: str) -> t.Any:
    """Whatever lies at an inventory path, such as ``/DC0/host/cluster``, in one call.

    None where nothing does.
    """
    return _at(session, path)


def paths_of(session: Session, refs: t.Sequence[t.Any]) -> dict[str, str]:
    """The inventory paths of objects, by moid, in one call."""
    wanted = {
        vim.ManagedEntity: ("name", "parent"),
        vim.VirtualMachine: ("parentVApp",),
        vim.VirtualApp: ("parentFolder",),
    }
    rows = collect(session, refs, wanted, TO_ANCESTORS)
    known = {row.moid: row for row in rows}
    return {ref._GetMoId(): path_in(known, ref._GetMoId()) for ref in refs if ref._GetMoId() in known}


def name_subjects(session: Session, errors: t.Iterable[BaseException | None]) -> None:
    """Have errors name the objects on which privileges are missing by their paths: one call, where
    there are any.

    An object that this user may not see keeps its moid.
    """
    faults = [error for error in errors if isinstance(error, Fault) and error.subject is not None]
    if not faults or session.limit.task_over():
        return
    subjects = {fault.subject._GetMoId(): fault.subject for fault in faults}
    try:
        paths = paths_of(session, list(subjects.values()))
    except VforgeError as why:
        session.warn(f"The objects on which privileges are missing could not be named by their paths: {why}")
        return
    for fault in faults:
        path = paths.get(fault.subject._GetMoId(), "")
        if path:
            fault.call_subject(path)


def path_in(known: t.Mapping[str, Row], moid: str) -> str:
    """The inventory path of an object whose ancestors are among the ``known`` rows.

    The root folder has no part in it.
    """
    parts: list[str] = []
    here = moid
    while here in known:
        row = known[here]
        # A vApp's parent is a resource pool; its place among the folders is its parentFolder.
        above = row.get("parentVApp") or row.get("parentFolder") or row.get("parent")
        if above is not None:
            parts.append(names.unescape(row.get("name", "?")))
        here = above._GetMoId() if above is not None else ""
    return names.join(reversed(parts))


def _at(session: Session, path: str) -> t.Any:
    """What lies at an inventory path, or None.

    SearchIndex wants names as they are kept, and no slash at the start.
    """
    wanted = names.join(names.split(path))[1:]
    return session.retrying(lambda: session.manager("searchIndex").FindByInventoryPath(wanted))


def _whole_path(selector: Selector, scope: _Scope) -> str:
    text = selector.path or selector.folder or ""
    if not text.startswith("/") and not scope.path:
        raise InvalidOption(
            f"The path {text} is relative, and no datacenter is set.",
            hint="Write the whole path, /Datacenter/vm/..., or set datacenter.",
            option="path" if selector.path else "folder",
        )
    parts = names.split(text if text.startswith("/") else f"{scope.path}/vm/{text}")
    if not selector.path:
        parts.append(names.unescape(selector.name or ""))
    return names.join(parts)


def _datacenters(session: Session) -> list[Row]:
    inwards = (Route("folder-children", vim.Folder, "childEntity", ("folder-children",)),)
    return collect(session, [session.content.rootFolder], {vim.Datacenter: ("name",)}, inwards)


_IN_NESTED_VAPPS = "A VM in a vApp within another is found by uuid or moid alone where this user may not read its cluster."


def _exactly_one(lookup: _Lookup, found: list[t.Any], selector: Selector, scope: _Scope) -> t.Any:
    if len(found) == 1:
        return found[0]
    if found:
        paths = sorted(f"{path} ({moid})" for moid, path in lookup.paths(found).items())
        raise Ambiguous(
            f"{len(found)} VMs have the {selector} in {scope}: {names.listing(paths)}.",
            hint="Name the one you mean by its path or moid.",
            matches=paths,
        )
    wanted = names.unescape(selector.name) if selector.name else (names.split(selector.path or "") or [""])[-1]
    close = lookup.nearest(wanted) if wanted else []
    hint = f"Nearest names: {names.listing(close)}." if close else "Check the spelling, and that this user may see the VM."
    hint = f"{selector.blanks} {hint}".strip()
    if wanted and lookup.has_vapps():
        hint += f" {_IN_NESTED_VAPPS}"
    raise NotFound(
        f"No VM with the {selector} was found in {scope}.",
        hint=hint,
        searched=str(scope),
        nearest=close,
    )


# Of what was read


class _Fits(t.Protocol):
    """A selector of one of the things that were read; as text it says what it wants."""

    def fits(self, thing: t.Any, /) -> bool:
        """Whether it names this one."""


T = t.TypeVar("T")


def choose(
    things: t.Sequence[T],
    selector: _Fits,
    noun: str,
    where: str,
    *,
    listed: t.Callable[[T], str],
    hint: str,
) -> T:
    """The one of these things that a selector names.

    :param noun: what they are, in the singular.
    :param where: whose they are, for messages.
    :param listed: how messages list one.
    :param hint: what to do where there are several.
    :raises NotFound: with those that there are.
    :raises Ambiguous: with those that fit.
    """
    found = [thing for thing in things if selector.fits(thing)]
    if len(found) == 1:
        return found[0]
    known = [listed(thing) for thing in found or things]
    if found:
        raise Ambiguous(
            f"{len(found)} {noun}s of {where} fit the {selector}: {names.listing(known)}.",
            hint=hint,
            matches=known,
        )
    raise NotFound(
        f"{where} has no {selector}.",
        hint=f"There are: {names.listing(known) or 'none'}.",
        known=known,
    )


def as_uuid(text: str, option: str, where: str = "") -> str:
    """A UUID as vCenter keeps it, in small letters.

    :param where: what the option belongs to, for the message.
    :raises InvalidOption: it is none.
    """
    found = text.strip().lower()
    if not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", found):
        before = f"{where}: " if where else ""
        hint = "It is written as 8-4-4-4-12 hexadecimal digits."
        raise InvalidOption(f"{before}{text} is not a UUID.", hint=hint, option=option)
    return found

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where VMs are and may go: hosts, clusters, resource pools, networks, datastores, folders.

There is one type and one reader for each. Readers take rows, so that a domain reads all that it
needs in one call, with the properties and routes named here; a property that a domain did not ask
for leaves its field at the default. Routes fit together: each goes on along those of its followers
that are among the routes given.
"""

from __future__ import annotations

import dataclasses
import functools
import typing as t

from .._connector import names
from .._connector.find import TO_ANCESTORS, ask_each, find_entity, is_dearer, page_for, path_in
from .._connector.props import Route, Row, collect, collect_until
from .._connector.pyvmomi import vim
from .._errors import InvalidOption, NotFound
from .vm import moid_of, name_of, row_of

if t.TYPE_CHECKING:
    from .._connector.session import Session

ROOT_POOL = "Resources"

_PORT_GROUP = vim.dvs.DistributedVirtualPortgroup

# What the readers below look at.
HOST = ("name", "parent", "runtime.inMaintenanceMode", "runtime.connectionState")
HOST_SEES = ("network", "datastore")
HOST_MEMORY = ("summary.hardware.memorySize", "summary.quickStats.overallMemoryUsage")
HOST_QUARANTINE = ("runtime.inQuarantineMode",)
DATASTORE = (
    "name",
    "parent",
    "summary.accessible",
    "summary.freeSpace",
    "summary.maintenanceMode",
    "summary.type",
)
COMPUTES: dict[type, tuple[str, ...]] = {
    vim.ComputeResource: ("name", "parent", "host", "resourcePool"),
    vim.ClusterComputeResource: ("configuration.drsConfig",),
    vim.ResourcePool: ("name", "parent", "owner"),
}
NETWORKS: dict[type, tuple[str, ...]] = {
    vim.Network: ("name", "parent"),
    _PORT_GROUP: ("key", "config.distributedVirtualSwitch", "config.uplink"),
    vim.OpaqueNetwork: ("summary",),
    vim.DistributedVirtualSwitch: ("uuid",),
}

# From a VM to the objects that it names.
VM_TO_HOST = Route(
    "vm-host",
    vim.VirtualMachine,
    "runtime.host",
    ("host-compute", "host-networks", "host-datastores"),
)
VM_TO_POOL = Route("vm-pool", vim.VirtualMachine, "resourcePool")
VM_TO_DATASTORES = Route("vm-datastores", vim.VirtualMachine, "datastore")
TO_PLACES = (VM_TO_HOST, VM_TO_POOL, VM_TO_DATASTORES)

# From a host to its compute resource and all pools of that, and to what it sees.
HOST_TO_POOLS = (
    Route("host-compute", vim.HostSystem, "parent", ("compute-pool",)),
    Route("compute-pool", vim.ComputeResource, "resourcePool", ("pool-pools",)),
    Route("pool-pools", vim.ResourcePool, "resourcePool", ("pool-pools",)),
)
HOST_TO_NETWORKS = (
    # With the routes to the ancestors, the paths of networks are known.
    Route("host-networks", vim.HostSystem, "network", ("portgroup-switch", "parent")),
    Route("portgroup-switch", _PORT_GROUP, "config.distributedVirtualSwitch"),
)
HOST_TO_DATASTORES = Route("host-datastores", vim.HostSystem, "datastore")

# From a datacenter to its clusters and hosts, and to the pools, datastores and networks of those by
# the routes above.
DATACENTER_TO_HOSTS = (
    Route("datacenter-hosts", vim.Datacenter, "hostFolder", ("hosts-children",)),
    Route(
        "hosts-children",
        vim.Folder,
        "childEntity",
        ("hosts-children", "compute-hosts", "compute-pool"),
    ),
    Route("compute-hosts", vim.ComputeResource, "host", ("host-networks", "host-datastores")),
)

_FOLDERS: dict[type, tuple[str, ...]] = {
    vim.Folder: ("name", "parent"),
    vim.Datacenter: ("name", "parent"),
}
_TO_FOLDERS = (
    Route("datacenter-vms", vim.Datacenter, "vmFolder", ("folder-children",)),
    Route("folder-children", vim.Folder, "childEntity", ("folder-children",)),
)

_NAMES: dict[type, tuple[str, ...]] = {vim.ManagedEntity: ("name", "parent"), vim.VirtualApp: ("parentFolder",)}
_TO_CHILDREN = (Route("folder-children", vim.Folder, "childEntity"),)


@dataclasses.dataclass(frozen=True)
class Pool:
    """A resource pool of a compute resource.

    ``path`` is relative to it, the root pool's is ``Resources``.
    """

    moid: str
    name: str
    path: str


@dataclasses.dataclass(frozen=True)
class Host:
    """An ESXi host.

    :ivar compute: moid of its cluster, or of the compute resource that it is alone in.
    :ivar connection: ``connected``, ``disconnected`` or ``notResponding``.
    :ivar datastores: moids of those that it sees; ``networks`` likewise.
    :ivar free_memory: bytes; None where the host does not say.
    """

    moid: str
    name: str
    compute: str = ""
    connection: str = "connected"
    maintenance: bool = False
    quarantine: bool = False
    datastores: frozenset[str] = frozenset()
    networks: frozenset[str] = frozenset()
    free_memory: int | None = None

    @property
    def connected(self) -> bool:
        """Whether vCenter reaches it."""
        return self.connection == "connected"

    @property
    def available(self) -> bool:
        """Whether VMs can be made and run on it now.

        One in quarantine can, where nothing better is there.
        """
        return self.connected and not self.maintenance

    @property
    def obstacle(self) -> str:
        """Why it should get no VM now ("it is in maintenance mode"), or empty."""
        if self.maintenance:
            return "it is in maintenance mode"
        if self.quarantine:
            return "it is in quarantine mode"
        if self.connected:
            return ""
        if self.connection == "notResponding":
            return "it does not respond"
        return f"it is {self.connection}" if self.connection else "its state is unknown"


@dataclasses.dataclass(frozen=True)
class Compute:
    """A compute resource: a cluster, or a host that is in none.

    :ivar path: inventory path, where what lies above it was read.
    :ivar balanced: whether it chooses hosts by itself (DRS, fully automated).
    :ivar pools: in the order of their paths; ``hosts`` in that of their names.
    """

    moid: str
    name: str
    path: str = ""
    is_cluster: bool = False
    balanced: bool = False
    pools: tuple[Pool, ...] = ()
    hosts: tuple[Host, ...] = ()

    @property
    def root_pool(self) -> Pool | None:
        """The pool in which all others are, or None where this user may not see it."""
        return next((pool for pool in self.pools if pool.path == ROOT_POOL), None)


@dataclasses.dataclass(frozen=True)
class Datastore:
    """A datastore.

    :ivar free: bytes.
    :ivar maintenance: ``normal``, ``enteringMaintenance`` or ``inMaintenance``.
    :ivar cluster: moid of the datastore cluster or folder that it is in.
    :ivar kind: file system, as ``VMFS``, ``NFS`` or ``vsan``.
    """

    moid: str
    name: str
    free: int = 0
    accessible: bool = True
    maintenance: str = "normal"
    cluster: str = ""
    kind: str = ""

    @property
    def usable(self) -> bool:
        """Whether something new may be put on it."""
        return self.accessible and self.maintenance == "normal"


@dataclasses.dataclass(frozen=True)
class Network:
    """A network that VMs can be connected to.

    :ivar kind: ``standard``, ``distributed`` or ``opaque``.
    :ivar backing_id: what a NIC's backing holds for it: the moid of a standard network, the key of
        a port group, the ID of an opaque network.
    :ivar device_name: of a standard network: its name as vCenter keeps it, which may have escapes.
    :ivar switch_uuid: of the distributed switch.
    :ivar opaque_type: of an opaque network.
    :ivar path: inventory path, where what lies above it was read.
    """

    moid: str
    name: str
    kind: str = "standard"
    backing_id: str = ""
    device_name: str = ""
    switch_uuid: str = ""
    opaque_type: str = ""
    path: str = ""

    def backing(self) -> t.Any:
        """What connects a NIC to it."""
        card = vim.vm.device.VirtualEthernetCard
        if self.kind == "distributed":
            port = vim.dvs.PortConnection(switchUuid=self.switch_uuid, portgroupKey=self.backing_id)
            return card.DistributedVirtualPortBackingInfo(port=port)
        if self.kind == "opaque":
            return card.OpaqueNetworkBackingInfo(opaqueNetworkId=self.backing_id, opaqueNetworkType=self.opaque_type)
        # The name decides: the API reference says of "network" that configuration does not use it.
        return card.NetworkBackingInfo(deviceName=self.device_name, network=vim.Network(self.moid))


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a VM is: moids, with names for people. What is not known is empty."""

    host: str = ""
    host_name: str = ""
    pool: str = ""
    pool_name: str = ""
    datastores: tuple[str, ...] = ()
    datastore_names: tuple[str, ...] = ()


# Where a VM is of which this was not read.
UNKNOWN = Place()


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """What the host of a VM offers to VMs that are made there.

    :ivar compute: of the host, with its pools; None where the host cannot be read, as ``host``.
    :ivar networks: that the host sees, in the order of their names.
    :ivar datastores: name -> moid of the accessible ones that it sees.
    """

    host: Host | None = None
    compute: Compute | None = None
    networks: tuple[Network, ...] = ()
    datastores: t.Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def place_names(self) -> dict[str, str]:
        """The names of its hosts, pools and datastores, by moid."""
        pools = self.compute.pools if self.compute is not None else ()
        hosts = self.compute.hosts if self.compute is not None else ()
        known: list[Pool | Host] = [*pools, *hosts, *([self.host] if self.host is not None else ())]
        return {**{each.moid: each.name for each in known}, **{moid: name for name, moid in self.datastores.items()}}


def place_in(rows: t.Mapping[str, Row], vm: Row, known: t.Mapping[str, str] | None = None) -> Place:
    """Where a VM is, by ``runtime.host``, ``resourcePool``, ``datastore`` and ``TO_PLACES``.

    :param known: names of places that are not among the rows, by moid.
    """

    def called(moid: str) -> str:
        return name_of(rows.get(moid)) or (known or {}).get(moid, "")

    host, pool = moid_of(vm.get("runtime.host")), moid_of(vm.get("resourcePool"))
    datastores = tuple(moid_of(ref) for ref in vm.get("datastore") or ())
    return Place(
        host=host,
        host_name=called(host),
        pool=pool,
        pool_name=called(pool),
        datastores=datastores,
        datastore_names=tuple(called(moid) for moid in datastores),
    )


def places_of(vm: Row) -> list[t.Any]:
    """References to the places that ``place_in`` names."""
    every = [vm.get("runtime.host"), vm.get("resourcePool"), *(vm.get("datastore") or ())]
    return [ref for ref in every if ref is not None]


def surroundings_in(rows: t.Mapping[str, Row], vm: Row) -> Surroundings:
    """What the host of a VM offers, by ``VM_TO_HOST`` and the routes from hosts."""
    host = row_of(rows, vm.get("runtime.host"))
    if host is None:
        return Surroundings()
    compute = row_of(rows, host.get("parent"))
    return Surroundings(
        host=host_in(host),
        compute=compute_in(rows, compute) if compute is not None else None,
        networks=networks_of(rows, host),
        datastores=datastores_of(rows, host),
    )


def host_in(row: Row) -> Host:
    """A host of what was read of it."""
    size = row.get("summary.hardware.memorySize")
    used = row.get("summary.quickStats.overallMemoryUsage")
    return Host(
        moid=row.moid,
        name=name_of(row),
        compute=moid_of(row.get("parent")),
        connection=str(row.get("runtime.connectionState") or ""),
        maintenance=bool(row.get("runtime.inMaintenanceMode")),
        quarantine=bool(row.get("runtime.inQuarantineMode")),
        datastores=frozenset(moid_of(ref) for ref in row.get("datastore") or ()),
        networks=frozenset(moid_of(ref) for ref in row.get("network") or ()),
        # The first is in bytes, the second in MiB (API reference).
        free_memory=size - used * 2**20 if size is not None and used is not None else None,
    )


def compute_in(rows: t.Mapping[str, Row], row: Row) -> Compute:
    """A compute resource with those of its pools and hosts that are among the rows."""
    own = {moid: pool for moid, pool in rows.items() if moid_of(pool.get("owner")) == row.moid}
    hosts = [rows[moid_of(ref)] for ref in row.get("host") or () if moid_of(ref) in rows]
    drs = row.get("configuration.drsConfig")
    return Compute(
        moid=row.moid,
        name=name_of(row),
        path=path_in(rows, row.moid),
        is_cluster=isinstance(row.ref, vim.ClusterComputeResource),
        balanced=drs is not None and bool(drs.enabled) and str(drs.defaultVmBehavior or "") == "fullyAutomated",
        pools=tuple(sorted(pools_in(own), key=lambda pool: pool.path)),
        hosts=tuple(sorted((host_in(host) for host in hosts), key=lambda host: host.name)),
    )


def computes_in(rows: t.Mapping[str, Row]) -> tuple[Compute, ...]:
    """The compute resources among rows, in the order of their names."""
    found = [compute_in(rows, row) for row in rows.values() if isinstance(row.ref, vim.ComputeResource)]
    return tuple(sorted(found, key=lambda compute: compute.name))


def hosts_in(rows: t.Mapping[str, Row]) -> tuple[Host, ...]:
    """The hosts among rows, in the order of their names."""
    found = [host_in(row) for row in rows.values() if isinstance(row.ref, vim.HostSystem)]
    return tuple(sorted(found, key=lambda host: names.natural(host.name)))


def datastore_in(row: Row) -> Datastore:
    """A datastore of what was read of it with ``DATASTORE``."""
    return Datastore(
        moid=row.moid,
        name=name_of(row),
        free=row.get("summary.freeSpace") or 0,
        accessible=bool(row.get("summary.accessible")),
        maintenance=str(row.get("summary.maintenanceMode") or "normal"),
        cluster=moid_of(row.get("parent")),
        kind=str(row.get("summary.type") or ""),
    )


def datastores_in(rows: t.Mapping[str, Row]) -> dict[str, Datastore]:
    """The datastores among rows, by moid."""
    return {row.moid: datastore_in(row) for row in rows.values() if isinstance(row.ref, vim.Datastore)}


def network_in(rows: t.Mapping[str, Row], row: Row) -> Network | None:
    """The network that a row is, or None where no NIC of a VM can be connected to it."""
    ref, moid = row.ref, row.moid
    name, path = name_of(row), path_in(rows, row.moid)
    if isinstance(ref, _PORT_GROUP):
        if row.get("config.uplink"):
            return None  # a port group for the host's own cards
        switch = row_of(rows, row.get("config.distributedVirtualSwitch"))
        uuid = (switch.get("uuid") if switch is not None else None) or ""
        key = row.get("key") or moid
        return Network(moid, name, "distributed", key, switch_uuid=uuid, path=path)
    if isinstance(ref, vim.OpaqueNetwork):
        summary = row.get("summary")
        if summary is None:
            return None
        kind, backing = summary.opaqueNetworkType, summary.opaqueNetworkId
        return Network(moid, name, "opaque", backing, opaque_type=kind, path=path)
    if not isinstance(ref, vim.Network):
        return None
    return Network(moid, name, "standard", moid, device_name=row.get("name") or "", path=path)


def networks_in(rows: t.Mapping[str, Row]) -> tuple[Network, ...]:
    """The networks among rows that VMs can be connected to, in the order of their names."""
    return _networks(rows, rows.values())


def networks_of(rows: t.Mapping[str, Row], host: Row) -> tuple[Network, ...]:
    """The networks that a host sees and that VMs can be connected to, in the order of their names."""
    return _networks(rows, _seen(rows, host, "network"))


def _networks(rows: t.Mapping[str, Row], some: t.Iterable[Row]) -> tuple[Network, ...]:
    found = [network for row in some if (network := network_in(rows, row)) is not None]
    return tuple(sorted(found, key=lambda network: (network.name, network.path, network.moid)))


def datastores_of(rows: t.Mapping[str, Row], host: Row) -> dict[str, str]:
    """The accessible datastores that a host sees: name -> moid."""
    seen = _seen(rows, host, "datastore")
    return {name_of(row): row.moid for row in seen if row.get("summary.accessible")}


def _seen(rows: t.Mapping[str, Row], host: Row, path: str) -> list[Row]:
    """The rows that a property of one host refers to, since rows may hold what other hosts see."""
    moids = [moid_of(ref) for ref in host.get(path) or ()]
    return [rows[moid] for moid in moids if moid in rows]


def read_folders(session: Session, datacenter: str, wanted: t.Iterable[str]) -> dict[str, tuple[str, str]]:
    """The VM folders of one datacenter that the options name, as written -> (moid, path).

    :param datacenter: moid.
    :param wanted: absolute paths (``/Datacenter/vm/web``) or paths below the VM folder of the
        datacenter (``web``).
    :raises NotFound: naming the folder, with the nearest ones.
    """
    known = find_folders(session, datacenter, wanted)
    missing = [folder for folder in known.values() if isinstance(folder, NotFound)]
    if missing:
        raise missing[0]
    return {text: folder for text, folder in known.items() if not isinstance(folder, NotFound)}


def find_folders(
    session: Session, datacenter: str, wanted: t.Iterable[str], top: str = ""
) -> dict[str, tuple[str, str] | NotFound]:
    """As ``read_folders``, with the error of each folder that is not there in the place of that folder.

    :param top: path of the VM folder of the datacenter, where it is known: a single folder is then
        asked for by its path, and all are read only where it is not there.
    """
    texts = list(wanted)
    if top and len(texts) == 1:
        path = _folder_path(texts[0], top)
        found_at = find_entity(session, path) if f"{path}/".startswith(f"{top}/") else None
        if isinstance(found_at, vim.Folder):
            return {texts[0]: (moid_of(found_at), path)}
    root = session.reference(vim.Datacenter, datacenter)
    rows = {row.moid: row for row in collect(session, [root], _FOLDERS, (*_TO_FOLDERS, *TO_ANCESTORS))}
    by_path = {path_in(rows, row.moid): row.moid for row in rows.values() if isinstance(row.ref, vim.Folder)}
    top = names.join([*names.split(path_in(rows, datacenter)), "vm"])
    below = {path: moid for path, moid in by_path.items() if path == top or path.startswith(f"{top}/")}
    found: dict[str, tuple[str, str] | NotFound] = {}
    for text in texts:
        path = _folder_path(text, top)
        if path in below:
            found[text] = (below[path], path)
            continue
        near = names.nearest(path, below) or sorted(below)
        found[text] = NotFound(
            f"No folder {path} was found.",
            hint=f"Folders of this datacenter: {names.listing(near)}.",
            searched=top,
            nearest=near[:3],
        )
    return found


def _folder_path(text: str, top: str) -> str:
    """The whole path of a folder that a text names, below ``top`` where it is relative."""
    return names.join(names.split(text if text.startswith("/") else f"{top}/{text}"))


def read_names(session: Session, wanted: t.Mapping[str, t.Collection[str]]) -> dict[tuple[str, str], t.Any]:
    """Which of the wanted names are taken: (moid of the folder, unescaped name) -> reference.

    A single name is asked for. Of more, all names of the folders are read, unless the folders turn
    out to be so large that it costs less to ask for each.

    :param wanted: moid of a folder -> unescaped names.
    """
    pairs = [(folder, name) for folder, some in wanted.items() for name in some]
    calls = len(pairs)
    if calls > 1:
        folders = [session.reference(vim.Folder, moid) for moid in wanted]
        part = collect_until(session, folders, _NAMES, _TO_CHILDREN, page_for(calls), lambda read: is_dearer(read, calls))
        if part.whole:
            found = names_in(part.rows)
            return {pair: found[pair] for pair in pairs if pair in found}
    if not pairs:
        return {}
    search = session.manager("searchIndex")
    questions = [
        functools.partial(search.FindChild, session.reference(vim.Folder, folder), names.escape(name)) for folder, name in pairs
    ]
    answers = zip(pairs, ask_each(session, questions), strict=True)
    return {pair: ref for pair, ref in answers if ref is not None}


def names_in(rows: t.Iterable[Row]) -> dict[tuple[str, str], t.Any]:
    """What has which name in a folder: (moid of the folder, unescaped name) -> reference.

    The parent of a vApp is a pool; its place among the folders is its parentFolder.
    """
    placed = [(row, row.get("parentFolder") or row.get("parent")) for row in rows]
    return {(moid_of(folder), name_of(row)): row.ref for row, folder in placed}


def is_plain_pool(ref: t.Any) -> bool:
    """Whether a reference is a resource pool that is no vApp: a VM put into a vApp would join its
    start order.
    """
    return isinstance(ref, vim.ResourcePool) and not isinstance(ref, vim.VirtualApp)


def pools_in(rows: t.Mapping[str, Row]) -> t.Iterator[Pool]:
    """The plain resource pools among rows, which have ``name`` and ``parent``."""
    for row in rows.values():
        if not is_plain_pool(row.ref):
            continue
        parts, here = [], row
        while is_plain_pool(here.ref):
            parts.append(names.unescape(here.get("name") or ""))
            above = here.get("parent")
            if above is None or above._GetMoId() not in rows:
                break
            here = rows[above._GetMoId()]
        yield Pool(row.moid, names.unescape(row.get("name") or ""), names.join(reversed(parts))[1:])


def fitting_pools(pools: t.Iterable[Pool], compute_resource: str, text: str) -> list[Pool]:
    """Which of the pools of a compute resource a text may mean: a name, a path in it, or an
    inventory path.
    """
    wanted, known = names.split(text), list(pools)
    fits = [pool for pool in known if _is_pool(pool, wanted)]
    if not fits and compute_resource in wanted:
        # An inventory path: /DC0/host/cluster/Resources/web, or cluster/web, or the cluster alone
        # for its root pool.
        below = wanted[wanted.index(compute_resource) + 1 :] or [ROOT_POOL]
        fits = [pool for pool in known if _is_pool(pool, below)]
    return fits


def choose_pool(around: Surroundings, text: str | None, own: str, who: str, advice: str = "") -> Pool:
    """The resource pool that a text means there; without a text, the VM's own.

    :param own: moid of the VM's own pool.
    :param who: begins the message ("clone 'web-1'").
    :param advice: begins the hint.
    :raises InvalidOption: when it means none, or several; the hint lists the pools.
    """
    pools = around.compute.pools if around.compute else ()
    if not text:
        # A VM inside a vApp has a pool that is not among the compute resource's own.
        return next((pool for pool in pools if pool.moid == own), Pool(own, own, own))
    name = around.compute.name if around.compute else ""
    fits = fitting_pools(pools, name, text)
    if len(fits) == 1:
        return fits[0]
    paths = sorted(pool.path for pool in fits or pools)
    listing = names.listing(paths, most=20) or "none that this user may see"
    if fits:
        what, hint = (
            f"{len(fits)} resource pools are named {text}",
            f"Give the path of one: {listing}.",
        )
    else:
        what = f"the resource pool {text} is not one of {name}, to which its host {_host_name(around)} belongs"
        hint = f"Pools that would do: {listing}."
    raise InvalidOption(f"{who}: {what}.", hint=f"{advice} {hint}".strip(), option="resource_pool", allowed=paths)


def choose_datastore(around: Surroundings, text: str | None, who: str) -> str | None:
    """The moid of the datastore that a text means there; None without a text.

    :param who: begins the message ("clone 'web-1'").
    :raises InvalidOption: when the host sees none of this name; the hint lists those that it sees.
    """
    if not text:
        return None
    for name, moid in around.datastores.items():
        if names.same(name, text):
            return moid
    known = sorted(around.datastores)
    raise InvalidOption(
        f"{who}: the host {_host_name(around)} has no accessible datastore {text}.",
        hint=f"It has: {names.listing(known, most=20) or 'none'}.",
        option="datastore",
        allowed=known,
    )


def fitting_networks(networks: t.Iterable[Network], text: str) -> list[Network]:
    """The networks that a text may mean: a name, a moid, or an inventory path or the last parts of
    one.
    """
    parts = names.split(text) if "/" in text else []
    return [network for network in networks if _is_network(network, text, parts)]


def ambiguous_network(text: str, fits: t.Iterable[Network], who: str) -> InvalidOption:
    """The error for a text that means several networks; the hint lists them.

    :param who: begins the message ("clone 'web-1'").
    """
    choices = sorted(f"{network.path or network.name} ({network.moid})" for network in fits)
    return InvalidOption(
        f"{who}: {len(choices)} networks are named {text}.",
        hint=f"Give the path or the moid of one: {names.listing(choices, most=20)}.",
        option="networks",
        allowed=choices,
    )


def choose_network(networks: t.Sequence[Network], text: str, who: str) -> Network:
    """The network that a text means, of those that a host sees.

    :param who: begins the message ("clone 'web-1'").
    :raises InvalidOption: when it means none, or several; the hint lists the networks.
    """
    fits = fitting_networks(networks, text)
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise ambiguous_network(text, fits, who)
    known = sorted(network.name for network in networks)
    raise InvalidOption(
        f"{who}: its host sees no network {text}.",
        hint=f"It sees: {names.listing(known, most=20) or 'none'}.",
        option="networks",
        allowed=known,
    )


def _is_network(network: Network, text: str, parts: list[str]) -> bool:
    if network.moid == text or names.same(network.name, text):
        return True
    path = names.split(network.path)
    return bool(parts) and (path == parts if text.startswith("/") else path[-len(parts) :] == parts)


def _host_name(around: Surroundings) -> str:
    return around.host.name if around.host else "that this user may not see"


def _is_pool(pool: Pool, wanted: list[str]) -> bool:
    path = names.split(pool.path)
    return bool(wanted) and wanted in (path, path[1:], path[-1:])


def host_of(rows: t.Mapping[str, Row], vm: Row) -> Host | None:
    """The host of a VM, by ``runtime.host`` and ``VM_TO_HOST``; None where it cannot be read."""
    host = row_of(rows, vm.get("runtime.host"))
    return host_in(host) if host is not None else None

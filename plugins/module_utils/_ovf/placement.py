# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a template goes.

A host that can take it, with the datastore and the networks that it needs. Pure.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import names
from .._errors import InvalidOption, NotFound
from .._vsphere.compute import (
    Compute,
    Datastore,
    Host,
    Network,
    Pool,
    ambiguous_network,
    fitting_networks,
    fitting_pools,
)
from .descriptor import Descriptor
from .model import Deployment, Place, Placement, Surroundings


def networks_for(
    offered: t.Sequence[str],
    deployment: Deployment,
    there: t.Collection[str],
) -> dict[str, str]:
    """The network of the inventory for each of the descriptor.

    :param offered: the networks of the descriptor.
    :param there: the names of those of the inventory, for the message.
    :raises InvalidOption: one is not mapped, or one is mapped that the descriptor does not have.
    """
    known = names.listing(sorted(set(there)), most=40) or "none"
    strange = sorted(set(deployment.networks) - set(offered))
    if strange:
        raise InvalidOption(
            f"The descriptor has no network {names.listing(strange)}.",
            hint=f"It has: {names.listing(list(offered)) or 'none'}.",
            option="networks",
            descriptor_networks=list(offered),
        )
    default = deployment.default_network or ""
    mapped = {name: deployment.networks.get(name) or default for name in offered}
    missing = [name for name, network in mapped.items() if not network]
    if missing:
        raise InvalidOption(
            f"No network is given for {names.listing(missing)} of the descriptor.",
            hint=f"Set networks or default_network. Networks here: {known}.",
            option="networks",
            unmapped=missing,
            networks_here=sorted(set(there)),
        )
    return mapped


@dataclasses.dataclass(frozen=True)
class PropertyValues:
    """Values of properties, by their keys, as vCenter takes them.

    :ivar open: of those that the descriptor lets users set; ``hidden`` of the others.
    """

    open: dict[str, str] = dataclasses.field(repr=False)
    hidden: dict[str, str] = dataclasses.field(repr=False)


def choices(descriptor: Descriptor, deployment: Deployment) -> PropertyValues:
    """What is chosen of what the descriptor offers.

    vCenter would ignore some of what the descriptor does not have.

    :raises InvalidOption: it has no such property or deployment option, or a value cannot be that
        of its property; with those that there are.
    """
    strange = sorted(set(deployment.properties) - set(descriptor.properties))
    if strange:
        raise InvalidOption(
            f"The descriptor has no property {names.listing(strange)}.",
            hint=f"It has: {names.listing(sorted(descriptor.properties), most=40) or 'none'}.",
            option="properties",
        )
    if deployment.option and deployment.option not in descriptor.options:
        raise InvalidOption(
            f"The descriptor has no deployment option {deployment.option}.",
            hint=f"It has: {names.listing(list(descriptor.options)) or 'none'}.",
            option="deployment_option",
        )
    kinds = descriptor.kinds
    values = {key: _property_value(key, value, kinds.get(key, "")) for key, value in deployment.properties.items()}
    hidden = {key: value for key, value in values.items() if key in descriptor.hidden}
    if hidden and not deployment.hidden_properties:
        raise InvalidOption(
            f"The descriptor does not let users set {names.listing(sorted(hidden))}.",
            hint="Set enable_hidden_properties to true to set them all the same.",
            option="properties",
        )
    seen = {key: value for key, value in values.items() if key not in hidden}
    return PropertyValues(seen, hidden)


def _property_value(key: str, value: str, kind: str) -> str:
    """A value as vCenter takes it for a property of this type."""
    if kind != "boolean":
        return value
    word = value.strip().capitalize()
    if word not in ("True", "False"):
        raise InvalidOption(
            f"The property {key} is a boolean, and its value is none.",
            hint="Set it to true or false.",
            option="properties",
        )
    return word


def place(
    around: Surroundings,
    asked: Place,
    networks: t.Mapping[str, str],
    compatible: t.Collection[str] | None,
) -> Placement:
    """The best place.

    That is the host with most free memory, of those that see the datastore with most free space.

    :param networks: as ``networks_for`` gives them.
    :param compatible: moids of the datastores that the storage policy allows; None for all.
    :raises NotFound: something that the options name is not there.
    :raises InvalidOption: no host can take it; the message says of each why.
    """
    compute, pool = _compute(around, asked)
    mine = [host for host in around.hosts if host.compute == compute.moid]
    hosts = _named(mine, asked.host, "host", compute) if asked.host else mine
    wanted = _datastores(around, asked, compatible)
    connected = _networks_of(around, mine, hosts, networks, compute)
    reasons, able = [], []
    for host in hosts:
        why = _why_not(host, wanted, connected)
        if why:
            reasons.append(f"{host.name} {why}")
        else:
            able.append(host)
    if not able:
        raise InvalidOption(
            f"No host of {compute.name} can take the template: {'; '.join(reasons) or 'it has none'}.",
            hint="Choose another datastore, network, host or cluster, or bring a host back.",
            reasons=reasons,
        )
    datastore = _best_datastore(
        [item for item in wanted if any(item.moid in host.datastores for host in able)],
        able,
        asked,
    )
    host = max(
        (host for host in able if datastore.moid in host.datastores),
        key=lambda one: (one.free_memory or 0, one.name),
    )
    return Placement(
        host,
        pool,
        compute,
        datastore,
        {name: connected[text] for name, text in networks.items()},
    )


def _why_not(host: Host, wanted: t.Sequence[Datastore], networks: t.Mapping[str, Network]) -> str:
    if not host.connected:
        return "is not connected"
    if host.maintenance:
        return "is in maintenance mode"
    if not any(datastore.moid in host.datastores for datastore in wanted):
        listed = names.listing([datastore.name for datastore in wanted], most=3)
        return f"does not see the datastore {listed}"
    blind = [text for text, network in networks.items() if network.moid not in host.networks]
    return f"does not see the network {names.listing(blind)}" if blind else ""


def _compute(around: Surroundings, asked: Place) -> tuple[Compute, Pool]:
    """The cluster, and the pool in it."""
    computes = list(around.computes)
    if asked.cluster:
        computes = _named(computes, asked.cluster, "cluster", None)
    if asked.host:
        homes = {host.compute for host in around.hosts if _is(host.name, "", asked.host)}
        computes = [compute for compute in computes if compute.moid in homes]
        if not computes:
            known = sorted(host.name for host in around.hosts)
            raise NotFound(
                f"No host {asked.host} was found{f' in {asked.cluster}' if asked.cluster else ''}.",
                hint=f"There are: {names.listing(known) or 'none'}.",
                known=known,
            )
    wanted = asked.resource_pool
    fits = [(compute, pool) for compute in computes for pool in _pools(compute, wanted)]
    if len(fits) == 1:
        return fits[0]
    known = [f"{compute.name}/{pool.path}" if wanted else compute.name for compute, pool in fits]
    if fits:
        raise InvalidOption(
            f"Where the template goes is not clear: there are {names.listing(known)}.",
            hint="Set cluster, or a resource_pool with its whole path.",
            option="cluster",
            known=known,
        )
    pools = [f"{compute.name}/{pool.path}" for compute in computes for pool in compute.pools]
    what = f"resource pool {asked.resource_pool}" if asked.resource_pool else "cluster"
    raise NotFound(
        f"No {what} was found.",
        hint=f"There are: {names.listing(pools) or 'none'}.",
        known=pools,
    )


def _pools(compute: Compute, text: str | None) -> list[Pool]:
    if text:
        return fitting_pools(compute.pools, compute.name, text)
    return [pool for pool in compute.pools if "/" not in pool.path]


_T = t.TypeVar("_T", Compute, Host)


def _named(items: t.Sequence[_T], text: str, kind: str, within: Compute | None) -> list[_T]:
    found = [item for item in items if _is(item.name, getattr(item, "path", ""), text)]
    if found:
        return found
    known = sorted(item.name for item in items)
    where = f" in {within.name}" if within else ""
    raise NotFound(
        f"No {kind} {text} was found{where}.",
        hint=f"There are: {names.listing(known) or 'none'}.",
        known=known,
    )


def _is(name: str, path: str, text: str) -> bool:
    parts = names.split(text)
    is_path = bool(path) and "/" in text
    return names.same(name, text) or (is_path and names.split(path)[-len(parts) :] == parts)


def _datastores(
    around: Surroundings,
    asked: Place,
    compatible: t.Collection[str] | None,
) -> list[Datastore]:
    """The datastores that may be taken, as far as the options say."""
    found = list(around.datastores)
    what, known = "datastore", sorted(item.name for item in found)
    if asked.datastore:
        found = [item for item in found if names.same(item.name, asked.datastore)]
        what = f"datastore {asked.datastore}"
    elif asked.datastore_cluster:
        clusters = around.datastore_clusters.items()
        ids = [moid for moid, name in clusters if names.same(name, asked.datastore_cluster)]
        found, known = (
            [item for item in found if item.cluster in ids],
            sorted(around.datastore_clusters.values()),
        )
        what = f"datastore cluster {asked.datastore_cluster}"
    if not found:
        raise NotFound(
            f"No {what} was found, or it is empty.",
            hint=f"There are: {names.listing(known) or 'none'}.",
            known=known,
        )
    allowed = found if compatible is None else [item for item in found if item.moid in compatible]
    if not allowed:
        raise InvalidOption(
            f"The storage policy {asked.storage_policy} allows no {what}.",
            hint="Choose another policy or datastore.",
            option="storage_policy",
        )
    usable = [item for item in allowed if item.usable]
    if not usable:
        raise InvalidOption(
            f"The {what} is not accessible, or in maintenance mode.",
            option="datastore",
        )
    return usable


def _best_datastore(
    wanted: t.Sequence[Datastore],
    able: t.Sequence[Host],
    asked: Place,
) -> Datastore:
    """The one with most free space.

    Where none is named, of those that most hosts see, so that clones can be anywhere.
    """

    def worth(datastore: Datastore) -> tuple[int, int, str]:
        seen = sum(datastore.moid in host.datastores for host in able)
        seen = 0 if asked.datastore_cluster else seen
        return (seen, datastore.free, datastore.name)

    return max(wanted, key=worth)


def _networks_of(
    around: Surroundings,
    mine: t.Sequence[Host],
    hosts: t.Sequence[Host],
    wanted: t.Mapping[str, str],
    compute: Compute,
) -> dict[str, Network]:
    """The network that each text names.

    :param mine: the hosts of the cluster; ``hosts`` those of them that may take the template.
    :raises NotFound: no host of the cluster has one of this name.
    :raises InvalidOption: several have it.
    """
    there = _seen_by(around, mine)
    found = {}
    for text in dict.fromkeys(wanted.values()):
        fits = fitting_networks(there, text)
        if len(fits) > 1:
            fits = fitting_networks(_seen_by(around, hosts), text) or fits
        if len(fits) > 1:
            raise ambiguous_network(text, fits, compute.name)
        if not fits:
            known = sorted({network.name for network in there})
            listed = names.listing(names.nearest_first(text, known), most=40) or "none"
            raise NotFound(
                f"No network {text} was found in {compute.name}.",
                hint=f"There are: {listed}.",
                known=known,
            )
        found[text] = fits[0]
    return found


def _seen_by(around: Surroundings, hosts: t.Iterable[Host]) -> list[Network]:
    moids = {moid for host in hosts for moid in host.networks}
    return [network for network in around.networks if network.moid in moids]

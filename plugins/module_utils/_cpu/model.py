# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task about processors is asked, and the hosts, clusters and VMs that it speaks of. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import names
from .._connector.find import Selector
from .._errors import InvalidOption
from .._vsphere.compute import Host
from .._vsphere.guest import GuestCredentials
from .._vsphere.processors import Mode, Needs, Processor
from .._vsphere.vm import Vm


@dataclasses.dataclass(frozen=True)
class Options:
    """What a task asks for.

    :ivar hosts: names, paths or moids; ``clusters`` likewise. All where neither is given.
    :ivar vms: of which VMs.
    :ivar compare: whether to say which VM could move where; without ``vms`` it is all of them.
    :ivar in_guest: who asks the guests of these VMs; None where they are not asked.
    """

    hosts: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ()
    vms: tuple[Selector, ...] = ()
    compare: bool = False
    in_guest: GuestCredentials | None = None
    datacenter: str | None = None
    timeout: int = 300
    parallel: int = 8

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> Options:
        """The options in a module's parameters.

        :raises InvalidOption: an option cannot be right.
        """
        vms = tuple(Selector.from_params(each, "vms") for each in params.get("vms") or ())
        return cls(
            hosts=_texts(params, "hosts"),
            clusters=_texts(params, "clusters"),
            vms=vms,
            compare=bool(params.get("compare")),
            in_guest=_credentials(params, vms) if params.get("in_guest") else None,
            datacenter=params.get("datacenter") or None,
            timeout=params["timeout"],
            parallel=params["parallel"],
        )


def _texts(params: t.Mapping[str, t.Any], option: str) -> tuple[str, ...]:
    given = tuple(params.get(option) or ())
    for text in given:
        if not text.strip() or not names.is_sendable(text):
            raise InvalidOption(
                f"The list {option} has an entry that is empty or has a control character.",
                hint="Name each by its name, its inventory path or its moid.",
                option=option,
            )
    return given


def _credentials(params: t.Mapping[str, t.Any], vms: t.Sequence[Selector]) -> GuestCredentials:
    if not vms:
        raise InvalidOption(
            "in_guest is set, and vms is not.", hint="Name the VMs whose guests are to be asked.", option="in_guest"
        )
    found = GuestCredentials.from_params(params)
    if found is None:
        raise InvalidOption(
            "in_guest is set, and the option guest_username is not.",
            hint="Set guest_username and guest_password to those of a user inside the guests.",
            option="guest_username",
        )
    return found


@dataclasses.dataclass(frozen=True)
class CpuHost(Host):
    """A host with its processors.

    :ivar path: inventory path.
    """

    path: str = ""
    processor: Processor = dataclasses.field(default_factory=Processor)

    @property
    def why_unknown(self) -> str:
        """Why nobody can say what it offers to VMs, or empty."""
        if self.processor.offered:
            return ""
        return f"{self.obstacle}, and vCenter has no feature capabilities of it" if self.obstacle else _NO_CAPABILITIES


_NO_CAPABILITIES = "vCenter has no feature capabilities of it, or does not show them to this user"


@dataclasses.dataclass(frozen=True)
class CpuCluster:
    """A cluster.

    :ivar mode: key of its EVC mode; empty for none.
    :ivar hosts: in the order of their names.
    """

    moid: str
    name: str
    path: str
    mode: str = ""
    hosts: tuple[CpuHost, ...] = ()


@dataclasses.dataclass(frozen=True)
class Places:
    """Where VMs could be.

    :ivar modes: the EVC modes that this release of vCenter has, by key.
    """

    hosts: tuple[CpuHost, ...] = ()
    clusters: tuple[CpuCluster, ...] = ()
    modes: t.Mapping[str, Mode] = dataclasses.field(default_factory=dict)

    def label(self, key: str) -> str:
        """A mode as the vSphere Client shows it; its key where vCenter does not know it."""
        return self.modes[key].label if key in self.modes else key


@dataclasses.dataclass(frozen=True, kw_only=True)
class CpuVm(Vm):
    """A VM with what it requires of processors.

    :ivar host: moid of the host on which it is.
    """

    host: str = ""
    needs: Needs = dataclasses.field(default_factory=Needs)


def choose_places(places: Places, options: Options) -> Places:
    """The hosts and clusters that the options name; all where they name none.

    The hosts of a cluster that is named are among the hosts.

    :raises InvalidOption: one is not there, or several have its name.
    """
    if not options.hosts and not options.clusters:
        return places
    clusters = [_one(places.clusters, text, "clusters") for text in options.clusters]
    hosts = [_one(places.hosts, text, "hosts") for text in options.hosts]
    wanted = {host.moid for host in hosts} | {host.moid for cluster in clusters for host in cluster.hosts}
    chosen = {cluster.moid for cluster in clusters}
    return dataclasses.replace(
        places,
        hosts=tuple(host for host in places.hosts if host.moid in wanted),
        clusters=tuple(cluster for cluster in places.clusters if cluster.moid in chosen),
    )


T = t.TypeVar("T", CpuHost, CpuCluster)


def _one(things: t.Sequence[T], text: str, option: str) -> T:
    found = [each for each in things if text == each.moid or names.means(text, each.name, each.path)]
    if len(found) == 1:
        return found[0]
    known = [each.path for each in found or things]
    if found:
        raise InvalidOption(
            f"{len(found)} {option} are named {text}.",
            hint=f"Give the path of the one you mean: {names.listing(known)}.",
            option=option,
        )
    near = names.nearest(text, [each.name for each in things]) or known
    raise InvalidOption(
        f"None of the {option} that this user may see is {text}.",
        hint=f"There are: {names.listing(near) or 'none'}.",
        option=option,
    )

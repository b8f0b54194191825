# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fleet needs: which parents, which clones on which of them, what goes, what is rolled.
Pure.

A clone stays where it is; only what is missing is placed, always on the host that has fewest.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import names
from .._errors import InvalidOption, VforgeError
from .._vsphere.compute import Host
from .model import (
    PRESENT,
    VMFORK,
    Clone,
    FleetOptions,
    Golden,
    Parent,
    Renamed,
    Situation,
    address_alone,
    parent_name,
)
from .room import Room


class NoRoom(VforgeError):
    """The fleet has no place for all of its clones."""

    error_code = "no_room"


@dataclasses.dataclass(frozen=True)
class Seed:
    """A parent that is to be there: made, or, where ``parent`` is set, one that an ended run has
    left unready.
    """

    name: str
    host: Host
    datastore: str
    parent: Parent | None = None


@dataclasses.dataclass(frozen=True)
class Placed:
    """A clone that is to be there.

    :ivar parent: None where the parent is a seed of this plan, which is on ``host``.
    :ivar replaces: the clone of an older version that has the name now.
    """

    number: int
    host: Host | None
    parent: Parent | None
    existing: Clone | None = None
    replaces: Clone | None = None


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be done, in this order.

    :ivar seeds: parents to make and make ready.
    :ivar rolls: batches of clones that are replaced, one batch after the other.
    :ivar removals: clones that go, the newest first.
    :ivar clones: all clones of the fleet, by their numbers; without orphans.
    :ivar obsolete: parents that go, when nothing is made of them any more.
    :ivar orphans: clones whose parent is gone; they are left alone. Of VMFork they are so whatever
        their number and version, since only a parent says which VMs are its children.
    :ivar skipped: hosts that take no new clone -> why.
    """

    seeds: tuple[Seed, ...]
    rolls: tuple[tuple[Placed, ...], ...]
    removals: tuple[Clone, ...]
    clones: tuple[Placed, ...]
    obsolete: tuple[Parent, ...]
    orphans: tuple[Clone, ...]
    skipped: dict[str, str]

    @property
    def created(self) -> list[Placed]:
        """The clones that are made and replace none."""
        return [clone for clone in self.clones if clone.existing is None and clone.replaces is None]

    @property
    def leaving(self) -> list[Clone]:
        """The clones that are replaced or go."""
        replaced = (clone.replaces for batch in self.rolls for clone in batch)
        return [*(clone for clone in replaced if clone is not None), *self.removals]

    @property
    def pending(self) -> bool:
        """Whether anything is to be done."""
        return bool(self.seeds or self.rolls or self.removals or self.created or self.obsolete)


def plan(options: FleetOptions, now: Situation) -> Plan:
    """The plan that brings a fleet to what is asked.

    :raises InvalidOption: when something else has a name of the fleet, or an address.
    :raises NoRoom: when the hosts have no room for all clones.
    """
    parents = {parent.instance_uuid: parent for parent in now.parents}
    # Only a parent says which VMs are its children.
    lost = {clone.number: clone for clone in now.clones if options.kind == VMFORK and clone.parent not in parents}
    excess = [clone for clone in now.clones if clone.number > options.count and clone.number not in lost]
    removals = tuple(sorted(excess, key=_newest_first))
    if options.state != PRESENT or now.golden is None:
        obsolete = () if now.unknown else now.parents
        return Plan((), (), removals, (), obsolete, tuple(lost.values()), {})
    _refuse_taken(options, now)
    return _present(options, now, now.golden, lost, removals)


def _present(
    options: FleetOptions,
    now: Situation,
    golden: Golden,
    lost: t.Mapping[int, Clone],
    removals: tuple[Clone, ...],
) -> Plan:
    """The plan of a fleet that is to be there.

    :param lost: clones whose parent is gone, of VMFork, by number.
    :param removals: clones that go.
    """
    parents = {parent.instance_uuid: parent for parent in now.parents}
    staying = {clone.number: clone for clone in now.clones if clone.number <= options.count}
    fresh = {number: clone for number, clone in staying.items() if clone.version == golden.version}
    orphans = {number: clone for number, clone in fresh.items() if clone.parent not in parents}
    orphans |= lost
    kept = {number: clone for number, clone in fresh.items() if number not in orphans}
    numbers = [number for number in range(1, options.count + 1) if number not in orphans]
    missing = [number for number in numbers if number not in kept]
    _refuse_held(options, missing, [*staying.values(), *lost.values()], now.renamed)
    current = _current_parents(now, golden.version)
    room = Room(options, golden, now, current)
    places = _places(missing, room, [*kept.values(), *orphans.values()])
    seeds = _seeds(options, golden, room, places, current)
    seeded = {seed.host.moid for seed in seeds}

    def placed(number: int) -> Placed:
        if number in kept:
            return _kept(number, kept[number], now, parents)
        host = places[number]
        parent = None if host.moid in seeded else current[host.moid]
        return Placed(number, host, parent, replaces=staying.get(number))

    clones = tuple(placed(number) for number in numbers)
    replaced = [clone for clone in clones if clone.replaces is not None]
    return Plan(
        seeds=seeds,
        rolls=_batches(replaced, options.batch_size),
        removals=removals,
        clones=clones,
        obsolete=_obsolete(now, current, seeds, {clone.parent for clone in kept.values()}),
        orphans=tuple(orphans[number] for number in sorted(orphans)),
        skipped=room.skipped,
    )


def _newest_first(clone: Clone) -> int:
    return -clone.number


def _refuse_taken(options: FleetOptions, now: Situation) -> None:
    taken = [options.pattern.name(number) for number in range(1, options.count + 1)]
    taken = [name for name in taken if name in now.taken]
    if taken:
        hint = "Choose another name or folder, or remove what has the name."
        if taken[0] in now.unknown:
            hint = "It may be of this fleet: run again when that is known."
        raise InvalidOption(
            f"{names.listing(taken)} cannot be made in {now.folder_path}: {now.taken[taken[0]]}.",
            hint=hint,
            option="name",
            conflicts=taken,
        )


def _current_parents(now: Situation, version: str) -> dict[str, Parent]:
    """The parent of this version on each host, by its moid; a ready one where there are several."""
    fitting = [parent for parent in now.parents if parent.version == version]
    return {parent.host: parent for parent in sorted(fitting, key=lambda parent: (parent.ready, parent.name))}


def _places(numbers: t.Sequence[int], room: Room, staying: t.Iterable[Clone]) -> dict[int, Host]:
    """A host for each number: always the one that has fewest clones of the fleet, and room for one
    more.
    """
    load = {host.moid: 0 for host in room.usable}
    for clone in staying:
        load[clone.host] = load.get(clone.host, 0) + 1
    places: dict[int, Host] = {}
    for number in numbers:
        host = min(
            (host for host in room.usable if room.fits(host)),
            key=lambda host: load[host.moid],
            default=None,
        )
        if host is None:
            raise _no_room(numbers, len(places), room)
        room.take(host)
        load[host.moid] += 1
        places[number] = host
    return places


def _no_room(numbers: t.Sequence[int], placed: int, room: Room) -> NoRoom:
    why = "; ".join(f"{name}: {reason}" for name, reason in room.reasons().items())
    return NoRoom(
        f"{len(numbers)} clones are to be made, and the hosts have room for {placed}. {why}.",
        hint="Nothing was changed. Make room, name further hosts, or ask for fewer clones.",
        skipped_hosts=room.reasons(),
    )


def _seeds(
    options: FleetOptions,
    golden: Golden,
    room: Room,
    places: t.Mapping[int, Host],
    current: t.Mapping[str, Parent],
) -> tuple[Seed, ...]:
    """A parent for each host that gets clones and has none that is ready."""
    found = []
    for host in dict.fromkeys(places.values()):
        parent = current.get(host.moid)
        if parent is None or not parent.ready:
            name = parent_name(options.pattern.fleet, host.name, host.moid, golden.version)
            found.append(Seed(parent.name if parent else name, host, room.datastore(host).name, parent))
    return tuple(found)


def _kept(number: int, clone: Clone, now: Situation, parents: t.Mapping[str, Parent]) -> Placed:
    host = next((host for host in now.hosts if host.moid == clone.host), None)
    return Placed(number, host, parents[clone.parent], existing=clone)


def _batches(clones: t.Sequence[Placed], size: int) -> tuple[tuple[Placed, ...], ...]:
    return tuple(tuple(clones[at : at + size]) for at in range(0, len(clones), size))


def _obsolete(
    now: Situation,
    current: t.Mapping[str, Parent],
    seeds: t.Sequence[Seed],
    used: t.Collection[str],
) -> tuple[Parent, ...]:
    """Parents of other versions, second ones of this, and unready ones that nobody needs.

    None on a host that is not there, and none at all while nobody knows of which of them some VMs
    may be clones.

    :param used: instance UUIDs of the parents of clones that stay.
    """
    if now.unknown:
        return ()
    reachable = {host.moid for host in now.hosts if not host.obstacle}
    elsewhere = {host.moid for host in now.hosts}
    wanted = {seed.parent.moid for seed in seeds if seed.parent} | {each.moid for each in current.values() if each.ready}
    return tuple(
        parent
        for parent in now.parents
        if parent.moid not in wanted
        and parent.instance_uuid not in used
        and (parent.host in reachable or parent.host not in elsewhere)
    )


# Which clone has which fixed address
#
# A clone reads its address once, when it wakes, and keeps it for life. So an address that the list
# gives to somebody else now is not free as long as that clone is there.


def handed(options: FleetOptions, number: int, existing: Clone | None) -> str:
    """The address that a clone gets, or has; empty for DHCP."""
    if existing is not None:
        return existing.ipv4
    return options.addresses[number - 1] if options.addresses else ""


def _refuse_held(
    options: FleetOptions,
    making: t.Iterable[int],
    staying: t.Iterable[Clone],
    renamed: t.Iterable[Renamed],
) -> None:
    """Make sure that no clone gets the address of another one.

    :param making: numbers of the clones that are made, or made again.
    :param staying: the clones that are not gone by then.
    :param renamed: VMs that are not of the fleet any more, and keep their addresses.
    :raises InvalidOption: naming the addresses.
    """
    holders: list[Clone | Renamed] = [*staying, *renamed]
    held = {address_alone(vm.ipv4): vm.name for vm in holders if vm.ipv4}
    taken = []
    for number in making if options.addresses else ():
        name, address = options.pattern.name(number), address_alone(options.addresses[number - 1])
        if held.get(address, name) != name:
            taken.append((name, address, held[address]))
    if taken:
        name, address, holder = taken[0]
        how = f"Give it to {holder}, or remove {holder} first."
        if holder in [vm.name for vm in renamed]:
            how = f"{holder} was renamed since: give it its name back, or power it off, or take the address out of the list."
        raise InvalidOption(
            f"The option addresses gives {address} to {name}, and {holder} has it.",
            hint=f"A clone keeps the address with which it was made. {how}",
            option="addresses",
            conflicts=[each[1] for each in taken],
        )


def address_warning(options: FleetOptions, clones: t.Iterable[Clone]) -> str:
    """A sentence on clones whose address is another than the list's, or empty.

    :param clones: those that stay as they are.
    """
    # Those that were left alone, since their parent is gone, may have numbers above the count, and
    # so none in the list.
    listed = dict(enumerate(options.addresses, start=1))
    found = [clone.name for clone in clones if clone.number in listed and _differs(clone, listed[clone.number])]
    if not found:
        return ""
    return (
        f"{names.listing(found)}: the option addresses has another address now. A clone keeps the one it was made with. "
        "Remove it, and the next run makes it again, with the other one."
    )


def _differs(clone: Clone, wanted: str) -> bool:
    return not clone.ipv4 or address_alone(clone.ipv4) != address_alone(wanted)

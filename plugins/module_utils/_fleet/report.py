# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a fleet as plain data, which the tasks of a role take as they are. Pure."""

from __future__ import annotations

import typing as t

from .._connector import names
from .._vsphere.compute import Host
from .._vsphere.markers import FLEET_KEY, fleet_mark
from .model import VMFORK, Clone, FleetOptions, Golden, Parent, Situation
from .plan import Placed, Plan, Seed, address_warning, handed
from .room import free_memory

# What is counted, and what is said of it behind the number.
_WORDS = {
    "seeds": ("parent", "to make"),
    "created": ("clone", "to make"),
    "unchanged": ("", "unchanged"),
    "rolled": ("clone", "to replace"),
    "removed": ("clone", "to remove"),
    "obsolete_parents": ("parent", "to remove"),
}


def result(options: FleetOptions, now: Situation, made: Plan) -> dict[str, t.Any]:
    """The result of the module."""
    seeds = {seed.host.moid: seed for seed in made.seeds}
    entries = {clone.number: _clone(clone, options, now, seeds) for clone in made.clones}
    return {
        "changed": False,
        "pending": made.pending,
        "summary": summary(options, now, made),
        "fleet": options.pattern.fleet,
        "folder": now.folder_path,
        "parents_folder": now.parents_path,
        "golden": _golden(now.golden),
        "disk_mode": options.disk_mode,
        "hosts": [_host(host, made, now) for host in now.hosts],
        "skipped_hosts": [{"name": name, "reason": reason} for name, reason in made.skipped.items()],
        "seeds": [_seed(seed, options, now) for seed in made.seeds],
        "parents": [_selector(seed.parent, _path(now, seed.name)) for seed in made.seeds],
        "rolls": [_batch(batch, entries, now, options) for batch in made.rolls],
        "removals": [_removal(clone, now, options) for clone in made.removals],
        "leaving": [clone.moid for clone in made.leaving],
        "clones": list(entries.values()),
        "obsolete_parents": [{"name": parent.name, "folder": now.parents_path} for parent in made.obsolete],
        "orphans": [{"name": clone.name, "moid": clone.moid, "ip": clone.address or None} for clone in made.orphans],
        "counts": _counts(made),
    }


def _counts(made: Plan) -> dict[str, int]:
    return {
        "seeds": len(made.seeds),
        "created": len(made.created),
        "unchanged": sum(clone.existing is not None for clone in made.clones) + len(made.orphans),
        "rolled": sum(map(len, made.rolls)),
        "removed": len(made.removals),
        "obsolete_parents": len(made.obsolete),
    }


def summary(options: FleetOptions, now: Situation, made: Plan) -> list[str]:
    """The plan for people: a line for the fleet, and one for each host."""
    counts = _counts(made)
    parts = [f"{_many(counts[key], thing)} {what}" for key, (thing, what) in _WORDS.items() if counts[key]]
    lines = [f"{options.pattern.fleet}: {', '.join(parts) or 'nothing is there, and nothing is to be'}"]
    return lines + [_host_line(_host(host, made, now), made) for host in now.hosts]


def _host_line(host: t.Mapping[str, t.Any], made: Plan) -> str:
    count = host["clones"]
    if host["skipped"]:
        what = f"{_many(count, 'clone')} and no new ones" if count else "no clones"
        return f"{host['name']}: {what}, because {host['reason']}"
    new = ", a new parent" if any(seed.host.name == host["name"] for seed in made.seeds) else ""
    return f"{host['name']}: {_many(count, 'clone')}{new}"


def _many(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}" if thing else str(count)


def warnings(options: FleetOptions, now: Situation, made: Plan) -> list[str]:
    """What should be known of the fleet."""
    kept = [clone.existing for clone in made.clones if clone.existing is not None]
    addressed = address_warning(options, [*kept, *made.orphans])
    found = [addressed] if addressed else []
    if made.orphans:
        which = names.listing([clone.name for clone in made.orphans])
        found.append(f"The parent of {which} is gone. They are left alone; remove them, and the next run makes them again.")
    if now.unknown:
        which = names.listing(now.unknown)
        why = now.taken[now.unknown[0]]
        found.append(f"Nobody knows whether {which} are of this fleet: {why}. They and the parents are left alone.")
    return found


def _golden(golden: Golden | None) -> dict[str, t.Any] | None:
    if golden is None:
        return None
    return {
        "name": golden.name,
        "moid": golden.moid,
        "path": golden.path,
        "instance_uuid": golden.instance_uuid,
        "template": golden.template,
        "version": golden.version,
    }


def _host(host: Host, made: Plan, now: Situation) -> dict[str, t.Any]:
    seed = next((seed.name for seed in made.seeds if seed.host.moid == host.moid), None)
    version = now.golden.version if now.golden else ""
    parent = next(
        (each.name for each in now.parents if each.host == host.moid and each.version == version),
        None,
    )
    return {
        "name": host.name,
        "cluster": now.clusters.get(host.compute, ""),
        "parent": seed or parent,
        "clones": sum(clone.host is not None and clone.host.moid == host.moid for clone in made.clones),
        "skipped": host.name in made.skipped,
        "reason": made.skipped.get(host.name, ""),
        "free_memory_mb": free_memory(host),
    }


def _seed(seed: Seed, options: FleetOptions, now: Situation) -> dict[str, t.Any]:
    """An item of ``clones`` of the module that makes the parents."""
    version = now.golden.version if now.golden else ""
    return {
        "name": seed.name,
        "host": seed.host.moid,
        "datastore": seed.datastore,
        "extra_config": {FLEET_KEY: fleet_mark(options.pattern.fleet, version, seed.name)},
    }


def _clone(clone: Placed, options: FleetOptions, now: Situation, seeds: t.Mapping[str, Seed]) -> dict[str, t.Any]:
    """An item of ``clones`` of the module that makes the clones."""
    name = options.pattern.name(clone.number)
    seed = seeds.get(clone.host.moid) if clone.host and clone.parent is None else None
    config = {"hostname": name}
    address = handed(options, clone.number, clone.existing)
    if address:
        config["ipv4"] = address
    return {
        "name": name,
        "parent": _selector(clone.parent or (seed.parent if seed else None), _path(now, seed.name) if seed else ""),
        "config_params" if options.kind == VMFORK else "guestinfo": config,
    }


def _batch(
    batch: t.Sequence[Placed], entries: t.Mapping[int, t.Any], now: Situation, options: FleetOptions
) -> dict[str, t.Any]:
    old = [_removal(clone.replaces, now, options) for clone in batch if clone.replaces is not None]
    return {"remove": old, "make": [entries[clone.number] for clone in batch]}


def _removal(clone: Clone, now: Situation, options: FleetOptions) -> dict[str, t.Any]:
    """An item of ``clones`` for ``state=absent``; with its parent, where that is there, the parent
    is checked too.

    Of ``children`` of VMFork, each item says itself that it is to go.
    """
    parent = next((each for each in now.parents if each.instance_uuid == clone.parent), None)
    entry = {
        "name": clone.name,
        "folder": now.folder_path,
        **({"parent": {"moid": parent.moid}} if parent else {}),
    }
    return {**entry, "state": "absent"} if options.kind == VMFORK else entry


def _selector(parent: Parent | None, path: str) -> dict[str, str]:
    return {"moid": parent.moid} if parent is not None else {"path": path}


def _path(now: Situation, name: str) -> str:
    return names.join([*names.split(now.parents_path), name])

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task tells of its VMs, and the diff. Pure.

Of the data only their kinds, sizes, encodings and digests are shown. A digest holds for one result
alone: it shows whether two texts are the same, and nobody can guess a text by it.
"""

from __future__ import annotations

import hmac
import secrets
import typing as t

from .. import _engine
from .._vsphere.addresses import (
    HOST_KEY_REFUSED,
    Refusal,
    ReportedAddresses,
    UsedAddresses,
    plain,
    refusals,
    vet,
)
from . import encoding, hostkeys, keys, plan, report_script
from .encoding import is_absent
from .model import ABSENT, FINISHED, REDACTED, CloudOptions, Held, Machine
from .payload import KINDS

if t.TYPE_CHECKING:
    from .._engine import Task
    from .task import VmItem

_DONE = {
    plan.WRITE: "delivered",
    plan.CUSTOMIZE: "customized",
    plan.POWER_ON: "powered_on",
    plan.REBOOT: "rebooted",
}


def result(task: Task[VmItem], options: CloudOptions) -> dict[str, t.Any]:
    """``changed``, ``vms`` (one entry each), ``refusals`` and ``diff``.

    In check mode a change that would be made is listed as if it had been, as Ansible's other modules do.
    """
    secret = secrets.token_bytes(16)
    all_used = vet([item.reported for item in task.items])
    pairs = zip(task.items, all_used, strict=True)
    entries = [_entry(item, used, options, secret, check=task.check) for item, used in pairs]
    return {
        "changed": any(entry["changed"] for entry in entries),
        "vms": task.with_missing("vms", entries, **_engine.UNTOUCHED),
        "refusals": refusals(entries),
        "diff": _diff(task.items, secret),
    }


def _entry(item: VmItem, used: UsedAddresses, options: CloudOptions, secret: bytes, *, check: bool) -> dict[str, t.Any]:
    machine, changes = item.machine, item.plan.changes
    finished = plan.finished(item.plan, options, item.config) if options.wait == FINISHED else None
    entry: dict[str, t.Any] = {
        **naming_of(machine),
        "power_state": "poweredOn" if check and plan.POWER_ON in item.done else item.power_state,
        "instance_id": item.plan.instance_id,
        "actions": _actions(item, options),
        "changed": item.changed,
        "changed_keys": [_change(change, secret) for change in changes] if _delivered(item) else [],
        "takes_effect": item.plan.takes_effect if _delivered(item) or not changes else None,
        "reached": item.reached,
        **reports(machine.name, item.config, used),
        "finished": plain(finished) if finished is not None else None,
        "seconds": item.seconds,
        "calls": item.calls,
        "warnings": item.warnings,
    }
    return item.with_error(entry)


def _delivered(item: VmItem) -> bool:
    """Whether data were delivered or taken away, or in check mode would be."""
    return plan.WRITE in item.done or plan.CUSTOMIZE in item.done


def naming_of(machine: Machine) -> dict[str, t.Any]:
    """What names a VM."""
    return {**machine.naming, "power_state": machine.power_state}


def reports(name: str, config: t.Mapping[str, str], used: UsedAddresses) -> dict[str, t.Any]:
    """What the guest has reported, as far as it is used, and what was refused of it."""
    refused = list(used.refusals)
    try:
        host_keys = hostkeys.parse(config.get(keys.HOST_KEYS))
    except hostkeys.NoHostKey as why:
        host_keys = []
        refused.append(Refusal(HOST_KEY_REFUSED, f"{name} {why}."))
    return {
        "local_ipv4": next((text for text in used.addresses if ":" not in text), None),
        "local_ipv6": next((text for text in used.addresses if ":" in text), None),
        "ssh_host_keys": host_keys,
        "refused": [refusal.as_result() for refusal in refused],
    }


def _actions(item: VmItem, options: CloudOptions) -> list[str]:
    written = {ABSENT: "removed", REDACTED: "redacted"}.get(options.state, "delivered")
    actions = item.actions({**_DONE, plan.WRITE: written})
    # Marks and old reports are written too; who reads "delivered" thinks of data.
    return [word for word in actions if word != "delivered" or (item.plan.changes and plan.CUSTOMIZE not in item.done)]


def _change(change: plan.Change, secret: bytes) -> dict[str, t.Any]:
    return {
        "key": keys.value(change.kind),
        "before": _held(change.before, secret),
        "after": _after(change, secret),
    }


def _held(held: Held, secret: bytes) -> dict[str, t.Any] | None:
    if held.redacted:
        return {"redacted": True}
    if held.broken:
        return {"size": held.size, "encoding": held.encoding, "broken": held.broken}
    return None if held.text is None else _described(held.size, held.encoding, held.text, secret)


def _after(change: plan.Change, secret: bytes) -> dict[str, t.Any] | None:
    if change.after is None:
        return None
    if is_absent(change.after.value):
        return {"redacted": True}
    return _described(change.after.size, change.after.encoding, change.text or "", secret)


def _described(size: int, name: str, text: str, secret: bytes) -> dict[str, t.Any]:
    digest = hmac.new(secret, text.rstrip().encode(), "sha256").hexdigest()[:16]
    return {"size": size, "encoding": name.strip() or encoding.PLAIN, "digest": digest}


def _diff(items: t.Sequence[VmItem], secret: bytes) -> dict[str, str]:
    before, after = [], []
    for item in items:
        if not item.done:
            continue
        old, new = [f"{item.name}:\n"], [f"{item.name}:\n"]
        for change in item.plan.changes if _delivered(item) else ():
            old.append(f"  {keys.value(change.kind)}: {_words(_held(change.before, secret))}\n")
            new.append(f"  {keys.value(change.kind)}: {_words(_after(change, secret))}\n")
        if plan.POWER_ON in item.done:
            old.append(f"  power_state: {item.machine.power_state}\n")
            new.append("  power_state: poweredOn\n")
        if plan.REBOOT in item.done:
            new.append("  guest: rebooted\n")
        before += old
        after += new
    return _engine.diff(before, after)


def _words(held: dict[str, t.Any] | None) -> str:
    if held is None:
        return "(absent)"
    if held.get("redacted"):
        return "(redacted)"
    if held.get("broken"):
        return f"{held['size']} bytes that cloud-init cannot read"
    return f"{held['size']} bytes as {held['encoding']}, digest {held['digest']}"


def infos(machines: t.Sequence[Machine], *, show: bool) -> list[dict[str, t.Any]]:
    """The entries of the information module.

    What a VM holds of metadata its guest can write, so the addresses in them are nobody's word.

    :param show: whether the data are shown; else only what they are.
    """
    reported = [keys.reported_addresses(machine.config) if machine.powered_on else () for machine in machines]
    said = [
        ReportedAddresses(one.name, reported=texts, tools=one.addresses) for one, texts in zip(machines, reported, strict=True)
    ]
    return [_entry_of(one, used, show=show) for one, used in zip(machines, vet(said), strict=True)]


def _entry_of(machine: Machine, used: UsedAddresses, *, show: bool) -> dict[str, t.Any]:
    data = {kind: _info(machine, kind, show=show) for kind in KINDS}
    how = report_script.outcome(machine.config.get(keys.FINISHED), None)
    return {
        **naming_of(machine),
        **data,
        **reports(machine.name, machine.config, used),
        "finished": how,
    }


def _info(machine: Machine, kind: str, *, show: bool) -> dict[str, t.Any]:
    held = machine.held(kind)
    state = "redacted" if held.redacted else "broken" if held.broken else "absent" if held.text is None else "present"
    info: dict[str, t.Any] = {
        "state": state,
        "size": held.size if state in ("present", "broken") else 0,
        "encoding": held.encoding or None,
    }
    if held.broken:
        info["reason"] = held.broken
    if state == "present":
        info["length"] = len((held.text or "").encode())
        info["instance_id" if kind == KINDS[0] else "type"] = plan.described(kind, held.text or "")
    return {**info, "content": held.text} if show else info

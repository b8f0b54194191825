# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The care of a repository: its points verified, pruned, merged. No vCenter is needed for it, and
none is asked.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime
import time
import typing as t

from .. import _files
from .._errors import InvalidOption, PartialFailure, TimedOut, VforgeError
from .._programs import MissingProgram
from .._retention import Retention
from . import disk as disks
from . import images, records, removal
from .local import chosen, chosen_point
from .model import Point, ToolNotRun, is_instance_uuid, kept
from .repository import Known, Machine, Repository, RepositoryChanged
from .selecting import PointSelector
from .storage import is_read_only, is_there

VERIFIED, PRUNED, MERGED = "verified", "pruned", "merged"

# What becomes of points, besides.
DAMAGED, KEPT, REMOVED, BEGUN = "damaged", "kept", "removed", "removal_begun"

# These say nothing of a point, and end the work on its VM.
_OF_NO_POINT = (TimedOut, MissingProgram, ToolNotRun, RepositoryChanged, _files.FileUnwritable)

# Which points of a VM are verified; the other choice is all of them.
NEWEST = "newest"

# The options that say how many points are kept.
KEEP = ("keep_last", "keep_daily", "keep_weekly", "keep_monthly")

Entry: t.TypeAlias = dict[str, t.Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CareOptions:
    """What is to be done with a repository.

    :ivar vm: an instance UUID or a name; ``vms`` instance UUIDs, of which those without backups are
        skipped. All VMs where both are None.
    :ivar retention: for ``pruned``.
    :ivar point: for ``merged``.
    :ivar newest: for ``verified``: whether of each VM the newest point alone is read.
    :ivar max_chain: for ``merged``: a point whose images are not more than so many, one
        over the other, is left as it is.
    """

    path: str
    state: str
    vm: str | None
    vms: tuple[str, ...] | None
    retention: Retention
    point: PointSelector
    max_chain: int
    timeout: int
    newest: bool = False

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> CareOptions:
        """The options of the module.

        :raises InvalidOption: what cannot be right.
        """
        # 0 is what the option has by default: the rule keeps none.
        retention = Retention.from_params({name: params[name] or None for name in KEEP})
        if params["state"] == PRUNED and retention.keeps_all:
            raise InvalidOption(
                "The retention keeps no point at all.",
                hint="Set keep_last, keep_daily, keep_weekly or keep_monthly.",
                option="keep_last",
            )
        if params["max_chain"] < 1:
            raise InvalidOption(
                f"The option max_chain is {params['max_chain']}.", hint="Set it to 1 or more.", option="max_chain"
            )
        point = PointSelector(params["point"])
        if point.names_one and params.get("vm") is None:
            raise InvalidOption(
                f"The option point names {params['point']}, and vm no VM.", hint="Set vm to the VM of this point.", option="vm"
            )
        return cls(
            path=params["path"],
            state=params["state"],
            vm=params.get("vm"),
            vms=_vms(params),
            retention=retention,
            point=point,
            max_chain=params["max_chain"],
            timeout=params["timeout"],
            newest=params["points"] == NEWEST,
        )


def _vms(params: t.Mapping[str, t.Any]) -> tuple[str, ...] | None:
    vms = params.get("vms")
    if vms is None:
        return None
    if params.get("vm") is not None:
        raise InvalidOption(
            "The options vm and vms are both set.", hint="Set either vm, for one VM, or vms, or neither for all.", option="vms"
        )
    for uuid in vms:
        if not is_instance_uuid(uuid):
            raise InvalidOption(
                f"The option vms has {uuid}, which is no instance UUID.",
                hint="Name each VM by its instance UUID, in lower case. vm takes the name of one VM.",
                option="vms",
            )
    return tuple(vms)


def _meant(repository: Repository, options: CareOptions) -> list[str]:
    """The instance UUIDs of the VMs that are meant, each once."""
    if options.vms is None:
        return chosen(repository, options.vm)
    return [uuid for uuid in repository.vms if uuid in options.vms]


def care(options: CareOptions, show: t.Callable[[str], None], *, check: bool) -> dict[str, t.Any]:
    """Verify, prune or merge the points of one VM, of some or of all.

    :param show: called with one sentence when another run has to be waited for.
    :returns: the module's result.
    :raises PartialFailure: when a VM failed; it holds the whole result.
    """
    images.require()
    deadline = time.monotonic() + options.timeout
    repository = Repository(options.path)
    entries: list[Entry] = [
        {"instance_uuid": uuid, "name": repository.read(uuid).newest_name(), "put_right": [], "points": []}
        for uuid in _meant(repository, options)
    ]
    job = _Care(repository, options, deadline, show)
    held = [entry for entry in entries if not job.done(entry, check=check)]
    for entry in held:
        job.done(entry, wait=True)
    return _finished(repository, entries)


@dataclasses.dataclass(frozen=True)
class _Care:
    """What is done with one VM after the other."""

    repository: Repository
    options: CareOptions
    deadline: float
    show: t.Callable[[str], None]

    def done(self, entry: Entry, *, check: bool = False, wait: bool = False) -> bool:
        """Do what is to be done with a VM, or note why it cannot be.

        :param wait: whether another run that works on it is waited for: others must not wait with this one.
        :returns: False where there is such a run.
        """
        uuid, way = entry["instance_uuid"], _WAYS[self.options.state]
        try:
            if check:
                way(self.repository.read(uuid), self.options, entry, self.deadline, True)
                return True
            with contextlib.ExitStack() as held:
                try:
                    machine = held.enter_context(self._locked(uuid, self.deadline if wait else time.monotonic()))
                except TimedOut:
                    if wait:
                        raise
                    return False
                _put_right(machine, self.options, entry, self.deadline)
                way(machine, self.options, entry, self.deadline, False)
        except VforgeError as error:
            entry.setdefault("error", error.as_result())
        return True

    def _locked(self, uuid: str, until: float) -> contextlib.AbstractContextManager[Machine]:
        writes = self.options.state != VERIFIED
        return self.repository.locked(uuid, until, self.show, put_right=False, writes=writes)


def _put_right(machine: Machine, options: CareOptions, entry: Entry, deadline: float) -> None:
    """Finish what runs that died have begun. Where that cannot be, points can be verified all the
    same.
    """
    try:
        entry["put_right"] = machine.put_right(deadline)
    except VforgeError as error:
        if options.state != VERIFIED:
            raise
        entry["error"] = error.as_result()


def _finished(repository: Repository, entries: t.Sequence[Entry]) -> dict[str, t.Any]:
    points = [point for entry in entries for point in entry["points"]]
    result: dict[str, t.Any] = {
        "changed": any(entry["put_right"] for entry in entries) or any(map(_is_changed, points)),
        "repository": repository.path,
        "vms": entries,
        "warnings": repository.doubts,
        "counts": dict(collections.Counter(point["action"] for point in points)),
        "failures": [
            {"name": entry["name"], "instance_uuid": entry["instance_uuid"], **entry["error"]}
            for entry in entries
            if "error" in entry
        ],
    }
    if not result["failures"]:
        return result
    first = result["failures"][0]
    failure = PartialFailure(
        f"{len(result['failures'])} of {len(entries)} VMs failed: {first['name'] or first['instance_uuid']}: {first['msg']}",
        result,
    )
    if len(entries) == 1:
        failure.error_code = first["error_code"]
    raise failure


def _is_changed(point: Entry) -> bool:
    return point["action"] in (REMOVED, BEGUN, MERGED) or bool(point.get("mended"))


# Verifying


def _verify(machine: Machine, options: CareOptions, entry: Entry, deadline: float, check: bool) -> None:
    known = machine.known()
    errors = _name_damaged(known.damaged, entry, read=0)
    for point in known.points[-1:] if options.newest else known.points:
        # To read all of it is what verifying is, so in check mode nothing is known of it.
        found: Entry = {"id": point.id, "action": "not_read" if check else VERIFIED, "read": 0, "leaked": 0, "mended": False}
        if not check:
            try:
                _verify_point(machine, point, known, found, deadline)
                _note_verified(machine, point, entry)
            except _OF_NO_POINT:
                raise
            except VforgeError as error:
                found.update(action=DAMAGED, error=error.as_result())
                errors.append(error)
        entry["points"].append(found)
    _say(entry, errors)


def _name_damaged(damaged: t.Mapping[str, VforgeError], entry: Entry, **more: t.Any) -> list[VforgeError]:
    """Name points that are damaged in the entry of their VM; returns why they are."""
    entry["points"] += [{"id": name, "action": DAMAGED, **more, "error": error.as_result()} for name, error in damaged.items()]
    return list(damaged.values())


def _say(entry: Entry, errors: t.Sequence[VforgeError]) -> None:
    """The end of a VM of which points may be damaged; what could be done of the others was done."""
    entry["points"].sort(key=lambda each: str(each["id"]))
    if errors:
        raise errors[0]


def _verify_point(machine: Machine, point: Point, known: Known, found: Entry, deadline: float) -> None:
    for disk in point.disks:
        one = disks.verify(machine, point, disk, deadline, known)
        found["read"] += one.read
        found["leaked"] += one.leaked
        found["mended"] = found["mended"] or one.mended
    if point.machine:
        machine.hardware_of(point)
    machine.nvram_of(point)


def _note_verified(machine: Machine, point: Point, entry: Entry) -> None:
    """Note beside a point that it is whole. Where that cannot be, such as without room, others are
    read all the same.
    """
    try:
        records.note_verified(machine, point)
    except _files.FileUnwritable as error:
        if not is_read_only(error):
            entry.setdefault("error", error.as_result())


# Pruning


def _prune(machine: Machine, options: CareOptions, entry: Entry, deadline: float, check: bool) -> None:
    known = machine.known()
    errors = _name_damaged({**known.damaged, **known.broken}, entry)
    # What cannot be restored must not take the place of one that can.
    whole = known.whole
    reasons = kept(whole, options.retention, datetime.datetime.now(datetime.UTC))
    for identifier in [point.id for point in whole]:
        # As it is by now: it may have what another one had that was removed.
        point = known.by_id[identifier]
        found: Entry = {"id": identifier, "action": KEPT, "kept_by": reasons.get(identifier, [])}
        entry["points"].append(found)
        if found["kept_by"]:
            continue
        try:
            if check:
                removal.heirs_of(machine, known, point, deadline)
            else:
                known = removal.remove(machine, known, point, deadline)
            found["action"] = REMOVED
        except _OF_NO_POINT:
            found["action"] = _what_became(machine, point)
            raise
        except VforgeError as error:
            found.update(action=_what_became(machine, point), error=error.as_result())
            errors.append(error)
            if found["action"] == BEGUN:
                break  # until the next run has finished it, no other one is safe to go
    _say(entry, errors)


def _what_became(machine: Machine, point: Point) -> str:
    """Of a point that could not be removed."""
    if not is_there(machine.folder_of(point)):
        return REMOVED  # under another name its folder is still there, which the next run removes
    return BEGUN if removal.is_begun(machine, point.id) else KEPT


# Merging


def _merge(machine: Machine, options: CareOptions, entry: Entry, deadline: float, check: bool) -> None:
    known, errors = machine.known(), []
    if options.point.names_one:
        due = [chosen_point(machine, options.point)]
    else:
        errors = _name_damaged({**known.damaged, **known.broken}, entry)
        due = known.whole[-1:]
    for point in due:
        length = known.longest_chain(point)
        found: Entry = {"id": point.id, "action": "unchanged", "chain": length}
        entry["points"].append(found)
        if length <= options.max_chain:
            continue
        try:
            if not check:
                machine.make_full(point, deadline)
            found["action"] = MERGED
        except _OF_NO_POINT:
            raise
        except VforgeError as error:
            found["error"] = error.as_result()
            errors.append(error)
    _say(entry, errors)


_WAYS: dict[str, t.Callable[[Machine, CareOptions, Entry, float, bool], None]] = {
    VERIFIED: _verify,
    PRUNED: _prune,
    MERGED: _merge,
}

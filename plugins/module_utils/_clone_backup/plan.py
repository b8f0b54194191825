# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be done with each VM, or why it cannot be backed up. Pure."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from .._connector import names
from .._copy_source import FILE_SYSTEM, FromNewSnapshot, Source, must_be_quiesced, source_of
from .._errors import InvalidOption, VforgeError
from .model import Backup, BackupOptions, Vm

CLONE, PRUNE = "clone", "prune"


class NotClonable(VforgeError):
    """A VM that cannot be backed up by a clone in the state in which it is."""

    error_code = "not_clonable"


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be done with a VM.

    :ivar fresh: the backup that is new enough; None where one is made.
    :ivar datastore: moid; None for the source's own.
    """

    source: Source
    fresh: Backup | None
    datastore: str | None

    @property
    def steps(self) -> tuple[str, ...]:
        """In their order."""
        return () if self.fresh is not None else (CLONE,)


def decide(vm: Vm, known: t.Sequence[Backup], options: BackupOptions, now: datetime.datetime) -> Plan:
    """What is to be done with a VM.

    :param known: its backups.
    :param now: by vCenter's clock.
    :raises NotClonable: it cannot be backed up.
    :raises NotFound, Ambiguous: the snapshot that is asked for.
    :raises InvalidOption: its host does not see the datastore.
    """
    required = must_be_quiesced(vm, options.snapshot, options.quiesce)
    fitting = [backup for backup in known if not required or backup.mark.consistency == FILE_SYSTEM]
    newest = max(fitting, key=lambda backup: backup.mark.at, default=None)
    enough = datetime.timedelta(hours=options.fresh_hours)
    fresh = newest if newest is not None and abs(now - newest.mark.at) < enough else None
    source = source_of(vm, options.snapshot, options.quiesce, NotClonable)
    if fresh is None and isinstance(source, FromNewSnapshot) and vm.independent:
        raise NotClonable(
            f"{vm.path} cannot be cloned while it runs: snapshots leave out disks that are independent "
            f"({names.listing(vm.independent)}).",
            hint="Power the VM off and back it up then.",
        )
    if fresh is None and not vm.in_pool and not vm.root_pool:
        raise NotClonable(
            f"{vm.path} is a template or in a vApp, and this user does not see the root resource pool of its host.",
            hint="Give the user the privilege System.View on the cluster and the host that it is registered on.",
        )
    return Plan(source, fresh, _datastore(vm, options.datastore))


def _datastore(vm: Vm, text: str | None) -> str | None:
    if not text:
        return None
    for name, moid in vm.datastores.items():
        if names.same(name, text):
            return moid
    raise InvalidOption(
        f"{vm.path}: its host has no accessible datastore {text}.",
        hint=f"It has: {names.listing(sorted(vm.datastores), most=20) or 'none'}.",
        option="datastore",
    )

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore has made and replaced, noted beside the points before it is done.

A run that is killed leaves disks that belong to no VM. By this record the next run knows which they
are. It lies in the repository, into which nobody else may write, so its paths can be trusted; a
pair of the VM's configuration could not, since tenants may write there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import typing as t

from .. import _files
from .model import BackupDamaged
from .storage import remove

_WHAT = "record of a restore"
_FORMAT = 1
_MOST = 2**20


@dataclasses.dataclass(frozen=True)
class Made:
    """A disk that was brought in.

    :ivar digests: SHA-256 of the digests of what it is to have, see ``DiskBackup``.
    :ivar compared: how it was proved; empty until it was.
    :ivar proxy: moid of the VM that it is attached to until then; empty where it is none.
    """

    file: str
    digests: str
    compared: str = ""
    proxy: str = ""


@dataclasses.dataclass(frozen=True)
class Replaced:
    """A disk that is taken off its VM, or was.

    :ivar by: the disk that takes its place.
    """

    file: str
    by: str


class Record:
    """What runs have done to one VM and not ended yet. It is on the file system before anything is
    begun.

    :param folder: with the backups of the VM that was backed up, whose lock is held.
    :param vm: instance UUID of the VM that is restored over.
    """

    def __init__(self, folder: str, vm: str) -> None:
        self._path = os.path.join(folder, f"restore-{vm}.json")
        self._vm = vm
        self.made: dict[str, Made] = {}
        self.replaced: dict[str, Replaced] = {}
        # Disks that have come, of which the VM that was made for their import could not be removed.
        self.carried: set[str] = set()
        with contextlib.suppress(_files.FileMissing):
            self._load(_files.read(self._path, _MOST, what=_WHAT))

    def _load(self, data: bytes) -> None:
        try:
            content = _files.parsed(data)
            known = content["format"] <= _FORMAT
            self.made = {each["file"]: Made(**each) for each in content["made"]}
            self.replaced = {each["file"]: Replaced(**each) for each in content["replaced"]}
            self.carried = set(content.get("carried", ()))
        except (ValueError, TypeError, KeyError) as error:
            raise self._damaged(str(error)) from error
        if not known:
            raise self._damaged("a newer release of this collection has written it")

    def _damaged(self, why: str) -> BackupDamaged:
        return BackupDamaged(
            f"{self._path} is no record of a restore: {why}.",
            hint="Look which disks of the VM's folders belong to no VM, delete them, and remove the file.",
            path=self._path,
        )

    def note_made(self, made: Made) -> None:
        """A disk is brought in from now on, or was proved."""
        self.made[made.file] = made
        self._save()

    def note_replaced(self, replaced: t.Iterable[Replaced]) -> None:
        """Disks are taken off from now on."""
        self.replaced |= {each.file: each for each in replaced}
        self._save()

    def note_carried(self, file: str) -> None:
        """The VM that was made for the import of a disk is left."""
        self.carried.add(file)
        self._save()

    def forget_carried(self, file: str) -> None:
        """There is no such VM any more."""
        self.carried.discard(file)
        self._save()

    def forget_made(self, files: t.Iterable[str]) -> None:
        """These are in their places; whether they are to be deleted later is another matter."""
        for file in files:
            self.made.pop(file, None)
        self._save()

    def forget(self, files: t.Iterable[str]) -> None:
        """These need no care any more: they are gone, or in their places."""
        for file in files:
            self.made.pop(file, None)
            self.replaced.pop(file, None)
        self._save()

    def _save(self) -> None:
        if not self.made and not self.replaced and not self.carried:
            remove(self._path)
            return
        content = {
            "format": _FORMAT,
            "vm": self._vm,
            "made": [dataclasses.asdict(each) for each in self.made.values()],
            "replaced": [dataclasses.asdict(each) for each in self.replaced.values()],
            "carried": sorted(self.carried),
        }
        _files.replace(self._path, json.dumps(content, indent=1).encode(), what=_WHAT)

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup says of a VM besides its hardware: where it was, its tags and attributes, the
settings of its firmware.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._errors import InvalidOption, VforgeError
from .model import NVRAM_FILE

if t.TYPE_CHECKING:
    from .._connector.session import Session
    from .._vsphere.policies import Named
    from .options import Vm

# Those of a VM with EFI are below 300 KiB.
_MOST_NVRAM = 4 * 2**20


def tags(session: Session, deadline: float) -> dict[str, dict[str, t.Any]] | None:
    """The tags of all VMs, by moid; None where they cannot be had, with a warning.

    The calls, by REST, do not grow with the VMs; there is one for each tag in use and each
    category.

    :param deadline: of ``time.monotonic()``.
    """
    from .._connector.rest import RestSession
    from .._vsphere.tags import read_tags

    try:
        with RestSession(session.options, session.warn, deadline) as rest:
            return read_tags(rest)
    except VforgeError as error:
        session.warn(f"The tags of VMs could not be read, so the backups have none: {error}")
        return None


def policies(session: Session, vms: t.Sequence[Vm]) -> dict[str, dict[int, Named]] | None:
    """The storage policies of the disks of VMs, by moid and key; None where they cannot be had, with a warning.

    Three calls, whatever the number of VMs.
    """
    from .._vsphere.policies import policies_of_all

    try:
        return policies_of_all(session, {vm.moid: [disk.key for disk in vm.disks] for vm in vms})
    except VforgeError as error:
        session.warn(f"The storage policies of disks could not be read, so the backups have none: {error}")
        return None


def nvram(session: Session, vm: Vm, deadline: float) -> tuple[bytes, str]:
    """The settings of a VM's firmware, and where they cannot be had, why not.

    Hosts lock the file while the VM is on. The same folder has it under the same name for BIOS and
    EFI.
    """
    if not vm.powered_off:
        return b"", "The VM is not powered off, and its host keeps the file locked."
    from .._vsphere.datastore_files import DatastoreFiles, DatastorePath

    try:
        path = DatastorePath.parse(vm.nvram, "nvram")
        with DatastoreFiles(session, vm.datacenter, deadline) as files:
            found = files.read(path, _MOST_NVRAM + 1)
    except InvalidOption:
        return b"", "vCenter does not say where the file is."
    except VforgeError as error:
        return b"", str(error)
    if len(found) > _MOST_NVRAM:
        return b"", f"The file has more than {_MOST_NVRAM} bytes."
    return found, "" if found else "The file is empty: the VM was never started."


@dataclasses.dataclass(frozen=True)
class Around:
    """What is read for all VMs at once, when the task begins.

    :ivar tags: by moid, as ``tags`` returns them; None where they are not known, and so is the other one.
    :ivar policies: as ``policies`` returns them.
    """

    tags: t.Mapping[str, dict[str, t.Any]] | None = None
    policies: t.Mapping[str, t.Mapping[int, Named]] | None = None


def as_json(vm: Vm, around: Around, why_no_nvram: str) -> dict[str, t.Any]:
    """For the file of a point that says what the VM is made of.

    :param why_no_nvram: empty where there is one.
    """
    known = around.tags
    mine = (known or {}).get(vm.moid, {}).get("tags_by_category", {})
    return {
        "path": vm.path,
        "resource_pool": vm.pool,
        "custom_attributes": dict(vm.attributes),
        "tags": None if known is None else {name: _names(pairs) for name, pairs in sorted(mine.items())},
        "tag_ids": None if known is None else dict(sorted((known or {}).get(vm.moid, {}).get("tags", {}).items())),
        "storage_policies": None if around.policies is None else _policies(around.policies.get(vm.moid, {})),
        "nvram": {"file": "" if why_no_nvram else NVRAM_FILE, "reason": why_no_nvram},
    }


def _policies(of: t.Mapping[int, Named]) -> dict[str, dict[str, str]]:
    return {str(key): {"id": policy.profile, "name": policy.name} for key, policy in sorted(of.items())}


def _names(pairs: t.Iterable[t.Mapping[str, str]]) -> list[str]:
    return sorted(name for pair in pairs for name in pair.values())

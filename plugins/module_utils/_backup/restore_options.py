# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked for when a VM's disks are restored. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector.find import Selector
from .._errors import InvalidOption
from .options import HotAdd
from .selecting import PointSelector

# What becomes of the snapshots of the VM.
REFUSE, REMOVE = "refuse", "remove"

# What is put back besides the disks.
POLICIES, NVRAM, TAGS = "storage_policies", "nvram", "tags"

# How a restored disk is proved.
AUTO, CONTENT, MANIFEST = "auto", "content", "manifest"

# How a disk comes to its datastore.
IMPORT, HOTADD = "import", "hotadd"

# What its proof may come to besides, where the host of the upload does not report all of it.
SIZE, NOTHING = "size", "nothing"


@dataclasses.dataclass(frozen=True, kw_only=True)
class IntoOptions:
    """What is to be restored into a VM that is there.

    :ivar vm: instance UUID or name of the VM that was backed up.
    :ivar disks: names of disks; empty for all.
    :ivar into: the VM whose disks are replaced.
    :ivar power_off: whether a VM that is not powered off is powered off for it.
    :ivar snapshots: ``refuse`` or ``remove``.
    :ivar keep_replaced: whether the disks that were replaced stay on their datastores.
    :ivar transport: ``import``, ``hotadd`` or ``auto``.
    :ivar hotadd: how disks are attached to the VM that the module runs in.
    :ivar content: whether disks are restored; else only the settings are put back.
    :ivar settings: what is put back besides the disks: ``storage_policies``, ``nvram``, ``tags``.
    :ivar storage_policy: name of the one that restored disks get; empty for those of the disks
        in whose place they come.
    :ivar folder: on this machine, where disks are made ready; empty for
        the folder of the VM's backups.
    """

    repository: str
    vm: str
    point: PointSelector
    disks: tuple[str, ...]
    into: Selector
    datacenter: str | None
    power_off: bool
    powered_on: bool
    snapshots: str
    keep_replaced: bool
    verify: str
    settings: tuple[str, ...]
    storage_policy: str
    folder: str
    timeout: int
    transport: str = IMPORT
    hotadd: HotAdd = dataclasses.field(default_factory=HotAdd)
    content: bool = True

    @property
    def asks_for_policies(self) -> bool:
        """Whether the storage policies of disks are to be others, whatever they have now."""
        return bool(self.storage_policy) or POLICIES in self.settings

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> IntoOptions:
        """The options of the module.

        :raises InvalidOption: what cannot be right.
        """
        if params.get("format"):
            raise InvalidOption(
                "format is for files of this machine, and into is set.", hint="Leave one of them out.", option="format"
            )
        settings = tuple(params.get("settings") or ())
        if params.get("storage_policy") and POLICIES in settings:
            raise InvalidOption(
                "storage_policy names one for all disks, and settings has storage_policies.",
                hint="Leave one of them out.",
                option="storage_policy",
            )
        if not params["content"] and not settings and not params.get("storage_policy"):
            raise InvalidOption(
                "content is false, and nothing else is to be put back.",
                hint="Set settings or storage_policy.",
                option="content",
            )
        return cls(
            content=params["content"],
            repository=params["repository"],
            vm=params["vm"],
            point=PointSelector.from_params(params),
            disks=tuple(params.get("disks") or ()),
            into=Selector.from_params(params["into"], "into"),
            datacenter=params.get("datacenter"),
            power_off=params["power_off"],
            powered_on=params["powered_on"],
            snapshots=params["snapshots"],
            keep_replaced=params["keep_replaced"],
            verify=params["verify"],
            settings=settings,
            storage_policy=params.get("storage_policy") or "",
            folder=params.get("dest") or "",
            timeout=params["timeout"],
            transport=params["transport"],
            hotadd=HotAdd.from_params(params.get("hotadd")),
        )

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is: VMs and what they hold for cloud-init. Plain values, no pyVmomi."""

from __future__ import annotations

import dataclasses

from . import encoding, keys


@dataclasses.dataclass(frozen=True)
class Held:
    """One kind of data as a VM has it. The text may hold secrets and is never in ``repr``.

    :ivar text: as cloud-init reads it; None where it reads nothing.
    :ivar redacted: whether it was there and was overwritten.
    :ivar broken: why cloud-init cannot read it, or empty.
    :ivar size: bytes of the value as it is kept.
    """

    text: str | None = dataclasses.field(default=None, repr=False)
    encoding: str = ""
    redacted: bool = False
    broken: str = ""
    size: int = 0


@dataclasses.dataclass(frozen=True)
class Machine:
    """A VM.

    :ivar running_since: when it was powered on; empty for a VM that is off.
    :ivar tools: whether VMware Tools run in its guest.
    :ivar addresses: that VMware Tools report for its own cards.
    :ivar config: what it has of our keys, and of those of cloud-init; never in ``repr``.
    """

    moid: str
    name: str
    path: str
    instance_uuid: str
    power_state: str
    template: bool = False
    running_since: str = ""
    tools: bool = False
    addresses: tuple[str, ...] = ()
    config: dict[str, str] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def on(self) -> bool:
        """Whether it is powered on."""
        return self.power_state == "poweredOn"

    @property
    def booted(self) -> bool:
        """Whether its guest has booted already. That of a suspended VM has: it goes on, and does not boot."""
        return self.power_state in ("poweredOn", "suspended")

    @property
    def pending(self) -> tuple[str, ...]:
        """The kinds of data that it was given since it was powered on, by who did not reboot it."""
        since, _bar, kinds = self.config.get(keys.PENDING, "").partition("|")
        return tuple(kinds.split()) if self.booted and since == self.running_since else ()

    def held(self, kind: str) -> Held:
        """What it has of one kind of data."""
        value, name = self.config.get(keys.value(kind)), self.config.get(keys.encoding(kind), "").rstrip()
        size = len((value or "").encode())
        try:
            text, broken = encoding.decode(value, name), ""
        except encoding.Undecodable as error:
            text, broken = None, str(error)
        return Held(text, name, encoding.is_redacted(value), broken, size)

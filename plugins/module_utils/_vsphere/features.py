# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hosts are capable of, and what VMs require of them. Pure.

vCenter keeps a capability as ``cpuid.avx2`` = ``1``, a requirement as ``cpuid.avx2`` =
``Bool:Min:1`` and a mask as ``cpuid.MODEL`` = ``Val:0x3f`` (API reference, HostFeatureCapability,
VirtualMachineFeatureRequirement, HostFeatureMask). The values are "opaque" there: their form is
that of ``[kind:]operation:number``, as hosts write them into vmware.log (``VM Features Required:
cpuid.ss - Bool:Min:1``) and masks are written into a VM's configuration (``featMask.vm.cpuid.VT``).
The letters of a name may be large on one release and small on the next (``cpuid.SSE3``,
``cpuid.sse3``): they are one feature.
"""

from __future__ import annotations

import dataclasses
import typing as t

# By key, in small letters. Of a host that does not know a feature, its capability is missing.
Values: t.TypeAlias = "t.Mapping[str, str]"

MIN, MAX = "min", "max"
_EQUAL = frozenset(("match", "val"))


def values_of(pairs: t.Iterable[tuple[str, str]]) -> dict[str, str]:
    """Capabilities, requirements or masks by their keys in small letters, in the order of these."""
    return dict(sorted((key.lower(), value) for key, value in pairs))


def same_values(some: Values, others: Values) -> bool:
    """Whether two masks, or more, are the same. Releases write values in capitals or not, as they
    do with keys.
    """
    return some.keys() == others.keys() and all(text.lower() == others[key].lower() for key, text in some.items())


def number_in(text: str) -> int | None:
    """The number of a capability or a mask (``1``, ``0x3f``); None where it is none."""
    try:
        return int(text.strip(), 0)
    except ValueError:
        return None


@dataclasses.dataclass(frozen=True)
class Demand:
    """One requirement.

    :ivar operation: ``min``, ``max``, ``match`` or ``val``; another
        where vCenter has learnt another.
    :ivar number: None where it is none.
    """

    key: str
    text: str
    operation: str
    number: int | None

    @classmethod
    def parse(cls, key: str, text: str) -> Demand:
        """A requirement as vCenter writes it."""
        parts = text.split(":")
        operation = parts[-2].lower() if len(parts) > 1 else ""
        return cls(key.lower(), text, operation, number_in(parts[-1]))

    def met_by(self, capability: str | None) -> bool | None:
        """Whether a capability meets it.

        A feature that a host does not know is one that it does not have. None where nobody can say,
        as of an operation that is not known here: that is never "yes".
        """
        has = 0 if capability is None else number_in(capability)
        if has is None or self.number is None:
            return self.text.rpartition(":")[2] == capability if self.operation in _EQUAL else None
        if self.operation == MIN:
            return has >= self.number
        if self.operation == MAX:
            return has <= self.number
        return has == self.number if self.operation in _EQUAL else None


@dataclasses.dataclass(frozen=True)
class Obstacle:
    """A feature that stands in the way.

    :ivar required: the requirement, as vCenter writes it.
    :ivar has: the capability; None where the host does not know the feature.
    :ivar certain: False where the requirement is of a form that nobody here can judge.
    """

    feature: str
    required: str
    has: str | None
    certain: bool = True

    def as_dict(self) -> dict[str, t.Any]:
        """As results have it."""
        return dataclasses.asdict(self)


def obstacles(requirements: Values, capabilities: Values) -> tuple[Obstacle, ...]:
    """The features that stand in the way of a VM with these requirements to a host with these
    capabilities.
    """
    found = []
    for key, text in requirements.items():
        has = capabilities.get(key)
        met = Demand.parse(key, text).met_by(has)
        if not met:
            found.append(Obstacle(key, text, has, certain=met is not None))
    return tuple(found)

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processors of hosts, EVC modes, and what VMs require of processors: one type and one reader each.

A domain reads ``HOST``, ``CLUSTER``, ``VM`` and ``MODES`` together with what else it needs, and
hands the rows to the readers. Who needs modes alone reads ``HOST_MODE`` and ``VM_MODE``: the rest
is some hundred pairs of each host and VM.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector.props import Row
from .._connector.pyvmomi import vim
from . import cpuid, hardware_version
from .cpuid import BadBits, Identity, Leaf
from .features import Values, values_of

if t.TYPE_CHECKING:
    from .._connector.plain import Items, PlainRow
    from .._connector.session import Session

HOST_MODE = ("summary.maxEVCModeKey", "summary.hardware.cpuModel")
HOST = (
    "hardware.cpuFeature",
    "hardware.cpuPkg",
    "summary.maxEVCModeKey",
    "summary.currentEVCModeKey",
    "config.featureCapability",
    "config.maskedFeatureCapability",
)
CLUSTER = ("summary.currentEVCModeKey",)
VM_MIN_MODE = "runtime.minRequiredEVCModeKey"
VM_MODE = ("config.version", VM_MIN_MODE, "runtime.featureMask")
VM = (*VM_MODE, "runtime.featureRequirement", "runtime.offlineFeatureRequirement")

# Of the ServiceInstance: the modes that this release of vCenter knows, the processors' and the
# graphics'.
MODES = "capability.supportedEVCMode"
GRAPHICS_MODES = "capability.supportedEVCGraphicsMode"


@dataclasses.dataclass(frozen=True)
class Mode:
    """An EVC mode. One of graphics has a key and a label alone.

    :ivar key: as ``intel-haswell``.
    :ivar label: as the vSphere Client shows it.
    :ivar vendor: as ``intel``.
    :ivar tier: orders the modes of one vendor; nothing else can be taken from it.
    :ivar track: groups of features that are at least partly in it.
    :ivar masks: by their keys in small letters, for comparing.
    :ivar written_masks: the same as the release writes them, in its
        order: so they are given to a VM.
    """

    key: str
    label: str = ""
    summary: str = ""
    vendor: str = ""
    tier: int = 0
    track: frozenset[str] = frozenset()
    capabilities: Values = dataclasses.field(default_factory=dict)
    masks: Values = dataclasses.field(default_factory=dict)
    written_masks: tuple[tuple[str, str], ...] = ()
    requirements: Values = dataclasses.field(default_factory=dict)

    def includes(self, other: Mode) -> bool:
        """Whether what another mode guarantees is in this one (API reference, EVCMode: tier and
        track).
        """
        return self.vendor == other.vendor and self.tier >= other.tier and self.track >= other.track


@dataclasses.dataclass(frozen=True)
class Processor:
    """The processors of a host, which are all of one kind.

    :ivar leaves: what CPUID answers, as far as it is the same on all of them, by level.
    :ivar description: the model name, such as ``Intel(R) Xeon(R) Gold 6130 CPU @ 2.10GHz``.
    :ivar vendor_name: as vCenter has it (``intel``, ``amd``, ``hygon``).
    :ivar stated: family, model and stepping as vCenter itself says, from 8.0.3 on; None before.
    :ivar bad: why leaves could not be read, one sentence each.
    :ivar max_mode: the most capable EVC mode that the host supports; empty for none.
    :ivar current_mode: the EVC mode that its cluster is in; empty for none.
    :ivar capabilities: of the host; ``masked``: of them what VMs get, in the EVC mode.
    """

    leaves: t.Mapping[int, Leaf] = dataclasses.field(default_factory=dict)
    description: str = ""
    vendor_name: str = ""
    packages: int = 0
    stated: tuple[int, int, int] | None = None
    bad: tuple[str, ...] = ()
    max_mode: str = ""
    current_mode: str = ""
    capabilities: Values = dataclasses.field(default_factory=dict)
    masked: Values = dataclasses.field(default_factory=dict)

    @property
    def identity(self) -> Identity | None:
        """Which processor it is, by its leaves; None where they do not say."""
        return cpuid.identity_in(self.leaves)

    @property
    def vendor(self) -> str:
        """The vendor, by leaf 0, or else as vCenter names it; in small letters."""
        return cpuid.vendor_in(self.leaves) or self.vendor_name.lower()

    @property
    def offered(self) -> Values:
        """What VMs can be promised: the capabilities behind the masks, where the host says them."""
        return self.masked or self.capabilities


@dataclasses.dataclass(frozen=True)
class Needs:
    """What a VM requires of processors.

    :ivar hardware: of its virtual hardware, such as ``vmx-19``.
    :ivar min_mode: the least EVC mode that could admit it, while it runs;
        empty where vCenter does not say.
    :ivar requirements: while it runs or is suspended; ``offline``: to be powered on.
    :ivar masks: as a result of its configuration: its own EVC mode.
    """

    hardware: str = ""
    min_mode: str = ""
    requirements: Values = dataclasses.field(default_factory=dict)
    offline: Values = dataclasses.field(default_factory=dict)
    masks: Values = dataclasses.field(default_factory=dict)

    @property
    def hardware_number(self) -> int:
        """The number of the hardware version; 0 where it is none."""
        return hardware_version.number_of(self.hardware)


def service_instance(session: Session) -> t.Any:
    """The object that knows the ``MODES``; nothing is sent."""
    return session.reference(vim.ServiceInstance, "ServiceInstance")


def modes_in(rows: t.Iterable[Row]) -> tuple[Mode, ...]:
    """The EVC modes that this release of vCenter has, those of one vendor in the order of their
    tiers.
    """
    found = [_mode(each) for row in rows for each in row.get(MODES) or ()]
    return tuple(sorted(found, key=lambda mode: (mode.vendor, mode.tier)))


def _mode(mode: t.Any) -> Mode:
    return Mode(
        key=mode.key,
        label=mode.label or mode.key,
        summary=mode.summary or "",
        vendor=mode.vendor or "",
        tier=int(mode.vendorTier or 0),
        track=frozenset(mode.track or ()),
        capabilities=feature_values(mode.featureCapability),
        masks=feature_values(mode.featureMask),
        written_masks=tuple((mask.key, mask.value or "") for mask in mode.featureMask or ()),
        requirements=feature_values(mode.featureRequirement),
    )


def graphics_modes_in(rows: t.Iterable[Row]) -> tuple[Mode, ...]:
    """The EVC modes of graphics that this release of vCenter has; none before 7.0.1."""
    found = [each for row in rows for each in row.get(GRAPHICS_MODES) or ()]
    return tuple(Mode(key=each.key, label=each.label or each.key) for each in found)


def processor_in(host: Row) -> Processor:
    """The processors of a host that was read with ``HOST`` or ``HOST_MODE``. What it does not say
    is empty.
    """
    packages = list(host.get("hardware.cpuPkg") or ())
    first = packages[0] if packages else None
    leaves, bad = leaves_of(host.get("hardware.cpuFeature"))
    description = first.description if first is not None else host.get("summary.hardware.cpuModel")
    return Processor(
        leaves=leaves,
        description=" ".join((description or "").split()),
        vendor_name=(first.vendor or "") if first is not None else "",
        packages=len(packages),
        stated=_stated(first),
        bad=bad,
        max_mode=host.get("summary.maxEVCModeKey") or "",
        current_mode=host.get("summary.currentEVCModeKey") or "",
        capabilities=feature_values(host.get("config.featureCapability")),
        masked=feature_values(host.get("config.maskedFeatureCapability")),
    )


def _stated(package: t.Any) -> tuple[int, int, int] | None:
    # Properties of 8.0.3, which older clients and servers do not have.
    found = (getattr(package, name, None) for name in ("family", "model", "stepping"))
    numbers = [int(each) for each in found if each is not None]
    return (numbers[0], numbers[1], numbers[2]) if len(numbers) == 3 else None


def leaves_of(infos: t.Iterable[t.Any] | None) -> tuple[dict[int, Leaf], tuple[str, ...]]:
    """The leaves of ``cpuFeature`` by level, and why others could not be read: one bad text costs
    one leaf.
    """
    leaves: dict[int, Leaf] = {}
    bad = []
    for info in infos or ():
        try:
            leaf = Leaf.parse(info.level, {name: getattr(info, name, None) for name in cpuid.REGISTERS})
        except BadBits as error:
            bad.append(str(error))
        else:
            leaves[leaf.level] = leaf
    return leaves, tuple(bad)


def needs_in(vm: Row) -> Needs:
    """What a VM that was read with ``VM`` or ``VM_MODE`` requires; what was not read is empty."""
    return Needs(
        hardware=vm.get("config.version") or "",
        min_mode=vm.get(VM_MIN_MODE) or "",
        requirements=feature_values(vm.get("runtime.featureRequirement")),
        offline=feature_values(vm.get("runtime.offlineFeatureRequirement")),
        masks=feature_values(vm.get("runtime.featureMask")),
    )


class PlainNeeds:
    """Reads the same of VMs that were read with ``VM`` as plain texts, of thousands of them.

    What they require is the same of most of them: it is taken apart and kept once.
    """

    def __init__(self) -> None:
        self._known: dict[Items, Values] = {}

    def of(self, vm: PlainRow) -> Needs:
        """What a VM requires."""
        return Needs(
            hardware=vm.text("config.version"),
            min_mode=vm.text(VM_MIN_MODE),
            requirements=self._values(vm.items("runtime.featureRequirement")),
            offline=self._values(vm.items("runtime.offlineFeatureRequirement")),
            masks=self._values(vm.items("runtime.featureMask")),
        )

    def _values(self, items: Items) -> Values:
        # Of masks and requirements alike the fields are key, name and value, none of which is
        # optional.
        if items not in self._known:
            self._known[items] = values_of((each[0], each[2]) for each in items if len(each) > 2)
        return self._known[items]


def feature_values(items: t.Iterable[t.Any] | None) -> dict[str, str]:
    """Capabilities, requirements or masks by their keys in small letters."""
    return values_of((item.key, item.value or "") for item in items or ())

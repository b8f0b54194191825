# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked about a disk, as plain values. Pure."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from .._connector.find import Selector
from .._errors import InvalidOption
from .._vsphere.fcd import DiskSelector, selector_from

INFO, DUMP, ALLOCATED, COMPARE = "info", "dump", "allocated", "compare"
MAP, READ_BENCHMARK, METADATA = "map", "read_benchmark", "metadata"

SEQUENTIAL, RANDOM = "sequential", "random"

SECTOR = 512
MIB = 2**20

# So much of a disk is shown at most: results are kept in memory, and in logs.
MOST_SECTORS = 2048

# Blocks of an answer: a list of so many fits into a result.
MOST_BLOCKS = 2**20

# What one read may ask for: servers of disks give 4 MiB at most over HTTPS.
MOST_BLOCK = 4 * MIB
MOST_STREAMS = 32
MOST_READS = 100_000

_DIGEST = re.compile(r"[0-9a-f]{64}")
_WAYS = ("path", "vm", "first_class_disk")


@dataclasses.dataclass(frozen=True)
class LocalFile:
    """A file on this machine.

    :ivar kind: its format as qemu-img calls it, or ``auto``.
    """

    path: str
    kind: str


@dataclasses.dataclass(frozen=True)
class DiskOfVm:
    """A disk of a VM.

    :ivar disk: names it by its label, place, key or file; empty for its only one.
    """

    vm: Selector
    disk: str


@dataclasses.dataclass(frozen=True)
class DetachedDisk:
    """A first class disk.

    :ivar store: names its datastore.
    """

    selector: DiskSelector
    store: str


# pylint takes the other form for an operation.
Source = t.Union[LocalFile, DiskOfVm, DetachedDisk]  # noqa: UP007


@dataclasses.dataclass(frozen=True)
class BlockMap:
    """What a disk had once: the SHA-256 of each of its blocks, in their order."""

    block_size: int
    digests: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """How a disk is read to see how fast that is.

    :ivar reads: how many, over all streams.
    """

    order: str
    reads: int
    streams: int


@dataclasses.dataclass(frozen=True)
class ToolOptions:
    """What is asked.

    :ivar sector, count: the first sector of a dump, and how many.
    :ivar other: what the disk is compared with: another disk, or a map.
    """

    question: str
    source: Source
    datacenter: str | None
    sector: int
    count: int
    block_size: int
    other: Source | BlockMap | None
    benchmark: Benchmark
    timeout: int

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> ToolOptions:
        """Take the options out of a module's parameters.

        :raises InvalidOption: they contradict each other, or are out of bounds.
        """
        question = params["question"]
        for option, least, most in (
            ("sector", 0, 2**54),
            ("count", 1, MOST_SECTORS),
            ("reads", 1, MOST_READS),
            ("streams", 1, MOST_STREAMS),
            ("block_size", SECTOR, MOST_BLOCK),
        ):
            if not least <= params[option] <= most:
                raise InvalidOption(
                    f"{option} is {params[option]}.",
                    hint=f"It is {least} to {most}.",
                    option=option,
                )
        if params["block_size"] % SECTOR:
            raise InvalidOption(
                f"block_size is {params['block_size']}.",
                hint=f"It is a multiple of {SECTOR}.",
                option="block_size",
            )
        return cls(
            question=question,
            source=_source(params, ""),
            datacenter=params.get("datacenter") or None,
            sector=params["sector"],
            count=params["count"],
            block_size=params["block_size"],
            other=_other(params, question),
            benchmark=Benchmark(params["order"], params["reads"], params["streams"]),
            timeout=params["timeout"],
        )

    @property
    def local(self) -> bool:
        """Whether all of it is on this machine, and no vCenter is needed."""
        return isinstance(self.source, LocalFile) and not isinstance(self.other, (DiskOfVm, DetachedDisk))


def _source(params: t.Mapping[str, t.Any], within: str) -> Source:
    given = [option for option in _WAYS if params.get(option)]
    if len(given) != 1:
        raise InvalidOption(
            f"{within or 'The disk'} is given by {' and '.join(given) or 'nothing'}.",
            hint="Set exactly one of path, vm and first_class_disk.",
            option=within or (given[0] if given else "path"),
        )
    if params.get("path"):
        return LocalFile(params["path"], params["source_format"])
    if params.get("vm"):
        return DiskOfVm(Selector.from_params(params["vm"], "vm"), str(params.get("disk") or ""))
    named = params["first_class_disk"]
    if not named.get("datastore"):
        raise InvalidOption("first_class_disk has no datastore.", hint="Set datastore.", option="first_class_disk")
    return DetachedDisk(selector_from(named, "first_class_disk"), named["datastore"])


def _other(params: t.Mapping[str, t.Any], question: str) -> Source | BlockMap | None:
    given = [option for option in ("other", "map") if params.get(option)]
    if question != COMPARE:
        if given:
            raise InvalidOption(f"{given[0]} is for the question compare.", option=given[0])
        return None
    if len(given) != 1:
        raise InvalidOption("For compare either other or map has to be set.", option="other")
    if params.get("other"):
        return _source(params["other"], "other")
    size, digests = params["map"]["block_size"], tuple(params["map"]["sha256"])
    if not SECTOR <= size <= MOST_BLOCK or size % SECTOR or len(digests) > MOST_BLOCKS:
        raise InvalidOption("map has no usual block_size, or too many blocks.", option="map")
    if not all(_DIGEST.fullmatch(str(each)) for each in digests):
        raise InvalidOption(
            "map has something that is no SHA-256.",
            hint="It has 64 digits of 0 to 9 and a to f.",
            option="map",
        )
    return BlockMap(size, digests)

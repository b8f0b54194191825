# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Times the part of a backup that is not vCenter's: reading a disk over NBD, writing it, reading it back.

Beside it, in turns: ``qemu-img convert`` from the same NBD source, with the SHA-256 of each MiB counted in, and a bare reader
of the same merged ranges over as many connections, which writes nothing. Prints JSON. Runs where libnbd, nbdkit and qemu-img
are.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import datetime
import hashlib
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ansible_collections.vforge.vsphere.plugins.module_utils._backup import disk as disks
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.copying import Copying, pieces
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.model import Point, point_id
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.options import NbdServer
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.readers import NbdReader
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.repository import Repository
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.areas import Area, merged

MIB, BLOCK = 1 << 20, 64 << 10
_UUID = "5029c440-85ee-c2a1-e9dd-b63e39364603"
_GAP = 256 << 10


def spent() -> float:
    """Seconds of the processor that this process has used, and the programs that it has waited for: not the server."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


class Source:
    """A disk of random bytes that nbdkit serves; each request takes some milliseconds more."""

    def __init__(self, folder: Path, mib: int, delay_ms: float) -> None:
        self.path, self.capacity = folder / "disk.raw", mib * MIB
        with open(self.path, "wb") as file:
            for _mib in range(mib):
                file.write(os.urandom(MIB))
        socket = folder / "source.sock"
        delay = ["--filter=delay"] if delay_ms else []
        command = ["nbdkit", "--foreground", "--unix", str(socket), *delay, "file", str(self.path)]
        self._process = subprocess.Popen([*command, *([f"rdelay={delay_ms:g}ms"] if delay_ms else [])])
        self.uri = f"nbd+unix:///?socket={socket}"
        until = time.monotonic() + 10
        while not socket.exists() and time.monotonic() < until:
            time.sleep(0.01)

    def reader(self) -> NbdReader:
        """As vm_backup reads it."""
        return NbdReader(NbdServer(uri=self.uri), {}, "", self.capacity, "the disk", lambda: None)

    def change(self, share: float) -> list[Area]:
        """Write random blocks, so many of all; returns them, merged as vm_backup merges."""
        chosen = sorted(random.sample(range(self.capacity // BLOCK), int(self.capacity // BLOCK * share)))
        with open(self.path, "r+b") as file:
            for block in chosen:
                file.seek(block * BLOCK)
                file.write(os.urandom(BLOCK))
        return list(merged((Area(block * BLOCK, BLOCK) for block in chosen), _GAP))

    def close(self) -> None:
        """End the server."""
        self._process.terminate()
        self._process.wait()


class Backups:
    """Points of one disk, in a folder that is made for them."""

    def __init__(self, folder: Path, source: Source, streams: int) -> None:
        folder.mkdir(mode=0o700)
        self._repository = Repository(str(folder))
        self._source, self._streams, self._number = source, streams, 0

    def take(self, areas: list[Area] | None) -> dict[str, Any]:
        """Make a point: all of the disk, or what changed."""
        self._number += 1
        with self._repository.locked(_UUID, time.monotonic() + 60, lambda _line: None) as machine:
            known = machine.points
            earlier = disks.Earlier(known[-1], known[-1].disks[0]) if areas is not None else None
            run = f"{self._number:08x}"
            staged = machine.stage(run)
            reader = self._source.reader()
            copying = Copying(reader.open, fresh=areas is None, streams=self._streams, go_on=lambda: None)
            new = disks.NewDisk(
                key=2000, label="Hard disk 1", unit="scsi0:0", capacity=self._source.capacity,
                change_id=None, identity="disk", transport="nbd",
            )  # fmt: skip
            begun, used = time.monotonic(), spent()
            wanted = reader.data(self._source.capacity) if areas is None else areas
            copied = disks.copy(machine, staged, new, earlier, wanted, copying, begun + 3600)
            read, used = time.monotonic(), spent() - used
            done = disks.finish(copied, lambda: None)
            ended = time.monotonic()
            when = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(hours=self._number)
            point = Point(
                id=point_id(when, run), number=self._number, created=when.isoformat(),
                instance_uuid=_UUID, vm_name="web", consistency="crash-consistent", disks=(done,),
            )  # fmt: skip
            machine.commit(staged, point)
        return {"copy": read - begun, "proof": ended - read, "read": copied.copied.read, "processor": used}


def converted(source: Source, target: Path) -> float:
    """Seconds of qemu-img with the digests of the map, until all is on the disk."""
    begun = time.monotonic()
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", source.uri, str(target)], check=True)
    with open(target, "rb") as file:
        os.fsync(file.fileno())
    with open(source.path, "rb", buffering=0) as file:
        while part := file.read(MIB):
            hashlib.sha256(part).digest()
    seconds = time.monotonic() - begun
    target.unlink()
    return seconds


def bare(source: Source, areas: list[Area], streams: int) -> float:
    """Seconds of reading ranges alone."""
    due, turn = iter(list(pieces(areas))), threading.Lock()
    reader = source.reader()

    def work() -> None:
        with contextlib.closing(reader.open()) as stream:
            while True:
                with turn:
                    piece = next(due, None)
                if piece is None:
                    return
                stream.read(*piece)

    threads = [threading.Thread(target=work) for _stream in range(streams)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.monotonic() - begun


def turns(folder: Path, mib: int, count: int, streams: int, delay_ms: float) -> Iterator[dict[str, Any]]:
    """What is compared, in turns."""
    source = Source(folder, mib, delay_ms)
    try:
        for number in range(count):
            # Each turn has its own, so that there need not be room for all.
            repository = folder / f"repository-{number}"
            backups = Backups(repository, source, streams)
            steps: list[tuple[str, Callable[[], Any]]] = [
                ("full", lambda: backups.take(None)),  # noqa: B023 (it is called in this turn)
                ("convert", lambda: converted(source, folder / "converted.qcow2")),
            ]
            found: dict[str, Any] = {"processor": {}}
            for name, step in steps if number % 2 == 0 else reversed(steps):
                _note(found, name, step)
            areas = source.change(0.01)
            found["changed"] = int(source.capacity // BLOCK * 0.01) * BLOCK
            _note(found, "bare", lambda: bare(source, areas, streams))  # noqa: B023
            _note(found, "increment", lambda: backups.take(areas))  # noqa: B023
            shutil.rmtree(repository)
            yield found
    finally:
        source.close()


def _note(found: dict[str, Any], name: str, step: Callable[[], Any]) -> None:
    """Do a step, and note what it returns and has cost."""
    begun = spent()
    found[name] = step()
    found["processor"][name] = spent() - begun


def load(root: Path, name: str) -> None:
    """Load a library that was unpacked, after those that it needs: a running process does not learn where they lie."""
    while True:
        try:
            ctypes.CDLL(next(str(path) for path in root.rglob(name)), ctypes.RTLD_GLOBAL)
            return
        except OSError as error:
            needed = re.match(r"(\S+): cannot open shared object file", str(error))
            if needed is None:
                raise
            load(root, needed[1])


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024, help="size of the disk")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--delay-ms", type=float, default=0)
    parser.add_argument("--libraries", type=Path, help="folder in which libnbd was unpacked, where it is not installed")
    args = parser.parse_args()
    if args.libraries is not None:
        load(args.libraries, "libnbd.so.0")
    with tempfile.TemporaryDirectory(prefix="vforge-bench-") as folder:
        found = list(turns(Path(folder), args.mib, args.turns, args.streams, args.delay_ms))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    json.dump({"turns": found, "memory": memory, "capacity": args.mib * MIB}, sys.stdout)


if __name__ == "__main__":
    main()

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an export holds what came against, and which file of a lease is which disk."""

from __future__ import annotations

import dataclasses
import hashlib
import struct
import time

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._connector.options import ConnectionOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.web import Stop
from ansible_collections.vforge.vsphere.plugins.module_utils._export import task
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import lease
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.lease import Device, ExportFailed, Received
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.export.test_descriptor import MACHINE

DATA = b"a disk" * 100
DIGEST = hashlib.sha256(DATA).hexdigest()
OTHER = hashlib.sha256(b"another").hexdigest()


class _Nothing:
    """A sink and a gauge that keep nothing."""

    def restart(self):
        """Nothing to forget."""

    def write(self, _part):
        """Nothing to keep."""

    def add(self, _count):
        """Nothing to count."""

    def percent(self):
        """Nothing to say."""
        return 0


@pytest.fixture
def receiver():
    """One that has got the data."""
    nobody = {"username": "-", "password": "-"}
    wanted = lease.Wanted(_device("/vm-1/disk"), _Nothing(), "disk1.vmdk of web-1")
    options = ConnectionOptions(hostname="vc", **nobody)
    made = lease._Receiver(options, wanted, ("sha256", "sha1"), _Nothing(), Stop(), time.monotonic() + 60)
    made._hash(memoryview(DATA))
    made._size = len(DATA)
    return made


def _device(key, *, disk=True, target="", url="https://host/nfc/1/disk-0.vmdk"):
    return Device(key, key, url, None, disk, target)


@pytest.mark.parametrize(
    ("sent", "witnessed"),
    [
        (None, False),
        (Received(0, ()), False),
        (Received(len(DATA), ()), True),
        (Received(0, (("sha256", DIGEST),)), True),
        (Received(len(DATA), (("sha1", hashlib.sha1(DATA, usedforsecurity=False).hexdigest()),), populated=65536), True),
        (Received(len(DATA), (("md5", "00"),)), True),
    ],
)
def test_what_came_as_it_was_sent_is_whole(receiver, sent, witnessed):
    came = receiver.compared(sent)
    assert (came.size, came.sha256, came.witnessed) == (len(DATA), DIGEST, witnessed)
    assert came.populated == (sent.populated if sent is not None else None)


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (Received(len(DATA) + 1, ()), f"the host has sent {len(DATA) + 1}"),
        (Received(len(DATA), (("sha256", OTHER),)), f"the host has sent {OTHER}"),
        (Received(0, (("sha1", "0" * 40),)), "sha1"),
    ],
)
def test_what_came_in_another_way_than_it_was_sent_is_refused(receiver, sent, words):
    with pytest.raises(ExportFailed, match=words) as caught:
        receiver.compared(sent)
    assert caught.value.error_code == "export_incomplete"


def test_a_disk_without_a_byte_is_refused(receiver):
    receiver._size = 0
    with pytest.raises(ExportFailed, match="without a byte"):
        receiver.compared(None)


# Which file is which disk


def test_disks_are_told_by_their_places_whatever_the_order_of_the_lease():
    offered = [_device(f"/vm-9/{disk.place}") for disk in reversed(MACHINE.disks)]
    pairs = task._pairs(MACHINE.disks, offered)
    assert [(disk.label, device.key) for disk, device in pairs] == [
        (disk.label, f"/vm-9/{disk.place}") for disk in MACHINE.disks
    ]


def _found(offered, disks=(("web", 1), ("data", 2))):
    """The numbers of the devices that disks of these names and capacities are taken to be."""
    expected = [lease.Expected(f"scsi0:{n}", f"[ds] web/{name}.vmdk", gib << 30) for n, (name, gib) in enumerate(disks)]
    found = lease.devices_of(offered, expected)
    keys = [device.key for device in offered]
    return [(keys.index(device.key), device.guessed) if device is not None else None for device in found]


def _numbered(*targets):
    """Devices as stock vcsim has them: numbered among those of their kind."""
    return [_device(f"/vm-9/disk:{number}", target=target) for number, target in enumerate(targets)]


@pytest.mark.parametrize(
    ("targets", "found"),
    [
        (("data.vmdk", "web.vmdk"), [(1, False), (0, False)]),
        # One is known by its name, and so the other one.
        (("data.vmdk", ""), [(1, False), (0, False)]),
        (("", ""), [(0, True), (1, True)]),
        (("disk-1.vmdk", "disk-0.vmdk"), [(1, True), (0, True)]),
        (("", "", ""), [None, None]),
    ],
)
def test_keys_of_another_form_leave_the_names_of_the_files_and_then_a_guess(targets, found):
    assert _found(_numbered(*targets)) == found


@pytest.mark.parametrize(
    ("targets", "found"),
    [
        (("two.vmdk", "one.vmdk"), [(1, False), (0, False)]),
        (("", ""), [None, None]),
        (("disk-1.vmdk", "disk-0.vmdk"), [(1, True), (0, True)]),
    ],
)
def test_nothing_is_guessed_of_disks_of_one_capacity(targets, found):
    assert _found(_numbered(*targets), (("one", 1), ("two", 1))) == found


def test_disks_whose_files_have_one_name_are_not_told_by_it():
    assert _found(_numbered("web.vmdk", "web.vmdk"), (("web", 1), ("web", 1))) == [None, None]


def test_what_vcenter_calls_a_file_of_the_export_is_no_name_of_a_disk():
    assert _found(_numbered("disk-0.vmdk", "disk-1.vmdk"), (("disk-1", 1), ("disk-0", 2))) == [(0, True), (1, True)]


def _head(capacity):
    return struct.pack("<4sIIQ", b"KDMV", 3, 0x30001, capacity // 512)


@pytest.mark.parametrize("guessed", [False, True])
@pytest.mark.parametrize(("head", "fits"), [(_head(1 << 30), True), (_head(2 << 30), False), (_head((1 << 30) + 65536), False)])
def test_a_disk_of_another_capacity_is_not_the_one_that_is_wanted(receiver, head, fits, guessed):
    _wants(receiver, head, guessed=guessed, capacity=(1 << 30) - 512)
    if fits:
        assert receiver.compared(None).size == len(DATA)
    else:
        with pytest.raises(ExportFailed, match="and a disk of") as caught:
            receiver.compared(None)
        assert caught.value.error_code == "export_incomplete"


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (None, "Nothing says whether"),
        (Received(len(DATA), ()), "Nothing says whether"),
        (Received(len(DATA), (), capacity=2 << 30), "and a disk of"),
        (Received(len(DATA), (), capacity=1 << 30), ""),
    ],
)
def test_a_guess_is_proved_by_what_the_host_says_or_refused(receiver, sent, words):
    _wants(receiver, DATA[:20], guessed=True, capacity=1 << 30)
    if words:
        with pytest.raises(ExportFailed, match=words):
            receiver.compared(sent)
    else:
        assert receiver.compared(sent).size == len(DATA)


def test_what_is_no_guess_needs_no_proof(receiver):
    _wants(receiver, DATA[:20], guessed=False, capacity=1 << 30)
    assert receiver.compared(Received(len(DATA), (), capacity=3)).size == len(DATA)


def _wants(receiver, head, *, guessed, capacity):
    """Have a receiver want a disk, whose file began so."""
    device = dataclasses.replace(receiver._wanted.device, guessed=guessed)
    receiver._wanted = dataclasses.replace(receiver._wanted, device=device, capacity=capacity)
    receiver._head = head


def test_a_disk_without_an_address_is_seen():
    offered = [_device(f"/vm-9/{MACHINE.disks[0].place}")]
    assert [device is not None for _disk, device in task._pairs(MACHINE.disks, offered)] == [True, False]


@pytest.mark.parametrize(
    ("device", "is_one"),
    [
        (_device("/vm-9/nvram", disk=False), True),
        (_device("x", disk=False, target="web-1.nvram"), True),
        (_device("x", disk=False, url="https://host/nfc/1/web-1.nvram"), True),
        (_device("/vm-9/VirtualIDEController1:0", disk=False, url="https://host/nfc/1/a.iso"), False),
    ],
)
def test_nvram_is_told_from_other_files(device, is_one):
    assert task.is_nvram(device) is is_one

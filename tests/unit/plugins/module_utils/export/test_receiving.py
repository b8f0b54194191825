# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an export holds what came against, and which file of a lease is which disk."""

from __future__ import annotations

import hashlib
import time

import pytest

import vforge_disks
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.options import ConnectionOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.web import Stop
from ansible_collections.vforge.vsphere.plugins.module_utils._export import task
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import lease_devices, receiving
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.lease import Device, ExportFailed, Received
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.export.test_descriptor import MACHINE

CAPACITY = 1 << 30
DATA = vforge_disks.stream(1, capacity=CAPACITY)
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
    return _receiver(DATA)


def _receiver(data, capacity=None):
    """One that wants a disk of this capacity, or a file that is none, and has got these bytes in some parts."""
    nobody = {"username": "-", "password": "-"}
    wanted = receiving.Wanted(_device("/vm-1/disk"), _Nothing(), "disk1.vmdk of web-1", capacity)
    options = ConnectionOptions(hostname="vc", **nobody)
    made = receiving._Receiver(options, wanted, ("sha256", "sha1"), _Nothing(), Stop(), time.monotonic() + 60)
    for place in range(0, len(data), 1000):
        part = memoryview(data)[place : place + 1000]
        made._hash(part)
        made._ends.add(part)
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


def test_a_disk_without_a_byte_is_refused():
    with pytest.raises(ExportFailed, match="without a byte"):
        _receiver(b"").compared(None)


# Which file is which disk


def test_disks_are_recognized_by_their_places_whatever_the_order_of_the_lease():
    offered = [_device(f"/vm-9/{disk.place}") for disk in reversed(MACHINE.disks)]
    pairs = task._pairs(MACHINE.disks, offered)
    assert [(disk.label, device.key) for disk, device in pairs] == [
        (disk.label, f"/vm-9/{disk.place}") for disk in MACHINE.disks
    ]


def _found(offered, disks=(("web", 1), ("data", 2))):
    """The numbers of the devices that disks of these names and capacities are taken to be."""
    expected = [lease_devices.Expected(f"scsi0:{n}", f"[ds] web/{name}.vmdk", gib << 30) for n, (name, gib) in enumerate(disks)]
    found = lease_devices.devices_of(offered, expected)
    keys = [device.key for device in offered]
    return [keys.index(device.key) if device is not None else None for device in found]


def _numbered(*targets):
    """Devices as stock vcsim has them: numbered among those of their kind."""
    return [_device(f"/vm-9/disk:{number}", target=target) for number, target in enumerate(targets)]


@pytest.mark.parametrize(
    ("targets", "found"),
    [
        (("data.vmdk", "web.vmdk"), [1, 0]),
        # One is known by its name, and so the other one.
        (("data.vmdk", ""), [1, 0]),
        (("", ""), [0, 1]),
        (("disk-1.vmdk", "disk-0.vmdk"), [1, 0]),
        (("", "", ""), [None, None]),
    ],
)
def test_keys_of_another_form_leave_the_names_of_the_files_and_then_a_guess(targets, found):
    assert _found(_numbered(*targets)) == found


@pytest.mark.parametrize(
    ("targets", "found"),
    [
        (("two.vmdk", "one.vmdk"), [1, 0]),
        (("", ""), [None, None]),
        (("disk-1.vmdk", "disk-0.vmdk"), [1, 0]),
    ],
)
def test_nothing_is_guessed_of_disks_of_one_capacity(targets, found):
    assert _found(_numbered(*targets), (("one", 1), ("two", 1))) == found


def test_disks_whose_files_have_one_name_are_not_recognized_by_it():
    assert _found(_numbered("web.vmdk", "web.vmdk"), (("web", 1), ("web", 1))) == [None, None]


def test_what_vcenter_calls_a_file_of_the_export_is_no_name_of_a_disk():
    assert _found(_numbered("disk-0.vmdk", "disk-1.vmdk"), (("disk-1", 1), ("disk-0", 2))) == [0, 1]


@pytest.mark.parametrize(
    ("capacity", "fits"), [(CAPACITY, True), (CAPACITY - 512, True), (CAPACITY * 2, False), (2**29, False)]
)
def test_a_disk_of_another_capacity_is_not_the_one_that_is_wanted(capacity, fits):
    made = _receiver(DATA, capacity)
    if fits:
        assert made.compared(None).size == len(DATA)
    else:
        with pytest.raises(ExportFailed, match="and a disk of") as caught:
            made.compared(None)
        assert caught.value.error_code == "export_incomplete"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'# Disk DescriptorFile\nversion=1\nRW 8 VMFS "web-flat.vmdk"\n', "the text part of a VMDK alone"),
        (bytes(4096), "a raw image, or no disk at all"),
        (DATA[:100], "100 bytes, too few for a disk"),
        (vforge_disks.header(flags=1, compression=0), "grains are not compressed"),
        # Cut short: at the end of a sector, within one, and behind the footer.
        (DATA[:-1024], "its footer and end-of-stream marker are not there"),
        (DATA[:-100], "its footer and end-of-stream marker are not there"),
        (DATA[:-512], "its footer and end-of-stream marker are not there"),
    ],
)
def test_what_is_no_whole_stream_of_a_disk_is_refused_though_the_host_says_nothing_of_it(data, words):
    with pytest.raises(ExportFailed, match=words) as caught:
        _receiver(data, CAPACITY).compared(None)
    assert caught.value.error_code == "export_incomplete"


def test_a_disk_whose_tables_are_in_front_needs_no_footer():
    data = vforge_disks.header(capacity=CAPACITY) + bytes(4096)
    assert _receiver(data, CAPACITY).compared(Received(len(data), ())).witnessed


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
def test_nvram_is_distinguished_from_other_files(device, is_one):
    assert task.is_nvram(device) is is_one

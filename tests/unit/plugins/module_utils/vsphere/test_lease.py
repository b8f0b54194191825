# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Uploads under a lease: every byte once, every ending soon, and no thread left behind."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import signal
import socket
import threading
import time
import types

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils import _signals
from ansible_collections.vforge.vsphere.plugins.module_utils._connector import tasks
from ansible_collections.vforge.vsphere.plugins.module_utils._connector import tls as trust
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.pyvmomi import vim
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.web import Stop
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import Fault, Interrupted, TimedOut, VforgeError
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import lease, sending
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.connector.support import (
    IMPOSTOR,
    Server,
    impostor_thumbprint,
    nobody,
    read_request,
    response,
    session,
    tls,
)

# Seconds until all has ended that was broken off. It takes some milliseconds, more on a busy
# machine; what is not broken off goes on for the connection's time-out of a minute and more.
SOON = 40.0

MIB = 2**20


class Content:
    """A source whose reads are counted; ``most`` bytes were asked for at once.

    :param fails_at: the byte at which reading it fails with ``error``.
    """

    label = "the source"

    def __init__(self, size, *, fails_at=None, error=None):
        self.data = hashlib.shake_128(b"%d" % size).digest(size)
        self.size = size
        self.opened = self.read = self.closed = self.most = 0
        self._fails_at = fails_at
        self._error = error

    def open(self):
        self.opened += 1
        self.read = 0
        return self

    def readinto(self, buffer):
        if self._fails_at is not None and self.read >= self._fails_at:
            raise self._error
        self.most = max(self.most, len(buffer))
        piece = self.data[self.read : self.read + len(buffer)]
        buffer[: len(piece)] = piece
        self.read += len(piece)
        return len(piece)

    def close(self):
        self.closed += 1

    @property
    def sha256(self):
        return hashlib.sha256(self.data).hexdigest()


class Silent(Content):
    """A source on the network that sends nothing: reading it ends when its connection does."""

    def __init__(self, stop):
        super().__init__(MIB)
        self._ours, self._theirs = socket.socketpair()
        stop.hold(self._ours)
        self.asked = threading.Event()

    def readinto(self, buffer):
        self.asked.set()
        if not self._ours.recv_into(buffer):
            raise VforgeError("the source broke off")
        raise AssertionError("it sends nothing")

    def close(self):
        self._ours.close()
        self._theirs.close()


class Host(Server):
    """An ESXi host.

    :param answers: what it does with each upload: takes it, refuses it (a status), breaks the
        connection off, or waits (does not read the body) until the test is over.
    :ivar bodies: what it was sent, by path.
    :ivar waits: set when it has begun to wait.
    """

    def __init__(self, *answers):
        super().__init__(self._upload)
        self._answers = list(answers)
        self.bodies = {}
        self.waits, self._over = threading.Event(), threading.Event()

    def __exit__(self, *exc):
        self._over.set()
        super().__exit__(*exc)

    def _upload(self, connection, _number):
        answer = self._answers.pop(0) if self._answers else "take"
        if answer == "no handshake":
            self._wait()
            return
        with tls(connection) as stream:
            self._open.append(stream)
            if answer == "break":
                stream.recv(1000)
                return
            if answer == "wait":
                stream.recv(1000)
                self._wait()
                return
            head, _blank, body = read_request(stream).partition(b"\r\n\r\n")
            if not head:
                return  # nothing was asked before the connection was closed
            self.bodies[head.split(b" ")[1].decode()] = body
            stream.sendall(response(b"", answer if answer != "take" else "201 Created"))

    def _wait(self):
        self.waits.set()
        self._over.wait()


class Sending:
    """A sender, and what it said.

    :ivar moved: bytes of progress, in all.
    :ivar digests: of what was sent, by name.
    """

    def __init__(self, host, *, parallel=2, seconds=60.0, check=None):
        self.stop = Stop()
        self.moved = 0
        self.digests = {}
        self._lock = threading.Lock()
        self._host = host
        self._check = check
        self.sender = sending.Sender(
            types.SimpleNamespace(options=nobody(host.port)),
            parallel,
            time.monotonic() + seconds,
            self.stop,
            progress=self._progress,
            check=self._checked,
        )

    def send(self, *sources):
        """Send each source as a disk of its own."""
        self.sender.send([[self.upload(f"disk-{number}", source)] for number, source in enumerate(sources)])

    def upload(self, name, source):
        url = f"https://127.0.0.1:{self._host.port}/{name}"
        return sending.Upload(name, source, lease.Device(name, name, url, impostor_thumbprint(), disk=True))

    def _progress(self, count):
        with self._lock:
            self.moved += count

    def _checked(self, upload, digest):
        if self._check is not None:
            raise self._check
        self.digests[upload.name] = digest


@contextlib.contextmanager
def soon():
    """Whatever runs in the block ends at once, and all threads of it with it."""
    before, begun = set(threading.enumerate()), time.monotonic()
    yield
    assert time.monotonic() - begun < SOON
    ours = [thread for thread in threading.enumerate() if thread not in before and "ThreadPool" in thread.name]
    assert ours == []


def test_every_byte_is_read_once_and_hashed_as_it_is_sent():
    sources = [Content(size) for size in (0, 1, MIB, 2 * MIB + 7)]
    with Host() as host, soon():
        carrying = Sending(host)
        carrying.send(*sources)
    assert [source.read for source in sources] == [source.size for source in sources]
    assert [source.opened for source in sources] == [0, 1, 1, 1]
    assert [source.closed for source in sources] == [0, 1, 1, 1]
    assert host.bodies == {f"/disk-{number}": source.data for number, source in enumerate(sources)}
    assert carrying.digests == {f"disk-{number}": source.sha256 for number, source in enumerate(sources)}
    assert carrying.moved == sum(source.size for source in sources)
    assert carrying.sender.attempts == 1


def test_no_more_is_read_ahead_than_four_parts():
    source = Content(9 * MIB)
    sent = b""
    with sending._Reading(source, "sha256", MIB, lambda _count: None) as reading:
        for part in reading.parts():
            # This one, and three more.
            ahead, end = min(source.size, len(sent) + 4 * MIB), time.monotonic() + 60
            while source.read < ahead and time.monotonic() < end:
                time.sleep(0.001)
            assert source.read == ahead
            sent += part
    assert sent == source.data


@pytest.mark.parametrize(
    ("disks", "parallel", "part"),
    [(1, 4, MIB), (2, 4, MIB), (4, 4, MIB // 2), (9, 2, MIB), (16, 32, MIB // 8), (40, 64, 2**16)],
)
def test_files_that_are_sent_at_the_same_time_share_the_memory(disks, parallel, part):
    sources = [Content(part + 1) for _number in range(disks)]
    with Host() as host, soon():
        Sending(host, parallel=parallel).send(*sources)
    assert {source.most for source in sources} == {part}


def test_a_broken_connection_means_the_file_from_its_start():
    source = Content(3 * MIB)
    with Host("break", "break") as host, soon():
        carrying = Sending(host)
        carrying.send(source)
    assert (source.opened, source.closed) == (3, 3)
    assert host.bodies == {"/disk-0": source.data}
    assert carrying.digests == {"disk-0": source.sha256}
    assert (carrying.moved, carrying.sender.attempts) == (source.size, 3)


@pytest.mark.parametrize("answer", ["break", "507 Insufficient Storage"])
def test_a_host_that_never_takes_it_is_given_up(answer):
    with Host(*[answer] * 4) as host, soon(), pytest.raises(lease.UploadFailed, match="3 attempts"):
        Sending(host).send(Content(MIB))
    assert host.accepted == 3


FAILURE = VforgeError("the disk of this machine is broken")


@pytest.mark.parametrize("fails_at", [0, MIB, 5 * MIB])
def test_an_error_of_reading_ends_the_upload_with_that_error(fails_at):
    source = Content(6 * MIB, fails_at=fails_at, error=FAILURE)
    with Host() as host, soon(), pytest.raises(VforgeError) as caught:
        Sending(host).send(source)
    assert caught.value is FAILURE
    # It is not tried again: the network is not to blame.
    assert (source.opened, source.closed, host.accepted) == (1, 1, 1)


def test_an_error_of_hashing_ends_the_upload_with_that_error(monkeypatch):
    def new(_algorithm, **_how):
        return types.SimpleNamespace(update=update)

    def update(_part):
        raise MemoryError

    monkeypatch.setattr(sending, "hashlib", types.SimpleNamespace(new=new))
    source = Content(6 * MIB)
    with Host() as host, soon(), pytest.raises(MemoryError):
        Sending(host).send(source)
    assert (source.opened, source.closed, host.accepted) == (1, 1, 1)


def test_a_file_that_became_shorter_is_not_sent_to_its_end():
    source = Content(6 * MIB)
    source.size += 1
    with Host() as host, soon():
        carrying = Sending(host)
        with pytest.raises(sending.SourceChanged, match="became shorter"):
            carrying.send(source)
    assert carrying.digests == {}


def test_what_the_check_says_ends_the_others():
    with Host("take", "wait") as host, soon(), pytest.raises(VforgeError) as caught:
        Sending(host, check=FAILURE).send(Content(MIB), Content(MIB + 1))
    assert caught.value is FAILURE


def test_the_first_error_is_reported_and_not_what_came_of_it():
    failing = Content(MIB, fails_at=0, error=FAILURE)
    with Host("wait", "take") as host, soon():
        carrying = Sending(host)
        waiting = Silent(carrying.stop)
        # The first disk waits for its source; what it says when it is broken off does not count.
        real = failing.open
        failing.open = lambda: waiting.asked.wait() and real()
        with pytest.raises(VforgeError) as caught:
            carrying.send(waiting, failing)
    assert caught.value is FAILURE


def test_files_of_one_disk_go_one_after_the_other_and_end_with_the_first_that_fails():
    sources = [Content(1), Content(MIB, fails_at=0, error=FAILURE), Content(3)]
    with Host() as host, soon():
        carrying = Sending(host)
        chain = [carrying.upload(f"file-{number}", source) for number, source in enumerate(sources)]
        with pytest.raises(VforgeError) as caught:
            carrying.sender.send([chain])
    assert caught.value is FAILURE
    assert list(host.bodies) == ["/file-0"]
    assert sources[2].opened == 0


@pytest.mark.parametrize("answer", ["no handshake", "wait"])
def test_a_host_that_does_not_go_on_is_broken_off(answer):
    def break_off():
        host.waits.wait()
        carrying.stop.set()

    with Host(answer) as host:
        carrying = Sending(host)
        breaker = threading.Thread(target=break_off)
        breaker.start()
        with soon(), pytest.raises(lease.Stopped):
            carrying.send(Content(16 * MIB))
        breaker.join()


def test_a_source_that_does_not_go_on_is_broken_off():
    with Host() as host, soon():
        carrying = Sending(host)
        source = Silent(carrying.stop)
        breaker = threading.Thread(target=lambda: source.asked.wait() and carrying.stop.set())
        breaker.start()
        with pytest.raises(VforgeError, match="broke off"):
            carrying.send(source)
        breaker.join()


def test_the_pause_before_the_next_attempt_is_broken_off(monkeypatch):
    pauses = threading.Event()

    class Long(sending.Backoff):
        def pause(self, _now):
            pauses.set()
            return 60.0

    monkeypatch.setattr(sending, "Backoff", Long)
    with Host("break") as host, soon():
        carrying = Sending(host)
        breaker = threading.Thread(target=lambda: pauses.wait() and carrying.stop.set())
        breaker.start()
        with pytest.raises(lease.UploadFailed, match="1 attempts"):
            carrying.send(Content(MIB))
        breaker.join()


@pytest.mark.parametrize("answer", ["no handshake", "wait"])
def test_the_deadline_ends_an_upload_whatever_the_host_does(answer):
    with Host(answer, answer) as host, soon(), pytest.raises(TimedOut):
        Sending(host, seconds=0.5).send(Content(16 * MIB), Content(16 * MIB))


def test_a_signal_ends_all_uploads():
    def kill():
        host.waits.wait()
        os.kill(os.getpid(), signal.SIGTERM)

    with Host("wait", "wait") as host:
        carrying, sources = Sending(host), [Content(16 * MIB), Content(16 * MIB)]
        killer = threading.Thread(target=kill)
        with soon(), _signals.as_interrupts():
            killer.start()
            with pytest.raises(Interrupted):
                carrying.send(*sources)
        killer.join()


def test_a_stop_that_is_cleared_lets_transfers_begin_again():
    source = Content(MIB)
    with Host() as host, soon():
        carrying = Sending(host)
        carrying.stop.set()
        with pytest.raises(lease.Stopped):
            carrying.send(source)
        carrying.stop.clear()
        carrying = Sending(host)
        carrying.send(source)
    assert host.bodies == {"/disk-0": source.data}


@pytest.mark.parametrize(
    ("said", "key", "url", "is_disk"),
    [
        (True, "/vm-1/disk:0", "https://*/nfc/1/a", True),
        (False, "/vm-1/nvram", "https://*/nfc/1/a.nvram", False),
        (None, "/vm-1/VirtualLsiLogicController0:0", "https://*/nfc/1/a", True),
        (None, "/vm-1/disk:0", "https://*/nfc/1/a.vmdk?x=1", True),
        (None, "/vm-1/nvram", "https://*/nfc/1/a.nvram", False),
    ],
)
def test_a_file_of_a_lease_is_a_disk_also_where_vcenter_does_not_say_it(said, key, url, is_disk):
    item = vim.HttpNfcLease.DeviceUrl(key=key, importKey="", url=url, disk=said, sslThumbprint="")
    info = types.SimpleNamespace(
        deviceUrl=[item], totalDiskCapacityInKB=1, leaseTimeout=300, entity=vim.VirtualMachine("vm-1", None)
    )
    assert [device.disk for device in lease._ready(info).devices] == [is_disk]


def test_what_goes_with_the_state_of_a_lease_is_asked_for_where_it_does_not_come_with_it(make_sim, monkeypatch):
    """Nowhere is it promised that changes of two properties come in one update."""
    real = tasks._updates

    def in_parts(part):
        for update in real(part):
            yield dataclasses.replace(update, values={"state": update.values["state"]} if "state" in update.values else {})

    monkeypatch.setattr(tasks, "_updates", in_parts)
    sim = make_sim("--vms", "0", "--parents", "0")
    moid = sim.create_vm("off", on=False)["moid"]
    with session(sim) as known:
        export = lease.export_vm(known, moid)
        assert len(export.wait_until_ready(time.monotonic() + 60).devices) == 1
        sim.fail_leases("HostNotReachable")
        with pytest.raises(Fault) as broken:
            export.wait_until_ready(time.monotonic() + 60)
    assert broken.value.fault == "HostNotReachable"


def test_of_a_chain_the_first_certificate_is_that_of_the_host():
    pem = IMPOSTOR.read_text(encoding="ascii")
    certificate = pem[pem.index("-----BEGIN CERT") :]
    other = certificate.replace("MII", "MIJ", 1)
    assert trust.digest_of(f"\n{certificate}\n{other}\0") == impostor_thumbprint()
    assert trust.digest_of("no certificate") is None


def test_a_sign_of_life_that_is_not_answered_holds_no_signal_up():
    asked, over = threading.Event(), threading.Event()

    def unanswered(_do):
        asked.set()
        over.wait(4 * SOON)

    def struck():
        assert asked.wait(SOON)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(SOON)

    known = lease.Lease(types.SimpleNamespace(retrying=unanswered), None)
    begun = time.monotonic()
    with _signals.as_interrupts(), pytest.raises(Interrupted), known.kept_alive(0.04, lambda: 0, pytest.fail):
        struck()
    assert time.monotonic() - begun < SOON
    over.set()

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of the connector share: options for a simulator, and servers that are no vCenter."""

from __future__ import annotations

import contextlib
import hashlib
import pathlib
import socket
import ssl
import threading
import time
import typing as t

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._connector import find, soap
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.find import TO_VMS
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.options import ConnectionOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.props import collect
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.pyvmomi import vim
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.session import Session
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.tasks import wait_for_tasks
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import ConnectionFailed, VforgeError

# A key and its certificate, made for these tests alone: for impostor.example, localhost and 127.0.0.1.
IMPOSTOR = pathlib.Path(__file__).with_name("impostor.pem")


def impostor_thumbprint() -> str:
    """SHA-256 of that certificate."""
    pem = IMPOSTOR.read_text(encoding="ascii")
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN CERT") :])).hexdigest()


def options(sim: t.Any, **changes: t.Any) -> ConnectionOptions:
    """Options that reach a simulator, without keeping the session."""
    known: dict[str, t.Any] = {
        "hostname": sim.host,
        "port": sim.port,
        "username": sim.username,
        "password": sim.password,
        "ca_path": sim.ca,
        "session_cache": False,
    }
    return ConnectionOptions.from_params({**known, **changes})


def session(sim: t.Any, **changes: t.Any) -> Session:
    """A session with a simulator, to be entered; what it warns of fails the test."""
    return Session(options(sim, **changes), _no_warning)


def failure(known: ConnectionOptions) -> VforgeError:
    """The error of a session that cannot be opened; whatever it is, it keeps the password to itself."""
    with pytest.raises(ConnectionFailed) as caught, Session(known):
        pass
    error = caught.value
    assert known.password not in str(error)
    assert known.password not in repr(error.as_result())
    assert "Traceback" not in str(error)
    assert "\n" not in str(error)
    assert error.hint.endswith(".")
    return error


def nobody(port: int, **changes: t.Any) -> ConnectionOptions:
    """Options for a server of these tests."""
    known: dict[str, t.Any] = {
        "hostname": "127.0.0.1",
        "port": port,
        "username": "u",
        "password": "of-nobody",
        "session_cache": False,
    }
    return ConnectionOptions.from_params({**known, "thumbprint": impostor_thumbprint(), **changes})


def make_vapp(known: Session, name: str, vm: str) -> t.Any:
    """A new vApp in the root pool of the first cluster, with a new VM in it."""
    pool, folder = find.find_entity(known, "/DC0/host/DC0_C0/Resources"), find.find_folder(known, "/DC0/vm")
    share = vim.ResourceAllocationInfo(
        reservation=0, limit=-1, expandableReservation=True, shares=vim.SharesInfo(level="normal", shares=0)
    )
    spec = vim.ResourceConfigSpec(cpuAllocation=share, memoryAllocation=share)
    vapp = pool.CreateVApp(name, spec, vim.vApp.VAppConfigSpec(), folder)
    files = vim.vm.FileInfo(vmPathName="[LocalDS_0]")
    making = vapp.CreateChildVM_Task(vim.vm.ConfigSpec(name=vm, files=files), None)
    assert not wait_for_tasks(known, [making], time.monotonic() + 60, lambda _moid, _end: None)
    return vapp


def _no_warning(message: str) -> None:
    raise AssertionError(f"warned: {message}")


class Server:
    """A TCP server on a free port of this machine, for each connection a thread that runs ``serve(socket)``.

    :ivar port: where it listens.
    :ivar accepted: how many connections there were.
    """

    def __init__(self, serve: t.Callable[[socket.socket, int], None]) -> None:
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.accepted = 0
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Server:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join()

    def _start(self, work: t.Callable[..., None], *args: t.Any) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection = self._listener.accept()[0]
            except OSError:
                return  # the listener was closed: the test is over
            self._open.append(connection)
            self.accepted += 1
            self._start(self._run, connection, self.accepted)

    def _run(self, connection: socket.socket, number: int) -> None:
        # A client that breaks off is what many of these tests are about.
        with contextlib.suppress(OSError):
            self._serve(connection, number)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()


def tls(connection: socket.socket) -> ssl.SSLSocket:
    """The server's side of TLS, with the impostor's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(IMPOSTOR)
    return context.wrap_socket(connection, server_side=True)


def read_request(stream: socket.socket) -> bytes:
    """One HTTP request, head and body; empty when the client has closed before it.

    Raises ConnectionResetError when it has closed in the middle of the body.
    """
    data = b""
    while b"\r\n\r\n" not in data:
        part = stream.recv(65536)
        if not part:
            return b""
        data += part
    head, body = data.split(b"\r\n\r\n", 1)
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while lengths and len(body) < int(lengths[0]):
        part = stream.recv(65536)
        if not part:
            raise ConnectionResetError("the client has broken off in the middle of a body")
        body += part
    return head + b"\r\n\r\n" + body


def response(body: bytes, status: str = "200 OK", kind: str = "text/xml") -> bytes:
    """One HTTP response."""
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def pump(left: socket.socket, right: socket.socket) -> None:
    """Carry bytes between two sockets, both ways, until one side ends."""

    def carry(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    back = threading.Thread(target=carry, args=(right, left), daemon=True)
    back.start()
    carry(left, right)
    back.join()
    right.close()


def plain_vms(known: Session) -> list[t.Any]:
    """All VMs of the inventory."""
    rows = collect(known, [known.content.rootFolder], {vim.VirtualMachine: ("name",)}, TO_VMS)
    return [row.ref for row in rows]


def clone(known: Session, name: str, parent: str = "golden-parent") -> t.Any:
    """Begin an instant clone; returns its task."""
    vm = known.content.searchIndex.FindByInventoryPath(f"DC0/vm/{parent}")
    return vm.InstantClone_Task(vim.vm.InstantCloneSpec(name=name, location=vim.vm.RelocateSpec()))


def impatient(known: Session, method: str, *numbers: int) -> None:
    """Have a session wait no longer than a second for the answers to these calls of a method, counted from 1, as if that were
    its connection_timeout; the others may take as long as a busy machine takes.
    """
    limit, ample, sent = known.limit, known.limit.per_call, 0

    def counted(mo: t.Any, info: t.Any, *args: t.Any) -> t.Any:
        nonlocal sent
        sent += info.wsdlName == method
        if info.wsdlName == method and sent in numbers:
            limit.per_call = 1.0
        try:
            return soap.Stub._invoke(known.stub, mo, info, *args)
        finally:
            limit.per_call = ample

    known.stub._invoke = counted  # type: ignore[method-assign]


def in_round(sim: t.Any, known: Session, number: int, do: t.Callable[[], None]) -> None:
    """Have something done while round ``number`` of waiting (from 1) is under way, which must be one that takes long."""
    begin, begun = known.pace.begin, 0
    before = sim.calls()["by_method"].get("WaitForUpdatesEx", 0)

    def strike() -> None:
        if sim.called("WaitForUpdatesEx", before + number, within=120):
            do()

    def counting(deadline: float) -> bool:
        nonlocal begun
        begun += 1
        if begun == number:
            threading.Thread(target=strike).start()
        return begin(deadline)

    known.pace.begin = counting  # type: ignore[method-assign]

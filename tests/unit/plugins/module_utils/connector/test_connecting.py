# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything that can keep a session from being opened has its own code and one sentence that helps."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._connector import tls as connector_tls
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.rest import RestSession
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.session import Session, _login_failure
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import ConnectionFailed, Fault
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.tags import read_tags
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.connector.support import (
    IMPOSTOR,
    Server,
    failure,
    impostor_thumbprint,
    nobody,
    options,
    pump,
    read_request,
    response,
    session,
    tls,
)
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.ovf.web import Authority


def test_a_vcenter_whose_ca_is_trusted_is_reached(shared_sim):
    with session(shared_sim) as known:
        assert known.about["apiType"] == "VirtualCenter"
        assert known.content.rootFolder is not None


@pytest.mark.parametrize("version", ["6.5", "7.0.3.2", "8.0.3.0"])
def test_it_is_spoken_to_in_the_newest_version_of_both(make_sim, version):
    sim = make_sim("--api-version", version, "--vms", "0", "--parents", "0")
    with session(sim) as known:
        assert known.stub.versionId == f'"urn:vim25/{version}"'
        assert known.about["apiVersion"] == version


def test_an_address_of_ipv6_is_reached(make_sim):
    if not _has_ipv6():
        pytest.skip("this machine has no IPv6")
    sim = make_sim("--listen", "[::1]:0", "--vms", "0", "--parents", "0")
    for host in ("::1", "[::1]"):
        with session(sim, hostname=host, port=sim.port) as known:
            assert known.about["apiType"] == "VirtualCenter"


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


# Certificates


def test_a_ca_that_is_not_trusted(shared_sim):
    error = failure(options(shared_sim, ca_path=str(IMPOSTOR)))
    assert error.error_code == "tls_untrusted_ca"
    assert f"127.0.0.1:{shared_sim.port}" in str(error)
    assert "ca_path" in error.hint


def test_without_a_ca_the_systems_are_asked(shared_sim):
    assert failure(options(shared_sim, ca_path=None)).error_code == "tls_untrusted_ca"


@pytest.mark.parametrize(
    ("kind", "code", "advice"),
    [
        ("expired", "tls_expired_certificate", "clock"),
        ("wrong-host", "tls_wrong_hostname", "hostname"),
        ("self-signed", "tls_untrusted_ca", "thumbprint"),
    ],
)
def test_a_certificate_that_does_not_hold(make_sim, kind, code, advice):
    sim = make_sim("--cert", kind, "--vms", "0", "--parents", "0")
    ca = sim.ca if kind != "self-signed" else None
    error = failure(options(sim, ca_path=ca))
    assert error.error_code == code
    assert advice in error.hint
    # The user may decide to trust it all the same, in either way.
    for change in ({"validate_certs": False, "ca_path": None}, {"thumbprint": sim.thumbprint}):
        with session(sim, **{"ca_path": ca, **change}) as known:
            assert known.about["apiType"] == "VirtualCenter"


# X509_V_ERR_* of OpenSSL's x509_vfy.h.
@pytest.mark.parametrize(
    ("codes", "error_code", "said"),
    [
        ((9, 10), "tls_expired_certificate", "is not valid at this time (no)"),
        ((62, 64), "tls_wrong_hostname", "is for another name (no)"),
        ((2, 18, 19, 20, 21, 27), "tls_untrusted_ca", "is not signed by a trusted authority (no)"),
        ((80, 85, 93), "tls_bad_certificate", "is not as RFC 5280 wants it (no)"),
        ((1, 7, 23, 26, 63, 79, 94), "tls_bad_certificate", "does not pass verification (no)"),
    ],
)
def test_why_a_certificate_is_not_trusted(codes, error_code, said):
    for code in codes:
        cause = ssl.SSLCertVerificationError("no")
        cause.verify_code, cause.verify_message = code, "no"
        error = connector_tls.failure(cause, nobody(443))
        assert (error.error_code, said in error.message) == (error_code, True), code
        assert connector_tls.is_of_unknown_authority(cause) == (error_code == "tls_untrusted_ca")


def test_a_certificate_that_is_refused_for_another_reason():
    cause = ssl.SSLCertVerificationError(1, "certificate verify failed")
    cause.verify_code, cause.verify_message = 66, "EE certificate key too weak"
    error = connector_tls.failure(cause, nobody(443))
    assert error.error_code == "tls_bad_certificate"
    assert "key too weak" in str(error)


@pytest.mark.parametrize(("identifiers", "code"), [(True, ""), (False, "tls_bad_certificate")])
def test_a_certificate_that_only_python_3_13_and_later_refuse(identifiers, code, tmp_path):
    ca = Authority.make()
    serving = ca.context(tmp_path, identifiers=identifiers)
    asking = connector_tls.by_authority(str(ca.pem(tmp_path / "ca.pem")), "ca_path")
    asking.verify_flags |= ssl.VERIFY_X509_STRICT  # older ones have it off
    refused = _handshake(asking, serving)
    assert (refused is not None) == bool(code)
    if refused is not None:
        error = connector_tls.failure(refused, nobody(443))
        assert error.error_code == code
        assert "(Missing Authority Key Identifier), on which Python insists from 3.13 on" in error.message
        assert "certificate_info" in error.hint


def _handshake(asking: ssl.SSLContext, serving: ssl.SSLContext) -> ssl.SSLError | None:
    """What a client refuses of a server."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = asking.wrap_bio(back, there, server_hostname="127.0.0.1")
    server = serving.wrap_bio(there, back, server_side=True)
    try:
        for side in (client, server) * 3:
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    except ssl.SSLCertVerificationError as error:
        return error
    assert client.version()
    return None


@pytest.mark.parametrize(
    ("reason", "said", "advice"),
    [
        ("UNSUPPORTED_PROTOCOL", "speaks no TLS 1.2", "Switch TLS 1.2 on"),
        ("TLSV1_ALERT_PROTOCOL_VERSION", "speaks no TLS 1.2", "Switch TLS 1.2 on"),
        ("DH_KEY_TOO_SMALL", "too weak", "longer key"),
        ("CA_MD_TOO_WEAK", "too weak", "newer algorithms"),
        ("UNEXPECTED_EOF_WHILE_READING", "handshake", "port"),
    ],
)
def test_a_handshake_that_fails_says_at_which_end_something_is_to_be_done(reason, said, advice):
    cause = ssl.SSLError(1, "handshake failed")
    cause.reason = reason
    error = connector_tls.failure(cause, nobody(443))
    assert error.error_code == "tls_handshake"
    assert said in error.message
    assert f"({reason})" in error.message
    assert advice in error.hint


def test_a_certificate_that_is_not_the_pinned_one(shared_sim):
    error = failure(options(shared_sim, thumbprint=impostor_thumbprint()))
    assert error.error_code == "tls_wrong_thumbprint"
    # The user can compare it with what the vCenter shows.
    assert shared_sim.thumbprint in str(error)


def test_a_pinned_certificate_is_checked_even_where_verification_is_switched_off(shared_sim):
    known = options(shared_sim, thumbprint=impostor_thumbprint(), validate_certs=False)
    assert failure(known).error_code == "tls_wrong_thumbprint"


def test_a_pinned_certificate_needs_no_ca(shared_sim):
    with session(shared_sim, ca_path=None, thumbprint=shared_sim.thumbprint.lower()) as known:
        assert known.about["apiType"] == "VirtualCenter"


def test_the_context_still_verifies_after_a_refusal(shared_sim):
    """A refusal must not make later connections of the same stub unchecked."""
    known = options(shared_sim, ca_path=str(IMPOSTOR))
    opened = Session(known)
    for attempt in ("first", "second"):
        with pytest.raises(ConnectionFailed) as caught:
            opened.__enter__()
        assert caught.value.error_code == "tls_untrusted_ca", attempt


@pytest.mark.parametrize("content", [None, b"", b"no certificate\n"])
def test_a_ca_file_that_cannot_be_used(shared_sim, tmp_path, content):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    error = failure(options(shared_sim, ca_path=str(path)))
    assert error.error_code == "tls_ca_file"
    assert str(path) in str(error)


def test_a_directory_in_place_of_a_ca_file(shared_sim, tmp_path):
    assert failure(options(shared_sim, ca_path=str(tmp_path))).error_code == "tls_ca_file"


def test_who_gives_a_ca_file_has_the_certificate_verified_whatever_the_environment_says(shared_sim):
    assert failure(options(shared_sim, ca_path="/nonexistent", validate_certs=False)).error_code == "tls_ca_file"
    refused = failure(options(shared_sim, ca_path=str(IMPOSTOR), validate_certs=False))
    assert refused.error_code == "tls_untrusted_ca"
    with session(shared_sim, ca_path=None, validate_certs=False) as known:
        assert known.about["apiType"] == "VirtualCenter"


# Impostors


def test_an_impostor_on_the_second_connection_gets_no_byte(shared_sim):
    """Each connection of the pool is checked by itself, before anything is sent over it."""
    heard: list[bytes] = []
    done = threading.Event()

    def serve(connection, number):
        if number == 1:
            pump(connection, socket.create_connection((shared_sim.host, shared_sim.port)))
            return
        try:
            with tls(connection) as stream:
                heard.append(stream.recv(65536))
        finally:
            done.set()

    with Server(serve) as proxy, session(shared_sim, port=proxy.port, thumbprint=shared_sim.thumbprint) as known:
        first = known.stub.GetConnection()  # the only one that leads to the vCenter is taken
        with pytest.raises(ConnectionFailed) as caught:
            known.content.searchIndex.FindByInventoryPath("DC0")
        known.stub.ReturnConnection(first)
        assert done.wait(300)
        assert known.content.searchIndex.FindByInventoryPath("DC0") is not None
    assert caught.value.error_code == "tls_wrong_thumbprint"
    assert heard in ([], [b""])


def test_an_impostor_after_verification_by_ca_gets_no_byte(shared_sim):
    heard: list[bytes] = []
    done = threading.Event()

    def serve(connection, _number):
        try:
            with tls(connection) as stream:
                heard.append(stream.recv(65536))
        finally:
            done.set()

    with Server(serve) as impostor:
        error = failure(options(shared_sim, port=impostor.port))
        assert done.wait(300)
    assert error.error_code == "tls_untrusted_ca"
    assert heard in ([], [b""])


# Networks


def test_a_port_that_speaks_plain_http(shared_sim):
    port = int(shared_sim.control.rsplit(":", 1)[1])
    error = failure(options(shared_sim, port=port))
    assert error.error_code == "tls_plain_port"
    assert "443" in error.hint


def test_a_port_that_greets_in_plain_text():
    def serve(connection, _number):
        connection.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")
        connection.recv(65536)

    with Server(serve) as server:
        assert failure(nobody(server.port)).error_code == "tls_plain_port"


def test_a_port_where_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = failure(nobody(port))
    assert error.error_code == "unreachable"
    assert "refused" in str(error)


def test_a_server_that_hangs_up_in_the_handshake():
    def serve(connection, _number):
        connection.recv(5)

    with Server(serve) as server:
        assert failure(nobody(server.port)).error_code in ("unreachable", "tls_handshake")


def test_a_name_that_cannot_be_resolved():
    error = connector_tls.failure(socket.gaierror(socket.EAI_NONAME, "Name or service not known"), nobody(443))
    assert error.error_code == "unknown_host"
    assert "127.0.0.1" in str(error)


@pytest.mark.parametrize("shakes_hands", [False, True])
def test_a_server_that_accepts_and_never_answers(shakes_hands):
    over = threading.Event()

    def serve(connection, _number):
        stream = tls(connection) if shakes_hands else connection
        with stream:
            stream.recv(65536)
            over.wait()

    with Server(serve) as server:
        try:
            error = failure(nobody(server.port, connection_timeout=1))
        finally:
            over.set()
    assert error.error_code == "connection_timeout"
    assert "1 s" in str(error)
    assert "connection_timeout" in error.hint


def test_a_vcenter_that_stops_answering_is_a_time_out_too(make_sim):
    sim = make_sim("--vms", "0", "--parents", "0")
    sim.inject(method="Login", do="delay")
    error = failure(options(sim, connection_timeout=5))
    assert error.error_code == "connection_timeout"
    assert "Login" in str(error)


# Proxies


def test_a_proxy_is_asked_to_connect(shared_sim):
    asked: list[bytes] = []

    def serve(connection, _number):
        asked.append(read_request(connection))
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        pump(connection, socket.create_connection((shared_sim.host, shared_sim.port)))

    with Server(serve) as proxy, session(shared_sim, proxy_host="127.0.0.1", proxy_port=proxy.port) as known:
        assert known.about["apiType"] == "VirtualCenter"
    assert asked[0].startswith(f"CONNECT 127.0.0.1:{shared_sim.port} HTTP/1.".encode())
    # A certificate is checked for the vCenter's name, not the proxy's, and the proxy sees nothing of the session.
    assert all(b"vmware_soap_session" not in request for request in asked)


def test_a_proxy_is_asked_for_an_address_of_ipv6_in_brackets(make_sim):
    if not _has_ipv6():
        pytest.skip("this machine has no IPv6")
    sim = make_sim("--listen", "[::1]:0", "--vms", "0", "--parents", "0")
    asked: list[bytes] = []

    def serve(connection, _number):
        asked.append(read_request(connection))
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        pump(connection, socket.create_connection(("::1", sim.port)))

    with Server(serve) as proxy:
        known = options(sim, hostname="::1", proxy_host="127.0.0.1", proxy_port=proxy.port)
        # The certificate is checked for the address as it is, without brackets.
        with Session(known, pytest.fail) as opened:
            assert opened.about["apiType"] == "VirtualCenter"
    assert asked[0].startswith(f"CONNECT [::1]:{sim.port} HTTP/1.".encode())


@pytest.mark.parametrize(
    ("hostname", "name", "trust"),
    [
        ("fd00::7", b"[fd00::7]", {}),
        # The dot says that the name is whole; no certificate has it.
        ("localhost.", b"localhost", {"thumbprint": None, "ca_path": str(IMPOSTOR)}),
        ("zürich.example", b"xn--zrich-kva.example", {}),
    ],
)
def test_names_are_sent_and_checked_as_certificates_have_them(hostname, name, trust):
    asked: list[bytes] = []

    def serve(connection, _number):
        asked.append(read_request(connection))
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with tls(connection) as stream:
            asked.append(read_request(stream))
            stream.sendall(response(b"no", "403 Forbidden"))

    with Server(serve) as proxy:
        known = nobody(443, hostname=hostname, proxy_host="127.0.0.1", proxy_port=proxy.port, **trust)
        assert failure(known).error_code == "not_a_vcenter"
    assert asked[0].startswith(b"CONNECT " + name + b":443 ")
    assert b"\r\nHost: " + name + b":443\r\n" in asked[0]
    assert b"\r\nHost: " + name + b"\r\n" in asked[1]


def test_behind_a_proxy_certificates_are_checked_all_the_same(shared_sim):
    def serve(connection, _number):
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        pump(connection, socket.create_connection((shared_sim.host, shared_sim.port)))

    with Server(serve) as proxy:
        known = options(shared_sim, proxy_host="127.0.0.1", proxy_port=proxy.port, ca_path=str(IMPOSTOR))
        assert failure(known).error_code == "tls_untrusted_ca"
        known = options(shared_sim, proxy_host="127.0.0.1", proxy_port=proxy.port, thumbprint=impostor_thumbprint())
        assert failure(known).error_code == "tls_wrong_thumbprint"


@pytest.mark.parametrize("status", ["403 Forbidden", "407 Proxy Authentication Required", "502 Bad Gateway"])
def test_a_proxy_that_refuses(shared_sim, status):
    def serve(connection, _number):
        read_request(connection)
        connection.sendall(response(b"no", status))

    with Server(serve) as proxy:
        error = failure(options(shared_sim, proxy_host="127.0.0.1", proxy_port=proxy.port))
    assert error.error_code == "proxy_refused"
    assert status in str(error)
    assert ("without" in error.hint) == status.startswith("407")
    assert f"127.0.0.1:{proxy.port}" in str(error)


def test_a_proxy_that_sends_a_byte_now_and_then_does_not_draw_the_connecting_out():
    over = threading.Event()

    def serve(connection, _number):
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not over.wait(0.1):
            connection.sendall(b"x")

    with Server(serve) as proxy:
        begun = time.monotonic()
        error = failure(nobody(443, hostname="vc.example", proxy_host="127.0.0.1", proxy_port=proxy.port, connection_timeout=1))
        took = time.monotonic() - begun
        over.set()
    assert error.error_code == "connection_timeout"
    assert f"through the proxy 127.0.0.1:{proxy.port}" in error.message
    assert took < 300


def test_a_proxy_that_is_none(shared_sim):
    def serve(connection, _number):
        connection.recv(65536)
        connection.sendall(b"220 mail.example ESMTP\r\n")

    with Server(serve) as proxy:
        error = failure(options(shared_sim, proxy_host="127.0.0.1", proxy_port=proxy.port))
    assert error.error_code == "unreachable"
    assert "through the proxy" in str(error)


def test_a_proxy_that_is_not_there(shared_sim):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = failure(options(shared_sim, proxy_host="127.0.0.1", proxy_port=port))
    assert error.error_code == "unreachable"
    assert f"through the proxy 127.0.0.1:{port}" in str(error)


# Logins


def test_a_wrong_password(shared_sim):
    error = failure(options(shared_sim, password="of-nobody"))  # noqa: S106
    assert error.error_code == "wrong_credentials"
    assert shared_sim.username in str(error)
    assert "username" in error.hint


def test_an_unknown_user(shared_sim):
    assert failure(options(shared_sim, username="nobody@vsphere.local")).error_code == "wrong_credentials"


@pytest.mark.parametrize("name", ["o'brien@vsphere.local", "LAB\\zoë", 'a<b>&"c"@vsphere.local'])
def test_a_user_and_a_password_of_any_characters(shared_sim, name):
    password = f"]]>&amp;<ä€\U0001f511> 'of' \"{name}\""
    shared_sim.add_user(name, password)
    known = options(shared_sim, username=name, password=password)
    with Session(known, pytest.fail) as opened:
        assert opened.content.sessionManager is not None
    with RestSession(known, pytest.fail) as rest:
        assert read_tags(rest) == {}


def test_a_locked_account(shared_sim):
    shared_sim.add_user("locked@vsphere.local", "secret-of-locked", locked=True)
    error = failure(options(shared_sim, username="locked@vsphere.local", password="secret-of-locked"))  # noqa: S106
    assert error.error_code == "account_locked"
    assert "locked@vsphere.local" in str(error)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("User account is locked. Please contact your administrator.", "account_locked"),
        ("Locked out", "account_locked"),
        ("Cannot complete login of blocked-svc due to an incorrect user name or password.", "wrong_credentials"),
    ],
)
def test_an_account_is_locked_where_vcenter_says_so(words, code):
    assert _login_failure(Fault("InvalidLogin", "invalid_login", words), nobody(443)).error_code == code


def test_a_login_that_is_refused_for_another_reason(shared_sim):
    shared_sim.inject(method="Login", do="fault", fault="PasswordExpired")
    assert failure(options(shared_sim)).error_code == "password_expired"
    shared_sim.inject(method="Login", do="fault", fault="NoPermission")
    assert failure(options(shared_sim)).error_code == "login_refused"

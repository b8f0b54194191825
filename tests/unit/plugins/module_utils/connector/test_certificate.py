# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What certificate a server shows, read without trusting it."""

from __future__ import annotations

import dataclasses
import hashlib
import socket
import ssl
import threading
import time
import types

import pytest

from ansible_collections.vforge.vsphere.plugins.action import certificate_info as action
from ansible_collections.vforge.vsphere.plugins.module_utils._connector import certificate
from ansible_collections.vforge.vsphere.plugins.module_utils._connector import tls as tls_contexts
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.options import ConnectionOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import ConnectionFailed, InvalidOption, MissingLibrary
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.connector.support import (
    IMPOSTOR,
    Server,
    nobody,
    read_request,
    tls,
)

NOBODY = {"username": "-", "password": "-"}


@pytest.fixture
def server(shared_sim):
    """The way to the simulator, as the action plugin has it."""
    return ConnectionOptions(hostname=shared_sim.host, port=shared_sim.port, connection_timeout=20, **NOBODY)


def _shown(options):
    return certificate.shown(options, time.monotonic() + 20)


def test_thumbprints_and_pem_are_those_of_the_certificate_and_it_is_not_trusted_by_being_read(server):
    pem = ssl.get_server_certificate((server.hostname, server.port))
    der = ssl.PEM_cert_to_DER_cert(pem)
    found = _shown(server)
    assert found.pem == pem
    assert found.thumbprint("sha256").replace(":", "").lower() == hashlib.sha256(der).hexdigest()
    assert found.thumbprint("sha1").replace(":", "").lower() == hashlib.sha1(der, usedforsecurity=False).hexdigest()
    assert found.distrust is not None
    assert found.distrust.error_code == "tls_untrusted_ca"


def test_its_own_authority_makes_it_trusted(server, shared_sim):
    assert _shown(dataclasses.replace(server, ca_path=shared_sim.ca)).distrust is None


def test_what_it_says_of_itself(server, shared_sim):
    said = certificate.details(_shown(server).der)
    assert shared_sim.host in said["names"]
    assert said["not_before"] < said["not_after"]
    assert said["subject"].startswith("CN=") or "CN=" in said["subject"]
    assert said["issuer"] != said["subject"]


def test_without_cryptography_it_says_so(monkeypatch):
    monkeypatch.setattr(certificate, "x509", None)
    with pytest.raises(MissingLibrary, match="cryptography"):
        certificate.details(b"")


def test_a_cryptography_that_is_too_old_is_called_that(monkeypatch):
    monkeypatch.setattr(certificate, "x509", types.SimpleNamespace(Certificate=object))
    with pytest.raises(MissingLibrary, match="cryptography 45 or later"):
        certificate.details(b"")


def test_a_certificate_of_a_version_that_there_is_not_is_refused():
    pem = IMPOSTOR.read_text(encoding="ascii")
    der = ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN CERT") :])
    third = b"\xa0\x03\x02\x01\x02"
    assert third in der
    with pytest.raises(ConnectionFailed, match="cannot be read") as caught:
        certificate.details(der.replace(third, b"\xa0\x03\x02\x01\x04", 1))
    assert caught.value.error_code == "tls_bad_certificate"


def test_the_option_is_named_as_the_module_has_it():
    for host, said in (("", "option host is empty"), ("https://server.example", "host https://server.example is a URL")):
        with pytest.raises(InvalidOption) as caught:
            action._options({"host": host, "timeout": 60})
        assert said in str(caught.value)
        assert caught.value.details["option"] == "host"
        assert "hostname" not in str(caught.value)
        assert "VMWARE_HOST" not in str(caught.value)


def test_what_a_proxy_says_tells_a_terminal_nothing():
    error = ConnectionFailed("proxy_refused", "The proxy refused (403 \x9b31m).")
    done = action.ActionModule.refused(None, {"changed": False}, error)
    assert done == {"changed": False, "failed": True, "error_code": "proxy_refused", "msg": "The proxy refused (403 \\x9b31m)."}


def test_what_is_no_certificate_is_refused():
    with pytest.raises(ConnectionFailed, match="cannot be read") as caught:
        certificate.details(b"no certificate")
    assert caught.value.error_code == "tls_bad_certificate"


def test_a_server_without_tls_says_so():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        options = ConnectionOptions(hostname="127.0.0.1", port=listener.getsockname()[1], connection_timeout=20, **NOBODY)

        def answer():
            client, _address = listener.accept()
            with client:
                client.recv(100)
                client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(ConnectionFailed) as caught:
            _shown(options)
        thread.join()
    assert caught.value.error_code == "tls_plain_port"


def test_nothing_is_sent_behind_the_handshake(server, shared_sim):
    shared_sim.reset_calls()
    _shown(dataclasses.replace(server, ca_path=shared_sim.ca))
    assert shared_sim.calls()["by_method"] == {}


def test_the_thumbprints_of_a_vcenter_are_those_of_the_certificate_that_was_checked(server, shared_sim):
    found = certificate.thumbprints(dataclasses.replace(server, ca_path=shared_sim.ca))
    shown = _shown(server)
    assert found == {name: shown.thumbprint(name) for name in ("sha1", "sha256")}
    with pytest.raises(ConnectionFailed) as raised:
        certificate.thumbprints(server)
    assert raised.value.error_code == "tls_untrusted_ca"


def test_thumbprints_that_come_byte_by_byte_are_not_waited_for():
    ended = threading.Event()

    def drip(connection, _number):
        stream = tls(connection)
        read_request(stream)
        while not ended.wait(0.1):
            stream.sendall(b"H")

    with Server(drip) as server:
        begun = time.monotonic()
        with pytest.raises(ConnectionFailed) as raised:
            certificate.thumbprints(nobody(server.port, connection_timeout=1))
        ended.set()
    assert raised.value.error_code == "connection_timeout"
    assert time.monotonic() - begun < 15


def test_the_names_and_dates_of_a_certificate():
    said = certificate.details(ssl.PEM_cert_to_DER_cert(_pem_of(IMPOSTOR)))
    assert said["names"] == ["impostor.example", "localhost", "127.0.0.1"]
    assert said["subject"] == said["issuer"] == "CN=impostor.example"


def _pem_of(path):
    text = path.read_text(encoding="ascii")
    return text[text.index("-----BEGIN CERT") :]


def test_the_digest_that_pins_a_certificate_is_of_the_first_in_a_text():
    pem = _pem_of(IMPOSTOR)
    der = ssl.PEM_cert_to_DER_cert(pem)
    assert tls_contexts.digest_of(f"of the host\n{pem}{pem[:64]}") == hashlib.sha256(der).hexdigest()


@pytest.mark.parametrize("text", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n"])
def test_a_text_that_has_no_certificate_has_no_digest(text):
    assert tls_contexts.digest_of(text) is None

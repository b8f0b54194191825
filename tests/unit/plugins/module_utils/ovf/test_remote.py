# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packages on web servers: TLS, credentials, redirections, ranges, and connections that break."""

from __future__ import annotations

import base64
import ssl
import time

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._connector.web import NotConnected
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import TimedOut
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf import identity, websource
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.blobs import PackageError, whole
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.identity import DigestCache, Digester
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.package import open_package
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.websource import Web, WebAccess, parse_url
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.ovf.support import Made, content

BIG = 1_500_000


@pytest.fixture
def folder(tmp_path):
    """A folder to serve, with an OVA and an OVF of two disks in it."""
    path = tmp_path / "served"
    path.mkdir()
    made = Made(disks={"a.vmdk": content(BIG), "b.vmdk": content(BIG, 2)})
    made.ova(path)
    made.ovf(path)
    return path


def refused(url, access):
    with pytest.raises(PackageError) as raised:
        open_package(url, access)
    return raised.value


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("name", ["web.ova", "web.ovf"])
def test_a_package_is_read_from_where_it_is(folder, serve, ranges, name):
    server = serve(folder)
    server.behaviour.ranges = ranges
    package = open_package(f"{server.url}/{name}", WebAccess(ca_path=serve.ca))
    assert {href: whole(blob, 2**21) for href, blob in package.files.items()} == {
        "a.vmdk": content(BIG),
        "b.vmdk": content(BIG, 2),
    }


def test_the_identity_of_a_package_with_a_manifest_needs_no_byte_of_a_disk(folder, serve):
    server = serve(folder)
    package = open_package(f"{server.url}/web.ova", WebAccess(ca_path=serve.ca))
    digester = Digester(DigestCache(None, print), always=False, show=lambda *_: None)
    remote = identity.identify(package, digester)
    assert digester.read == 0
    # To see what it is, its first headers, the header behind each disk, the descriptor, the manifest.
    assert len(server.requests) == 6
    local = identity.identify(open_package(str(folder / "web.ova"), WebAccess()), digester, everything=True)
    assert remote.digest == local.digest
    assert (set(remote.read), set(local.read)) == (set(), {"a.vmdk", "b.vmdk"})


def test_a_server_whose_certificate_nobody_vouches_for_gets_no_request(folder, serve):
    server = serve(folder)
    error = refused(f"{server.url}/web.ova", WebAccess())
    assert error.error_code == "source_untrusted"
    assert server.requests == []
    assert open_package(f"{server.url}/web.ova", WebAccess(validate_certs=False)).packed


@pytest.mark.parametrize(
    ("code", "words", "advice"),
    [(20, "unable to get local issuer certificate", "source_ca_path"), (10, "certificate has expired", "put right")],
)
def test_a_certificate_that_is_refused_is_reported_with_what_would_help(code, words, advice):
    cause = ssl.SSLCertVerificationError(1, "certificate verify failed")
    cause.verify_code, cause.verify_message = code, words
    error = websource._unreachable("https://images.example/web.ova", NotConnected("refused", cause))
    assert error.error_code == "source_untrusted"
    assert words in error.message
    assert advice in error.hint


@pytest.mark.parametrize(("status", "advice"), [(401, "source_username"), (403, "source_headers"), (407, "http_proxy")])
def test_where_a_server_wants_a_login_the_hint_says_how(status, advice):
    error = websource._refused("http://images.example/web.ova", status, "No")
    assert (error.error_code, error.details["status"]) == ("source_refused", status)
    assert advice in error.hint
    assert ("source_username" in error.hint) == (status != 407)


def test_basic_authentication_and_headers(folder, serve):
    server = serve(folder)
    server.behaviour.authorization = "Basic " + base64.b64encode(b"builder:pass:word").decode()
    assert refused(f"{server.url}/web.ovf", WebAccess(ca_path=serve.ca)).details["status"] == 401
    access = WebAccess("builder", "pass:word", {"X-Team": "images"}, serve.ca)
    assert "pass:word" not in repr(access)
    open_package(f"{server.url}/web.ovf", access)
    assert all(headers["X-Team"] == "images" for _path, _range, headers in server.requests[1:])


def test_a_redirection_carries_credentials_to_nobody_else(folder, serve):
    first, second = serve(folder), serve(folder)
    first.behaviour.redirect = {"/go.ova": f"{second.url}/web.ova", "/here.ova": "/web.ova"}
    access = WebAccess("builder", "secret", {"X-Token": "secret"}, serve.ca)
    assert open_package(f"{first.url}/go.ova", access).packed
    assert second.requests
    for _path, _range, headers in second.requests:
        assert "secret" not in str(headers.values())
        assert "Authorization" not in headers
        assert headers["Range"].startswith("bytes=")
    open_package(f"{first.url}/here.ova", access)
    assert first.requests[-1][2]["X-Token"] == "secret"


@pytest.mark.parametrize("target", ["http://127.0.0.1:9/web.ova", "file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_a_redirection_out_of_tls_is_refused(folder, serve, target):
    server = serve(folder)
    server.behaviour.redirect = {"/go.ova": target}
    assert refused(f"{server.url}/go.ova", WebAccess(ca_path=serve.ca)).error_code == "source_refused"


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_goes_on_after_its_connection_broke(folder, serve, ranges):
    server = serve(folder)
    server.behaviour.ranges = ranges
    package = open_package(f"{server.url}/web.ova", WebAccess(ca_path=serve.ca))
    server.behaviour.break_after, server.behaviour.breaks = 700_000 if ranges else 2_500_000, 2
    assert whole(package.files["b.vmdk"], 2**21) == content(BIG, 2)
    assert server.behaviour.breaks == 0


def test_a_server_that_always_breaks_off_is_given_up(folder, serve):
    server = serve(folder)
    package = open_package(f"{server.url}/web.ova", WebAccess(ca_path=serve.ca))
    server.behaviour.break_after, server.behaviour.breaks = 0, 10**6
    with pytest.raises(PackageError, match="breaks off after"):
        whole(package.files["b.vmdk"], 2**21)


def test_a_file_that_is_exchanged_while_it_is_read_is_noticed(folder, serve):
    server = serve(folder)
    package = open_package(f"{server.url}/web.ova", WebAccess(ca_path=serve.ca))
    (folder / "web.ova").write_bytes((folder / "web.ova").read_bytes()[:-1] + b"x")
    with pytest.raises(PackageError) as raised:
        whole(package.files["b.vmdk"], 2**21)
    assert raised.value.error_code == "source_changed"


def test_addresses_in_messages_hold_no_secret(folder, serve):
    server = serve(folder)
    error = refused(f"{server.url}/missing.ova?signature=very-secret", WebAccess(ca_path=serve.ca))
    assert error.error_code == "source_missing"
    assert "very-secret" not in str(error)
    error = refused("https://builder:very-secret@images.example/web.ova", WebAccess())
    assert "source_username" in str(error)
    assert "very-secret" not in str(error)


def test_plain_http_is_possible(folder, serve):
    assert open_package(f"{serve(folder, tls=False).url}/web.ova", WebAccess()).packed


def test_what_the_server_is_named_by_can_be_pinned_for_a_host(folder, serve):
    package = open_package(f"{serve(folder).url}/web.ova", WebAccess(ca_path=serve.ca))
    assert package.source.certificate[:1] == b"\x30"
    package = open_package(f"{serve(folder, tls=False).url}/web.ova", WebAccess())
    assert package.source.certificate is None


@pytest.mark.parametrize("url", ["http://user:hunter2@[foo", "https://127.0.0.1:1/b\xfccher-hunter2.ova"])
def test_what_is_no_address_is_refused_without_showing_it(url):
    with pytest.raises(PackageError) as caught:
        parse_url(url)
    assert caught.value.error_code == "invalid_source"
    assert "hunter2" not in str(caught.value)


def test_a_host_name_that_is_too_long_cannot_be_read():
    with pytest.raises(PackageError) as caught:
        Web(WebAccess()).get(f"http://{300 * 'a'}/x.ova")
    assert caught.value.error_code == "source_unreadable"


@pytest.mark.parametrize("how", ["silent", "trickle"])
@pytest.mark.parametrize("name", ["web.ova", "web.ovf"])
def test_a_slow_server_is_waited_for_until_the_deadline_of_the_task(folder, serve, name, how):
    server = serve(folder)
    setattr(server.behaviour, how, True)
    access = WebAccess("builder", "hunter2", {"X-Token": "hunter2"}, serve.ca, deadline=time.monotonic() + 1)
    with pytest.raises(TimedOut) as caught:
        open_package(f"{server.url}/{name}?signature=hunter2", access)
    assert f"{server.url}/{name}" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_disk_that_comes_slowly_is_read_until_the_deadline_of_the_task(folder, serve):
    server = serve(folder)
    package = open_package(f"{server.url}/web.ova", WebAccess(ca_path=serve.ca, deadline=time.monotonic() + 5))
    server.behaviour.trickle = True
    with pytest.raises(TimedOut, match=r"web\.ova"):
        whole(package.files["b.vmdk"], 2**21)


def test_a_file_of_this_machine_is_read_until_the_deadline_of_the_task(folder):
    with pytest.raises(TimedOut, match=r"web\.ova"):
        open_package(str(folder / "web.ova"), WebAccess(deadline=time.monotonic()))


def test_what_is_remembered_of_a_file_holds_no_secret_of_its_address(folder, serve):
    server = serve(folder)
    package = open_package(f"{server.url}/web.ova?signature=hunter2", WebAccess(ca_path=serve.ca))
    other = open_package(f"{server.url}/web.ova?signature=another", WebAccess(ca_path=serve.ca))
    assert "hunter2" not in package.source.key
    assert package.source.key != other.source.key

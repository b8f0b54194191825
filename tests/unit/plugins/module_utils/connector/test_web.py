# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP that is not SOAP: what is trusted, who gets credentials, and that every wait ends."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._connector import adapter, tls, web
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.web import (
    Broken,
    Client,
    Clock,
    Late,
    NotConnected,
    RedirectionRefused,
    Stop,
    TransferRefused,
)
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import ConnectionFailed, ConnectionLost, MissingLibrary
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.connector.support import (
    IMPOSTOR,
    Server,
    impostor_thumbprint,
    nobody,
    pump,
    read_request,
    response,
)
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.connector.support import tls as under_tls

# How long the waits of these tests may take at the most; those without an end would take much longer.
SECONDS = 2.0
MUCH_LONGER = 60.0


def answers(*replies, secure=False):
    """A server that answers each request, which it keeps, with the next of its ``replies``."""

    def serve(connection, _number):
        stream = under_tls(connection) if secure else connection
        server._open.append(stream)  # a client that keeps its connection does not keep the server from ending
        while request := read_request(stream):
            server.requests.append(request.decode("latin-1"))
            stream.sendall(server.replies.pop(0))

    server = Server(serve)
    server.requests = []
    server.replies = list(replies)
    return server


def redirect(location, status="302 Found"):
    return f"HTTP/1.1 {status}\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


def client(*, context=None, seconds=MUCH_LONGER, silence=MUCH_LONGER, **how):
    return Client(context or tls.pinned(impostor_thumbprint()), Clock(silence, time.monotonic() + seconds), **how)


def fetch(known, url, credentials=None):
    answer = known.get(url, {"Accept-Encoding": "identity"}, credentials or {})
    data = answer.read()
    answer.close()
    return data


@pytest.fixture
def no_proxies(monkeypatch):
    """Whatever the environment of the test says."""
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


# Trust.


@pytest.mark.parametrize("pin", ["sha256", "wrong"])
def test_a_pin_holds_on_every_connection(pin):
    context = tls.pinned(impostor_thumbprint() if pin == "sha256" else "0" * 64)
    with answers(*[response(b"data")] * 3, secure=True) as server:
        for _time in range(3):
            known = client(context=context)
            if pin == "sha256":
                assert fetch(known, f"https://127.0.0.1:{server.port}/x") == b"data"
            else:
                with pytest.raises(NotConnected) as caught:
                    fetch(known, f"https://127.0.0.1:{server.port}/x")
                assert isinstance(caught.value.cause, tls.ThumbprintMismatch)
        assert len(server.requests) == (3 if pin == "sha256" else 0)


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_environment_adds_nothing_to_what_is_trusted(monkeypatch, name):
    """Requests takes CA bundles from the environment, and has one of its own; the certificate is in both here."""
    monkeypatch.setenv(name, str(IMPOSTOR))
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(IMPOSTOR))
    known = client(context=tls.by_authority(None, "ca_path"))
    with answers(response(b"data"), secure=True) as server, pytest.raises(NotConnected) as caught:
        fetch(known, f"https://localhost:{server.port}/x")
    assert "certificate verify failed" in str(caught.value.cause)


def test_the_environment_does_not_switch_on_what_is_switched_off(monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", os.devnull)
    with answers(response(b"data"), secure=True) as server:
        assert fetch(client(context=tls.unchecked()), f"https://127.0.0.1:{server.port}/x") == b"data"


def test_an_authority_and_the_name_are_checked():
    with answers(*[response(b"data")] * 2, secure=True) as server:
        assert (
            fetch(client(context=tls.by_authority(str(IMPOSTOR), "ca_path")), f"https://localhost:{server.port}/x") == b"data"
        )
        # It is not for this name of the same machine.
        with pytest.raises(NotConnected) as caught:
            fetch(client(context=tls.by_authority(str(IMPOSTOR), "ca_path")), f"https://127.0.0.2:{server.port}/x")
        assert isinstance(caught.value.cause, OSError)


def test_passwords_of_the_environment_are_sent_to_nobody(monkeypatch, tmp_path):
    (tmp_path / ".netrc").write_text("default login somebody password hunter2\n", encoding="ascii")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with answers(response(b"data")) as server:
        fetch(client(), f"http://127.0.0.1:{server.port}/x")
    assert "authorization" not in server.requests[0].lower()


def test_cookies_are_not_kept():
    cookie = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n"
    with answers(cookie, response(b"")) as server:
        known = client()
        for _time in range(2):
            fetch(known, f"http://127.0.0.1:{server.port}/x")
    assert "cookie" not in server.requests[1].lower()


# Redirections.


@pytest.mark.parametrize("status", ["301 x", "302 x", "303 x", "307 x", "308 x"])
def test_credentials_stay_with_the_server_they_are_for(status):
    with answers(response(b"data")) as other, answers() as first:
        first.replies = [redirect("/here", status), redirect(f"http://127.0.0.1:{other.port}/there", status)]
        assert fetch(client(), f"http://127.0.0.1:{first.port}/go", {"X-Token": "hunter2"}) == b"data"
    assert ["hunter2" in request for request in first.requests] == [True, True]
    assert "hunter2" not in other.requests[0]
    assert "identity" in other.requests[0]


def test_credentials_do_not_come_back_with_a_redirection_that_leads_back():
    with answers() as other, answers() as first:
        first.replies = [redirect(f"http://127.0.0.1:{other.port}/away"), response(b"data")]
        other.replies = [redirect(f"http://127.0.0.1:{first.port}/back")]
        assert fetch(client(), f"http://127.0.0.1:{first.port}/go", {"X-Token": "hunter2"}) == b"data"
    assert ["hunter2" in request for request in [*first.requests, *other.requests]] == [True, False, False]


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("http://127.0.0.1:9/x", "not protected by TLS"),
        ("file:///etc/hostname", "not protected by TLS"),
        ("ftp://127.0.0.1/x", "not protected by TLS"),
        ("https://user:hunter2@127.0.0.1/x", "a user in it"),
        ("https://:443/x", "without a host"),
        ("https://[::1/x", "no address"),
        ("https://127.0.0.1:port/x", "no address"),
    ],
)
def test_where_a_redirection_may_not_lead(location, why):
    with answers(redirect(location), secure=True) as server, pytest.raises(RedirectionRefused, match=why) as caught:
        fetch(client(), f"https://127.0.0.1:{server.port}/go")
    assert "hunter2" not in str(caught.value)


def test_redirections_come_to_an_end():
    with answers(*[redirect("/go")] * 50) as server:
        with pytest.raises(RedirectionRefused, match="more than 10 times"):
            fetch(client(), f"http://127.0.0.1:{server.port}/go")
        assert len(server.requests) == 11


def test_the_body_of_a_redirection_is_not_read():
    def serve(connection, _number):
        read_request(connection)
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: ftp://x/\r\nContent-Length: 1000000\r\n\r\n")
        connection.recv(1)  # until the client hangs up

    with Server(serve) as server, pytest.raises(RedirectionRefused):
        fetch(client(), f"http://127.0.0.1:{server.port}/go")


# Every wait ends.


def _trickle(connection, data, ended):
    """Send a byte now and then, until the test is over."""
    for byte in data:
        connection.sendall(bytes([byte]))
        if ended.wait(0.05):
            return


def _silent(connection, _ended):
    connection.recv(65536)
    connection.recv(65536)


def _slow_head(connection, ended):
    read_request(connection)
    _trickle(connection, b"HTTP/1.1 200 OK\r\n" + b"X-Header: 1\r\n" * 10**4, ended)


def _slow_body(connection, ended):
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    _trickle(connection, bytes(10**6), ended)


def _slow_chunks(connection, ended):
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    _trickle(connection, b"1\r\nx\r\n" * 10**5, ended)


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize(
    ("how", "step"),
    [
        (_silent, "waiting for {host} to answer"),
        (_slow_head, "waiting for {host} to answer"),
        (_slow_body, "reading .*{host}/x"),
        (_slow_chunks, "reading .*{host}/x"),
    ],
)
def test_a_server_that_is_slow_is_waited_for_until_the_deadline(how, step, secure):
    ended = threading.Event()
    with Server(lambda connection, _number: how(under_tls(connection) if secure else connection, ended)) as server:
        begun = time.monotonic()
        host = f"127.0.0.1:{server.port}"
        with pytest.raises(Late, match=step.format(host=host)) as caught:
            fetch(client(seconds=SECONDS), f"{'https' if secure else 'http'}://{host}/x?signature=hunter2")
        assert SECONDS <= time.monotonic() - begun < MUCH_LONGER
        assert "hunter2" not in str(caught.value)
        ended.set()


def test_a_server_that_does_not_shake_hands_is_waited_for_until_the_deadline():
    with Server(lambda connection, _number: _silent(connection, None)) as server, pytest.raises(Late) as caught:
        fetch(client(seconds=SECONDS), f"https://127.0.0.1:{server.port}/x")
    assert caught.value.why == f"connecting to 127.0.0.1:{server.port}"


def test_a_proxy_that_is_slow_is_waited_for_until_the_deadline():
    ended = threading.Event()
    with Server(lambda connection, _number: _slow_head(connection, ended)) as server:
        proxies = {"https": f"http://127.0.0.1:{server.port}"}
        with pytest.raises(Late, match=r"connecting to images\.example:443"):
            fetch(client(seconds=SECONDS, proxies=lambda _url: proxies), "https://images.example/x")
        ended.set()


def test_a_server_that_does_not_take_what_is_sent_is_waited_for_until_the_deadline():
    ended = threading.Event()
    with Server(lambda _connection, _number: ended.wait(MUCH_LONGER)) as server:
        with pytest.raises(Late, match="waiting for"):
            client(seconds=SECONDS).send("PUT", f"http://127.0.0.1:{server.port}/x", {}, bytes(64 * 2**20))
        ended.set()


def test_a_name_that_is_not_resolved_is_waited_for_until_the_deadline(monkeypatch):
    found = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: found.wait(MUCH_LONGER) and [])
    with pytest.raises(Late, match=r"connecting to images\.example:80"):
        fetch(client(seconds=SECONDS), "http://images.example/x")
    found.set()


def test_silence_ends_before_the_deadline():
    with Server(lambda connection, _number: _silent(connection, None)) as server:
        with pytest.raises(Broken, match="no byte came for too long"):
            fetch(client(silence=SECONDS), f"http://127.0.0.1:{server.port}/x")
        assert server.accepted == 1  # it is not asked again, to be waited for as long


def test_a_name_that_nobody_has_and_a_port_where_nobody_listens():
    with pytest.raises(NotConnected) as caught:
        fetch(client(), f"http://{300 * 'a'}/x")
    assert isinstance(caught.value.cause, socket.gaierror)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(NotConnected, match="refused"):
        fetch(client(), f"http://127.0.0.1:{port}/x")


def test_all_addresses_of_a_name_are_tried(monkeypatch):
    with answers(response(b"data")) as server, socket.create_server(("127.0.0.1", 0)) as free:
        closed = free.getsockname()
        free.close()
        family = (socket.AF_INET, socket.SOCK_STREAM, 0, "")
        found = [(*family, closed), (*family, ("127.0.0.1", server.port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: found)
        assert fetch(client(), "http://images.example/x") == b"data"


def test_an_address_that_answers_nothing_leaves_the_others_their_time(monkeypatch):
    """As that of IPv6, where it leads nowhere: packets to it are swallowed."""
    tried: list[tuple[str, float]] = []

    class Deaf(socket.socket):
        """Nobody answers to its packets but at one address."""

        def connect(self, address):
            """Wait for an answer."""
            tried.append((address[0], self.gettimeout()))
            if address[0] != "192.0.2.3":
                raise TimeoutError("timed out")

    family = (socket.AF_INET, socket.SOCK_STREAM, 0, "")
    found = [(*family, (f"192.0.2.{number}", 443)) for number in (1, 2, 3)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: found)
    tls.dial("vc.example", 443, lambda: 60.0, Deaf).close()
    assert tried == [("192.0.2.1", 5.0), ("192.0.2.2", 5.0), ("192.0.2.3", 60.0)]
    tried.clear()
    tls.dial("vc.example", 443, lambda: 4.0, Deaf).close()
    assert [seconds for _address, seconds in tried] == [2.0, 2.0, 4.0]


# What breaks.


def test_a_get_without_an_answer_is_sent_once_more_and_a_put_is_not():
    def serve(connection, number):
        read_request(connection)
        if number > 1:
            connection.sendall(response(b"data"))

    with Server(serve) as server:
        assert fetch(client(), f"http://127.0.0.1:{server.port}/x") == b"data"
    with Server(serve) as server:
        with pytest.raises(Broken, match="closed without an answer"):
            client().send("PUT", f"http://127.0.0.1:{server.port}/x", {}, b"data")
        assert server.accepted == 1


def test_an_answer_that_is_cut_off_is_no_answer():
    def serve(connection, _number):
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")

    with Server(serve) as server, pytest.raises(Broken, match="closed in mid-file"):
        fetch(client(), f"http://127.0.0.1:{server.port}/x")


@pytest.mark.parametrize(
    "length", ["Content-Length: many", "Content-Length: -1", "Transfer-Encoding: chunked\r\nContent-Length: 99"]
)
def test_a_length_that_says_nothing_cuts_nothing_off(length):
    body = b"4\r\ndata\r\n0\r\n\r\n" if "chunked" in length else b"data"

    def serve(connection, _number):
        read_request(connection)
        connection.sendall(f"HTTP/1.1 200 OK\r\nConnection: close\r\n{length}\r\n\r\n".encode() + body)

    with Server(serve) as server:
        assert fetch(client(), f"http://127.0.0.1:{server.port}/x") == b"data"


def test_what_the_body_raises_comes_through():
    def parts():
        yield memoryview(b"part")
        raise ConnectionLost("the source ended")

    class Body:
        def __len__(self):
            return 8

        def __iter__(self):
            return parts()

    with answers(response(b"")) as server, pytest.raises(ConnectionLost, match="the source ended"):
        client().send("PUT", f"http://127.0.0.1:{server.port}/x", {}, Body())


@pytest.mark.skipif(not hasattr(socket, "TCP_CORK"), reason="Linux alone puts records together")
def test_a_body_is_sent_in_whole_segments_and_its_end_at_once():
    stop, seen = Stop(), []

    def corked():
        held = [sock for sock in stop._open if sock.fileno() >= 0]
        return [sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK) for sock in held]

    class Body:
        def __len__(self):
            return 3

        def __iter__(self):
            for part in (b"a", b"b", b"c"):
                seen.append(corked())
                yield part

    with answers(response(b""), secure=True) as server:
        known = client(stop=stop)
        answer = known.send("PUT", f"https://127.0.0.1:{server.port}/x", {}, Body())
        assert (answer.status, seen, corked()) == (200, [[1], [1], [1]], [0])
        assert server.requests[0].endswith("abc")
        known.close()


def test_a_stop_ends_a_wait_at_once():
    stop, ended = Stop(), threading.Event()
    with Server(lambda _connection, _number: ended.wait(MUCH_LONGER)) as server:
        threading.Timer(SECONDS / 4, stop.set).start()
        with pytest.raises(Broken):
            client(stop=stop).send("PUT", f"http://127.0.0.1:{server.port}/x", {}, b"data")
        assert stop.is_set()
        ended.set()


def test_messages_do_not_quote_headers():
    with pytest.raises(Broken) as caught:
        client().send("GET", "http://127.0.0.1:9/x", {"X-Token": "hunter2 \u20ac\n"})
    assert "hunter2" not in str(caught.value)


# Proxies.


@contextlib.contextmanager
def proxy(target_port):
    """A proxy that knows CONNECT; it goes to one port of this machine whatever it is asked for."""
    asked = []

    def serve(connection, _number):
        asked.append(read_request(connection).decode("latin-1"))
        if asked[-1].startswith("CONNECT"):
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            pump(connection, socket.create_connection(("127.0.0.1", target_port)))
        else:
            connection.sendall(response(b"by the proxy"))

    with Server(serve) as server:
        server.asked = asked
        yield server


@pytest.mark.usefixtures("no_proxies")
def test_sources_go_through_the_proxy_of_the_environment(monkeypatch):
    with answers(response(b"data"), secure=True) as server, proxy(server.port) as between:
        monkeypatch.setenv("https_proxy", f"http://me:secret@127.0.0.1:{between.port}")
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{between.port}")
        monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:9")
        monkeypatch.setenv("no_proxy", "near.example")
        known = client(proxies=web.environment_proxies)
        # The certificate is that of the server, not of the proxy.
        assert fetch(known, "https://images.example/x") == b"data"
        assert between.asked[0].startswith("CONNECT images.example:443 ")
        assert "Proxy-Authorization: Basic" in between.asked[0]
        assert "Proxy-Authorization" not in server.requests[0]
        assert fetch(known, "http://images.example/x") == b"by the proxy"
        assert between.asked[1].startswith("GET http://images.example/x ")
        with pytest.raises(NotConnected):
            fetch(known, "http://near.example/x")
        assert len(between.asked) == 2


@pytest.mark.usefixtures("no_proxies")
def test_why_the_proxy_of_the_environment_refuses_is_said(monkeypatch):
    with answers(response(b"no", "407 Who are you")) as between:
        monkeypatch.setenv("https_proxy", f"http://me:secret@127.0.0.1:{between.port}")
        with pytest.raises(NotConnected) as caught:
            fetch(client(proxies=web.environment_proxies), "https://images.example/x")
    assert caught.value.why == "the proxy refuses: 407 Who are you"


@pytest.mark.usefixtures("no_proxies")
def test_a_proxy_that_is_no_http_proxy_is_called_that(monkeypatch):
    monkeypatch.setenv("https_proxy", "socks5://me:secret@127.0.0.1:9")
    known = client(proxies=web.environment_proxies)
    with pytest.raises(NotConnected) as caught:
        fetch(known, "https://images.example/x")
    assert "https_proxy in the environment names a proxy of the kind socks5" in caught.value.why
    assert "secret" not in caught.value.why
    # It says nothing of addresses without TLS.
    with answers(response(b"data")) as server:
        assert fetch(known, f"http://127.0.0.1:{server.port}/x") == b"data"


@pytest.mark.usefixtures("no_proxies")
def test_hosts_of_vsphere_are_reached_as_the_options_say_and_not_as_the_environment_does(monkeypatch):
    with answers(*[response(b"data")] * 3, secure=True) as server, proxy(server.port) as between:
        monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
        url = f"https://127.0.0.1:{server.port}/file"
        assert web.get(nobody(server.port), url, None) == b"data"
        through = nobody(server.port, proxy_host="127.0.0.1", proxy_port=between.port)
        assert web.get(through, "https://esx.example/file", impostor_thumbprint()) == b"data"
        assert between.asked[0].startswith("CONNECT esx.example:443 ")
        assert "\r\nHost: esx.example:443\r\n" in between.asked[0]
        web.get(through, "https://[fd00::7]/file", impostor_thumbprint())
        assert between.asked[1].startswith("CONNECT [fd00::7]:443 ")
        assert "\r\nHost: [fd00::7]:443\r\n" in between.asked[1]


def test_a_proxy_that_refuses():
    with answers(response(b"no", "403 Forbidden")) as between:
        known = nobody(1, proxy_host="127.0.0.1", proxy_port=between.port)
        with pytest.raises(ConnectionFailed) as caught:
            web.get(known, "https://esx.example/file", impostor_thumbprint())
    assert caught.value.error_code == "proxy_refused"


# Files of hosts.


def test_a_host_whose_certificate_is_not_shown_is_verified_as_the_vcenter_is(tmp_path):
    ca = tmp_path / "ca.pem"
    shutil.copy(IMPOSTOR, ca)
    done = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    with answers(done, done, secure=True) as server:
        url = f"https://localhost:{server.port}/file"
        with pytest.raises(ConnectionFailed) as caught:
            web.put(nobody(1, thumbprint=None), url, b"data", None)
        assert caught.value.error_code.startswith("tls_")
        assert server.requests == []
        web.put(nobody(1, thumbprint=None, ca_path=str(ca)), url, b"data", None)
        web.put(nobody(1, thumbprint=None, validate_certs=False), url, b"data", None)
        assert len(server.requests) == 2


def test_a_host_without_a_known_certificate_is_sent_nothing_where_the_vcenter_is_pinned():
    with answers(secure=True) as server:
        known = nobody(1, thumbprint="0" * 64)
        with pytest.raises(ConnectionFailed) as caught:
            web.put(known, f"https://127.0.0.1:{server.port}/file", b"data", None)
        assert caught.value.error_code == "host_certificate_unknown"
        with pytest.raises(ConnectionFailed) as caught:
            web.put(known, f"https://127.0.0.1:{server.port}/file", b"data", "0" * 64)
        assert caught.value.error_code == "tls_wrong_thumbprint"
        assert "connect the host to vCenter again" in caught.value.hint
        with pytest.raises(ConnectionFailed) as caught:
            web.put(known, f"http://127.0.0.1:{server.port}/file", b"data", impostor_thumbprint())
        assert caught.value.error_code == "transfer_url"
        for url in ("https://[::1/file", "https://127.0.0.1:99999/file", "https:///file", ""):
            with pytest.raises(ConnectionFailed) as caught:
                web.put(known, url, b"data", impostor_thumbprint())
            assert caught.value.error_code == "transfer_url"
        assert server.requests == []


def test_a_star_means_the_vcenter_itself():
    with answers(response(b""), secure=True) as server:
        web.put(nobody(server.port), "https://*/file?token=1", b"data", None)
    assert server.requests[0].startswith("PUT /file?token=1 HTTP/1.1")
    assert server.requests[0].endswith("\r\n\r\ndata")


def test_what_a_host_refuses_and_where_it_redirects_to():
    with answers(response(b"no", "507 Full"), redirect("https://127.0.0.1:9/"), secure=True) as server:
        for status in (507, 302):
            with pytest.raises(TransferRefused) as caught:
                web.put(nobody(server.port), f"https://127.0.0.1:{server.port}/file", b"data", None)
            assert caught.value.details["status"] == status


def test_a_file_that_is_longer_than_it_may_be():
    with answers(*[response(b"12345")] * 2, secure=True) as server:
        url = f"https://127.0.0.1:{server.port}/file"
        assert web.get(nobody(server.port), url, None, most=5) == b"12345"
        with pytest.raises(ConnectionLost, match="more than 4 bytes"):
            web.get(nobody(server.port), url, None, most=4)


def test_a_transfer_takes_as_long_as_one_request_may():
    ended = threading.Event()
    with Server(lambda connection, _number: _slow_body(under_tls(connection), ended)) as server:
        known = nobody(server.port, connection_timeout=1)
        with pytest.raises(ConnectionLost, match="after 1 s") as caught:
            web.get(known, f"https://127.0.0.1:{server.port}/file", None)
        assert "connection_timeout" in caught.value.hint
        ended.set()


# The library.


def test_a_requests_that_is_missing_or_too_old_is_said(monkeypatch):
    monkeypatch.setattr(adapter, "HTTPAdapter", object)
    with pytest.raises(MissingLibrary) as caught:
        client()
    assert "requests 2.32.3" in str(caught.value)
    assert sys.executable in str(caught.value)


def test_without_requests_the_modules_can_still_be_imported():
    """They are documented and checked then; and who carries no file needs no requests."""
    names = ["_connector.web", "_connector.adapter", "_vsphere.sending", "_vsphere.receiving", "_vsphere.guest"]
    package = web.__name__.rpartition("._connector")[0]
    lines = ["import sys", "sys.modules['requests'] = None", *[f"import {package}.{name}" for name in names]]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True, env={**os.environ, "PYTHONPATH": ":".join(sys.path)})


def test_who_carries_no_file_does_not_wait_for_requests_to_load():
    package = web.__name__.rpartition("._connector")[0]
    names = ["_connector.session", "_vsphere.guest", "_vsphere.sending", "_vsphere.receiving"]
    lines = ["import sys", *[f"import {package}.{name}" for name in names], "assert 'requests' not in sys.modules"]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True, env={**os.environ, "PYTHONPATH": ":".join(sys.path)})


def test_a_clock_gives_what_is_left_of_the_deadline_or_of_the_silence_that_is_suffered():
    now = time.monotonic()
    patient = Clock(5.0, now + 60.0)
    assert patient.left() == 5.0
    assert patient.left_to_receive() == 5.0
    taking = Clock(5.0, now + 60.0, receiving=30.0)
    assert (taking.left(), taking.left_to_receive()) == (5.0, 30.0)
    assert not patient.over()
    pressed = Clock(60.0, now + 30.0)
    assert 25.0 < pressed.left() <= 30.0
    late = Clock(5.0, now)
    assert late.over()
    with pytest.raises(TimeoutError):
        late.left()


def test_what_begins_after_the_end_of_a_task_is_broken_off_at_once():
    stops = web.Stops()
    before = stops.stop()
    assert not before.is_set()
    stops.set()
    assert stops.is_set()
    assert before.is_set()
    assert stops.stop().is_set()
    assert before.wait(MUCH_LONGER)
    before.clear()
    assert not before.is_set()
    assert not before.wait(0.0)


def test_of_a_long_body_only_the_end_is_kept():
    body = b"0123456789" * 20_000
    with answers(response(body), response(body), response(b"01234")) as server:
        known = client()
        try:
            address = f"http://127.0.0.1:{server.port}/"
            assert known.send("GET", address, {}).end(7) == body[-7:]
            assert known.send("GET", address, {}).end(len(body) + 1) == body
            assert known.send("GET", address, {}).end(7) == b"01234"
        finally:
            known.close()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://a", "https://A:443/x?y", True),
        ("http://a", "http://a:80", True),
        ("https://a", "http://a", False),
        ("https://a", "https://a:8443", False),
        ("https://a", "https://b", False),
        ("https://[2001:db8::1]/", "https://[2001:DB8::1]:443/", True),
    ],
)
def test_what_is_one_server(one, other, same):
    assert web.same_server(one, other) is same


@pytest.mark.parametrize(
    ("address", "host"),
    [("https://a.example/x", "a.example:443"), ("http://a:81", "a:81"), ("https://[2001:db8::1]/", "[2001:db8::1]:443")],
)
def test_a_server_is_called_by_its_host_and_port(address, host):
    assert web.host_of(address) == host

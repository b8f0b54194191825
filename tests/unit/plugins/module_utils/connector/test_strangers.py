# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers that are no vCenter, or none that works, are told apart."""

from __future__ import annotations

import contextlib
import errno
import gzip
import re
import ssl
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._connector import faults
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.pyvmomi import vim, vmodl
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.session import Session
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.soap import CallStats, Stub
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import (
    ConnectionLost,
    Fault,
    StrangeAnswer,
    Unavailable,
    VforgeError,
)
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.connector.support import (
    Server,
    failure,
    nobody,
    read_request,
    response,
    tls,
)

VERSIONS = b"<namespaces><namespace><name>urn:vim25</name><version>8.0.3.0</version></namespace></namespaces>"

ENVELOPE = (
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>{}</soapenv:Body></soapenv:Envelope>'
)

ESXI = ENVELOPE.format(
    """<RetrieveServiceContentResponse xmlns="urn:vim25"><returnval>
    <rootFolder type="Folder">ha-folder-root</rootFolder>
    <propertyCollector type="PropertyCollector">ha-property-collector</propertyCollector>
    <about><name>VMware ESXi</name><fullName>VMware ESXi 8.0.3 build-1</fullName><vendor>VMware, Inc.</vendor>
    <version>8.0.3</version><build>1</build><osType>vmnix-x86</osType><productLineId>embeddedEsx</productLineId>
    <apiType>HostAgent</apiType><apiVersion>8.0.3.0</apiVersion></about>
    <sessionManager type="SessionManager">ha-sessionmgr</sessionManager></returnval></RetrieveServiceContentResponse>"""
).encode()


def web_server(*answers: bytes, heard: list[bytes] | None = None) -> Server:
    """A server behind TLS that gives these answers one after the other, whatever it is asked, then hangs up."""

    def serve(connection, _number):
        with tls(connection) as stream:
            for answer in answers:
                request = read_request(stream)
                if not request:
                    return
                if heard is not None:
                    heard.append(request)
                stream.sendall(answer)

    return Server(serve)


HTML = b"<html><head><title>It works</title></head><body><p>Welcome</p></body></html>"


@pytest.mark.parametrize(
    "answer",
    [
        response(HTML, kind="text/html"),
        response(b"<html><br><p>not even XML", kind="text/html"),
        response(b'{"name": "api"}', kind="application/json"),
        response(b""),
        response(HTML, "404 Not Found", "text/html"),
        response(b"", "301 Moved Permanently"),
        response(HTML, "500 Internal Server Error"),
        response(b"<namespaces><namespace><name>urn:sms</name><version>1</version></namespace></namespaces>"),
        b"this is not HTTP\r\n\r\n",
    ],
)
def test_a_web_server_that_is_no_vcenter(answer):
    with web_server(answer) as server:
        error = failure(nobody(server.port))
    assert error.error_code == "not_a_vcenter"
    assert f"127.0.0.1:{server.port} is not a vCenter" in str(error)


@pytest.mark.parametrize(
    "answer",
    [
        response(HTML, kind="text/html"),
        response(b"<html><br>", kind="text/html"),
        response(HTML, "500 Internal Server Error", "text/html"),
        response(b"{}", "500 Internal Server Error"),
        response(HTML, "404 Not Found"),
        response(ENVELOPE.format('<UnknownResponse xmlns="urn:vim25"/>').encode()),
        b"nonsense\r\n\r\n",
    ],
)
def test_a_server_that_describes_versions_and_then_speaks_no_soap(answer):
    with web_server(response(VERSIONS), answer, answer) as server:
        error = failure(nobody(server.port))
    assert error.error_code == "not_a_vcenter"


def test_an_esxi_is_called_by_its_name():
    heard: list[bytes] = []
    with web_server(response(VERSIONS), response(ESXI), heard=heard) as server:
        error = failure(nobody(server.port))
    # Already the first question is asked in the newest version: an answer holds only what its version knows.
    assert b'SOAPAction: "urn:vim25/8.0.3.0"' in heard[1]
    assert error.error_code == "not_a_vcenter"
    assert "it is VMware ESXi 8.0.3 build-1" in str(error)


@pytest.mark.parametrize("part", ["rootFolder", "propertyCollector", "sessionManager"])
def test_a_server_that_lacks_what_every_vcenter_has_is_none(part):
    lacking = re.sub(f"<{part}.*?</{part}>".encode(), b"", ESXI.replace(b"HostAgent", b"VirtualCenter"))
    with web_server(response(VERSIONS), response(lacking)) as server:
        error = failure(nobody(server.port))
    assert error.error_code == "not_a_vcenter"


LOGGED_IN = ENVELOPE.format(
    """<LoginResponse xmlns="urn:vim25"><returnval><key>k</key><userName>u</userName><fullName>u</fullName>
    <loginTime>2026-01-01T00:00:00Z</loginTime><lastActiveTime>2026-01-01T00:00:00Z</lastActiveTime>
    <locale>en</locale><messageLocale>en</messageLocale></returnval></LoginResponse>"""
).encode()


def test_a_gateway_that_drops_the_cookie_is_suspected():
    vcenter = ESXI.replace(b"HostAgent", b"VirtualCenter")
    with web_server(response(VERSIONS), response(vcenter), response(LOGGED_IN)) as server:
        error = failure(nobody(server.port))
    assert error.error_code == "login_refused"
    assert "cookie" in error.hint


def test_a_cookie_that_is_offered_does_not_take_the_place_of_the_sessions():
    """A vCenter may offer a new session with the answer to any call that was made in a dead one."""
    stub = Stub(nobody(443), CallStats())
    stub.session_id = '"ours"'
    stub.cookie = 'vmware_soap_session="theirs"; Path=/'
    assert stub.cookie == 'vmware_soap_session="ours"'
    assert stub.session_key == "ours"
    assert stub.for_login().cookie == ""


def test_a_vcenter_without_a_description_of_versions_is_asked_in_the_oldest_one():
    heard: list[bytes] = []
    with web_server(response(HTML, "404 Not Found"), response(ESXI), heard=heard) as server:
        error = failure(nobody(server.port))
    assert b'SOAPAction: "urn:vim25/5.5"' in heard[1]
    assert "it is VMware ESXi 8.0.3 build-1" in str(error)


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_a_vcenter_that_has_neither_a_description_nor_its_services_up_yet_is_no_stranger(status):
    def serve(connection, _number):
        with tls(connection) as stream:
            while request := read_request(stream):
                absent = b"vimServiceVersions" in request
                stream.sendall(response(b"", "404 Not Found" if absent else status, "text/plain"))

    with Server(serve) as server:
        error = failure(nobody(server.port))
    assert error.error_code == "vcenter_unavailable"
    assert status in str(error)


# What is answered to a call, in a session


def soap(body: str) -> bytes:
    return response(ENVELOPE.format(body).encode())


def fault(name: str, more: str = "") -> bytes:
    detail = f'<detail><{name}Fault xmlns="urn:vim25" xsi:type="{name}">{more}</{name}Fault></detail>'
    text = f"<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>Not today.</faultstring>{detail}</soapenv:Fault>"
    return response(ENVELOPE.format(text).encode(), "500 Internal Server Error")


FOUND = ENVELOPE.format(
    """<FindByInventoryPathResponse xmlns="urn:vim25"><returnval type="Folder">group-v3</returnval>
    </FindByInventoryPathResponse>"""
).encode()


@contextlib.contextmanager
def answering(*answers: bytes):
    """A stub of a server that gives these answers on each connection."""
    with web_server(*answers) as server:
        stub = Stub(nobody(server.port), CallStats())
        try:
            yield stub
        finally:
            stub.DropConnections()


def found(*answers: bytes):
    """What lies at a path, by these answers to the question, which is asked twice where one is lost."""
    with answering(*answers) as stub:
        return vim.SearchIndex("SearchIndex", stub).FindByInventoryPath("DC0/vm")


def coded(body: bytes, coding: str) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def chunked(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


@pytest.mark.parametrize(
    "answer",
    [
        response(FOUND),
        response(FOUND, kind="application/soap+xml"),
        chunked(FOUND),
        coded(gzip.compress(FOUND), "gzip"),
        coded(gzip.compress(FOUND), "x-gzip"),
        b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(FOUND), FOUND),
        response(FOUND).replace(b"Content-Type:", b"Set-Cookie: a/b@c=1; Path=/\r\nContent-Type:"),
    ],
    ids=["plain", "soap+xml", "chunked", "gzip", "x-gzip", "HTTP/1.0", "odd cookie"],
)
def test_an_answer_is_read_in_whatever_way_it_comes(answer):
    assert found(answer)._GetMoId() == "group-v3"


def test_nothing_is_found_where_the_answer_says_so():
    assert found(soap('<FindByInventoryPathResponse xmlns="urn:vim25"/>')) is None


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (response(HTML, kind="text/html"), "no answer to this call"),
        (response(b"<html/>", kind="text/html"), "no answer to this call"),
        (soap(""), "no answer to this call"),
        (
            soap('<FindChildResponse xmlns="urn:vim25"><returnval type="Folder">group-v3</returnval></FindChildResponse>'),
            "no answer to",
        ),
        (response(b""), "no element found"),
        (response(b"{}"), "not well-formed"),
        (response(FOUND[: FOUND.index(b"</returnval>")]), "no element found"),
        (response(FOUND[: FOUND.index(b"</FindBy")]), "no element found"),
        (coded(FOUND, "gzip"), "cannot be decompressed"),
        (coded(gzip.compress(FOUND)[:-9], "gzip"), "cannot be decompressed"),
        (coded(zlib.compress(FOUND), "deflate"), "not well-formed"),
        (response(HTML, "500 Internal Server Error"), "status 500 without a fault"),
        (response(FOUND, "500 Internal Server Error"), "status 500 without a fault"),
        (response(FOUND.replace(b'type="Folder"', b'type="Shelf"')), "Shelf"),
        (response(FOUND.replace(b'type="Folder"', b"")), "type"),
        *((response(b"", status), status) for status in ("204 No Content", "307 Temporary Redirect", "401 Unauthorized")),
        *((response(HTML, status), status) for status in ("403 Forbidden", "404 Not Found", "413 Too Large")),
    ],
)
def test_what_is_no_answer_of_vsphere_is_not_taken_for_one_that_found_nothing(answer, said):
    with pytest.raises(StrangeAnswer, match=said):
        found(answer, answer)


def test_an_answer_that_is_cut_off_is_lost_with_its_connection():
    cut = response(FOUND)[:-30]
    with pytest.raises(ConnectionLost, match="broke its answer off during FindByInventoryPath"):
        found(cut)


def test_a_connection_that_is_closed_without_an_answer_is_lost():
    with pytest.raises(ConnectionLost, match=r"broke the connection \(Remote end closed connection.*\) during FindByInv"):
        found()


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
        ssl.SSLEOFError(8, "Connection reset by peer"),
        OSError("Connection reset by peer"),
    ],
)
def test_what_the_system_says_of_a_broken_connection_is_quoted(monkeypatch, error):
    def refuse(*_args):
        raise error

    with answering(response(FOUND)) as stub, monkeypatch.context() as patched:
        patched.setattr(stub, "_exchange", refuse)
        with pytest.raises(ConnectionLost, match=r"broke the connection \(Connection reset by peer\) during FindBy"):
            vim.SearchIndex("SearchIndex", stub).FindByInventoryPath("DC0")


@pytest.mark.parametrize(
    ("call", "answer", "said"),
    [
        (lambda stub: vim.HttpNfcLease("lease-1", stub).HttpNfcLeaseComplete(), HTML, "no answer to this call"),
        (
            lambda stub: vmodl.query.PropertyCollector("propertyCollector", stub).CreatePropertyCollector(),
            ENVELOPE.format('<CreatePropertyCollectorResponse xmlns="urn:vim25"/>').encode(),
            "no PropertyCollector",
        ),
        (
            lambda stub: vim.VirtualMachine("vm-1", stub).PowerOnVM_Task(),
            ENVELOPE.format('<PowerOnVM_TaskResponse xmlns="urn:vim25"/>').encode(),
            "no Task",
        ),
        (
            lambda stub: vim.ServiceInstance("ServiceInstance", stub).CurrentTime(),
            ENVELOPE.format(
                '<CurrentTimeResponse xmlns="urn:vim25"><returnval>soon</returnval></CurrentTimeResponse>'
            ).encode(),
            "soon",
        ),
        (
            lambda stub: vim.AuthorizationManager("manager", stub).AddAuthorizationRole("role", []),
            ENVELOPE.format(
                '<AddAuthorizationRoleResponse xmlns="urn:vim25"><returnval>one</returnval></AddAuthorizationRoleResponse>'
            ).encode(),
            "one",
        ),
    ],
    ids=["nothing", "collector", "task", "time", "number"],
)
def test_what_is_no_answer_is_not_taken_for_a_call_that_was_carried_out(call, answer, said):
    with answering(response(answer)) as stub, pytest.raises(StrangeAnswer, match=said):
        call(stub)


@pytest.mark.parametrize("more", ["", "<depth>3</depth>"])
def test_a_fault_that_pyvmomi_does_not_know_is_a_fault_all_the_same(more):
    with pytest.raises(Fault) as caught:
        found(fault("CorridorIsFull", more))
    assert (caught.value.fault, caught.value.error_code) == ("CorridorIsFull", "corridor_is_full")
    assert caught.value.message == "Not today (CorridorIsFull)."


def test_a_known_fault_with_a_property_that_pyvmomi_does_not_know_keeps_its_name():
    with pytest.raises(Fault, match="Not today") as caught:
        found(fault("InvalidState", "<depth>3</depth>"))
    assert caught.value.error_code == "invalid_state"


ROWS = ENVELOPE.format(
    """<RetrievePropertiesExResponse xmlns="urn:vim25"><returnval><token>1</token><objects><obj type="VirtualMachine">vm-1</obj>
    <propSet><name>config.template</name><val xsi:type="xsd:boolean">false</val></propSet>
    <propSet><name>config.hardware.device</name><val xsi:type="ArrayOfVirtualDevice"><VirtualDevice xsi:type="VirtualDisk">
    <key>2000</key><backing xsi:type="VirtualDiskFlatVer2BackingInfo"><fileName>[a] b.vmdk</fileName>
    <diskMode>persistent</diskMode></backing><capacityInKB>1024</capacityInKB></VirtualDevice></val></propSet>
    <propSet><name>layoutEx.timestamp</name><val xsi:type="xsd:dateTime">2026-01-01T00:00:00Z</val></propSet>
    <missingSet><path>config</path><fault><fault xsi:type="NoPermission"><object type="Folder">group-1</object>
    <privilegeId>System.Read</privilegeId></fault><localizedMessage/></fault></missingSet>
    </objects></returnval></RetrievePropertiesExResponse>"""
).replace("<soapenv:Body>", '<soapenv:Body xmlns:xsd="http://www.w3.org/2001/XMLSchema">')

REFUSED = fault("NoPermission", '<object type="Folder">group-1</object><privilegeId>a.b</privilegeId>')


@settings(max_examples=200)
@given(
    answer=st.sampled_from([(200, ROWS), (500, REFUSED.decode().partition("\r\n\r\n")[2])]),
    places=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 60)), min_size=1, max_size=3),
    words=st.lists(st.sampled_from(["", "<", "<a/>", "7", "x", "</val>", "&x;", "VirtualMachine", " type='x'"]), min_size=3),
)
def test_whatever_stands_in_an_answer_nothing_but_our_errors_comes_of_it(answer, places, words):
    status, text = answer
    for (start, count), word in zip(places, words, strict=False):
        at = start % max(len(text), 1)
        text = text[:at] + word + text[at + count :]
    info = vmodl.query.PropertyCollector.RetrievePropertiesEx.info
    read, error = None, None
    try:
        read = Stub(nobody(443), CallStats())._answer(info, status, text.encode())
    except vmodl.MethodFault as refused:
        error = faults.translate(refused)
    except VforgeError as ours:
        error = ours
    if error is not None:
        assert str(error)
    else:
        assert status == 200
        assert read is None or isinstance(read.objects, list)


def test_a_gateway_that_has_too_many_calls_does_not_say_that_the_vcenter_is_down():
    busy = response(b"slow down", "429 Too Many Requests", "text/plain")
    with pytest.raises(Unavailable, match="takes no more calls at present"):
        found(*[busy] * 9)
    with web_server(*[busy] * 9) as server:
        error = failure(nobody(server.port))
    assert error.error_code == "vcenter_unavailable"
    assert "429 Too Many Requests" in str(error)


def test_what_a_newer_vcenter_has_and_this_pyvmomi_does_not_is_reported_as_that():
    state = ENVELOPE.format(
        """<ContinueRetrievePropertiesExResponse xmlns="urn:vim25"><returnval>
        <objects><obj type="VirtualMachine">vm-1</obj><propSet><name>runtime.powerState</name>
        <val xsi:type="VirtualMachinePowerState">hibernating</val></propSet></objects>
        </returnval></ContinueRetrievePropertiesExResponse>"""
    ).encode()
    with web_server(response(state), response(state)) as server:
        stub = Stub(nobody(server.port), CallStats())
        collector = vmodl.query.PropertyCollector("propertyCollector", stub)
        with pytest.raises(StrangeAnswer, match="hibernating") as raised:
            collector.ContinueRetrievePropertiesEx("1")
    assert "update that" in raised.value.hint


def test_a_vcenter_with_a_manager_that_this_pyvmomi_does_not_know_is_one_all_the_same():
    newer = ESXI.replace(b"<sessionManager", b'<dreamManager type="DreamManager">dreams</dreamManager><sessionManager')
    told = pytest.raises(StrangeAnswer, match="dreamManager")
    with web_server(response(VERSIONS), response(newer)) as server, told as raised, Session(nobody(server.port)):
        pytest.fail("It has no session.")
    assert "update that" in raised.value.hint


@pytest.mark.parametrize("status", ["502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout"])
def test_a_vcenter_whose_services_are_not_up_yet(status):
    with web_server(response(b"no healthy upstream", status, "text/plain")) as server:
        error = failure(nobody(server.port))
    assert error.error_code == "vcenter_unavailable"
    assert status in str(error)


def test_a_server_that_hangs_up_after_the_handshake():
    with web_server() as server:
        assert failure(nobody(server.port)).error_code == "unreachable"

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers that are no vCenter, or none that works, are told apart."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._connector.pyvmomi import vmodl
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.soap import CallStats, Stub
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import StrangeAnswer
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
    stub.session_id = "ours"
    stub.cookie = 'vmware_soap_session="theirs"; Path=/'
    assert stub.cookie == 'vmware_soap_session="ours"'
    assert stub.for_login().cookie == ""


def test_what_a_newer_vcenter_has_and_this_pyvmomi_does_not_is_told_as_that():
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


@pytest.mark.parametrize("status", ["502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout"])
def test_a_vcenter_whose_services_are_not_up_yet(status):
    with web_server(response(b"no healthy upstream", status, "text/plain")) as server:
        error = failure(nobody(server.port))
    assert error.error_code == "vcenter_unavailable"
    assert status in str(error)


def test_a_server_that_hangs_up_after_the_handshake():
    with web_server() as server:
        assert failure(nobody(server.port)).error_code == "unreachable"

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Answers of the PropertyCollector as texts: the same as pyVmomi's objects, and as safe."""

from __future__ import annotations

import gzip

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._connector import plain
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.find import TO_VMS
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.props import collect, collect_plainly
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.pyvmomi import vim, vmodl
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import Fault, SessionExpired, StrangeAnswer, Unavailable
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.connector.support import session

_ENVELOPE = (
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>'
    '<RetrievePropertiesExResponse xmlns="urn:vim25">{}</RetrievePropertiesExResponse></soapenv:Body></soapenv:Envelope>'
)
_VM = '<objects><obj type="VirtualMachine">vm-1</obj>{}</objects>'
_SET = "<propSet><name>{}</name><val{}>{}</val></propSet>"

PATHS = ("name", "runtime.powerState", "runtime.host", "config.version", "runtime.featureRequirement", "runtime.featureMask")


def _parsed(inside):
    return plain.parse(_ENVELOPE.format(inside).encode())


def test_texts_references_and_arrays():
    pairs = "<Pair><key>a</key><value>1</value></Pair><Pair><key>b</key><value/></Pair>"
    content = (
        _SET.format("name", ' xsi:type="xsd:string"', "web &amp; db")
        + _SET.format("runtime.host", ' type="HostSystem"', "host-1")
        + _SET.format("pairs", "", pairs)
        + _SET.format("nothing", "", "")
    )
    rows, token = _parsed(f"<returnval><token>next</token>{_VM.format(content)}</returnval>")
    assert token == "next"  # noqa: S105
    (row,) = rows
    assert (row.kind, row.moid) == ("VirtualMachine", "vm-1")
    assert (row.text("name"), row.text("runtime.host"), row.text("nothing"), row.text("unset")) == (
        "web & db",
        "host-1",
        "",
        "",
    )
    assert row.items("pairs") == (("a", "1"), ("b", ""))
    assert (row.items("name"), row.text("pairs"), row.items("unset")) == ((), "", ())


def test_an_empty_answer_has_no_rows():
    assert _parsed("") == ([], "")
    assert _parsed("<returnval/>") == ([], "")


def test_a_session_that_died_shows_in_what_could_not_be_read():
    missing = '<missingSet><path>name</path><fault><fault xsi:type="{}"/></fault></missingSet>'
    with pytest.raises(SessionExpired):
        _parsed(f"<returnval>{_VM.format(missing.format('NotAuthenticated'))}</returnval>")
    rows, _token = _parsed(f"<returnval>{_VM.format(missing.format('NoPermission'))}</returnval>")
    assert rows[0].values == {}


@pytest.mark.parametrize("document", [b"", b"<a>", b"\x00", b"<html><body>no</html>"])
def test_what_is_no_xml_is_called_strange(document):
    with pytest.raises(StrangeAnswer, match="no XML"):
        plain.parse(document)


def _typed(value):
    """A property of pyVmomi's as ``plain`` has it."""
    if isinstance(value, list):
        return tuple((each.key, each.featureName, each.value) for each in value)
    return value._GetMoId() if hasattr(value, "_GetMoId") else str(value)


def test_it_is_what_pyvmomi_reads(make_sim):
    with session(make_sim("--vms", "30")) as known:
        root = [known.content.rootFolder]
        rows = {row.moid: row for row in collect(known, root, {vim.VirtualMachine: PATHS}, TO_VMS)}
        texts = {row.moid: row for row in collect_plainly(known, root, {vim.VirtualMachine: PATHS}, TO_VMS, lambda row: row)}
    assert texts.keys() == rows.keys()
    assert len(rows) == 31
    for moid, row in rows.items():
        # pyVmomi leaves an empty array out of a row, or has it empty; a text has nothing either way.
        expected = {path: _typed(value) for path, value in row.values.items() if not (isinstance(value, list) and not value)}
        assert {path: value for path, value in texts[moid].values.items() if value not in ("", ())} == expected


@pytest.mark.parametrize("kind", ["fault", "missingSet"])
def test_a_session_that_expires_is_replaced(make_sim, kind):
    sim = make_sim("--vms", "600", "--parents", "0")
    with session(sim) as known:
        root = [known.content.rootFolder]
        collect(known, root, {vim.Folder: ("name",)})
        sim.request("POST", "/sessions/expire", {"as": kind})
        names = collect_plainly(known, root, {vim.VirtualMachine: ("name",)}, TO_VMS, lambda row: row.text("name"))
    assert len(names) == len(set(names)) == 600


@pytest.mark.parametrize("method", ["RetrievePropertiesEx", "ContinueRetrievePropertiesEx"])
@pytest.mark.parametrize("trouble", ["drop", "fault"])
def test_lost_pages_and_faults_are_those_of_any_read(make_sim, method, trouble):
    sim = make_sim("--vms", "600", "--parents", "0")
    rule = {"do": "drop"} if trouble == "drop" else {"do": "fault", "fault": "InvalidState"}
    with session(sim) as known:
        root = [known.content.rootFolder]
        sim.request("POST", "/inject", {"method": method, **rule})

        def read():
            return collect_plainly(known, root, {vim.VirtualMachine: ("name",)}, TO_VMS, lambda row: row.text("name"))

        if trouble == "fault":
            with pytest.raises(Fault) as caught:
                read()
            assert caught.value.fault == "InvalidState"
        else:
            assert len(set(read())) == 600


class _Canned:
    """A connection that answers with what is given, as a vCenter that compresses does; the simulator does not."""

    def __init__(self, body, status=200, encoding="gzip"):
        self.body, self.status, self.encoding = body, status, encoding
        self.closed = False
        self.reason = "reason"

    def request(self, *_args):
        """Take the request."""

    def getresponse(self):
        """The answer, which is this."""
        return self

    def read(self, *_amount):
        """Its body."""
        return self.body

    def getheader(self, name, default=None):
        """Its only header."""
        return self.encoding if name == "Content-Encoding" else default

    def close(self):
        """Note it."""
        self.closed = True


def _asked(known, monkeypatch, canned):
    """What comes of a call that is answered with that."""
    monkeypatch.setattr(known.stub, "GetConnection", lambda: canned)
    monkeypatch.setattr(known.stub, "ReturnConnection", lambda _connection: None)
    info = vmodl.query.PropertyCollector.ContinueRetrievePropertiesEx.info
    return known.stub.ask_plainly(known.content.propertyCollector, info, ["token"])


_PACKED = gzip.compress(b"<a/>", mtime=0)


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (_PACKED, 200, None),
        (_PACKED[:-4], 200, StrangeAnswer),
        (b"no gzip", 200, StrangeAnswer),
        (_PACKED, 500, StrangeAnswer),
        (_PACKED, 418, StrangeAnswer),
        (_PACKED, 503, Unavailable),
    ],
    ids=["whole", "cut", "none", "500", "418", "503"],
)
def test_compressed_answers_and_those_that_are_none(make_sim, monkeypatch, body, status, error):
    with session(make_sim("--vms", "0", "--parents", "0")) as known:
        known.limit.per_call = 1.0
        assert known.content  # is asked for before connections are replaced
        with monkeypatch.context() as patched:
            if error is None:
                assert _asked(known, patched, _Canned(body, status)) == b"<a/>"
                return
            with pytest.raises(error):
                _asked(known, patched, _Canned(body, status))


def test_a_fault_that_comes_with_status_200_is_no_empty_answer():
    document = _ENVELOPE.format("").replace("RetrievePropertiesExResponse", "Fault").encode()
    with pytest.raises(StrangeAnswer):
        plain.parse(document)

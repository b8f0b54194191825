# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which version of the API is spoken."""

from __future__ import annotations

import ast
import pathlib
import re
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._connector import versions
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.pyvmomi import VmomiSupport, vim
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import NotSupported

KNOWN = ["vim25/6.5", "vim25/6.7", "vim25/6.7.3", "vim25/7.0.0.0", "vim25/8.0.2.0", "vim25/8.0.3.0", "vim25/9.1.0.0"]

_PLUGINS = pathlib.Path(versions.__file__).parents[2]
_READ = (vim.VirtualMachine, vim.HostSystem, vim.ComputeResource, vim.ClusterComputeResource, vim.ResourcePool, vim.Datastore)
_OF_NETWORKS = (vim.Network, vim.DistributedVirtualSwitch, vim.dvs.DistributedVirtualPortgroup)

NUMBERS = st.lists(st.integers(0, 20), min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("server", "spoken"),
    [
        ("8.0.3.0", "vim25/8.0.3.0"),
        ("8.0.2.5", "vim25/8.0.2.0"),
        ("7.0.0.0", "vim25/7.0.0.0"),
        ("7.0", "vim25/7.0.0.0"),
        ("6.7", "vim25/6.7"),
        ("6.7.2", "vim25/6.7"),
        ("99.0.0.0", "vim25/9.1.0.0"),
        ("6.0", versions.OLDEST),
        ("", versions.OLDEST),
        ("garbage", versions.OLDEST),
    ],
)
def test_the_newest_version_that_both_sides_know_is_spoken(server, spoken):
    assert versions.newest_common(server, KNOWN) == spoken


def test_names_that_are_no_numbers_are_passed_over():
    assert versions.newest_common("9.0", ["vim25/2.5u2", "vim25/m5CA1EF4D", "pbm/9.0", "vim25/8.0.0.0"]) == "vim25/8.0.0.0"


@given(NUMBERS, st.lists(NUMBERS))
def test_never_newer_than_the_server_and_never_older_than_need_be(server, known):
    padded = {f"vim25/{'.'.join(map(str, number))}": (*number, 0, 0, 0, 0)[:4] for number in known}
    spoken = versions.newest_common(".".join(map(str, server)), padded)
    older = [number for number in padded.values() if number <= (*server, 0, 0, 0, 0)[:4]]
    assert padded.get(spoken) == (max(older) if older else None) or spoken == versions.OLDEST


def test_pyvmomi_knows_what_everybody_speaks_and_newer_ones():
    assert versions.OLDEST in VmomiSupport.versionMap
    assert versions.newest_common("8.0.3.0", VmomiSupport.versionMap) == "vim25/8.0.3.0"


def test_the_version_is_read_from_the_servers_description():
    document = b"""<?xml version="1.0"?><namespaces version="1.0">
      <namespace><name>urn:vim2</name><version>2.0</version></namespace>
      <namespace><name>urn:vim25</name><version>8.0.3.0</version>
        <priorVersions><version>8.0.2.0</version></priorVersions></namespace></namespaces>"""
    assert versions.offered(document) == "8.0.3.0"


@pytest.mark.parametrize("document", [b"", b"<html></html>", b"<html><br></html>", b"{}", b"\xff\x00", b"<namespaces/>"])
def test_what_describes_no_versions_is_no_vcenter(document):
    assert versions.offered(document) is None


@pytest.mark.parametrize(
    ("version", "wanted", "is_it"),
    [("8.0.3.0", "6.7", True), ("6.7", "6.7", True), ("6.7.3", "6.7", True), ("6.5", "6.7", False), ("", "6.7", False)],
)
def test_whether_a_version_is_new_enough(version, wanted, is_it):
    assert versions.at_least(version, wanted) is is_it


@pytest.mark.parametrize(
    ("server", "kept"),
    [
        ("6.0", ["name"]),
        ("6.5", ["name", "runtime.inQuarantineMode"]),
        ("6.7", ["name", "runtime.inQuarantineMode", "runtime.instantCloneFrozen"]),
        ("8.0.3.0", ["name", "runtime.inQuarantineMode", "runtime.instantCloneFrozen"]),
        ("", ["name", "runtime.inQuarantineMode", "runtime.instantCloneFrozen"]),
    ],
)
def test_properties_are_asked_of_servers_that_have_them(server, kept):
    assert versions.readable(server, ["name", "runtime.inQuarantineMode", "runtime.instantCloneFrozen"]) == kept


def newest_part(kind, path):
    """The version of the API that has all of a property path; None where the type has no such property."""
    found = (0,)
    for name in path.split("."):
        known = {each.name: each for each in kind._GetPropertyList()} if hasattr(kind, "_GetPropertyList") else {}
        if name not in known:
            return None
        number = VmomiSupport.versionIdMap[known[name].version]
        found = max(found, tuple(int(part) for part in number.split(".") if part.isdigit()))
        kind = known[name].type
    return found


def test_of_each_property_that_is_newer_than_6_0_it_is_known_since_when():
    texts = set()
    for file in _PLUGINS.rglob("*.py"):
        nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        texts |= {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    paths = [text for text in texts if re.fullmatch(r"[a-z]\w*(\.\w+)+", text)]
    since = {path: number for path in paths for kind in (*_READ, *_OF_NETWORKS) if (number := newest_part(kind, path))}
    newer = {path: number for path, number in since.items() if number > (6, 0)}
    assert newer["runtime.instantCloneFrozen"] == (6, 7)
    for path, number in newer.items():
        version = ".".join(map(str, number))
        assert versions.readable(version, [path]) == [path]
        assert versions.readable("6.0", [path]) == [], f"{path} is there since {version}, which versions.py does not say"


@pytest.mark.parametrize(
    ("require", "enough", "lacking", "said"),
    [
        (versions.require_instant_clones, ["6.7", "8.0.3.0"], ["6.5", ""], "vc:443 cannot make instant clones"),
        (versions.require_secure_boot, ["6.5", "7.0.0.0"], ["6.0"], "vc:443 has no secure boot for VMs"),
        (versions.require_vmfork, ["6.0", "6.5"], ["6.6", "6.7", "5.5", ""], "vc:443 has no VMFork"),
    ],
)
def test_what_a_vcenter_is_too_old_or_too_new_for_is_refused_with_its_version(require, enough, lacking, said):
    def asked(version):
        about = {"apiVersion": version} if version else {}
        require(types.SimpleNamespace(about=about, options=types.SimpleNamespace(endpoint="vc:443")))

    for version in enough:
        asked(version)
    for version in lacking:
        with pytest.raises(NotSupported) as raised:
            asked(version)
        assert raised.value.message.startswith(said)
        assert (version or "unknown") in raised.value.message
        assert raised.value.details["api_version"] == version

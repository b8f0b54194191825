# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is chosen of a descriptor: files that the hardware uses, values of properties, networks."""

from __future__ import annotations

import dataclasses

import pytest
from pyVmomi import vim

from ansible_collections.vforge.vsphere.plugins.module_utils._connector.props import Row
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf import importing, model, read
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.ovf.running import Templates
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.ovf.support import Made, content

A, B = content(400_000), content(100_000, 2)

_OPTIONS = (
    "<DeploymentOptionSection><Info>Sizes</Info>"
    '<Configuration ovf:id="small" ovf:default="true"><Label>S</Label><Description>S</Description></Configuration>'
    '<Configuration ovf:id="big"><Label>B</Label><Description>B</Description></Configuration>'
    "</DeploymentOptionSection>"
)
_SECOND = "<Item><rasd:AddressOnParent>1</rasd:AddressOnParent>"


@dataclasses.dataclass
class Changed(Made):
    """A package whose descriptor is another: ``changes`` are texts with what takes their place."""

    changes: tuple[tuple[str, str], ...] = ()

    def descriptor(self):
        text = super().descriptor().decode()
        for old, new in self.changes:
            assert old in text
            text = text.replace(old, new, 1)
        return text.encode()


def changed(*changes, **more):
    return Changed(disks={"a.vmdk": A, "b.vmdk": B}, changes=changes, **more)


@pytest.fixture
def templates(make_sim, tmp_path, monkeypatch):
    """Tasks against a simulator of the test's own."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return Templates(make_sim("--vms", "2"))


def raw(templates):
    return templates.sim.govc("vm.info", "-e", "/DC0/vm/web")["virtualMachines"][0]


def sent(templates):
    return [(upload["file"].rpartition("/")[2], upload["bytes"]) for upload in templates.uploads()]


# Files that the chosen hardware does not use


def another_option():
    """The second disk is there in one deployment option alone."""
    return changed((_SECOND, _SECOND.replace("<Item>", '<Item ovf:configuration="big">')), extra=_OPTIONS)


def no_item():
    """No item of the hardware names the second disk."""
    begin = Changed(disks={"a.vmdk": A, "b.vmdk": B}).descriptor().decode()
    at = begin.index(_SECOND)
    return changed((begin[at : begin.index("</Item>", at) + len("</Item>")], ""))


def no_file():
    """The second disk is an empty one, as one for swap; its file is listed and of no use."""
    return changed(('ovf:diskId="vmdisk2" ovf:fileRef="file2"', 'ovf:diskId="vmdisk2"'))


@pytest.mark.parametrize("make", [another_option, no_item, no_file], ids=lambda make: make.__name__)
def test_files_that_the_hardware_does_not_use_are_verified_and_not_sent(templates, tmp_path, make):
    source = make().ova(tmp_path)
    assert templates.run(source, check=True).result["actions"] == ["imported"]
    ran = templates.run(source)
    assert ran.result["actions"] == ["imported"]
    assert ran.result["transfer"]["sent"] == len(A)
    assert [count for _name, count in sent(templates)] == [len(A)]
    assert set(ran.result["source"]["files"]) == {"a.vmdk", "b.vmdk"}
    assert templates.run(source).result["changed"] is False


def test_what_another_option_uses_is_sent_with_that_option(templates, tmp_path):
    ran = templates.run(another_option().ova(tmp_path), deployment_option="big")
    assert ran.result["transfer"]["sent"] == len(A) + len(B)


def test_the_files_of_a_disk_with_a_parent_are_sent_one_after_the_other(templates, tmp_path):
    source = changed(
        ('ovf:diskId="vmdisk2" ovf:fileRef="file2"', 'ovf:diskId="vmdisk2" ovf:fileRef="file2" ovf:parentRef="vmdisk1"'),
        ("ovf:/disk/vmdisk1", "ovf:/disk/vmdisk2"),
        (no_item().changes[0][0], ""),
    ).ova(tmp_path)
    templates.run(source)
    # The base first, to the one disk that there is.
    assert sent(templates) == [("ParaVirtualSCSIController0:0", len(A)), ("ParaVirtualSCSIController0:0", len(B))]
    assert templates.nothing_left()


def row_of(disks, sizes):
    """A VM with disks of these capacities in MiB, whose files take these bytes; by their places on one controller."""
    controller = vim.vm.device.VirtualLsiLogicController(key=1000, busNumber=0)
    backing = vim.vm.device.VirtualDisk.FlatVer2BackingInfo(fileName="[a] b")
    devices = [
        vim.vm.device.VirtualDisk(
            key=2000 + unit, controllerKey=1000, unitNumber=unit, capacityInKB=size * 1024, backing=backing
        )
        for unit, size in enumerate(disks)
    ]
    layout = vim.vm.FileLayoutEx
    files = [layout.FileInfo(key=key, type="diskExtent", size=size) for key, size in enumerate(sizes)]
    chains = [layout.DiskLayout(key=2000 + key, chain=[layout.DiskUnit(fileKey=[key])]) for key in range(len(disks))]
    return {"config.hardware.device": [controller, *devices], "layoutEx.file": files, "layoutEx.disk": chains}


def test_each_disk_is_judged_by_itself_so_that_a_large_empty_one_covers_for_none():
    # Of the second, small disk 5 MB were sent and nothing is there; the first is large, and nothing was sent for it.
    values = row_of([10_000, 64], [9_000_000_000, 0])
    mark = vim.option.OptionValue(key=model.DISKS_KEY, value="VirtualLsiLogicController0:1=5000000")
    row = Row(vim.VirtualMachine("vm-1"), {**values, read.mark_path(model.DISKS_KEY): mark})
    assert importing._short(row) == ("for the disk VirtualLsiLogicController0:1 5000000 bytes were sent, and 0 bytes are there")
    whole = Row(row.ref, {**row.values, **row_of([10_000, 64], [0, 6_000_000])})
    assert importing._short(whole) == ""


@pytest.mark.parametrize("text", ["", "nonsense", "a=b", "=5", "a=" + "9" * 40, "a=-1"])
def test_what_somebody_else_wrote_in_the_place_of_sizes_means_none(text):
    assert read.sent_sizes(text) in ({}, {"": 5})


# Files without an address


_SETTINGS = (
    "</VirtualHardwareSection>",
    '<ExtraConfig ovf:required="false" ovf:key="nvram" ovf:value="ovf:/file/file2"/></VirtualHardwareSection>',
)


def settings():
    """A package whose second file has the BIOS settings of the VM."""
    return changed((no_item().changes[0][0], ""), _SETTINGS)


def test_a_file_that_this_vcenter_has_no_place_for_is_left_out_with_a_warning(make_sim, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    templates = Templates(make_sim("--vms", "2", "--api-version", "6.5"))
    ran = templates.run(settings().ova(tmp_path))
    assert ran.result["transfer"]["sent"] == len(A)
    assert [line for line in templates.warnings if "b.vmdk was left out" in line] == [
        "b.vmdk was left out: this vCenter has no place for it, and it is no disk."
    ]
    assert templates.nothing_left()


def test_where_there_is_a_place_for_it_it_is_sent(templates, tmp_path):
    ran = templates.run(settings().ova(tmp_path))
    assert ran.result["transfer"]["sent"] == len(A) + len(B)
    assert ("nvram", len(B)) in sent(templates)
    assert templates.nothing_left()


def test_where_there_is_a_place_for_it_a_host_fetches_it_as_well(templates, tmp_path, serve):
    folder = tmp_path / "served"
    folder.mkdir()
    settings().ova(folder)
    ran = templates.run(f"{serve(folder).url}/web.ova", transfer="pull", source_ca_path=serve.ca, verify="none")
    assert ran.calls["HttpNfcLeasePullFromUrls_Task"] == 1
    assert ("nvram", len(B)) in sent(templates)
    assert templates.nothing_left()


def test_a_disk_without_an_address_is_a_failure(templates, tmp_path, monkeypatch):
    monkeypatch.setattr(importing, "addressed", lambda _files, _ready: [])
    ran = templates.attempt(changed().ova(tmp_path))
    assert ran.code == "upload_failed"
    assert "names no address for the disk a.vmdk, b.vmdk" in str(ran.error)
    assert templates.nothing_left()


# Properties


_PROPERTIES = (
    ('ovf:key="on" ovf:type="string"', 'ovf:key="on" ovf:type="boolean"'),
    ('ovf:key="fixed" ovf:type="string" ovf:userConfigurable="true"', 'ovf:key="fixed" ovf:type="boolean"'),
    (
        'ovf:key="secret" ovf:type="string" ovf:userConfigurable="true"',
        'ovf:key="secret" ovf:type="string" ovf:userConfigurable="false"',
    ),
)


@pytest.fixture
def asking(tmp_path):
    """A package with properties of several types, of which two are not for users."""
    return changed(*_PROPERTIES, properties=("on", "text", "fixed", "secret")).ova(tmp_path)


def values_of(templates):
    return {entry["id"]: entry.get("value", "") for entry in raw(templates)["config"]["vAppConfig"]["property"]}


@pytest.mark.parametrize(
    ("given", "expected"),
    [(True, "True"), (False, "False"), ("true", "True"), ("FALSE", "False"), ("True", "True")],
)
def test_a_boolean_is_written_as_vcenter_takes_it(templates, asking, given, expected):
    templates.run(asking, properties={"on": given, "text": given})
    found = values_of(templates)
    # What is text stays what was written; a boolean of YAML has the same words there.
    assert (found["on"], found["text"]) == (expected, expected if isinstance(given, bool) else given)


def test_what_is_no_boolean_is_refused_before_anything_is_made(templates, asking):
    ran = templates.attempt(asking, properties={"on": "perhaps"}, check=True)
    assert (ran.code, ran.error.details["option"]) == ("invalid_option", "properties")
    assert "perhaps" not in str(ran.error)
    assert "CreateImportSpec" not in ran.calls


def test_hidden_properties_are_set_where_that_is_asked_for(templates, asking):
    values = {"fixed": True, "secret": "word", "text": "open"}
    ran = templates.attempt(asking, properties=values)
    assert "does not let users set fixed, secret" in str(ran.error)
    assert "enable_hidden_properties" in str(ran.error)
    templates.run(asking, properties=values, enable_hidden_properties=True)
    assert values_of(templates) | {"on": ""} == {"on": "", "fixed": "True", "secret": "word", "text": "open"}


# Networks


@pytest.fixture
def twins(templates):
    """Two networks of one name, in two folders."""
    govc = templates.sim.govc
    govc("folder.create", "/DC0/network/other")
    govc("dvs.create", "-folder", "/DC0/network/other", "DVS9")
    govc("dvs.add", "-dvs", "/DC0/network/other/DVS9", "/DC0/host/DC0_C0")
    govc("dvs.portgroup.add", "-dvs", "/DC0/network/other/DVS9", "-type", "earlyBinding", "-nports", "8", "VM Network")
    return templates


def test_a_name_that_two_networks_have_is_refused_with_the_choices(twins, tmp_path):
    source = changed().ova(tmp_path)
    for check in (True, False):
        ran = twins.attempt(source, check=check)
        assert (ran.code, ran.error.details["option"]) == ("invalid_option", "networks")
        assert "2 networks are named VM Network" in str(ran.error)
        assert [choice.partition(" (")[0] for choice in ran.error.details["allowed"]] == [
            "/DC0/network/VM Network",
            "/DC0/network/other/VM Network",
        ]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("/DC0/network/VM Network", "Network"),
        ("other/VM Network", "DistributedVirtualPortgroup"),
        ("/DC0/network/other/VM Network", "DistributedVirtualPortgroup"),
        (None, "DistributedVirtualPortgroup"),
    ],
)
def test_a_network_is_named_by_its_path_or_its_moid(twins, tmp_path, text, kind):
    source = changed().ova(tmp_path)
    if text is None:
        choices = twins.attempt(source).error.details["allowed"]
        text = choices[1].partition(" (")[2].rstrip(")")
    twins.run(source, default_network=text)
    assert [network["type"] for network in raw(twins)["network"]] == [kind]

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The packages that the field sends, each played in check mode and for real against the simulator."""

from __future__ import annotations

import dataclasses
import shutil
import typing as t

import pytest

import vforge_packages
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf import apply
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.ovf.running import Templates

CONVERT = "qemu-img convert -O vmdk -o subformat=streamOptimized"
GET_AGAIN = "get it again"
NO_MANIFEST = "has no manifest"
WIZARD = "vCenter's own wizard refuses it"


@dataclasses.dataclass(frozen=True)
class Case:
    """A package, and what is to become of it.

    :ivar shape: its name in ``vforge_packages``, where its docstring says what it is.
    :ivar code: of the error; empty where a template is made of it.
    :ivar says: what the error says, or what is warned of: a part of each warning, in their order.
    :ivar options: of the task, besides those that all have.
    :ivar files: how many are sent to the host; None where that is not the point.
    """

    shape: str
    code: str = ""
    says: tuple[str, ...] = ()
    options: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    files: int | None = None


def made(shape: str, *warns: str, files: int | None = None, **options: t.Any) -> Case:
    """One that a template is made of, with these warnings and no others."""
    return Case(shape, "", warns, options, files)


def bad(shape: str, *says: str, **options: t.Any) -> Case:
    """One that is no package."""
    return Case(shape, "invalid_package", says, options)


def mismatch(shape: str, *says: str) -> Case:
    """One with other bytes than its manifest says."""
    return Case(shape, "checksum_mismatch", says)


CASES = [
    # Disks
    made("disk-of-vmware"),
    made("disk-of-qemu"),
    bad("disk-raw", "a.vmdk is a raw image", "streamOptimized", CONVERT),
    bad("disk-monolithic-sparse", "is a monolithicSparse VMDK", CONVERT),
    bad("disk-version-1", "is a VMDK of version 1", CONVERT),
    bad("disk-qcow2", "is a qcow2 image", CONVERT),
    bad("disk-text-alone", "is the text part of a VMDK alone", CONVERT),
    bad("disk-cut-before-its-footer", "was cut short", GET_AGAIN),
    bad("disk-cut-in-its-marker", "was cut short", GET_AGAIN),
    bad("disk-of-qemu-cut-in-its-last-grain", "its last grain is not whole", GET_AGAIN),
    bad("disk-larger-than-its-descriptor-says", "is a disk of 2097152 bytes", "makes one of 1048576", "ovf:capacity"),
    made("disk-smaller-than-its-descriptor-says"),
    made("disk-of-no-file"),
    # Files that the chosen hardware does not use, and those that it does
    made("unused-disk-of-another-option", files=1),
    made("unused-disk-of-another-option", files=2, deployment_option="big"),
    mismatch("unused-disk-of-another-option-damaged", "b.vmdk"),
    made("unused-disk-that-no-item-names", files=1),
    made("unused-file-of-a-swap-disk", files=1),
    made("disk-with-a-parent", files=2),
    made("file-of-bios-settings", files=2),
    made("properties-of-several-types", properties={"on": True}),
    Case("properties-of-several-types", "invalid_option", ("on",), {"properties": {"on": "perhaps"}}),
    Case(
        "properties-of-several-types",
        "invalid_option",
        ("does not let users set secret", "enable_hidden_properties"),
        {"properties": {"secret": "word"}},
    ),
    made("properties-of-several-types", properties={"secret": "word"}, enable_hidden_properties=True),
    # Manifests
    made("manifest-of-openssl-3", WIZARD),
    made("manifest-with-a-hyphen", WIZARD),
    made("manifest-sha384", WIZARD),
    made("manifest-sha512-of-openssl-3", WIZARD),
    made("manifest-of-several-digests", WIZARD),
    mismatch("manifest-of-several-digests-damaged", "a.vmdk", "sha256:"),
    bad("manifest-of-md5-alone", "uses 'md5'", "sha1, sha256, sha384 and sha512 are understood"),
    made("manifest-of-sha256sum", WIZARD),
    mismatch("manifest-of-sha256sum-damaged", "a.vmdk"),
    made("manifest-with-dots"),
    mismatch("manifest-with-dots-damaged", "a.vmdk"),
    made("manifest-in-capitals"),
    mismatch("manifest-in-capitals-damaged", "a.vmdk"),
    made("manifest-of-another-base-name"),
    mismatch("manifest-of-another-base-name-damaged", "a.vmdk"),
    mismatch("manifest-of-another-base-name-in-a-folder", "a.vmdk"),
    bad("manifest-twice", "holds 2 files .mf (one.mf, two.mf)"),
    mismatch("manifest-in-another-case", "a.vmdk"),
    bad("manifest-of-other-files", "digests of files that are not there (b.vmdk)"),
    made("manifest-of-a-file-besides"),
    made("manifest-without-a-disk", "leaves out a.vmdk"),
    made("manifest-missing", NO_MANIFEST),
    made("manifest-missing-beside-files", NO_MANIFEST),
    bad("manifest-that-is-a-page", "web.mf is an HTML page", "a sign-in page?"),
    made("manifest-of-chunks"),
    mismatch("manifest-of-chunks-damaged", "a.vmdk.000000001"),
    made("chunks-without-a-size"),
    # Names
    made("name-with-dots"),
    made("name-percent-encoded"),
    made("name-percent-encoded-and-meant-so"),
    Case("name-that-decodes-to-a-way-out", "unsafe_package", ("outside of the package",)),
    made("name-in-another-unicode-form"),
    made("packed-as-a-folder"),
    mismatch("packed-as-a-folder-damaged", "a.vmdk"),
    made("packed-with-dots"),
    made("packed-on-a-mac"),
    made("packed-with-headers-as-files"),
    made("packed-by-an-old-tar"),
    made("packed-by-an-old-tar-as-a-folder"),
    made("packed-by-gnu"),
    bad("packed-with-two-descriptors", "holds 2 descriptors (web.ovf, other.ovf)"),
    bad("page-for-a-package", "web.ova is an HTML page", "a sign-in page?"),
    # Descriptors
    made("size-too-small", "a.vmdk has 8704 bytes, and the descriptor says 1000"),
    made("size-too-large", "a.vmdk has 8704 bytes, and the descriptor says 900000"),
    bad("size-wrong-and-no-digest", "8704 bytes of the 900000", GET_AGAIN),
    mismatch("size-wrong-and-digest-wrong", "a.vmdk"),
    made("unit-of-1024"),
    Case("unit-mib", "descriptor_refused", ("vCenter refuses the descriptor",)),
    made("vapp-of-one-vm", properties={"vapp.domain": "example.com"}),
    bad("vapp-of-two-vms", "a vApp of 2 VMs", "Set virtual_system to the one that is wanted: web, db"),
    made("vapp-of-two-vms", virtual_system="web"),
    Case("vapp-of-two-vms", "invalid_option", ("has no VM mail", "It has: web, db"), {"virtual_system": "mail"}),
    # Families
    made("family-vmware-appliance", deployment_option="tiny", properties={"vami.ip0.box": "192.0.2.7"}),
    made("family-vmware-appliance"),
    made("family-virtualbox"),
    made("family-virt-v2v"),
    made("family-vcloud"),
    made("family-oracle"),
    made("family-nested-esxi", properties={"guestinfo.hostname": "esxi-1"}),
]


@pytest.fixture
def templates(shared_sim, tmp_path, monkeypatch):
    """Tasks against the simulator of many tests, which find no template of theirs and leave none."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    found = Templates(shared_sim)
    yield found
    found.run(None, state="absent")
    assert found.nothing_left()


def source(shape: str) -> t.Any:
    """The file of a package that is named: its archive, or else its descriptor."""
    files = list((vforge_packages.FOLDER / shape).iterdir())
    return next((file for ending in (".ova", ".ovf") for file in files if file.name.endswith(ending)), None)


def play(templates: Templates, case: Case, where: t.Any, **options: t.Any) -> None:
    """Run it in check mode and for real, and hold both to the same."""
    for check in (True, False):
        templates.warnings.clear()
        ran = templates.attempt(where, check=check, **case.options, **options)
        if case.code:
            assert ran.error is not None, "it was taken"
            assert (ran.error.error_code, ran.called("ImportVApp")) == (case.code, 0), ran.error
            assert all(one in str(ran.error) for one in case.says), ran.error
            continue
        assert ran.error is None, ran.error
        assert (ran.result["changed"], ran.result["actions"]) == (True, ["imported"])
        assert [one for one, said in zip(case.says, templates.warnings, strict=True) if one not in said] == []
        assert ran.called("ImportVApp") == (0 if check else 1)
    if not case.code:
        assert case.files in (None, len(templates.uploads()))
        template = templates.sim.govc("vm.info", "-e", "/DC0/vm/web")["virtualMachines"][0]
        assert template["config"]["template"] is True
        assert templates.run(where, **case.options, **options).result["changed"] is False


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join((case.shape, *case.options)))
def test_packages_of_the_field(templates, case):
    play(templates, case, source(case.shape))


def test_the_packages_are_what_their_script_makes(tmp_path):
    vforge_packages.write(tmp_path / "packages")
    made_now, kept = (
        {str(file.relative_to(top)): file.read_bytes() for file in top.rglob("*") if file.is_file()}
        for top in (tmp_path / "packages", vforge_packages.FOLDER)
    )
    assert made_now == kept


def test_each_of_the_packages_is_played():
    assert {case.shape for case in CASES} == set(vforge_packages.SHAPES)


# --- the same from web servers ---


@dataclasses.dataclass(frozen=True)
class Served:
    """A package on a web server.

    :ivar how: what the server does, as ``Behaviour`` has it.
    :ivar query: of the address.
    :ivar asked: whether each path was asked for at all.
    """

    case: Case
    how: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    query: str = ""
    asked: t.Mapping[str, bool] = dataclasses.field(default_factory=dict)


_LONG_AGO = "Wed, 21 Oct 2015 07:28:00 GMT"

SERVED = {
    "as it should": Served(made("disk-of-qemu"), asked={"/web.mf": True, "/web.cert": False}),
    "an object store without a manifest": Served(
        made("manifest-missing-beside-files", NO_MANIFEST),
        {"missing": 403},
        asked={"/web.mf": True, "/web.cert": False},
    ),
    "an object store with a name that is encoded": Served(made("name-percent-encoded"), {"missing": 403}),
    "a name that is encoded": Served(made("name-percent-encoded")),
    "a page for the package": Served(
        bad("disk-of-qemu", "web.ovf is an HTML page", "a sign-in page?", "source_headers"),
        {"pages": frozenset({"/web.ovf"})},
    ),
    "a page for the manifest": Served(
        bad("disk-of-qemu", "web.mf is an HTML page", "a sign-in page?"), {"pages": frozenset({"/web.mf"})}
    ),
    "a page for a disk": Served(
        bad("disk-of-qemu", "a.vmdk is an HTML page", "a sign-in page?"), {"pages": frozenset({"/a.vmdk"})}
    ),
    "an archive that is presigned": Served(
        made("packed-as-a-folder"), {"query": "X-Amz-Signature=hunter2"}, "X-Amz-Signature=hunter2"
    ),
    "a folder with one token": Served(made("disk-of-qemu"), {"query": "sig=hunter2"}, "sig=hunter2"),
    "an address whose time is over": Served(
        Case("packed-as-a-folder", "source_refused", ("403", "make a new one")), {"query": "sig=new"}, "sig=hunter2"
    ),
    "mirrors with ETags of their own": Served(made("packed-as-a-folder"), {"etags": ('"a"', '"b"'), "modified": _LONG_AGO}),
    "mirrors with ETags and no times": Served(made("packed-as-a-folder"), {"etags": ('"a"', '"b"')}),
    "an ETag of each answer": Served(made("packed-as-a-folder"), {"etags": ('"#"',)}),
    "no ranges": Served(made("packed-as-a-folder"), {"ranges": False}),
    "disks that nobody takes": Served(bad("disk-raw", "a.vmdk is a raw image", CONVERT)),
}


@pytest.mark.parametrize("served", SERVED.values(), ids=SERVED)
def test_packages_on_web_servers(templates, serve, tmp_path, served):
    file = source(served.case.shape)
    folder = tmp_path / "served"
    shutil.copytree(file.parent, folder)
    server = serve(folder)
    for name, value in served.how.items():
        setattr(server.behaviour, name, value)
    options = {"source_ca_path": serve.ca, **({"source_query": served.query} if served.query else {})}
    play(templates, served.case, f"{server.url}/{file.name}", **options)
    paths = {path for path, _range, _headers in server.requests}
    assert {path: path in paths for path in served.asked} == served.asked


def test_a_package_that_each_way_leads_elsewhere_is_pulled_from_where_it_was_looked_at(templates, serve, tmp_path):
    folder = tmp_path / "served"
    shutil.copytree(vforge_packages.FOLDER / "packed-as-a-folder", folder)
    first, second = serve(folder), serve(folder)
    first.behaviour.redirect = {"/go.ova": f"{second.url}/web.ova?token=hunter2"}
    second.behaviour.query = "token=hunter2"
    options = {"source_ca_path": serve.ca, "source_username": "builder", "source_password": "secret"}
    ran = templates.run(f"{first.url}/go.ova", transfer="pull", **options)
    assert ran.called("HttpNfcLeasePullFromUrls_Task") == 1
    # One question of the first server; all else, the host's own included, goes to the one that answers.
    assert [path for path, _range, _headers in first.requests] == ["/go.ova"]
    agents = [headers.get("User-Agent", "") for _path, _range, headers in second.requests]
    assert sum("Go-http-client" in agent for agent in agents) == 1
    assert not any("Authorization" in headers for _path, _range, headers in second.requests)


def test_an_address_that_is_over_is_resolved_again(templates, serve, tmp_path, monkeypatch):
    folder = tmp_path / "served"
    shutil.copytree(vforge_packages.FOLDER / "packed-as-a-folder", folder)
    first, second = serve(folder), serve(folder)

    def good_for(token: str) -> None:
        first.behaviour.redirect = {"/go.ova": f"{second.url}/web.ova?token={token}"}
        second.behaviour.query = f"token={token}"

    good_for("one")
    real = apply.import_vapp
    monkeypatch.setattr(apply, "import_vapp", lambda *how: good_for("two") or real(*how))
    assert templates.run(f"{first.url}/go.ova", source_ca_path=serve.ca).result["changed"] is True
    assert [path for path, _range, _headers in first.requests] == ["/go.ova"] * 2

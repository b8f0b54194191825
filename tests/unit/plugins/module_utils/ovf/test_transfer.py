# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way of the bytes to the hosts: what is checked on it, what breaks on it, and that nothing half-made stays."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from pathlib import Path

import pytest
from pyVmomi import vim

import vforge_disks
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf import apply
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import lease, sending
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.ovf.running import Templates
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.ovf.support import Made, archive, content

A, B = content(1_500_000), content(200_000, 2)


@pytest.fixture
def templates(make_sim, tmp_path, monkeypatch):
    """Tasks against a simulator of the test's own."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return Templates(make_sim("--vms", "2"))


@pytest.fixture
def shared(shared_sim, tmp_path, monkeypatch):
    """Tasks against the simulator of many tests, which find no template of theirs and leave none."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    found = Templates(shared_sim)
    found.run(None, state="absent")
    yield found
    found.run(None, state="absent")


@pytest.fixture
def folder(tmp_path):
    """A folder to serve."""
    path = tmp_path / "served"
    path.mkdir()
    return path


def damaged(folder):
    """An OVA with a disk that is not what its manifest says."""
    files = Made(disks={"a.vmdk": A, "b.vmdk": B}).files()
    return archive(folder / "web.ova", {**files, "b.vmdk": B[:-1] + b"?"})


def nothing_made(templates):
    """Make sure that nothing of an import is left."""
    assert templates.vms() == []
    return templates.nothing_left()


def stored(templates, moid):
    """What lies below the layers of a template's disks: their grains by place."""
    return [_grains(Path(templates.sim.disk(moid, key)["layers"][1]["extent"])) for key in (2000, 2001)]


def _grains(extent):
    whole, size = {}, 2**16
    with extent.open("rb") as file:
        for number, grain in enumerate(iter(lambda: file.read(size), b"")):
            if grain.strip(b"\0"):
                whole[number * size] = grain
    return whole


def other_byte(path):
    """Change one byte of the last disk, and neither the size nor the time of the file."""
    status, data = path.stat(), bytearray(path.read_bytes())
    data[data.rindex(B) + 1000] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def before_the_upload(monkeypatch, change):
    """Let something happen when all that is looked at before has been looked at."""
    real = apply.import_vapp
    monkeypatch.setattr(apply, "import_vapp", lambda *how: change() or real(*how))


def _sha1(data):
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


_CHECKSUM = object()
_WAYS = [
    # manifest, options, error
    ("sha256", {}, "checksum_mismatch"),
    ("sha1", {}, "checksum_mismatch"),
    ("sha256", {"verify": "before"}, "checksum_mismatch"),
    ("sha256", {"verify": "stream"}, "checksum_mismatch"),
    ("sha256", {"checksum": _CHECKSUM}, "checksum_mismatch"),
    (None, {"checksum": _CHECKSUM}, "checksum_mismatch"),
    (None, {"checksum": _CHECKSUM, "verify": "before"}, "checksum_mismatch"),
    (None, {}, "source_changed"),
    (None, {"verify": "before"}, "source_changed"),
]


def asked(how, path):
    """Options, with the checksum of the file as it is."""
    if how.get("checksum") is _CHECKSUM:
        return {**how, "checksum": f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"}
    return how


@pytest.mark.parametrize(("manifest", "how", "code"), _WAYS)
@pytest.mark.parametrize("remote", [True, False])
def test_another_byte_under_the_same_etag_or_size_and_time_is_never_imported(
    shared, folder, serve, remote, manifest, how, code
):
    path = Made(disks={"a.vmdk": A, "b.vmdk": B}, manifest=manifest).ova(folder)
    options = {**asked(how, path), "source_ca_path": serve.ca}
    server = serve(folder)
    server.behaviour.same_etag = True
    source = f"{server.url}/web.ova" if remote else path
    first = shared.run(source, **options)
    assert shared.run(source, **options).result["changed"] is False
    shared.run(None, state="absent")
    other_byte(path)
    ran = shared.attempt(source, **options)
    assert ran.code == code
    assert nothing_made(shared)
    early = "checksum" in how or how.get("verify", "stream" if remote else "before") == "before"
    assert ("ImportVApp" in ran.calls) is not early
    if code == "source_changed":
        # What was remembered is forgotten, so the package is known for what it is now.
        assert shared.run(source, **options).result["digest"] != first.result["digest"]


@pytest.mark.parametrize(("manifest", "how", "_code"), _WAYS)
@pytest.mark.parametrize("remote", [True, False])
def test_another_byte_behind_the_last_look_is_found_on_its_way(
    shared, folder, serve, monkeypatch, remote, manifest, how, _code
):
    path = Made(disks={"a.vmdk": A, "b.vmdk": B}, manifest=manifest).ova(folder)
    options = {**asked(how, path), "source_ca_path": serve.ca}
    server = serve(folder)
    server.behaviour.same_etag = True
    before_the_upload(monkeypatch, lambda: other_byte(path))
    ran = shared.attempt(f"{server.url}/web.ova" if remote else path, **options)
    assert ran.code == "checksum_mismatch"
    assert "b.vmdk" in str(ran.error)
    assert ran.calls["HttpNfcLeaseAbort"] == 1
    assert nothing_made(shared)


@pytest.mark.parametrize("how", [{}, {"verify": "none", "checksum": _CHECKSUM}, {"verify": "before"}])
def test_another_byte_that_a_host_fetches_is_found_by_what_the_host_reports(shared, folder, serve, monkeypatch, how):
    path = Made(disks={"a.vmdk": A, "b.vmdk": B}).ova(folder)
    server = serve(folder)
    server.behaviour.same_etag = True
    options = {**asked(how, path), "source_ca_path": serve.ca, "transfer": "pull"}
    before_the_upload(monkeypatch, lambda: other_byte(path))
    ran = shared.attempt(f"{server.url}/web.ova", **options)
    assert (ran.code, ran.error.details["expected"]) == ("checksum_mismatch", f"sha1:{_sha1(B)}")
    assert nothing_made(shared)


def test_a_host_that_reports_no_digest_of_what_it_fetched_is_not_believed(shared, folder, serve, monkeypatch):
    Made(disks={"a.vmdk": A, "b.vmdk": B}).ova(folder)
    url = f"{serve(folder).url}/web.ova"
    real = lease.Lease.received

    def received(self):
        return {key: dataclasses.replace(have, digests=()) for key, have in real(self).items()}

    monkeypatch.setattr(lease.Lease, "received", received)
    options = {"source_ca_path": serve.ca, "transfer": "pull"}
    assert shared.attempt(url, **options).code == "upload_unverified"
    assert nothing_made(shared)
    assert shared.run(url, verify="none", **options).result["changed"]


def test_a_host_may_report_newer_digests():
    entry = vim.HttpNfcLease.ManifestEntry(key="k", sha1="", size=1, disk=True, checksum="AB", checksumType="SHA-256")
    assert list(lease._sums(entry)) == [("sha256", "ab")]


def test_before_means_before_also_in_check_mode(shared, tmp_path):
    ran = shared.attempt(damaged(tmp_path), check=True)
    assert ran.code == "checksum_mismatch"


def test_a_wrong_byte_is_found_before_anything_is_made(templates, tmp_path):
    ran = templates.attempt(damaged(tmp_path))
    assert ran.code == "checksum_mismatch"
    assert "b.vmdk" in str(ran.error)
    assert "ImportVApp" not in ran.calls
    assert "CreateImportSpec" not in ran.calls


def test_a_wrong_byte_on_its_way_ends_the_import(templates, folder, serve):
    damaged(folder)
    ran = templates.attempt(f"{serve(folder).url}/web.ova", source_ca_path=serve.ca)
    assert ran.code == "checksum_mismatch"
    assert ran.calls["HttpNfcLeaseAbort"] == 1
    assert "HttpNfcLeaseComplete" not in ran.calls
    assert nothing_made(templates)


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("form", ["web.ova", "web.ovf"])
def test_a_package_from_a_web_server_comes_whole_and_once(templates, folder, serve, form, ranges):
    made = Made(disks={"a.vmdk": A, "b.vmdk": B})
    made.ova(folder)
    made.ovf(folder)
    server = serve(folder)
    server.behaviour.ranges = ranges
    ran = templates.run(f"{server.url}/{form}", source_ca_path=serve.ca, parallel=1)
    assert stored(templates, ran.result["template"]["moid"]) == [vforge_disks.contents(disk) for disk in (A, B)]
    assert ran.result["transfer"]["read"] == 0
    again = templates.run(f"{server.url}/{form}", source_ca_path=serve.ca)
    assert again.result["changed"] is False
    assert again.result["transfer"]["read"] == 0


def test_a_broken_connection_to_the_host_costs_that_disk_alone(templates, tmp_path):
    source = Made(disks={"a.vmdk": A, "b.vmdk": B}).ova(tmp_path)
    templates.sim.disturb_uploads(drop_after=700_000, file="disk-0.vmdk", times=2)
    ran = templates.run(source)
    assert ran.result["transfer"]["attempts"] == 3
    assert ran.result["transfer"]["sent"] == len(A) + len(B)
    assert stored(templates, ran.result["template"]["moid"]) == [vforge_disks.contents(disk) for disk in (A, B)]


@pytest.mark.parametrize("trouble", [{"drop_after": 100_000}, {"status": 507}])
def test_a_host_that_never_takes_it_is_given_up(templates, tmp_path, trouble):
    source = Made(disks={"a.vmdk": A, "b.vmdk": B}).ova(tmp_path)
    templates.sim.disturb_uploads(times=0, **trouble)
    ran = templates.attempt(source)
    assert ran.code == "upload_failed"
    assert "3 attempts" in str(ran.error)
    assert nothing_made(templates)


def test_a_slow_upload_is_kept_alive_longer_than_a_lease_lives(make_sim, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    templates = Templates(make_sim("--vms", "2", "--lease-timeout", "8s"))
    source = Made(disks={"a.vmdk": A, "b.vmdk": B}).ova(tmp_path)
    templates.sim.disturb_uploads(rate=140_000, times=0)
    ran = templates.run(source)
    signs = ran.calls["HttpNfcLeaseProgress"]
    # A quarter of the time that it lives without a sign, which here is two seconds: sane, and in time.
    assert ran.result["transfer"]["seconds"] > 8
    assert 3 <= signs <= ran.result["transfer"]["seconds"] / 2 + 1


@pytest.mark.parametrize("how", ["silent", "trickle"])
def test_a_slow_web_server_does_not_hold_the_task_beyond_its_timeout(templates, folder, serve, how):
    Made(disks={"a.vmdk": A, "b.vmdk": B}).ova(folder)
    server = serve(folder)
    setattr(server.behaviour, how, True)
    ran = templates.attempt(f"{server.url}/web.ova", source_ca_path=serve.ca, timeout=3)
    assert ran.code == "timeout"
    assert server.url in str(ran.error)
    assert nothing_made(templates)


def test_a_slow_host_does_not_hold_the_task_beyond_its_timeout(templates, tmp_path):
    source = Made(disks={"a.vmdk": A, "b.vmdk": B}).ova(tmp_path)
    templates.sim.disturb_uploads(rate=1000, times=0)
    ran = templates.attempt(source, timeout=4)
    # The bytes would take the host half an hour.
    assert ran.code == "timeout"
    assert nothing_made(templates)


def test_a_host_that_goes_down_ends_the_upload(templates, tmp_path, monkeypatch):
    source = Made(disks={"a.vmdk": A, "b.vmdk": B}).ova(tmp_path)
    real = sending.send

    def send(*args, **kwargs):
        templates.sim.fail_leases("HostNotReachable")
        real(*args, **kwargs)

    monkeypatch.setattr(sending, "send", send)
    ran = templates.attempt(source)
    # It depends on who sees it first: the connection that broke, or the next sign of life, which knows why.
    assert ran.code in ("upload_failed", "host_not_reachable"), ran.error
    assert nothing_made(templates)


def test_a_lease_that_is_lost_ends_the_wait_for_a_slow_host(templates, tmp_path, monkeypatch):
    source = Made(disks={"a.vmdk": A, "b.vmdk": B}).ova(tmp_path)
    templates.sim.disturb_uploads(rate=10_000, times=0)
    monkeypatch.setattr(lease, "_SECONDS_BETWEEN_SIGNS", 0.2)
    templates.sim.inject(method="HttpNfcLeaseProgress", do="fault", fault="InvalidState", message="no")
    ran = templates.attempt(source)
    # The bytes alone would take the host two minutes.
    assert ran.code == "invalid_state"
    assert nothing_made(templates)


def _without_the_last_byte(parts):
    kept = memoryview(b"")
    for part in parts:
        yield kept
        # Its buffer is filled again with what comes next.
        kept = memoryview(bytes(part))
    yield kept[:-1]


def test_a_disk_that_arrived_short_is_noticed(templates, tmp_path, monkeypatch):
    source = Made(disks={"a.vmdk": A, "b.vmdk": B}).ova(tmp_path)
    real = sending.send

    def send(options, device, size, parts, **how):
        # A host takes as many bytes as are announced, and does not complain.
        real(options, device, size - 1, _without_the_last_byte(parts), **how)

    monkeypatch.setattr(sending, "send", send)
    ran = templates.attempt(source)
    assert ran.code == "incomplete_upload"
    assert nothing_made(templates)


def test_a_file_that_is_exchanged_while_it_is_sent(templates, tmp_path, monkeypatch):
    made = Made(disks={"a.vmdk": A, "b.vmdk": B})
    source = made.ovf(tmp_path)
    real = sending.send

    def send(*args, **kwargs):
        real(*args, **kwargs)
        (tmp_path / "b.vmdk").write_bytes(B + b"more")

    monkeypatch.setattr(sending, "send", send)
    ran = templates.attempt(source)
    assert ran.code == "source_changed"
    assert nothing_made(templates)


def test_a_host_that_is_another_than_vcenter_says_gets_no_byte(templates, tmp_path, monkeypatch):
    source = Made(disks={"a.vmdk": A, "b.vmdk": B}).ova(tmp_path)
    templates.sim.reset_calls()
    monkeypatch.setattr(lease, "_pin", lambda _item: "0" * 64)
    ran = templates.attempt(source)
    assert ran.code == "tls_wrong_thumbprint"
    assert templates.uploads() == []
    assert nothing_made(templates)


def test_addresses_that_lead_to_vcenter_itself(templates, tmp_path):
    source = Made(disks={"a.vmdk": A, "b.vmdk": B}).ova(tmp_path)
    templates.sim.relay_leases()
    ran = templates.run(source)
    assert stored(templates, ran.result["template"]["moid"]) == [vforge_disks.contents(disk) for disk in (A, B)]


@pytest.mark.parametrize("form", ["web.ova", "web.ovf"])
@pytest.mark.parametrize("tls", [True, False])
def test_a_host_can_fetch_it_by_itself(templates, folder, serve, form, tls):
    made = Made(disks={"a.vmdk": A, "b.vmdk": B})
    made.ova(folder)
    made.ovf(folder)
    server = serve(folder, tls=tls)
    server.behaviour.authorization = "Basic YnVpbGRlcjpzZWNyZXQ="
    asked = {"source_username": "builder", "source_password": "secret", "source_ca_path": serve.ca, "verify": "none"}
    ran = templates.run(f"{server.url}/{form}", transfer="pull", **asked)
    assert ran.result["transfer"]["sent"] == 0
    assert ran.calls["HttpNfcLeasePullFromUrls_Task"] == 1
    assert stored(templates, ran.result["template"]["moid"]) == [vforge_disks.contents(disk) for disk in (A, B)]


def test_from_9_on_a_host_knows_the_server_by_its_certificate(make_sim, folder, serve, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    templates = Templates(make_sim("--vms", "2", "--api-version", "9.0.0.0"))
    Made(disks={"a.vmdk": A, "b.vmdk": B}).ova(folder)
    ran = templates.run(f"{serve(folder).url}/web.ova", transfer="pull", source_ca_path=serve.ca, verify="none")
    assert stored(templates, ran.result["template"]["moid"]) == [vforge_disks.contents(disk) for disk in (A, B)]


@dataclasses.dataclass
class _OldSourceFile:
    """What pyVmomi before 9.0 has of vim.HttpNfcLease.SourceFile."""

    sslThumbprint: str | None = None  # noqa: N815 (the API's name)


@pytest.mark.parametrize(
    ("version", "kind", "by_certificate"),
    [
        ("8.0.3.1", vim.HttpNfcLease.SourceFile, False),
        ("9.0.0.0", vim.HttpNfcLease.SourceFile, True),
        ("9.1.0.0", vim.HttpNfcLease.SourceFile, True),
        ("10.0", vim.HttpNfcLease.SourceFile, True),
        ("", vim.HttpNfcLease.SourceFile, False),
        ("9.0.0.0", _OldSourceFile, False),
    ],
)
def test_a_server_is_known_by_its_certificate_or_by_its_thumbprint_and_never_by_both(version, kind, by_certificate):
    source = kind()
    apply.pin(source, b"certificate", version)
    pem = "-----BEGIN CERTIFICATE-----\nY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n"
    thumbprint = "73:5A:D5:71:C1:89:D7:BA:84:46:4B:F4:A9:F1:D2:28:01:75:B1:28"
    assert getattr(source, "sslCertificate", None) == (pem if by_certificate else None)
    assert source.sslThumbprint == (None if by_certificate else thumbprint)


def test_a_host_that_cannot_fetch_it_leaves_nothing(templates, folder, serve, monkeypatch):
    Made(disks={"a.vmdk": A, "b.vmdk": B}).ova(folder)
    server = serve(folder)
    real = lease.Lease.pull

    def pull(self, files):
        server.behaviour.authorization = "nobody has it"
        return real(self, files)

    monkeypatch.setattr(lease.Lease, "pull", pull)
    ran = templates.attempt(f"{server.url}/web.ova", transfer="pull", source_ca_path=serve.ca, verify="none")
    assert ran.error is not None
    assert "401" in str(ran.error)
    assert ran.calls["HttpNfcLeaseAbort"] == 1
    assert nothing_made(templates)


def test_how_far_it_is_can_be_seen(templates, tmp_path):
    source = Made(disks={"a.vmdk": A, "b.vmdk": B}).ova(tmp_path)
    templates.run(source)
    sent = [line for line in templates.lines if line.startswith("web.ova: ")]
    assert all(re.fullmatch(r"web\.ova: \d{1,2} % of 2 MiB, \d+ MiB/s(, \d+ s left)?", line) for line in sent)
    assert sent[-1].startswith("web.ova: 99 %")


def test_a_datastore_cluster_gives_the_datastore_with_most_free_space(templates, tmp_path):
    source = Made(disks={"a.vmdk": A, "b.vmdk": B}).ova(tmp_path)
    templates.sim.govc("folder.create", "-pod", "/DC0/datastore/fast")
    templates.sim.govc("object.mv", "/DC0/datastore/LocalDS_1", "/DC0/datastore/fast")
    ran = templates.run(source, datastore_cluster="fast")
    assert ran.result["template"]["datastores"] == ["LocalDS_1"]
    assert templates.attempt(source, name="other", datastore_cluster="slow").error.details["known"] == ["fast"]


def test_a_storage_policy_says_which_datastores_there_are(templates, tmp_path, monkeypatch):
    source = Made(disks={"a.vmdk": A, "b.vmdk": B}).ova(tmp_path)
    gold = templates.policy("gold", "LocalDS_1")
    imports = []
    real = apply.import_vapp
    monkeypatch.setattr(apply, "import_vapp", lambda session, spec, *where: imports.append(spec) or real(session, spec, *where))
    ran = templates.run(source, storage_policy="gold")
    assert ran.result["template"]["datastores"] == ["LocalDS_1"]
    # The policy is that of the VM's home, and of each of its disks.
    config = imports[0].configSpec
    disks = [change for change in config.deviceChange if isinstance(change.device, vim.vm.device.VirtualDisk)]
    assert [item.profileId for holder in (config.vmProfile, *(disk.profile for disk in disks)) for item in holder] == [gold] * 3
    refused = templates.attempt(source, name="other", storage_policy="gold", datastore="LocalDS_0")
    assert (refused.code, refused.error.details["option"]) == ("invalid_option", "storage_policy")
    missed = templates.attempt(source, name="other", storage_policy="golf")
    assert missed.code == "not_found"
    assert "gold" in str(missed.error)
    assert sum(count for method, count in missed.calls.items() if method.startswith("Pbm")) == 3

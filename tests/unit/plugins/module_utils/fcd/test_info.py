# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is known of first class disks, in few calls however many they are."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.fcd.running import entry
from ansible_collections.vforge.vsphere.tests.unit.plugins.unreturned import late_results, no_results

MANY = 2400


def test_thousands_take_a_tenth_of_the_calls_of_govc_at_most(disks):
    """The figure is for 10,000; the calls grow by two for each thousand, those of govc by a thousand."""
    disks.many(MANY)
    disks.sim.reset_calls()
    disks.govc("disk.ls", "-ds", "LocalDS_0", "-l")
    theirs = disks.sim.calls()["total"]
    ran = disks.info(datastores=["LocalDS_0"])
    assert len(ran.result["disks"]) == MANY
    assert all(disk["capacity_mb"] == 1 and disk["path"] for disk in ran.result["disks"])
    assert theirs > MANY
    # The login, the datastores, the list, the catalogue, and three of a thousand, twice.
    assert ran.called("VslmRetrieveVStorageObjects") == 3
    assert ran.called("RetrieveVStorageObjectAssociations") == 3
    assert ran.total <= 16
    assert ran.total * 10 <= theirs


def test_a_catalogue_that_answers_for_fewer_is_asked_again(disks):
    ids = disks.many(7)
    disks.sim.request("POST", "/vslm", {"limit": 3})
    ran = disks.info(datastores=["LocalDS_0"])
    assert sorted(disk["id"] for disk in ran.result["disks"]) == sorted(ids)
    assert ran.called("VslmRetrieveVStorageObjects") == 3


@pytest.mark.parametrize("method", ["ListVStorageObject", "RetrieveVStorageObjectAssociations"])
def test_a_question_whose_answer_was_lost_is_asked_again(disks, method):
    ids = disks.many(3)
    disks.sim.inject(method=method, do="drop-after")
    ran = disks.info(datastores=["LocalDS_0"])
    assert sorted(disk["id"] for disk in ran.result["disks"]) == sorted(ids)
    assert ran.called(method) == 2


def test_without_a_catalogue_each_disk_is_asked_about(start):
    old = start("--vms", "1", "--api-version", "6.7")
    ids = old.many(3, size_mb=2)
    ran = old.info()
    assert sorted(disk["id"] for disk in ran.result["disks"]) == sorted(ids)
    assert ran.called("RetrieveVStorageObject") == 3
    assert "RetrieveContent" not in ran.calls


def test_details_are_asked_for_each_disk(disks):
    disks.one(name="d", size="8 MiB", change_tracking=True)
    disks.snapshots({"disk": {"name": "d"}, "description": "s"})
    (plain,) = disks.info().result["disks"]
    (whole,) = disks.info(details=True).result["disks"]
    assert (plain["provisioning"], whole["provisioning"]) == (None, "thin")
    assert whole["flags"]["change_tracking"] is True
    assert plain["snapshots"][0]["path"]
    assert whole["snapshots"][0]["created"]
    assert plain["snapshots"][0]["description"] == "s"


def test_disks_are_chosen_by_id_and_by_name(disks):
    ids = disks.many(3)
    assert [disk["id"] for disk in disks.info(ids=[ids[1]]).result["disks"]] == [ids[1]]
    assert [disk["name"] for disk in disks.info(names=["disk-3"]).result["disks"]] == ["disk-3"]
    assert disks.info(ids=[ids[1]], names=["disk-3", "none"]).result["disks"] == []
    refused = disks.attempt_info(ids=["00000000-0000-0000-0000-000000000000"])
    assert refused.code == "not_found"


@pytest.mark.parametrize(
    ("kept", "spellings"),
    [
        ("100%25 Berlin", ["100% Berlin", "100%25 Berlin", "/100% Berlin", "/100%25 Berlin/"]),
        ("R&D%2fEU", ["R&D/EU", "R&D%2FEU", "/R&D%2FEU", "R&D%2fEU"]),
    ],
)
def test_a_datacenter_is_named_in_any_spelling(start, kept, spellings):
    disks = start("--vms", "0", "--datacenters", "2")
    disks.sim.govc("object.rename", "/DC0", kept)
    stores = [each["path"] for each in disks.info(datacenter="DC1").result["datastores"]]
    assert stores
    assert all(path.startswith("/DC1/") for path in stores)
    for spelling in spellings:
        ran = disks.info(datacenter=spelling)
        found = [each["path"] for each in ran.result["datastores"]]
        assert found == [path.replace("DC1", kept, 1) for path in stores], spelling
        assert ran.total == disks.info(datacenter="DC1").total
    for text in (found[0], found[0].replace("%2f", "%2F"), f"{found[0]}/", found[0][1:]):
        assert [each["path"] for each in disks.info(datastores=[text]).result["datastores"]] == found[:1], text


def test_a_datacenter_that_is_not_there_is_an_error(disks):
    for attempt in (
        lambda: disks.attempt_info(datacenter="DC9"),
        lambda: disks.attempt_info(datacenter="DC9", datastores=["LocalDS_0"]),
        lambda: disks.attempt(datacenter="DC9", disks=[{"name": "d", "size": "1 GiB"}]),
    ):
        ran = attempt()
        assert (ran.code, str(ran.error)) == ("not_found", "No datacenter DC9 was found. There are: DC0.")
        assert ran.called("RetrievePropertiesEx") == 1


def test_of_two_datacenters_of_one_name_none_is_taken(disks):
    for region in ("Asia", "Europe"):
        disks.sim.govc("folder.create", f"/{region}")
        disks.sim.govc("datacenter.create", "-folder", f"/{region}", "Berlin")
    refused = disks.attempt_info(datacenter="Berlin")
    assert refused.code == "ambiguous"
    assert "2 datacenters are named Berlin: /Asia/Berlin, /Europe/Berlin." in str(refused.error)
    assert disks.info(datacenter="/Asia/Berlin").result["datastores"] == []


def test_orphans_are_what_nobody_uses_with_the_reasons(disks):
    cns = {"cns.k8s.pvc.name": "data", "other": "x"}
    disks.sim.create_vm("box", on=False)
    used = entry(disks.one(name="used", size="8 MiB", attached_to={"name": "box"}))["id"]
    (idle,) = disks.many(1, prefix="idle-", metadata=cns)
    (lost,) = disks.many(1, prefix="lost-")
    disks.lose_files(lost)
    ran = disks.info(orphans=True)
    orphans = {each["id"]: each for each in ran.result["orphans"]}
    assert used not in orphans
    assert orphans[lost]["reasons"] == ["not_found"]
    assert orphans[idle]["reasons"] == ["not_attached"]
    assert orphans[idle]["cns"] == {"cns.k8s.pvc.name": "data"}
    (holder,) = next(disk for disk in ran.result["disks"] if disk["id"] == used)["attached_to"]
    assert holder["name"] == "box"
    # Only the one whose file is not listed was asked about by itself.
    assert ran.called("RetrieveVStorageObject") == 1


def test_a_vcenter_that_does_not_say_whose_disks_are_is_asked_for_each(disks):
    disks.sim.create_vm("box", on=False)
    used = entry(disks.one(name="used", size="8 MiB", attached_to={"name": "box"}))["id"]
    (idle,) = disks.many(1, prefix="idle-")
    disks.sim.inject(method="RetrieveVStorageObjectAssociations", do="fault", fault="MethodNotFound", times=0)
    ran = disks.info(orphans=True)
    assert [each["id"] for each in ran.result["orphans"]] == [idle]
    assert used in [disk["id"] for disk in ran.result["disks"]]
    assert ran.called("RetrieveVStorageObject") == 2


def test_snapshots_that_metadata_names_are_no_orphans(disks):
    disks.one(name="d", size="8 MiB")
    made = disks.snapshots({"disk": {"name": "d"}, "description": "s"})
    snapshot = entry(made)["id"]
    (orphan,) = disks.info(orphans=True).result["orphan_snapshots"]
    assert (orphan["id"], orphan["reasons"]) == (snapshot, ["unreferenced"])
    disks.one(name="d", metadata={"backup": f"snapshot {snapshot}"})
    assert disks.info(orphans=True).result["orphan_snapshots"] == []


def test_a_disk_at_the_top_of_a_datastore_is_where_it_should_be(disks):
    disks.many(1)
    disks.govc("datastore.disk.create", "-ds", "LocalDS_0", "-size", "16M", "loose.vmdk")
    loose = entry(disks.one(name="loose", register="[LocalDS_0] loose.vmdk"))["id"]
    orphans = {each["id"]: each["reasons"] for each in disks.info(orphans=True).result["orphans"]}
    assert orphans[loose] == ["not_attached"]


def test_of_a_folder_that_cannot_be_listed_nobody_knows_what_is_gone(disks):
    disks.many(1)
    disks.govc("datastore.mkdir", "-ds", "LocalDS_0", "own")
    disks.govc("datastore.disk.create", "-ds", "LocalDS_0", "-size", "16M", "own/disk.vmdk")
    disks.one(name="own", register="[LocalDS_0] own/disk.vmdk")
    disks.sim.inject(method="SearchDatastore_Task", nth=1, do="fault", fault="CannotAccessFile")
    found = disks.info(orphans=True, parallel=1).result["orphans"]
    assert [each["reasons"] for each in found] == [["not_attached"]] * 2


def test_a_search_without_a_result_says_nothing_of_what_is_gone(disks, monkeypatch):
    (lost,) = disks.many(1)
    disks.lose_files(lost)
    with monkeypatch.context() as patch:
        no_results(patch)
        (unknown,) = disks.info(orphans=True).result["orphans"]
    assert unknown["reasons"] == ["not_attached"]
    assert "could not be listed: the search ended without a result" in disks.warnings[-1]
    late_results(monkeypatch)
    (known,) = disks.info(orphans=True).result["orphans"]
    assert known["reasons"] == ["not_found"]


def test_a_snapshot_is_referred_to_by_disks_that_are_not_asked_about(disks):
    first = entry(disks.one(name="first", size="8 MiB"))["id"]
    snapshot = entry(disks.snapshots({"disk": {"name": "first"}, "description": "s"}))["id"]
    disks.one(name="second", size="8 MiB", metadata={"backup": f"of {snapshot}"})
    for asked in ({"ids": [first]}, {"names": ["first"]}):
        result = disks.info(orphans=True, **asked).result
        assert [each["name"] for each in result["disks"]] == ["first"]
        assert result["orphan_snapshots"] == []


def test_with_details_a_snapshot_says_its_file_too(disks):
    """By that it is known whether another disk rests on it."""
    disks.one(name="d", size="8 MiB")
    disks.snapshots({"disk": {"name": "d"}, "description": "s"})
    ((plain,),) = (disk["snapshots"] for disk in disks.info().result["disks"])
    ((whole,),) = (disk["snapshots"] for disk in disks.info(details=True).result["disks"])
    assert plain["path"]
    assert whole["path"] == plain["path"]


def test_govc_sees_what_we_make_and_we_what_govc_makes(disks):
    ours = entry(disks.one(name="ours", size="8 MiB"))["id"]
    theirs = disks.govc("disk.create", "-ds", "LocalDS_0", "-size", "8M", "theirs").strip()
    listed = disks.govc("disk.ls", "-ds", "LocalDS_0", "-l")
    assert ours in listed
    assert "ours" in listed
    found = {disk["id"]: disk["name"] for disk in disks.info().result["disks"]}
    assert found == {ours: "ours", theirs: "theirs"}
    disks.govc("disk.rm", "-ds", "LocalDS_0", ours)
    assert disks.one(name="ours", state="absent").result["changed"] is False

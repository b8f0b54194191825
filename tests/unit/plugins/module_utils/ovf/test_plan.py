# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options, places and decisions: what is made of options and model."""

from __future__ import annotations

import dataclasses

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption, NotFound
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf import model, placement, plan
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.model import (
    Existing,
    Place,
    Surroundings,
    TemplateError,
    version_name,
)
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.compute import Compute, Datastore, Host, Network, Pool
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.ovf.support import options

OURS, THEIRS = "sha256:" + "a" * 64, "sha256:" + "b" * 64


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"source": None}, "source"),
        ({"takeover_after": 0}, "takeover_after"),
        ({"datastore": "a", "datastore_cluster": "b"}, "datastore"),
        ({"source_password": "x"}, "source_username"),
        ({"transfer": "pull"}, "transfer"),
        ({"transfer": "pull", "source": "https://x/y", "verify": "stream"}, "verify"),
        ({"verify": "none"}, "verify"),
        ({"checksum": "sha256:abc"}, "checksum"),
        ({"checksum": "md5:" + "a" * 32}, "checksum"),
        ({"hardware_version": "vmx"}, "hardware_version"),
        ({"source_headers": {"X": "a\nb"}}, "source_headers"),
        ({"name": "x" * 81}, "name"),
    ],
)
def test_what_cannot_be_meant_is_refused(given, option):
    with pytest.raises(InvalidOption) as raised:
        options(**{"source": "/x.ova", **given})
    assert raised.value.details["option"] == option


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"source": "/x.ova"}, "before"),
        ({"source": "file:/x.ova"}, "before"),
        ({"source": "/x.ova", "verify": "stream"}, "stream"),
        ({"source": "HTTPS://h/x.ova"}, "stream"),
        ({"source": "https://h/x.ova", "transfer": "pull"}, "before"),
        ({"source": "https://h/x.ova", "transfer": "pull", "verify": "none"}, "none"),
    ],
)
def test_when_a_source_is_verified(given, expected):
    assert options(**given).verify == expected


def test_secrets_are_not_in_the_text_of_options():
    secrets = {
        "source_username": "u",
        "source_password": "hush1",
        "source_headers": {"X": "hush2"},
        "properties": {"k": "hush3"},
    }
    assert "hush" not in repr(options(source="https://h/x", **secrets))


def test_the_name_of_a_version_fits_into_a_name():
    assert version_name("web", OURS) == "web-aaaaaaaa"
    assert len(version_name("x" * 80, OURS)) == 80


def around(**changes):
    """A cluster of three hosts and one of one; ds-1 is everywhere, ds-2 on two hosts, ds-3 in maintenance mode."""
    pools = (Pool("pool-1", "Resources", "Resources"), Pool("pool-2", "web", "Resources/web"))
    hosts = [
        Host("h-1", "esx1", "c-1", datastores=frozenset({"d-1", "d-2"}), networks=frozenset({"n-1", "n-2"}), free_memory=10),
        Host("h-2", "esx2", "c-1", datastores=frozenset({"d-1", "d-2"}), networks=frozenset({"n-1"}), free_memory=30),
        Host("h-3", "esx3", "c-1", datastores=frozenset({"d-1", "d-3"}), networks=frozenset({"n-1", "n-2"}), free_memory=20),
        Host("h-9", "esx9", "c-2", datastores=frozenset({"d-1"}), networks=frozenset({"n-1"}), free_memory=90),
    ]
    return Surroundings(
        computes=(
            Compute("c-1", "blue", "/DC/host/blue", pools=pools),
            Compute("c-2", "red", "/DC/host/lab/red", pools=(Pool("pool-9", "Resources", "Resources"),)),
        ),
        hosts=tuple(dataclasses.replace(host, **changes.get(host.moid, {})) for host in hosts),
        datastores=(
            Datastore("d-1", "slow", 100, cluster="p-1"),
            Datastore("d-2", "fast", 500, cluster="p-1"),
            Datastore("d-3", "old", 900, accessible=False),
        ),
        networks=(
            Network("n-1", "front", path="/DC/network/front"),
            Network("n-2", "back", path="/DC/network/back"),
            Network("n-9", "elsewhere", path="/DC/network/elsewhere"),
        ),
        datastore_clusters={"p-1": "pod"},
    )


def placed(networks=None, compatible=None, changes=None, **asked):
    asked = {"cluster": "blue", **asked}
    found = placement.place(around(**(changes or {})), Place(**asked), networks or {"VM Network": "front"}, compatible)
    return (
        found.host.name,
        found.pool.path,
        found.datastore.name,
        {name: network.moid for name, network in found.networks.items()},
    )


NET = {"VM Network": "n-1"}


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({}, ("esx2", "Resources", "slow", NET)),
        ({"datastore": "fast"}, ("esx2", "Resources", "fast", NET)),
        ({"datastore_cluster": "pod"}, ("esx2", "Resources", "fast", NET)),
        ({"networks": {"VM Network": "back"}}, ("esx3", "Resources", "slow", {"VM Network": "n-2"})),
        ({"networks": {"a": "back"}, "datastore": "fast"}, ("esx1", "Resources", "fast", {"a": "n-2"})),
        ({"changes": {"h-2": {"maintenance": True}}}, ("esx3", "Resources", "slow", NET)),
        ({"host": "esx1"}, ("esx1", "Resources", "fast", NET)),
        ({"cluster": None, "host": "esx9"}, ("esx9", "Resources", "slow", NET)),
        ({"resource_pool": "web"}, ("esx2", "Resources/web", "slow", NET)),
        ({"cluster": None, "resource_pool": "web"}, ("esx2", "Resources/web", "slow", NET)),
        ({"cluster": "lab/red"}, ("esx9", "Resources", "slow", NET)),
        ({"cluster": "/DC/host/lab/red"}, ("esx9", "Resources", "slow", NET)),
        ({"compatible": {"d-2"}}, ("esx2", "Resources", "fast", NET)),
    ],
)
def test_the_best_place(how, expected):
    assert placed(**how) == expected


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ({"cluster": None}, InvalidOption, "there are blue, red"),
        ({"cluster": "green"}, NotFound, "No cluster green was found"),
        ({"host": "esx9"}, NotFound, "No host esx9 was found in blue"),
        ({"resource_pool": "nope"}, NotFound, "No resource pool nope"),
        ({"datastore": "nope"}, NotFound, "There are: fast, old, slow"),
        ({"datastore": "old"}, InvalidOption, "not accessible, or in maintenance"),
        ({"datastore_cluster": "nope"}, NotFound, "There are: pod"),
        ({"compatible": set(), "storage_policy": "gold"}, InvalidOption, "storage policy gold allows no"),
        ({"networks": {"a": "elsewhere"}}, NotFound, "No network elsewhere was found in blue"),
        ({"networks": {"a": "bakc"}}, NotFound, "There are: back, front"),
        (
            {"networks": {"a": "back"}, "host": "esx2"},
            InvalidOption,
            "esx2 does not see the network back",
        ),
        (
            {"datastore": "fast", "changes": {"h-1": {"connection": "disconnected"}, "h-2": {"maintenance": True}}},
            InvalidOption,
            "esx1 is not connected; esx2 is in maintenance mode; esx3 does not see the datastore fast",
        ),
    ],
)
def test_no_place_is_reported_with_its_reasons(how, error, message):
    with pytest.raises(error) as raised:
        placed(**how)
    assert message in str(raised.value)


def test_networks_one_by_one_with_a_default_for_the_rest():
    wanted = options(source="/x", networks={"a": "front"}, default_network="back").deployment
    assert placement.networks_for(["a", "b"], wanted, ["front", "back"]) == {"a": "front", "b": "back"}


def test_an_unmapped_network_is_refused_with_what_there_is():
    wanted = options(source="/x", networks={"a": "front"}).deployment
    with pytest.raises(InvalidOption) as raised:
        placement.networks_for(["a", "b"], wanted, ["front", "back"])
    assert "No network is given for b" in raised.value.message
    assert raised.value.details["networks_here"] == ["back", "front"]


def test_a_network_that_the_descriptor_does_not_have_is_a_typo():
    wanted = options(source="/x", networks={"A": "front"}).deployment
    with pytest.raises(InvalidOption, match="no network A"):
        placement.networks_for(["a"], wanted, ["front"])


def holder(state, digest=OURS, **changes):
    """What holds the name, in a state."""
    marks = {model.DIGEST_KEY: digest, model.OWNER_KEY: "run host time"}
    known = {
        model.READY: {"marks": {**marks, model.READY_KEY: "uuid-1"}, "template": True},
        model.UNPUBLISHED: {"marks": {**marks, model.READY_KEY: "uuid-1"}},
        model.IMPORTING: {"marks": marks},
        model.UNKNOWN: {"configured": False, "connection": "connected"},
        "lost": {"configured": False, "connection": "inaccessible"},
        model.FOREIGN: {},
        "clone": {"marks": {**marks, model.READY_KEY: "uuid-2"}},
        "running": {"marks": marks, "power_state": "poweredOn"},
        "patched": {"marks": {**marks, model.READY_KEY: "uuid-1"}, "power_state": "poweredOn"},
        "folder": {"kind": "Folder"},
        "other's": {"marks": {**marks, model.READY_KEY: "uuid-1", model.NAME_KEY: "web-of-others"}, "template": True},
    }[state]
    return Existing(**{"moid": "vm-1", "name": "web", "instance_uuid": "uuid-1", "compute": "blue", **known, **changes})


@pytest.mark.parametrize(
    ("on_mismatch", "name", "version", "expected"),
    [
        ("fail", None, None, plan.Import("web")),
        ("fail", holder(model.READY), None, plan.Keep),
        ("fail", holder(model.IMPORTING), None, plan.Wait),
        ("fail", holder(model.UNPUBLISHED), None, plan.Wait),
        ("fail", holder(model.UNKNOWN), None, plan.Wait),
        ("fail", holder(model.FOREIGN), None, "name_taken"),
        ("fail", holder("clone"), None, "name_taken"),
        ("fail", holder("running"), None, "name_taken"),
        # A template that somebody has made a VM again, and works in.
        ("fail", holder("patched"), None, "name_taken"),
        ("replace", holder("patched", THEIRS), None, "name_taken"),
        ("fail", holder("lost"), None, "name_taken"),
        ("replace", holder("lost"), None, "name_taken"),
        ("replace", holder(model.READY, THEIRS), holder("lost"), "name_taken"),
        ("fail", holder("folder"), None, "name_taken"),
        ("fail", holder(model.READY, THEIRS), None, "digest_mismatch"),
        ("fail", holder(model.IMPORTING, THEIRS), None, "digest_mismatch"),
        ("replace", holder(model.FOREIGN), None, "name_taken"),
        ("replace", holder(model.READY, THEIRS), None, plan.Import("web-aaaaaaaa", holder(model.READY, THEIRS))),
        ("replace", holder(model.IMPORTING, THEIRS), None, plan.Wait),
        ("replace", holder(model.READY, THEIRS), holder(model.IMPORTING), plan.Wait),
        ("replace", holder(model.READY, THEIRS), holder(model.READY), plan.Swap),
        ("replace", None, holder(model.READY), plan.Swap),
        # What was asked for by another name is no version of this one, whatever it is called.
        ("replace", None, holder("other's"), plan.Import("web")),
        ("replace", holder(model.READY, THEIRS), holder("other's"), "name_taken"),
        ("keep_both", holder(model.READY, THEIRS), holder("other's"), "name_taken"),
        ("replace", holder(model.READY, THEIRS), holder(model.READY, THEIRS), "digest_mismatch"),
        ("replace", holder(model.READY, THEIRS), holder(model.FOREIGN), "name_taken"),
        ("keep_both", holder(model.READY, THEIRS), None, plan.Import("web-aaaaaaaa")),
        ("keep_both", holder(model.READY, THEIRS), holder(model.READY), plan.Keep),
        ("keep_both", holder(model.IMPORTING, THEIRS), holder(model.UNKNOWN), plan.Wait),
        ("keep_both", holder(model.READY), None, plan.Keep),
        ("keep_both", None, None, plan.Import("web")),
    ],
)
def test_the_next_step(on_mismatch, name, version, expected):
    asked = options(source="/x", on_mismatch=on_mismatch)
    if isinstance(expected, str):
        with pytest.raises(TemplateError) as raised:
            plan.decide(asked, OURS, name, version)
        assert raised.value.error_code == expected
        return
    step = plan.decide(asked, OURS, name, version)
    assert step == expected if isinstance(expected, plan.Import) else isinstance(step, expected)
    if isinstance(step, plan.Swap):
        assert (step.name, step.existing, step.old) == ("web", version, name)


@pytest.mark.parametrize(("cluster", "fits"), [(None, True), ("blue", True), ("/DC/host/blue", True), ("red", False)])
def test_a_template_of_another_cluster_is_not_taken_for_one_of_this(cluster, fits):
    asked = options(source="/x", cluster=cluster)
    if fits:
        assert plan.decide(asked, OURS, holder(model.READY), None) == plan.Keep(holder(model.READY))
        return
    with pytest.raises(TemplateError) as raised:
        plan.decide(asked, OURS, holder(model.READY), None)
    assert raised.value.error_code == "other_cluster"

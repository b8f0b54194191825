# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""VMs as an inventory, as ansible-inventory shows it, against the simulator."""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vforge.vsphere.plugins.inventory import vms
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import markers
from ansible_collections.vforge.vsphere.plugins.modules import linked_clone
from ansible_collections.vforge.vsphere.tests.unit.plugins.running import budget

_COLLECTIONS = str(Path(linked_clone.__file__).parents[5])

# Login, the description of the service, a collector made and removed, custom attributes, and the VMs in one page.
_CALLS_OF_ONE_PAGE = 6


@dataclasses.dataclass(frozen=True)
class Listed:
    """What ansible-inventory returned, and what the server counted by method."""

    code: int
    errors: str
    listed: dict[str, Any]
    calls: dict[str, int]

    @property
    def hosts(self) -> dict[str, dict[str, Any]]:
        """The variables of each host."""
        found: dict[str, dict[str, Any]] = self.listed["_meta"]["hostvars"]
        return found

    def group(self, name: str) -> list[str]:
        """The hosts of a group, or the groups in it."""
        group = self.listed.get(name, {})
        return sorted([*group.get("hosts", []), *group.get("children", [])])


class Inventories:
    """Lists inventories of one simulator."""

    def __init__(self, sim: Any, folder: Path) -> None:
        self.sim = sim
        self._folder = folder

    def list(self, *words: str, environment: dict[str, str] | None = None, **options: Any) -> Listed:
        """List what a file with these options comes to."""
        source = self._folder / "test.vms.yml"
        source.write_text(json.dumps({"plugin": "vforge.vsphere.vms", **options}), encoding="utf-8")
        env = {
            **os.environ,
            "HOME": str(self._folder),
            "ANSIBLE_HOME": str(self._folder / "ansible"),
            "ANSIBLE_COLLECTIONS_PATH": _COLLECTIONS,
            "ANSIBLE_INVENTORY_ENABLED": "vforge.vsphere.vms",
            "XDG_RUNTIME_DIR": str(self._folder),
            "VMWARE_HOST": self.sim.host,
            "VMWARE_PORT": str(self.sim.port),
            "VMWARE_USER": self.sim.username,
            "VMWARE_PASSWORD": self.sim.password,
            "VMWARE_CA_PATH": self.sim.ca,
            **(environment or {}),
        }
        self.sim.reset_calls()
        ran = subprocess.run(
            [sys.executable, "-c", "from ansible.cli.inventory import main; main()", "-i", str(source), "--list", *words],
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        listed = json.loads(ran.stdout) if ran.stdout.startswith("{") else {}
        # What was folded for a terminal is one line again.
        errors = " ".join(ran.stderr.split())
        if "_meta" in listed:
            listed["_meta"] = _plain(listed["_meta"])
        return Listed(ran.returncode, errors, listed, self.sim.calls()["by_method"])


def _plain(value: Any) -> Any:
    """Variables without the marks that ansible-inventory gives texts that are no templates; names of hosts have none."""
    if isinstance(value, dict):
        return value["__ansible_unsafe"] if set(value) == {"__ansible_unsafe"} else {k: _plain(v) for k, v in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value


@pytest.fixture
def inventories(make_sim, tmp_path):
    return Inventories(make_sim("--vms", "6"), tmp_path)


def test_hosts_have_their_properties_and_default_groups(inventories):
    ran = inventories.list()
    assert set(ran.hosts) == {path.rpartition("/")[2] for path in inventories.sim.govc("find", "/DC0/vm", "-type", "m")}
    golden = ran.hosts["golden-parent"]
    seen = inventories.sim.govc("vm.info", "/DC0/vm/golden-parent")["virtualMachines"][0]
    assert golden["config"]["hardware"]["numCPU"] == seen["config"]["hardware"]["numCPU"]
    assert golden["ansible_host"] == seen["guest"]["ipAddress"]
    assert golden["path"] == "/DC0/vm/golden-parent"
    assert "golden-parent" in ran.group(golden["config"]["guestId"])
    assert "golden-parent" in ran.group("poweredOn")
    assert ran.errors == ""


@pytest.mark.parametrize("count", ["10", "2000"])
def test_the_calls_do_not_grow_with_the_vms(make_sim, tmp_path, count):
    ran = Inventories(make_sim("--vms", count), tmp_path).list()
    assert len(ran.hosts) == int(count) + 1
    assert budget(ran.calls) == sum(ran.calls.values()) == _CALLS_OF_ONE_PAGE


def test_the_garbage_collector_rests_while_an_inventory_is_filled_and_never_longer():
    def fill():
        with vms._without_collector():
            resting.append(not gc.isenabled())
            raise KeyError

    resting = []
    with pytest.raises(KeyError):
        fill()
    assert resting == [gc.isenabled()] == [True]
    gc.disable()
    try:
        with vms._without_collector():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_file_of_vmware_vmware_needs_another_plugin_line_alone(inventories):
    ran = inventories.list(
        group_by_paths=True,
        properties=["name", "config", "guest"],
        groups={"hot_add": "config.cpuHotAddEnabled", "big": "config.hardware.numCPU > 1"},
        keyed_groups=[{"key": "guest.toolsRunningStatus", "separator": ""}],
        search_paths=["/DC0/vm"],
        filter_expressions=['summary.runtime.powerState == "poweredOff"'],
        hostnames=["'VM - ' + name + ' - ' + config.instanceUuid", "config.name"],
        compose={"ansible_user": "'root'", "datacenter": "(path | split('/'))[1]"},
        gather_compute_objects=True,
    )
    running = inventories.sim.govc("find", "/DC0/vm", "-type", "m", "-runtime.powerState", "poweredOn")
    assert len(ran.hosts) == len(running) < 7
    name, variables = next((name, v) for name, v in ran.hosts.items() if "golden-parent" in name)
    assert name == f"VM - golden-parent - {variables['config']['instanceUuid']}"
    assert (variables["ansible_user"], variables["datacenter"]) == ("root", "DC0")
    assert variables["cluster"]["name"] == "DC0_C0"
    assert variables["esxi_host"]["moid"].startswith("host-")
    assert "name" in variables  # it is asked for by name
    assert name in ran.group("guestToolsRunning")
    assert ran.group("DC0") == ["DC0_vm"]
    assert name in ran.group("DC0_vm")


def test_filters_by_property_read_nothing_of_the_others(inventories):
    inventories.sim.create_vm("web-1", folder="/DC0/vm")
    inventories.sim.create_vm("web-2", folder="/DC0/vm", on=False)
    ran = inventories.list(property_filters={"name": ["WEB-*", "db-*"], "runtime.powerState": "poweredOn"})
    assert list(ran.hosts) == ["web-1"]
    assert ran.calls["RetrievePropertiesEx"] == 3  # the filter, the VMs, the custom attributes


def test_a_filter_by_name_sees_it_as_people_do(inventories):
    inventories.sim.create_vm("web 100%25", folder="/DC0/vm")
    for pattern in ("web 100%", "web 100%25", "web*%"):
        assert list(inventories.list(property_filters={"name": pattern}).hosts) == ["web 100%"]
        assert list(inventories.list(property_filters={"config.name": pattern}).hosts) == ["web 100%"]


@pytest.mark.parametrize(
    ("path", "expected"), [("/DC0/host/DC0_C0", True), ("/DC0/host/DC0_C0/Resources", True), ("/DC0/vm", True), ("/DC0", True)]
)
def test_search_paths_lead_down_from_places_of_every_kind(inventories, path, expected):
    ran = inventories.list(search_paths=[path])
    assert ("golden-parent" in ran.hosts) is expected
    assert ran.hosts["golden-parent"]["path"] == "/DC0/vm/golden-parent"


def test_vms_of_this_collection_are_in_groups_of_their_fleet_parent_and_template(inventories):
    uuid = inventories.sim.govc("vm.info", "/DC0/vm/golden-parent")["virtualMachines"][0]["config"]["instanceUuid"]
    digest = "sha256:" + "ab12" * 16
    marks = {
        markers.MARKER_KEY: markers.marker(uuid, "web-1"),
        markers.FLEET_KEY: markers.fleet_mark("web", "7", "web-parent"),
        markers.PACKAGE_NAME_KEY: "debian-12",
        markers.PACKAGE_DIGEST_KEY: digest,
    }
    inventories.sim.create_vm("web-1", folder="/DC0/vm", extra_config=marks)
    # It has inherited the mark of another clone, and the fleet's.
    inventories.sim.create_vm("other", folder="/DC0/vm", extra_config={**marks, markers.PACKAGE_NAME_KEY: ""})
    ran = inventories.list()
    assert ran.hosts["web-1"]["vforge"] == {
        "parent": {"instance_uuid": uuid, "name": "golden-parent"},
        "fleet": {"name": "web", "version": "7", "role": "clone"},
        "template": {"name": "debian-12", "digest": digest},
    }
    assert "vforge" not in ran.hosts["other"]
    assert ran.group("vforge_fleet_web") == ["vforge_fleet_web_clones"]
    for group in ("vforge_fleet_web_clones", "vforge_parent_golden_parent", "vforge_template_debian_12_ab12ab12"):
        assert ran.group(group) == ["web-1"]


def _govc(sim, *words):
    """Run a command of govc that has no JSON."""
    subprocess.run([sim.govc_binary, *words], env={**os.environ, **sim.govc_environment()}, check=True, capture_output=True)


def test_tags_cost_no_call_for_each_vm(inventories):
    sim = inventories.sim
    _govc(sim, "tags.category.create", "-t", "VirtualMachine", "tier")
    for tag in ("web", "db"):
        _govc(sim, "tags.create", "-c", "tier", tag)
    _govc(sim, "tags.attach", "-c", "tier", "web", "/DC0/vm/golden-parent")
    ran = inventories.list(gather_tags=True, keyed_groups=[{"key": "tags.values()", "prefix": "tag"}])
    assert ran.group("tag_web") == ["golden-parent"]
    assert list(ran.hosts["golden-parent"]["tags_by_category"]) == ["tier"]
    other = next(variables for name, variables in ran.hosts.items() if name != "golden-parent")
    assert (other["tags"], other["tags_by_category"]) == ({}, {})
    rest = {method: count for method, count in ran.calls.items() if method.startswith("REST")}
    assert rest == {
        "REST POST /com/vmware/cis/session": 1,
        "REST GET /com/vmware/cis/tagging/tag": 1,
        "REST POST /com/vmware/cis/tagging/tag-association": 1,
        "REST GET /com/vmware/cis/tagging/tag/id": 1,
        "REST GET /com/vmware/cis/tagging/category/id": 1,
        "REST DELETE /com/vmware/cis/session": 1,
    }


def test_a_vm_that_is_called_as_its_own_group_is_a_host_like_others(inventories):
    inventories.sim.create_vm("DC0_vm", folder="/DC0/vm")
    inventories.sim.create_vm("DC0", folder="/DC0/vm")
    ran = inventories.list(group_by_paths=True)
    assert {"DC0_vm", "DC0", "golden-parent"} <= ran.hosts.keys()
    assert {"DC0_vm", "DC0"} <= set(ran.group("DC0_vm"))


def test_a_warm_cache_asks_nothing_and_other_options_do_not_use_it(inventories, tmp_path):
    cache = {"cache": True, "cache_plugin": "ansible.builtin.jsonfile", "cache_connection": str(tmp_path / "cache")}
    first = inventories.list(**cache)
    second = inventories.list(**cache)
    assert second.listed == first.listed
    assert second.calls == {}
    other = inventories.list(**cache, properties=["config.hardware.memoryMB"])
    assert other.hosts["golden-parent"]["config"]["hardware"]["memoryMB"] > 0
    kept = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "cache").iterdir())
    assert inventories.sim.password not in kept


def test_several_vcenters_and_a_name_that_two_have(inventories, make_sim):
    second = make_sim("--vms", "1")
    where = {"port": second.port, "username": second.username, "password": second.password, "ca_path": second.ca}
    ran = inventories.list(
        vcenters=[{}, {"hostname": second.host, **where}],
        hostnames=["moid + '.' + vcenter"],
        properties=["config.instanceUuid"],
    )
    assert {variables["vcenter"] for variables in ran.hosts.values()} == {inventories.sim.host, second.host}
    assert "Login" in ran.calls
    # Both are at the same address here, so some names are the same.
    assert "the name of each is that of another VM" in ran.errors


def test_what_guests_and_owners_write_is_no_template_and_no_host_pattern(inventories):
    sim = inventories.sim
    sim.create_vm("{{ 7 * 6 }}", folder="/DC0/vm")
    sim.create_vm("plain", folder="/DC0/vm", extra_config={"guestinfo.note": "{{ 7 * 6 }}"})
    ran = inventories.list(properties=["name", 'config.extraConfig["guestinfo.note"]'], compose={"note": "'%s' % path"})
    assert "{{ 7 * 6 }}" not in ran.hosts
    assert "no hosts of the inventory are made of them" in ran.errors
    assert ran.hosts["plain"]["config"]['extraConfig["guestinfo.note"]']["value"] == "{{ 7 * 6 }}"


def test_a_name_tells_a_terminal_nothing(inventories):
    """U+009B is what a terminal takes for the beginning of a command."""
    inventories.sim.create_vm("web\u009b31m", folder="/DC0/vm")
    for ran in (inventories.list(), inventories.list(strict=True, hostnames=["nothing.there"])):
        assert "\u009b" not in ran.errors
    assert "web\\x9b31m" in inventories.list().errors


def test_vms_to_which_no_expression_gives_a_name_are_told_of_with_the_expressions(inventories):
    ran = inventories.list(hostnames=["config.nme", "''"])
    assert not ran.hosts
    assert "since of hostnames none comes to a text (config.nme, '')" in " ".join(ran.errors.split())


def test_an_address_that_two_vms_report_is_nobodys(inventories):
    for name in ("one", "two"):
        inventories.sim.create_vm(name, folder="/DC0/vm")
        inventories.sim.patch_guest(name, ipv4="192.0.2.7")
    ran = inventories.list()
    assert "ansible_host" not in ran.hosts["one"].keys() | ran.hosts["two"].keys()
    assert "ansible_host is not set, since each of them reports 192.0.2.7" in ran.errors


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"properties": ["config.hardware.numCPUs"]}, ("Nearest names: numCPU", "invalid_option")),
        ({"search_paths": ["/DC0/vm/nowhere"]}, ("Nothing is at the path /DC0/vm/nowhere", "not_found")),
        ({"search_paths": ["/DC0/vm", None]}, ("item 2 of search_paths is null",)),
        ({"search_paths": ["/DC0/network"], "hostname": ""}, ("The option hostname is empty", "invalid_option")),
        ({"search_paths": ["/DC0/vm/golden-parent"]}, ("is a VirtualMachine", "invalid_option")),
        ({"property_filters": {"name": []}}, ("The filter of name is no pattern", "invalid_option")),
        ({"password": "wrong"}, ("refuses the password", "wrong_credentials")),
        ({"vcenters": [{"host": "vc"}]}, ("an entry of vcenters", "hostname")),
        ({"vcenters": []}, ("vcenters is empty",)),
        ({"hostnames": ["nothing.there"], "strict": True}, ("hostnames: 'nothing.there' fails for /DC0/vm/",)),
        ({"port": "many"}, ("port",)),
        ({"search_path": ["/DC0/vm"]}, ("there is no option search_path", "Nearest names: search_paths")),
        ({"filter_expressions": ["nope =="]}, ("filter_expressions: 'nope ==' is no expression",)),
        # What vmware.vmware calls it, too.
        ({"filters": ["nope =="]}, ("filter_expressions: 'nope ==' is no expression",)),
    ],
)
def test_errors_name_the_file_and_what_to_do(inventories, options, expected):
    ran = inventories.list("-e", "x=1", environment={"ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true"}, **options)
    assert ran.code != 0
    assert "test.vms.yml" in ran.errors
    for text in expected:
        assert text in ran.errors
    assert "Traceback" not in ran.errors


def test_a_filter_that_fails_keeps_the_vm_and_one_warning_says_so(inventories):
    every = inventories.list()
    ran = inventories.list(filter_expressions=["nothing.there == 1"])
    assert (ran.code, ran.hosts.keys()) == (0, every.hosts.keys())
    said = " ".join(ran.errors.split())
    assert said.count("filter_expressions") == 1
    assert f"'nothing.there == 1' fails for {len(every.hosts)} VMs, which are kept" in said
    strict = inventories.list(filter_expressions=["nothing.there == 1"], strict=True)
    assert "filter_expressions: 'nothing.there == 1' fails for /DC0/vm/" in " ".join(strict.errors.split())
    careful = inventories.list(filter_expressions=["nothing.there | default(0) == 1"])
    assert careful.hosts.keys() == every.hosts.keys()
    assert "filter_expressions" not in careful.errors


def test_empty_variables_of_the_environment_are_unset(inventories):
    ran = inventories.list(environment={"VMWARE_VALIDATE_CERTS": "", "VMWARE_PROXY_PORT": "", "VMWARE_PROXY_HOST": ""})
    assert "golden-parent" in ran.hosts

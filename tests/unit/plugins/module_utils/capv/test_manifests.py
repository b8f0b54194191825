# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The manifests of a cluster, held against the schemas of Cluster API, CAPV and Argo CD."""

from __future__ import annotations

import datetime
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from vforge_crds import errors

from ansible_collections.vforge.vsphere.plugins.module_utils._capv import applications, documents, manifests, secrets
from ansible_collections.vforge.vsphere.plugins.module_utils._capv.model import Cluster
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.capv.clusters import RICH, options

_FORMS = [(core, infrastructure) for core in ("v1beta1", "v1beta2") for infrastructure in ("v1beta1", "v1beta2")]


def _cluster(**changes):
    return Cluster.from_params(options(**changes))


def _by_kind(cluster):
    found = {}
    for document in manifests.cluster_documents(cluster):
        found.setdefault(document["kind"], []).append(document)
    return found


@pytest.mark.parametrize(("core", "infrastructure"), _FORMS)
@pytest.mark.parametrize("machines", [{}, RICH], ids=["plain", "rich"])
def test_an_api_server_takes_all_of_it(core, infrastructure, machines):
    cluster = _cluster(
        cluster_api_version=core,
        infrastructure_version=infrastructure,
        machines=machines,
        service_cidrs=["10.96.0.0/12"],
        service_domain="cluster.local",
        workers=[{"name": "md-0", "replicas": 2}, {"name": "md-1", "failure_domain": "zone-a"}],
    )
    found = manifests.cluster_documents(cluster)
    assert {document["kind"]: errors(document) for document in found if errors(document)} == {}
    assert len(found) == 1 + 3 + 2 + 1 + 2 + 2


def test_argo_cd_takes_all_applications():
    cluster = _cluster(addons={"cni": {"revision": "v1", "repo_url": "https://git.example.com/cni.git", "path": "calico"}})
    found = [applications.addon_application(cluster, name, addon) for name, addon in cluster.addons.items()]
    found += [applications.cluster_application(cluster, "k8s/"), applications.apps_application(cluster, "k8s/")]
    found.append(applications.management_application(cluster.argocd, "k8s/"))
    assert [errors(document) for document in found] == [[]] * 6
    assert [document["spec"]["source"].get("path") for document in found] == [
        "calico",
        None,
        "manifests/vanilla",
        "k8s/capi-cluster/prod",
        "k8s/app/prod",
        "k8s/management",
    ]


def test_the_judge_sees_what_is_misspelt():
    wrong = applications.cluster_application(_cluster(), "")
    wrong["spec"]["source"]["targetRevison"] = wrong["spec"]["source"].pop("targetRevision")
    wrong["spec"]["syncPolicy"]["automated"]["selfheal"] = True
    machines = _by_kind(_cluster(infrastructure_version="v1beta2"))["VSphereMachineTemplate"][0]
    machines["spec"]["template"]["spec"] |= {"cloneMode": "instantClone", "failureDomain": "a", "numCPUs": 1}
    assert [len(errors(wrong)), len(errors(machines))] == [2, 3]


def test_other_machines_are_templates_of_other_names_and_nothing_else_changes():
    before, after = _by_kind(_cluster()), _by_kind(_cluster(workers=[{"name": "md-0", "replicas": 50, "memory_mib": 16384}]))
    names = [[each["metadata"]["name"] for each in found["VSphereMachineTemplate"]] for found in (before, after)]
    assert names[0][0] == names[1][0]
    assert names[0][1] != names[1][1]
    deployment = after["MachineDeployment"][0]["spec"]["template"]["spec"]
    assert deployment["infrastructureRef"]["name"] == names[1][1]
    assert before["KubeadmControlPlane"] == after["KubeadmControlPlane"]


def test_the_form_does_not_roll_the_machines():
    old, new = (
        _cluster(cluster_api_version="v1beta1"),
        _cluster(cluster_api_version="v1beta2", infrastructure_version="v1beta2"),
    )
    for kind in ("VSphereMachineTemplate", "KubeadmConfigTemplate"):
        names = [[each["metadata"]["name"] for each in _by_kind(cluster)[kind]] for cluster in (old, new)]
        assert names[0] == names[1]


def test_what_the_cluster_needs_to_go_goes_after_it():
    found = manifests.cluster_documents(_cluster())
    last = {each["kind"] for each in found if each["metadata"]["annotations"][manifests.WAVE] == "1"}
    first = {each["kind"] for each in found if each["metadata"]["annotations"][manifests.WAVE] == "0"}
    # To Argo CD a ClusterResourceSet is Healthy only when it has been applied in a cluster: before it, it would wait for ever.
    assert last == {"ClusterResourceSet", "Cluster", "KubeadmControlPlane", "MachineDeployment"}
    assert first == {"VSphereCluster", "VSphereMachineTemplate", "KubeadmConfigTemplate"}


def test_only_applications_whose_work_outlives_the_nodes_take_it_with_them():
    cluster = _cluster()
    addons = [applications.addon_application(cluster, name, addon) for name, addon in cluster.addons.items()]
    assert [document["metadata"].get("finalizers") for document in addons] == [None] * 3
    assert applications.cluster_application(cluster, "")["metadata"]["finalizers"]
    assert [document["metadata"]["annotations"][manifests.WAVE] for document in addons] == ["0", "1", "2"]


def test_argo_cd_retries_with_the_newest_commit():
    """Without that it would try one that is refused for ever, whatever commit mends it."""
    cluster = _cluster()
    found = [applications.management_application(cluster.argocd, ""), applications.cluster_application(cluster, "")]
    assert [each["spec"]["syncPolicy"]["retry"]["refresh"] for each in found] == [True, True]


def test_a_cluster_without_ranges_of_its_own_has_those_of_kubeadm():
    document = _by_kind(_cluster(pod_cidrs=[], service_cidrs=[]))["Cluster"][0]
    assert "clusterNetwork" not in document["spec"]
    assert errors(document) == []


@pytest.mark.parametrize(
    ("server", "host", "port"),
    [
        ("vc.example.com", "vc.example.com", None),
        ("vc.example.com:443", "vc.example.com", None),
        ("vc.example.com:8443", "vc.example.com", "8443"),
        ("[2001:db8::1]:8443", "2001:db8::1", "8443"),
        ("[2001:db8::1]", "2001:db8::1", None),
    ],
)
def test_csi_and_the_cloud_provider_have_host_and_port_apart(server, host, port):
    provider = {"revision": "1", "repo_url": "https://git.example.com/cloud.git", "path": "manifests"}
    cluster = _cluster(vcenter={"server": server}, addons={"cloud_provider": provider})
    login, cloud, csi = secrets.vcenter_secrets(cluster).documents
    assert login["stringData"].keys() == {"username", "password"}
    logins = yaml.safe_load(cloud["stringData"]["data"])["stringData"]
    assert all(re.fullmatch(r"[-._a-zA-Z0-9]+", key) for key in logins)  # Kubernetes: keys of a Secret
    assert _server_in(logins) == host
    lines = list(yaml.safe_load_all(csi["stringData"]["data"]))[1]["stringData"]["csi-vsphere.conf"].splitlines()
    assert f'[VirtualCenter "{host}"]' in lines
    assert [line for line in lines if line.startswith("port")] == ([f'port = "{port}"'] if port else [])
    assert manifests.cluster_documents(cluster)[0]["spec"]["server"] == server


def _server_in(logins):
    """Whose login it is, as the cloud provider reads it (pkg/common/credentialmanager, parseConfig)."""
    suffixes = {key.removeprefix("server_") for key in logins if key.startswith("server_")}
    if suffixes:
        (suffix,) = suffixes
        assert logins.keys() == {f"server_{suffix}", f"username_{suffix}", f"password_{suffix}"}
        return logins[f"server_{suffix}"]
    (server,) = {key.rpartition(".")[0] for key in logins}
    assert logins.keys() == {f"{server}.username", f"{server}.password"}
    return server


@pytest.mark.parametrize(("namespace", "addons", "refused"), [(59, {}, False), (60, {}, True), (60, {"csi": None}, False)])
def test_csi_takes_64_characters_of_namespace_and_name(namespace, addons, refused):
    given = {"namespace": namespace * "n", "name": "prod", "addons": addons}
    if refused:
        with pytest.raises(InvalidOption, match="have 65 characters together"):
            _cluster(**given)
        return
    cluster = _cluster(**given)
    if "csi" in cluster.addons:
        assert f'cluster-id = "{namespace * "n"}/prod"' in str(secrets.vcenter_secrets(cluster).documents)


def test_the_chart_of_the_cloud_provider_names_the_server_as_its_secret_does():
    cluster = _cluster(vcenter={"server": "[2001:db8::1]"}, addons={"cloud_provider": {"revision": "1"}})
    document = applications.addon_application(cluster, "cloud_provider", cluster.addons["cloud_provider"])
    assert document["spec"]["source"]["helm"]["valuesObject"]["global"]["config"]["vcenter"] == "2001:db8::1"


def test_values_of_the_user_win_in_a_chart_and_the_others_stay():
    cluster = _cluster(addons={"cloud_provider": {"revision": "1", "values": {"global": {"config": {"region": "eu"}}}}})
    document = applications.addon_application(cluster, "cloud_provider", cluster.addons["cloud_provider"])
    config = document["spec"]["source"]["helm"]["valuesObject"]["global"]["config"]
    assert (config["region"], config["vcenter"], config["secret"]["create"]) == ("eu", "vcenter.example.com", False)


@pytest.mark.parametrize(
    "text", ["n", "Y", "no", "on", "~", "1_000", "1e3", "0o17", "12:30", "2026-01-01", ".inf", "", "a: b", "- a", "#a", "null"]
)
def test_a_text_is_quoted_where_a_reader_may_take_it_for_something_else(text):
    line = documents.dump([{"name": text}]).splitlines()[1]
    assert line == f"name: '{text}'"


@given(st.text("anyesNO01_:.,-~ \n\t'\"#&*!|>%@`{}[]\u00e9\u20ac\u2028\x85", max_size=12))
def test_a_text_comes_back_as_it_was(text):
    assert yaml.safe_load(documents.dump([{text: [text]}])) == {text: [text]}
    assert documents.load(documents.dump([{"a": text}]), "x") == [{"a": text}]


@given(st.text(alphabet="ab \n'\"#:", max_size=20))
def test_a_file_knows_whether_it_was_edited(body):
    text = documents.with_head("default/prod", body, "revision 1")
    head = documents.head_of(text)
    assert head is not None
    assert (head.owner, head.source, head.edited) == ("default/prod", "revision 1", False)
    assert documents.head_of(text + "x").edited
    assert documents.head_of(body) is None


class _Text(str):
    __slots__ = ()


class _Number(int):
    pass


def test_values_of_ansible_and_dates_are_written_as_what_they_are():
    written = documents.dump([{_Text("a"): [_Number(3), _Text("n"), True, None, 1.5, datetime.date(2026, 1, 1)]}])
    assert yaml.safe_load(written) == {"a": [3, "n", True, None, 1.5, "2026-01-01"]}


# As a text from elsewhere is one up to ansible-core 2.18: what str() makes of it is the same again.
Unsafe = type("Unsafe", (str,), {"__str__": lambda text: text})


def test_texts_of_ansible_are_written_as_any_others():
    written = {"name": "prod", "hosts": ["10.0.0.5:6443"], "number": 3}
    unsafe = {Unsafe("name"): Unsafe("prod"), "hosts": [Unsafe("10.0.0.5:6443")], "number": 3}
    assert documents.dump([unsafe]) == documents.dump([written])

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What AWX's injector makes of credentials is what the collection reads: variables of the environment, arguments of roles."""

from __future__ import annotations

import pytest
import yaml
from awx_plugins.interfaces._temporary_private_credential_api import Credential
from awx_plugins.interfaces._temporary_private_inject_api import inject_credential

import vforge_surveys as surveys
from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.options import ConnectionOptions
from ansible_collections.vforge.vsphere.tests.unit.awx.jobs import BUILT_IN, credential_types
from ansible_collections.vforge.vsphere.tests.unit.plugins.accepted import accepted

_VCENTER = {"host": "vcenter.example.com", "username": "automation", "password": "a secret"}


@pytest.fixture(name="injected")
def _injected(tmp_path, monkeypatch):
    """A function that sets the environment of a credential; returns its extra variables."""
    (tmp_path / "env").mkdir()

    def inject(kind, **inputs):
        environment, words = {}, []
        inject_credential(credential_types()[kind], Credential(inputs), environment, {}, words, str(tmp_path))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        files = [tmp_path / word.removeprefix("@/runner/") for word in words if word.startswith("@")]
        return {name: value for file in files for name, value in yaml.safe_load(file.read_text(encoding="utf-8")).items()}

    return inject


def _connection():
    return ConnectionOptions.from_params(accepted(_argspec.connection(), {}))


def test_a_verified_vcenter_with_nothing_but_what_is_required(injected):
    injected("vCenter, verified", **_VCENTER)
    assert _connection() == ConnectionOptions("vcenter.example.com", "automation", "a secret")


def test_a_verified_vcenter_with_all_that_it_takes(injected, tmp_path):
    injected("vCenter, verified", **_VCENTER, port="8443", ca="-----BEGIN", thumbprint="AB" * 32)
    found = _connection()
    assert (found.port, found.thumbprint, found.verifies) == (8443, "ab" * 32, True)
    assert found.ca_path is not None
    assert (tmp_path / found.ca_path.removeprefix("/runner/")).read_text(encoding="utf-8") == "-----BEGIN"


def test_awxs_own_type_verifies_nothing_until_something_insists(injected, monkeypatch):
    injected(BUILT_IN, **_VCENTER)
    assert not _connection().verifies
    monkeypatch.setenv("VMWARE_THUMBPRINT", "ab" * 32)
    assert _connection().verifies


def test_guests(injected):
    injected("Guest operating system", **{**_VCENTER, "username": "root"})
    found = accepted(_argspec.guest(), {})
    assert (found["guest_username"], found["guest_password"]) == ("root", "a secret")


def _fit(argument, value):
    """Hold a value against the suboptions of an argument, as Ansible does."""
    accepted({"it": argument}, {"it": value})


@pytest.mark.parametrize(
    ("kind", "role", "inputs"),
    [
        ("Server of OVF packages", "ovf_linked_clones", {}),
        ("Second vCenter, verified", "vmdk_migrate", {"host": "vcenter-b.example.com"}),
        ("Second vCenter, verified", "vmdk_migrate", {"host": "vcenter-b.example.com", "port": "8443", "ca": "-----BEGIN"}),
        ("Sealed credentials of Cluster API", "capv_cluster", {"certificate": "-----BEGIN"}),
    ],
)
def test_extra_variables_are_arguments_of_the_role(injected, kind, role, inputs):
    given = injected(kind, **{**_VCENTER, **inputs})
    known = surveys.arguments(role)
    assert given
    for name, value in given.items():
        _fit({key: item for key, item in known[name].items() if key in ("type", "elements", "options", "choices")}, value)


def test_the_second_vcenter_is_a_connection_that_verifies(injected):
    given = injected("Second vCenter, verified", **_VCENTER)["vmdk_migrate_target_connection"]
    found = ConnectionOptions.from_params(accepted(_argspec.connection(), given))
    assert (found.hostname, found.port, found.verifies) == ("vcenter.example.com", 443, True)


def test_the_secrets_of_a_type_are_marked_as_such():
    """AWX shows all other fields, and writes them into its log of activities."""
    for name, kind in credential_types().items():
        secret = {str(field["id"]) for field in kind.inputs["fields"] if field.get("secret")}
        assert secret == {"password"}, name

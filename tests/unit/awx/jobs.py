# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Jobs as AWX runs them: ansible-runner in a private data directory, with the answers of a survey, and with the environment
and the variables that AWX's own injector (awx-plugins) makes of credentials. No container: what would be /runner is the
directory itself.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from awx_plugins.credentials import injectors
from awx_plugins.credentials.plugins import vmware
from awx_plugins.interfaces._temporary_private_api import ManagedCredentialType
from awx_plugins.interfaces._temporary_private_credential_api import Credential
from awx_plugins.interfaces._temporary_private_inject_api import inject_credential

import vforge_surveys as surveys
from ansible_collections.vforge.vsphere.tests.unit.awx.stand_in import ROOT
from ansible_collections.vforge.vsphere.tests.unit.plugins.action.plays import PLAYBOOK, environment

# What AWX's administrator has not changed: certificates are not verified.
injectors.get_vmware_certificate_validation_setting = lambda: False

# What ansible-playbook begins with where the file system is to be that of a container: workers are forked, and have it too.
_IN_CONTAINER = """
import warnings
warnings.filterwarnings("ignore", "AnsibleCollectionFinder has already been configured")
from ansible.plugins.loader import init_plugin_loader
init_plugin_loader()
from ansible_collections.vforge.vsphere.plugins.module_utils import _mounts
_mounts.MOUNTED = {mounts!r}
"""

_RUNNER = """
import json, sys
import ansible_runner

given = json.load(sys.stdin)
print(ansible_runner.run(**given).status)
"""

BUILT_IN = "VMware vCenter"


@functools.cache
def credential_types() -> dict[str, ManagedCredentialType]:
    """AWX's own type for a vCenter, and those of automation/awx."""
    data = surveys.load(surveys.AWX / "data" / "credential_types.yml")["vforge_awx_credential_types"]
    own = {
        item["name"]: ManagedCredentialType("vforge", item["name"], item["kind"], item["inputs"], item["injectors"])
        for item in data
    }
    return {BUILT_IN: vmware, **own}


def defaults(flow: str) -> dict[str, Any]:
    """The variables that a job has when nobody answers: an optional question without a default gives none."""
    survey = json.loads((surveys.SURVEYS / f"{flow}.json").read_text(encoding="utf-8"))
    template = next(each for each in surveys.flows() if each["flow"] == flow)
    return {**template["extra_vars"], **{each["variable"]: each["default"] for each in survey["spec"] if each["default"] != ""}}


@dataclasses.dataclass(frozen=True)
class Done:
    """A job that has ended.

    :ivar status: as ansible-runner calls it.
    :ivar output: what the job's page shows.
    :ivar private: the private data directory.
    """

    status: str
    output: str
    private: Path

    @property
    def artifacts(self) -> Path:
        """The artifacts of the job."""
        return self.private / "artifacts" / "job"

    @functools.cached_property
    def events(self) -> list[dict[str, Any]]:
        """The event stream, in its order."""
        files = (self.artifacts / "job_events").glob("*.json")
        return sorted((json.loads(file.read_text(encoding="utf-8")) for file in files), key=lambda event: event["counter"])

    def results(self, module: str) -> list[dict[str, Any]]:
        """The results of a module of the collection, that did not fail."""
        name = f"vforge.vsphere.{module}"
        ended = [event for event in self.events if event["event"] == "runner_on_ok"]
        return [event["event_data"]["res"] for event in ended if event["event_data"].get("resolved_action") == name]

    @property
    def stats(self) -> dict[str, Any]:
        """What it hands on to the next node of a workflow."""
        found: dict[str, Any] = self.events[-1]["event_data"].get("artifact_data", {})
        return found

    def holding(self, secrets: list[str]) -> set[str]:
        """The files of the private data directory in which one of these texts is, by their paths there."""
        files = [
            path for path in self.private.rglob("*") if path.is_file() and "project" not in path.relative_to(self.private).parts
        ]
        return {
            str(path.relative_to(self.private))
            for path in files
            if any(secret.encode() in path.read_bytes() for secret in secrets)
        }


class Job:
    """One job of one flow.

    :param sim: the simulator.
    :param folder: for the private data directory, and the home of Ansible.
    """

    def __init__(self, sim: Any, folder: Path, flow: str) -> None:
        self._sim = sim
        self._flow = flow
        self._home = folder
        self.private = folder / "private"
        for name in ("env", "inventory"):
            (self.private / name).mkdir(parents=True)
        self._variables: dict[str, Any] = defaults(flow)
        self._environment: dict[str, str] = {}
        self._words: list[str] = []
        self._before = ""

    def vcenter(self, kind: str = "vCenter, verified", **inputs: str) -> Job:
        """Give it the credential of the simulator; AWX's own type has no port, which the environment has then."""
        known = {"host": self._sim.host, "username": self._sim.username, "password": self._sim.password}
        if kind == BUILT_IN:
            self._environment["VMWARE_PORT"] = str(self._sim.port)
            return self.credential(kind, **{**known, **inputs})
        ca = Path(self._sim.ca).read_text(encoding="utf-8")
        return self.credential(kind, **{**known, "port": str(self._sim.port), "ca": ca, **inputs})

    def guest(self) -> Job:
        """Give it the credential of the guests."""
        return self.credential("Guest operating system", username=self._sim.guest_username, password=self._sim.guest_password)

    def credential(self, kind: str, **inputs: str) -> Job:
        """Give it a credential, as AWX's injector does."""
        made: dict[str, Any] = {}
        words: list[str] = []
        inject_credential(credential_types()[kind], Credential(dict(inputs)), made, {}, words, str(self.private))
        self._environment.update({name: self._outside(value) for name, value in made.items()})
        for word in words:
            path = Path(self._outside(word).removeprefix("@"))
            if path.is_file():
                path.chmod(0o600)
                path.write_text(self._outside(path.read_text(encoding="utf-8")), encoding="utf-8")
            self._words.append(self._outside(word))
        return self

    def _outside(self, text: str) -> str:
        return text.replace("/runner/", f"{self.private}/")

    def in_container(self, exposed: str) -> Job:
        """Let its file system be that of a container of AWX.

        :param exposed: the one folder of the execution node that jobs see.
        """
        mounts = self._home / "mountinfo"
        lines = ("1 0 0:58 / / rw - overlay overlay rw", f"2 1 8:1 / {exposed} rw - ext4 /dev/sda1 rw")
        mounts.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        self._before = _IN_CONTAINER.format(mounts=str(mounts))
        self._environment["AWX_PRIVATE_DATA_DIR"] = "/srv/awx/awx_1_job"
        return self

    def answers(self, **given: Any) -> Job:
        """Give it answers of the survey, and variables at launch, without the prefix of the flow."""
        self._variables.update({f"{self._flow}_{name}": value for name, value in given.items()})
        return self

    def variables(self, given: dict[str, Any]) -> Job:
        """Give it variables with the names that they have, as artifacts of a workflow's node before come."""
        self._variables.update(given)
        return self

    def inventory(self, hosts: dict[str, list[str]]) -> Job:
        """Give it an inventory: hosts by group."""
        text = json.dumps({group: {"hosts": {name: {} for name in names}} for group, names in hosts.items()})
        (self.private / "inventory" / "hosts.yml").write_text(text, encoding="utf-8")
        return self

    def start(self) -> subprocess.Popen[str]:
        """Start it."""
        # ansible-runner looks for it on PATH.
        command = self._home / "ansible-playbook"
        command.write_text(f"#!{sys.executable}\n{self._before}{PLAYBOOK[-1]}\n", encoding="utf-8")
        command.chmod(0o700)
        (self.private / "project").symlink_to(ROOT)
        known = {**environment(self._home), "PATH": f"{self._home}{os.pathsep}{os.environ['PATH']}", **self._environment}
        process = subprocess.Popen(
            [sys.executable, "-c", _RUNNER],
            env=known,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        given = {
            "private_data_dir": str(self.private),
            "playbook": f"playbooks/{self._flow}.yml",
            "ident": "job",
            "extravars": self._variables,
            "cmdline": " ".join(self._words),
            "quiet": True,
            # As AWX gives it, but that the output is kept in a file, too.
            "settings": {"suppress_env_files": True, "job_timeout": 3600},
        }
        assert process.stdin is not None
        process.stdin.write(json.dumps(given))
        process.stdin.close()
        process.stdin = None
        return process

    def end(self, process: subprocess.Popen[str]) -> Done:
        """Wait for its end."""
        said, _none = process.communicate()
        output = self.private / "artifacts" / "job" / "stdout"
        assert output.exists(), said
        return Done(said.splitlines()[-1], output.read_text(encoding="utf-8"), self.private)

    def run(self) -> Done:
        """Run it to its end."""
        return self.end(self.start())

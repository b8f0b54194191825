# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Examples of guides and READMEs: all are plays that Ansible accepts, with variables that roles have; many are run.

What is run meets a simulated vCenter whose objects are called as in the guide. What is not run is listed with the reason.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib
import os
import re
import subprocess
import sys
import tarfile
import textwrap
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

import vforge_packages
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.cpu.test_guests import cpuinfo
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.ovf.web import Server

_ROOT = Path(__file__).resolve().parents[3]
_PAGES = sorted([_ROOT / "README.md", *_ROOT.glob("roles/*/README.md"), *_ROOT.glob("docs/docsite/rst/*.rst")])
_ROLE = "vforge.vsphere."


def _blocks(text):
    """What a page shows as YAML, in Markdown or reStructuredText."""
    yield from re.findall(r"^```ya?ml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for block in re.findall(r"^\.\. code-block:: ya?ml(?:\+jinja)?\n\n((?:(?: {2,}.*)?\n)+)", text, re.MULTILINE):
        yield textwrap.dedent(block)


def _name(page):
    return page.stem if page.suffix == ".rst" else str(page.relative_to(_ROOT).parent / "README").removeprefix("./")


_EXAMPLES = {
    f"{_name(page)} {number}": block
    for page in _PAGES
    for number, block in enumerate(_blocks(page.read_text(encoding="utf-8")), 1)
}

# Pieces of a task, files of variables and inventories: no plays. READMEs of roles have variables of that role besides.
_PIECES = {
    "README 2": "collections of a project",
    "guide_backup 4": "an option",
    "guide_cluster_api 2": "variables",
    "guide_inventory 1": "an inventory, as test_vms.py has them",
    "guide_inventory 2": "a file of variables",
}


def _is_play(where, block):
    return where not in _PIECES and isinstance(yaml.safe_load(block), list)


def _plays(block):
    """The plays of an example; tasks alone become one, and so do roles."""
    data = yaml.safe_load(block)
    if "hosts" in data[0]:
        return data
    kind = "roles" if "role" in data[0] else "tasks"
    return [{"name": "Example", "hosts": "localhost", "gather_facts": False, kind: data}]


def _ansible_playbook(folder, *words, **env):
    """Run ansible-playbook on the checkout that is tested, from an environment without anything else of Ansible."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "VMWARE_", "VFORGE_"))}
    kept |= {"ANSIBLE_COLLECTIONS_PATH": str(_ROOT.parents[2]), "ANSIBLE_LOCALHOST_WARNING": "0", "LC_ALL": "C.UTF-8"}
    kept |= {
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        "ANSIBLE_REMOTE_TEMP": str(folder / "tmp"),
        "ANSIBLE_NOCOLOR": "1",
        **env,
    }
    command = [sys.executable, "-c", "from ansible.cli.playbook import main; main()", *words]
    return subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True, check=False)


def _written(folder, examples):
    """The examples as files of plays, each in its turn."""
    paths = []
    for number, block in enumerate(examples):
        path = folder / f"example-{number:03}.yml"
        path.write_text(yaml.safe_dump(_plays(block)), encoding="utf-8")
        paths.append(str(path))
    return paths


def test_every_example_is_a_play_that_ansible_accepts(tmp_path):
    assert set(_PIECES) <= set(_EXAMPLES)
    playable = {where: block for where, block in _EXAMPLES.items() if _is_play(where, block)}
    others = set(_EXAMPLES) - set(playable) - set(_PIECES)
    assert all(where.startswith("roles/") for where in others), others
    assert len(playable) > 60
    done = _ansible_playbook(tmp_path, "--syntax-check", *_written(tmp_path, playable.values()))
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_ansible_does_not_accept_is_found(tmp_path):
    wrong = "- name: A module that is not there\n  vforge.vsphere.no_such_module:\n    x: 1\n"
    done = _ansible_playbook(tmp_path, "--syntax-check", *_written(tmp_path, [wrong]))
    assert done.returncode != 0
    assert "no_such_module" in done.stdout + done.stderr


def _roles(plays):
    """The roles of ours in plays: name and variables."""
    for play in plays:
        for role in play.get("roles") or ():
            name = role if isinstance(role, str) else role.get("role", "")
            if name.startswith(_ROLE):
                given = {} if isinstance(role, str) else {**(role.get("vars") or {}), **(play.get("vars") or {})}
                yield name.removeprefix(_ROLE), given


_WITH_ROLES = {
    f"{where} {name}": (name, given)
    for where, block in _EXAMPLES.items()
    if _is_play(where, block)
    for name, given in _roles(_plays(block))
}
_WITH_ROLES |= {
    where: (where.split("/")[1], yaml.safe_load(block))
    for where, block in _EXAMPLES.items()
    if where.startswith("roles/") and not _is_play(where, block)
}


@pytest.mark.parametrize("where", sorted(_WITH_ROLES))
def test_examples_of_roles_have_variables_that_the_role_has(where):
    name, given = _WITH_ROLES[where]
    specs = yaml.safe_load((_ROOT / "roles" / name / "meta/argument_specs.yml").read_text(encoding="utf-8"))
    options = specs["argument_specs"]["main"]["options"]
    mine = {key: value for key, value in given.items() if key.startswith(f"{name}_")}
    assert mine.keys() <= options.keys()
    # What only a run knows has no type yet.
    known = {key: value for key, value in mine.items() if "{{" not in str(value)}
    spec = {key: {**item, "required": False} if key not in known else item for key, item in options.items()}
    result = ArgumentSpecValidator(spec).validate(known)
    assert not result.error_messages, result.error_messages


# Examples of modules, which ansible-doc shows


def _examples_of(path):
    """The tasks of this collection in the examples of a plugin."""
    text = path.read_text(encoding="utf-8").partition('EXAMPLES = r"""')[2].partition('"""')[0]
    waiting = list(yaml.safe_load(text) or ())
    while waiting:
        task = waiting.pop(0)
        waiting += [each for key in ("block", "rescue", "always", "tasks") for each in task.get(key) or ()]
        for name, given in task.items():
            if name.startswith(_ROLE):
                yield name.removeprefix(_ROLE), given or {}


_OF_MODULES = {
    f"{path.stem} {number}": (name, given)
    for path in sorted((_ROOT / "plugins/modules").glob("[!_]*.py"))
    for number, (name, given) in enumerate(_examples_of(path), 1)
}


def _is_templated(value):
    if isinstance(value, dict):
        return any(map(_is_templated, value.values()))
    return any(map(_is_templated, value)) if isinstance(value, list) else "{{" in str(value)


@pytest.mark.parametrize("where", sorted(_OF_MODULES))
def test_examples_of_modules_have_options_that_the_module_takes(where, monkeypatch):
    """What only a run knows may be anything."""
    name, given = _OF_MODULES[where]
    module = importlib.import_module(f"ansible_collections.vforge.vsphere.plugins.modules.{name}")
    if not hasattr(module, "argument_spec"):
        documented = yaml.safe_load(module.DOCUMENTATION)["options"]
        assert given.keys() <= documented.keys()
        return
    for variable in ("VMWARE_HOST", "VMWARE_USER", "VMWARE_PASSWORD", "VFORGE_GUEST_USERNAME", "VFORGE_GUEST_PASSWORD"):
        monkeypatch.setenv(variable, "set")
    spec = {
        key: {"type": "raw", "aliases": item.get("aliases", [])} if _is_templated(given.get(key)) else item
        for key, item in module.argument_spec().items()
    }
    rules = module.rules() if hasattr(module, "rules") else {}
    result = ArgumentSpecValidator(spec, **rules).validate(given)
    assert not result.error_messages, result.error_messages


def test_each_module_has_an_example():
    shown = {where.rpartition(" ")[0] for where in _OF_MODULES}
    assert {path.stem for path in (_ROOT / "plugins/modules").glob("[!_]*.py")} == shown


# Examples that are run


_QUICK = ("--clone-time", "10ms", "--guest-time", "30ms")


@dataclasses.dataclass(frozen=True)
class _Run:
    """What of a page is run.

    :ivar numbers: of its examples, in the order in which they are run.
    :ivar vms: that the page takes for granted, with options of the simulator.
    :ivar images: whether images of disks are read, for which the programs of Debian are needed.
    :ivar flags: of the simulator.
    """

    numbers: tuple[int, ...]
    vms: dict[str, dict] = dataclasses.field(default_factory=dict)
    images: bool = False
    flags: tuple[str, ...] = _QUICK


_GOLDEN_WEB = {"golden-web": {"folder": "templates"}}
_SERVERS = {"web-1": {"on": False}, "db-1": {"folder": "databases", "on": False}}
_WITH_DISKS = {name: {**options, "disks": [{"bytes": 4 * 2**20}]} for name, options in _SERVERS.items()}
_RUN = {
    "README": _Run((1,), _GOLDEN_WEB),
    "guide_quickstart": _Run((1,)),
    "guide_questions": _Run((1,)),
    "guide_golden_images": _Run((1, 3)),
    "guide_instant_clone": _Run((2,), _GOLDEN_WEB),
    "guide_parents": _Run((1, 2, 3), {f"golden-esx{number}": {} for number in (1, 2, 3)}),
    "guide_given_up": _Run((1,)),
    "guide_fleets": _Run((2,), _GOLDEN_WEB),
    "guide_linked_clones": _Run((1, 2, 3, 4), {"golden": {"on": False}}),
    "guide_cloud_init": _Run((2,), {"win-1": {"on": False}}),
    "guide_moving": _Run((1,), {"rocky": {"folder": "templates", "on": False}}),
    # The host fetches the package before the next example finds its template.
    "guide_ovf_templates": _Run((1, 5, 2, 3, 6)),
    "guide_changed_areas": _Run((1, 2, 3, 4), _SERVERS),
    "guide_first_class_disks": _Run((1, 2, 3), _SERVERS),
    "guide_exports": _Run((1, 2), _SERVERS),
    "guide_evc": _Run((1, 2, 3), {name: {} for name in ("web-1", "web-2", "ledger", "printing")}),
    "guide_cpu_features": _Run((1, 2, 3), {"web-1": {}}),
    "guide_cluster_api": _Run((1,)),
    "guide_vmfork": _Run(
        (1, 2, 3),
        {"golden-agent": {"folder": "templates", "on": False}},
        flags=(*_QUICK, "--api-version", "6.5"),
    ),
    "guide_disks": _Run((1, 2), _WITH_DISKS, images=True),
    "guide_disk_tools": _Run((1, 2), _WITH_DISKS, images=True),
    # The database is off until it was restored; then it runs, and its scripts can be run.
    "guide_backup": _Run((2, 1, 6, 7, 8, 9, 12, 14, 15, 10, 5, 13), _WITH_DISKS, images=True),
}

# What is not run here, and why. Plays of roles in their READMEs are run by integration targets.
_LOGIN = "its second play logs in to VMs; the role's integration target has the first"
_NOT_RUN = {
    "guide_fleets 1": _LOGIN,
    "guide_cloud_init 1": _LOGIN,
    "guide_backup 16": "runs at night alone; the role's integration target has it at any time",
    "guide_disks 3": "needs two vCenters, which a job of AWX in a test has",
    "guide_backup 3": "needs a proxy with devices of its own, which the module's tests have",
    "guide_backup 11": "needs a proxy with devices of its own, which the module's tests have",
    "guide_golden_images 2": "no Windows guest is simulated",
    "guide_instant_clone 1": "has no tasks",
    "guide_ovf_templates 4": "a package with deployment options and networks of its own, which the module's tests have",
}


def test_every_example_is_run_or_the_reason_is_given():
    run = {f"{page} {number}" for page, known in _RUN.items() for number in known.numbers}
    assert run <= set(_EXAMPLES)
    assert set(_NOT_RUN) <= set(_EXAMPLES) - run
    left = {
        where
        for where, block in _EXAMPLES.items()
        if _is_play(where, block) and where not in run and where not in _NOT_RUN and not where.startswith("roles/")
    }
    assert left == set(), "run these, or say why not"


_SHOWN_ROLES = sorted({name for name, _given in _WITH_ROLES.values()})


@pytest.mark.parametrize("name", _SHOWN_ROLES)
def test_a_role_that_is_shown_is_run_by_an_integration_target(name):
    files = (_ROOT / "tests/integration/targets").rglob("*.yml")
    assert any(re.search(rf"vforge\.vsphere\.{name}$", path.read_text(encoding="utf-8"), re.MULTILINE) for path in files)


# What the guides call things, and what the simulated vCenter does.
_NAMES = {
    "/Berlin/": "/DC0/",
    "datacenter: Berlin\n": "datacenter: DC0\n",
    "Berlin-1": "DC0_C0",
    "Berlin-2": "DC0_C1",
    "cluster: production": "cluster: DC0_C0",
    "resource_pool: production/Resources": "resource_pool: DC0_C0/Resources",
    "[production]": "[DC0_C0]",
    "datastore1": "LocalDS_0",
    "default_network: servers": "default_network: VM Network",
    "default_network: nodes": "default_network: VM Network",
    "default_network: isolated": "default_network: VM Network",
    "datastore: backup-1": "datastore: LocalDS_0",
    "production: production-2": "DC0_DVPG0: VM Network",
    "name: template-data}": "name: template-data-1}",
    # There is no backup of then.
    "2026-11-28T06:00:00+01:00": "2126-11-28T06:00:00+01:00",
}

_FOLDERS = (
    "var/lib/backup",
    "var/lib/exports",
    "var/www/html",
    "srv/images",
    "srv/backups",
    "srv/restored",
    "srv/restored/db-1",
)
_IMAGE = "debian-13.qcow2"
_ROCKY = """
- name: The template that the page begins with
  vforge.vsphere.cached_ovf_template:
    name: rocky
    folder: templates
    source: /srv/images/debian-13.ova
    cluster: production
    default_network: servers
"""


class _Berlin:
    """What a page takes for granted: a vCenter with its folders and VMs, files, variables, a web server."""

    def __init__(self, page, sim, folder):
        self.page, self.sim, self._folder = page, sim, folder
        self._server = None
        self.variables = {
            "golden_root_password": sim.guest_password,
            "guest_root_password": sim.guest_password,
            "guest_password": sim.guest_password,
            "vcenter_password": sim.password,
            "pipeline_id": "pipeline-7",
            "my_vms": [{"name": "web-1"}],
        }
        if page == "guide_given_up":
            # The name of a registered result on another page.
            self.variables["fleet"] = [{"name": "given-1"}]

    def close(self):
        if self._server:
            self._server.close()

    def make(self, tiny_ova):
        """Make it."""
        for name in ("templates", "templates/nodes", "web", "databases", "backups", "agents"):
            self.sim.govc("folder.create", f"/DC0/vm/{name}")
        for name, options in _RUN[self.page].vms.items():
            self.sim.create_vm(name, **options)
        for name in _FOLDERS:
            (self._folder / name).mkdir(parents=True, mode=0o700)
        (self._folder / "srv/images/debian-13.ova").write_bytes(tiny_ova.ova.read_bytes())
        for name in ("backup.yml", "install_app.yml"):
            (self._folder / name).write_text("- ansible.builtin.debug: {msg: Here is your own}\n", encoding="utf-8")
        getattr(self, f"_{self.page.removeprefix('guide_').lower()}", lambda: None)()

    def _linked_clones(self):
        for name in ("base", "patched"):
            self.sim.govc("snapshot.create", "-vm", "golden", "-m=false", name)

    def _moving(self):
        self.sim.govc("snapshot.create", "-vm", "rocky", "-m=false", "base")

    def _first_class_disks(self):
        self.sim.request("POST", "/fcds", {"datastore": "LocalDS_0", "prefix": "template-data-", "count": 1, "size_mb": 1})

    def _cpu_features(self):
        self.sim.patch_guest("web-1", files={"/proc/cpuinfo": cpuinfo()})

    def _ovf_templates(self):
        images = self._folder / "srv/images"
        with tarfile.open(images / "suite.ova", "w") as archive:
            for path in sorted((vforge_packages.FOLDER / "vapp-of-two-vms").iterdir(), key=lambda path: path.suffix != ".ovf"):
                archive.add(path, path.name)
        self._server = Server(images, None)
        self.variables["presigned_address"] = f"{self._server.url}/debian-13.ova?X-Amz-Signature=5026"

    def _backup(self):
        nvram = self._folder / "db-1.nvram"
        nvram.write_bytes(b"boot order")
        self.sim.govc("datastore.upload", "-ds", "LocalDS_0", str(nvram), "db-1/db-1.nvram")

    def _cluster_api(self):
        (self._folder / "srv/images/debian-13.ova").rename(self._folder / "srv/images/ubuntu-2404-kube-v1.34.2.ova")

    def _disks(self):
        image = self._folder / "srv/images" / _IMAGE
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "4M"], check=True)
        self.variables["debian_13_sha256"] = hashlib.sha256(image.read_bytes()).hexdigest()

    def _disk_tools(self):
        self._disks()
        (self._folder / "srv/images" / _IMAGE).rename(self._folder / "srv/images/golden.qcow2")

    def blocks(self):
        """The examples that are run, in their order, and what comes before them."""
        before = {"guide_linked_clones": [_ROCKY], "guide_disk_tools": [_EXAMPLES["guide_disks 1"]]}.get(self.page, [])
        return [self._placed(each) for each in (*before, *(_EXAMPLES[f"{self.page} {n}"] for n in _RUN[self.page].numbers))]

    def _placed(self, block):
        """An example with the names of this datacenter, and with files below the test's folder."""
        text = re.sub(r"(?<![\w./])/(srv|var/lib|var/www)/", rf"{self._folder}/\1/", block)
        names = {
            **_NAMES,
            "hostname: vcenter.example.com": f"hostname: {self.sim.host}",
            "    host: vcenter.example.com\n": f"    host: {self.sim.host}\n    port: {self.sim.port}\n",
            "hostname: vcenter65.example.com": f"hostname: {self.sim.host}",
            "automation@vsphere.local": self.sim.username,
        }
        if self._server:
            names["https://images.example.com"] = self._server.url
        for name, here in names.items():
            text = text.replace(name, here)
        return text


@pytest.mark.parametrize("page", sorted(_RUN))
def test_examples_run_as_they_stand(page, make_sim, tmp_path, tiny_ova, request):
    if _RUN[page].images:
        request.getfixturevalue("programs")
    sim = make_sim("--vms", "0", *_RUN[page].flags)
    with contextlib.closing(_Berlin(page, sim, tmp_path)) as berlin:
        berlin.make(tiny_ova)
        variables = tmp_path / "variables.yml"
        variables.write_text(yaml.safe_dump(berlin.variables), encoding="utf-8")
        inventory = tmp_path / "inventory.yml"
        inventory.write_text("web: {hosts: {web-1: {}}}\n", encoding="utf-8")
        done = _ansible_playbook(
            tmp_path,
            *("-i", str(inventory), "-e", f"@{variables}"),
            *_written(tmp_path, berlin.blocks()),
            VMWARE_HOST=sim.host,
            VMWARE_PORT=str(sim.port),
            VMWARE_USER=sim.username,
            VMWARE_PASSWORD=sim.password,
            VMWARE_CA_PATH=sim.ca,
            VMWARE_SESSION_CACHE="false",
            VFORGE_GUEST_USERNAME=sim.guest_username,
            VFORGE_GUEST_PASSWORD=sim.guest_password,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^localhost +: ok=[1-9]", done.stdout, re.MULTILINE), done.stdout

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The description of an execution environment works from a checkout, and for a builder that finds the collection."""

from __future__ import annotations

import io
import pathlib
import shutil
import subprocess
import sys
import tarfile

import pytest
import yaml

_ROOT = pathlib.Path(__file__).resolve().parents[3]


def test_a_build_context_is_made_of_it_with_what_the_collection_needs(tmp_path: pathlib.Path) -> None:
    command = [sys.executable, "-m", "ansible_builder", "create", "-f", str(_ROOT / "meta/execution-environment.yml")]
    done = subprocess.run([*command, "-c", str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("requirements.txt", "bindep.txt"):
        assert (tmp_path / "_build" / name).read_text("utf-8") == (_ROOT / name).read_text("utf-8")


@pytest.mark.parametrize("kind", ["python", "system"])
def test_the_files_that_it_names_are_the_same_from_the_root_and_beside_it(kind: str) -> None:
    named = yaml.safe_load((_ROOT / "meta/execution-environment.yml").read_text("utf-8"))["dependencies"][kind]
    assert (_ROOT / "meta" / named).read_text("utf-8") == (_ROOT / named).read_text("utf-8")


@pytest.fixture(name="context")
def _context(tmp_path: pathlib.Path) -> pathlib.Path:
    """The build context of automation/execution-environment, with a tarball that has no more than a name."""
    definition = tmp_path / "definition"
    shutil.copytree(_ROOT / "automation" / "execution-environment", definition)
    with tarfile.open(definition / "vforge-vsphere-9.9.9.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("MANIFEST.json"), io.BytesIO())
    command = [
        sys.executable,
        "-m",
        "ansible_builder",
        "create",
        "-c",
        str(tmp_path / "context"),
        "--output-filename",
        "Containerfile",
    ]
    done = subprocess.run(command, cwd=definition, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return tmp_path / "context"


def test_the_image_has_the_collection_of_the_tarball_and_what_options_need(context: pathlib.Path) -> None:
    build = context / "_build"
    assert [path.name for path in (build / "collections").iterdir()] == ["vforge-vsphere-9.9.9.tar.gz"]
    collections = yaml.safe_load((build / "requirements.yml").read_text("utf-8"))["collections"]
    assert {"name": "/tmp/vforge-vsphere.tar.gz", "type": "file"} in collections  # noqa: S108 (in the image)
    lines = (context / "Containerfile").read_text("utf-8").splitlines()
    copied = lines.index("COPY _build/collections/vforge-vsphere-*.tar.gz /tmp/vforge-vsphere.tar.gz")
    installed = next(number for number, line in enumerate(lines) if "ansible-galaxy collection install" in line)
    assert copied < installed
    assert "RUN $PYCMD -m compileall -q /usr/share/ansible/collections" in lines


def test_the_image_has_what_the_collection_names_as_optional() -> None:
    """They stand in comments of requirements.txt, since a task names one that is missing."""
    text = (_ROOT / "requirements.txt").read_text("utf-8")
    optional = {line.split()[2].partition(">")[0] for line in text.splitlines() if line.startswith("# Optional: ")}
    extra = (_ROOT / "automation" / "execution-environment" / "requirements.txt").read_text("utf-8")
    named = {line.partition(">")[0] for line in extra.splitlines() if line and not line.startswith("#")}
    assert optional
    assert named == optional


def test_its_ansible_core_is_one_that_the_collection_allows() -> None:
    definition = yaml.safe_load((_ROOT / "automation/execution-environment/execution-environment.yml").read_text("utf-8"))
    required = yaml.safe_load((_ROOT / "meta/runtime.yml").read_text("utf-8"))["requires_ansible"]
    at_least = [
        tuple(int(part) for part in text.partition(">=")[2].split(",")[0].split("."))
        for text in (required, definition["dependencies"]["ansible_core"]["package_pip"])
    ]
    assert at_least[0] <= at_least[1]

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The description of an execution environment works from a checkout, and for a builder that finds the collection."""

from __future__ import annotations

import pathlib
import subprocess
import sys

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

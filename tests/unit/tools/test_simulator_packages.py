# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The map of the simulator's packages, in its README: all of them are on it, and none needs one that stands below it."""

from __future__ import annotations

import pathlib
import re

_SIMULATOR = pathlib.Path(__file__).parents[2] / "simulator"
_OURS = re.compile(r'"vforge\.vsphere/simulator/internal/(\w+)"')


def _on_the_map():
    """The packages of the README, in its order."""
    text = (_SIMULATOR / "README.md").read_text(encoding="utf-8")
    section = text.split("## What it is made of", 1)[1].split("\n## ", 1)[0]
    rows = (line for line in section.splitlines() if line.startswith("| `"))
    return [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]


def _needed_by(package):
    sources = (path for path in package.glob("*.go") if not path.name.endswith("_test.go"))
    return {name for path in sources for name in _OURS.findall(path.read_text(encoding="utf-8"))}


def test_every_package_is_on_the_map():
    packages = [path.name for path in (_SIMULATOR / "internal").iterdir() if path.is_dir()]
    assert sorted(_on_the_map()) == sorted(packages)


def test_no_package_needs_one_that_stands_below_it():
    order = _on_the_map()
    needed = {name: _needed_by(_SIMULATOR / "internal" / name) for name in order}
    below = {name: [other for other in order[order.index(name) :] if other in needed[name]] for name in order}
    assert {name: others for name, others in below.items() if others} == {}

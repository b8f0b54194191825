# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The changelog has what the release has, and a first release changes nothing that anybody had."""

from __future__ import annotations

from pathlib import Path

import yaml

_ROOT = Path(__file__).resolve().parents[3]
_LOG = yaml.safe_load((_ROOT / "changelogs" / "changelog.yaml").read_text(encoding="utf-8"))
_VERSION = yaml.safe_load((_ROOT / "galaxy.yml").read_text(encoding="utf-8"))["version"]


def test_the_newest_release_is_that_of_the_collection():
    newest = max(_LOG["releases"], key=lambda version: [int(part) for part in version.split(".")])
    assert newest == _VERSION
    assert f'<a id="v{_VERSION.replace(".", "-")}"></a>' in (_ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_a_first_release_says_what_there_is():
    """What breaks, is deprecated or mended is news for who had an earlier one: see CONTRIBUTING, A release."""
    first, *_later = _LOG["releases"].values()
    assert _LOG["ancestor"] is None
    assert set(first["changes"]) == {"release_summary", "major_changes", "known_issues"}


def test_all_that_is_new_is_listed():
    def listed(found):
        return {each["name"] for each in found or ()}

    releases = list(_LOG["releases"].values())
    modules = set().union(*(listed(release.get("modules")) for release in releases))
    roles = set().union(*(listed((release.get("objects") or {}).get("role")) for release in releases))
    filters = set().union(*(listed((release.get("plugins") or {}).get("filter")) for release in releases))
    assert modules == {path.stem for path in (_ROOT / "plugins" / "modules").glob("[!_]*.py")}
    assert roles == {path.name for path in (_ROOT / "roles").iterdir()}
    assert filters == {path.stem for path in (_ROOT / "plugins" / "filter").glob("[!_]*.py")}

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The page of a repository of backups."""

from __future__ import annotations

import html.parser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption
from ansible_collections.vforge.vsphere.plugins.plugin_utils.backup_page import render

GIB = 2**30


def point(created, kind="incremental", **more):
    return {
        "id": f"{created[:10].replace('-', '')}T010000Z-00000001",
        "created": f"{created}+00:00",
        "kind": kind,
        "consistency": "file-system-consistent",
        "snapshot": "snapshot-7",
        "disks": [{"label": "Hard disk 1", "capacity": 8 * GIB, "read": GIB, "written": GIB, "transport": "nbd"}],
        "stored": GIB // 2,
        "verified": None,
        "restored": [],
        **more,
    }


def vm(name, *points, **more):
    return {"name": name, "instance_uuid": f"uuid-{name}", "folder": "/srv", "points": list(points), "damaged": [], **more}


def result(*vms):
    return {"changed": False, "repository": "/srv/backups", "vms": list(vms)}


class Seen(html.parser.HTMLParser):
    """What a browser would make of a page: its elements, and its text."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.text, self.classes = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.classes.append(dict(attrs).get("class") or "")
        assert not [name for name, _value in attrs if name.startswith("on") or name in ("src", "href")]

    def handle_data(self, data):
        self.text.append(data)


TWO = result(
    vm(
        "web",
        point("2026-11-27T01:00:00", "full", verified="2026-11-27T05:00:00+00:00"),
        point("2026-11-29T01:00:00", restored=[{"at": "2026-11-29T09:00:00+00:00", "to": "/srv/x", "disks": ["Hard disk 1"]}]),
        point("2026-11-29T13:00:00"),
    ),
    vm("db", point("2026-11-28T01:00:00", "full")),
)


def test_points_are_there_by_vm_and_day_with_sizes_and_what_was_done_with_them():
    seen = Seen(render(TWO))
    text = " ".join(" ".join(seen.text).split())
    for expected in ("2 VMs with backups", "4 points", "2 GiB on the file system", "2026-11-29 13:00 the newest point"):
        assert expected in text
    assert "3 points not verified" in text
    assert "2026-11-29 09:00 to /srv/x" in text
    assert "2026-11-27 05:00" in text
    # A calendar of a month for each VM: a full and verified day, an incremental one; a full one.
    assert seen.classes.count("full proved") == 1
    assert (seen.classes.count("incremental"), seen.classes.count("full")) == (1 + 1, 1 + 1)
    assert seen.classes.count("none") == 31 * 2 - 3
    assert text.index("2026-11-29 13:00 20261129T010000Z") < text.index("2026-11-27 01:00 20261127T010000Z")


def test_it_is_the_same_each_time_and_needs_nothing_else():
    page = render(TWO, "Berlin")
    assert render(TWO, "Berlin") == page
    assert "default-src 'none'" in page
    assert "width=device-width" in page
    assert not {"script", "link", "img", "iframe", "form"} & set(Seen(page).elements)


def test_what_is_damaged_comes_first_and_is_named():
    error = {"error_code": "backup_damaged", "msg": "The manifest was changed."}
    broken = vm("zzz", damaged=[{"id": "20261101T000000Z-00000001", "error": error}], error=error)
    text = " ".join(Seen(render(result(*TWO["vms"], broken))).text)
    assert text.index("zzz") < text.index("web")
    assert "20261101T000000Z-00000001" in text
    assert text.count("The manifest was changed.") == 1


def test_an_empty_repository_says_so():
    assert "There are no backups." in render(result())


@given(st.text(max_size=40), st.text(max_size=40))
def test_whatever_a_name_holds_it_is_text(name, to):
    hostile = f'<script>alert("1")</script>\'"><img src=x onerror=y>{name}'
    restored = [{"at": "2026-11-29T09:00:00+00:00", "to": f"{hostile}{to}", "disks": []}]
    page = render(result(vm(hostile, point("2026-11-27T01:00:00", restored=restored))), hostile)
    page.encode(errors="replace")
    assert not {"script", "img"} & set(Seen(page).elements)


@pytest.mark.parametrize("wrong", [None, {}, {"vms": []}, {"vms": {}, "repository": ""}, {"vms": [{}], "repository": ""}])
def test_another_result_is_refused(wrong):
    with pytest.raises(InvalidOption, match="no result of backup_info"):
        render(wrong)

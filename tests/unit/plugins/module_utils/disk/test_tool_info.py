# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions about disks: of images in each format, of a VM's disk, of a first class disk."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import pathlib
import signal
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils import _signals
from ansible_collections.vforge.vsphere.plugins.module_utils._disk import answers, reading, tools
from ansible_collections.vforge.vsphere.plugins.module_utils._disk.asking import (
    Benchmark,
    ToolOptions,
)
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import Interrupted, InvalidOption, NotFound
from ansible_collections.vforge.vsphere.plugins.modules import disk_tool_info
from ansible_collections.vforge.vsphere.tests.unit.plugins.accepted import accepted
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.disk.running import MIB
from ansible_collections.vforge.vsphere.tests.unit.plugins.running import Runner

FORMATS = [
    ("raw", ()),
    ("qcow2", ()),
    ("vmdk", ("-o", "subformat=streamOptimized")),
    ("vmdk", ("-o", "subformat=monolithicSparse")),
]


def options(**given):
    return ToolOptions.from_params(accepted(disk_tool_info.argument_spec(), given))


def ask(question, **given):
    """Ask about a file on this machine."""
    given = {key: str(value) if key == "path" else value for key, value in given.items()}
    return tools.run_alone(options(question=question, **given), lambda _line: None)


class Tool(Runner):
    """Asks about disks in a simulator."""

    module = "disk_tool_info"

    def work(self, given, _check):
        """A task of disk_tool_info."""
        asked = options(**given)
        return lambda session: tools.run(session, asked)


@pytest.fixture
def tool(make_sim, request):
    """Questions to a simulator, with qemu-img on PATH."""
    request.getfixturevalue("tools")
    return Tool(make_sim("--vms", "2"))


@pytest.fixture
def boxed(tool):
    """A VM that is off, with a small disk; the content of that."""
    tool.sim.request("POST", "/vms", {"name": "box", "datastore": "LocalDS_0", "disks": [{"bytes": 4 * MIB}]})
    tool.sim.write_disk("box", offset=MIB, length=65536, seed=7)
    tool.sim.govc("vm.power", "-off", "box")
    return tool.sim.read_disk("box")


# Pure


def test_a_dump_is_rows_of_sixteen_bytes():
    data = bytes(range(16)) + b"A" * 48 + b"end"
    assert answers.dump(data, 512) == [
        "000000000200  00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f  |................|",
        "000000000210  41 41 41 41 41 41 41 41 41 41 41 41 41 41 41 41  |AAAAAAAAAAAAAAAA|",
        "*",
        "000000000240  65 6e 64" + " " * 41 + "|end|",
    ]


areas = st.lists(st.tuples(st.integers(0, 900), st.integers(0, 90)), max_size=6).map(sorted)


@given(areas, st.integers(1, 64))
def test_blocks_are_those_that_have_something(found, size):
    want = {at // size for start, length in found for at in range(start, min(start + length, 1000))}
    blocks = answers.blocks(found, size, 1000)
    assert {at // size for start, length in blocks for at in range(start, start + length)} == want
    assert all(first + length < then for (first, length), (then, _length) in itertools.pairwise(blocks))


@given(areas, areas)
def test_a_union_has_each_byte_once(one, other):
    want = sorted({at for start, length in one + other for at in range(start, start + length)})
    assert [at for start, length in answers.union(one, other) for at in range(start, start + length)] == want


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 40)), max_size=8), st.integers(1, 16))
def test_digests_of_blocks_are_those_of_the_whole(pieces, size):
    digests, whole = answers.Digests(size), b""
    for zeros, length in pieces:
        data = bytes(length) if zeros else bytes(range(1, length + 1))
        digests.zeros(length) if zeros else digests.take(data)
        whole += data
    want = [hashlib.sha256(whole[at : at + size]).hexdigest() for at in range(0, len(whole), size)]
    assert digests.end() == want


@given(
    st.integers(1, 2**40),
    st.sampled_from([512, 65536, 4 * MIB]),
    st.integers(1, 500),
    st.integers(1, 32),
    st.booleans(),
)
def test_all_reads_are_within_the_disk(capacity, size, reads, streams, chance):
    found = reading.places(capacity, size, Benchmark("random" if chance else "sequential", reads, streams))
    every = [at for part in found for at in part]
    assert len(every) == reads
    assert len(found) <= streams
    assert all(0 <= at < capacity and at % size == 0 for at in every)


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"question": "info"}, "path"),
        ({"question": "info", "path": "/a", "vm": {"name": "b"}}, "path"),
        ({"question": "dump", "path": "/a", "count": 2049}, "count"),
        ({"question": "dump", "path": "/a", "sector": -1}, "sector"),
        ({"question": "allocated", "path": "/a", "block_size": 1000}, "block_size"),
        ({"question": "map", "path": "/a", "block_size": 8 * MIB}, "block_size"),
        ({"question": "read_benchmark", "path": "/a", "streams": 33}, "streams"),
        ({"question": "compare", "path": "/a"}, "other"),
        ({"question": "compare", "path": "/a", "other": {}}, "other"),
        ({"question": "info", "path": "/a", "other": {"path": "/b"}}, "other"),
        ({"question": "compare", "path": "/a", "map": {"block_size": 512, "sha256": ["x"]}}, "map"),
        ({"question": "info", "first_class_disk": {"datastore": "d"}}, "first_class_disk"),
    ],
)
def test_what_is_refused(given, option):
    with pytest.raises(InvalidOption) as refused:
        options(**given)
    assert refused.value.details["option"] == option


# Images


@pytest.fixture(params=FORMATS, ids=lambda form: form[0] + "".join(form[1][1:]))
def copy(request, judges, raw, tmp_path):
    """The raw image in each format."""
    kind, more = request.param
    return raw if kind == "raw" else judges.make(raw, tmp_path / f"copy.{kind}", kind, *more)


def test_a_dump_of_an_image_shows_its_bytes(copy, raw):
    for sector in (0, 6 * 2048 + 5, 9 * 2048):
        told = ask("dump", path=copy, sector=sector, count=3)["dump"]
        data = raw.read_bytes()[sector * 512 : (sector + 3) * 512]
        assert told == answers.dump(data, sector * 512)
    with pytest.raises(NotFound, match="no sector 18435"):
        ask("dump", path=copy, sector=18435)


def test_what_is_allocated_of_an_image_is_what_it_has(copy, raw):
    told = ask("allocated", path=copy, block_size=65536)["allocated"]
    assert told["method"] == "tables"
    data = raw.read_bytes()
    for at in range(0, len(data), 65536):
        if data[at : at + 65536].strip(b"\0"):
            assert any(area["start"] <= at < area["start"] + area["length"] for area in told["areas"])
    assert told["bytes"] == sum(area["length"] for area in told["areas"])
    assert told["blocks"] == -(-told["bytes"] // 65536)


def test_an_image_is_compared_with_another_and_with_a_map(copy, raw, tmp_path):
    same = ask("compare", path=copy, other={"path": str(raw)})["compared"]
    assert same == {
        "same": True,
        "first_difference": None,
        "different_sectors": 0,
        "other_capacity": raw.stat().st_size,
    }
    made = json.loads(json.dumps(ask("map", path=raw, block_size=MIB)["map"]))
    assert ask("compare", path=copy, map=made)["compared"]["same"] is True
    changed = tmp_path / "changed.raw"
    data = bytearray(raw.read_bytes())
    data[5 * MIB + 100] ^= 1
    data[5 * MIB + 700] ^= 1
    changed.write_bytes(data)
    differs = ask("compare", path=copy, other={"path": str(changed)})["compared"]
    assert (differs["same"], differs["first_difference"], differs["different_sectors"]) == (
        False,
        5 * MIB + 100,
        2,
    )
    wrong = ask("compare", path=changed, map=made)["compared"]
    assert (wrong["same"], wrong["first_difference"], wrong["different_blocks"]) == (
        False,
        5 * MIB,
        1,
    )


@pytest.mark.usefixtures("tools")
def test_a_longer_disk_is_the_same_while_its_end_is_zeros(raw, tmp_path):
    longer = tmp_path / "longer.raw"
    longer.write_bytes(raw.read_bytes() + bytes(3 * MIB))
    assert ask("compare", path=longer, other={"path": str(raw)})["compared"]["same"] is True
    assert ask("compare", path=raw, other={"path": str(longer)})["compared"]["same"] is True
    with longer.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"x")
    for one, other in ((longer, raw), (raw, longer)):
        told = ask("compare", path=one, other={"path": str(other)})["compared"]
        assert (told["same"], told["first_difference"]) == (False, longer.stat().st_size - 1)


@pytest.mark.parametrize("order", ["sequential", "random"])
def test_a_benchmark_of_an_image_reads_what_was_asked(copy, order):
    told = ask("read_benchmark", path=copy, block_size=4096, reads=50, streams=3, order=order)["read_benchmark"]
    assert (told["reads"], told["streams"], told["order"], told["bytes"]) == (
        50,
        3,
        order,
        50 * 4096,
    )
    assert told["seconds"] > 0
    assert told["bytes_per_second"] > 0


def test_metadata_and_facts_of_an_image(judges, raw, tmp_path):
    disk = judges.make(
        raw,
        tmp_path / "a.vmdk",
        "vmdk",
        "-o",
        "subformat=monolithicFlat,adapter_type=buslogic,hwversion=13",
    )
    told = ask("metadata", path=disk)["metadata"]
    assert (told["adaptertype"], told["virtualhwversion"]) == ("buslogic", "13")
    facts = ask("info", path=disk)["disk"]
    assert (facts["adapter"], facts["create_type"], facts["transports"]) == (
        "buslogic",
        "monolithicFlat",
        [{"name": "file", "usable": True, "reason": ""}],
    )
    with pytest.raises(tools.NotReadable, match="has no metadata"):
        ask("metadata", path=raw)


# Disks in vSphere


def test_a_disk_of_a_vm_is_shown_mapped_and_compared(tool, boxed, tmp_path):
    box = {"vm": {"name": "box"}}
    dump = tool.run(question="dump", sector=2048, count=2, **box)
    assert dump.result["dump"] == answers.dump(boxed[MIB : MIB + 1024], MIB)
    assert dump.result["capacity"] == 4 * MIB
    told = tool.run(question="allocated", **box).result["allocated"]
    assert (told["areas"], told["method"]) == ([{"start": MIB, "length": 65536}], "read")
    made = tool.run(question="map", block_size=MIB, **box).result["map"]
    assert made["sha256"] == [hashlib.sha256(boxed[at : at + MIB]).hexdigest() for at in range(0, 4 * MIB, MIB)]
    local = tmp_path / "box.raw"
    local.write_bytes(boxed)
    ran = tool.run(question="compare", other={"path": str(local)}, **box)
    assert ran.result["compared"]["same"] is True
    assert ran.result["changed"] is False
    speed = tool.run(question="read_benchmark", reads=8, streams=2, order="random", **box).result["read_benchmark"]
    assert speed["bytes"] == 8 * 65536
    assert tool.run(question="metadata", **box).result["metadata"]["uuid"].startswith("60 ")


@pytest.mark.usefixtures("boxed")
def test_the_number_of_calls_does_not_grow_with_what_is_read(tool):
    few = tool.run(question="dump", vm={"name": "box"})
    many = tool.run(question="map", block_size=512, vm={"name": "box"})
    assert few.calls == many.calls


@pytest.mark.usefixtures("boxed")
def test_a_disk_that_cannot_be_read_says_why(tool):
    ways = {way["name"]: way for way in tool.run(question="info", vm={"name": "box"}).result["disk"]["transports"]}
    assert (ways["datastore_http"]["usable"], ways["export"]["usable"]) == (True, True)
    assert list(ways) == ["datastore_http", "export", "hotadd", "nbd"]
    tool.sim.govc("vm.power", "-on", "box")
    disk = tool.run(question="info", vm={"name": "box"}).result["disk"]
    ways = {way["name"]: way for way in disk["transports"]}
    assert ways["datastore_http"] == {
        "name": "datastore_http",
        "usable": False,
        "reason": "the VM is poweredOn, and its host has locked the file",
    }
    assert ways["export"]["usable"] is True
    # Of its VM, since the descriptor is locked, too.
    assert (disk["adapter"], disk["hardware_version"]) == ("pvscsi", "21")
    for question in ("dump", "allocated", "map", "read_benchmark", "metadata"):
        refused = tool.attempt(question=question, vm={"name": "box"})
        assert refused.code == "disk_not_readable"
        assert "has locked the file" in str(refused.error)
    tool.sim.govc("vm.power", "-off", "box")
    tool.sim.govc("snapshot.create", "-vm", "box", "one")
    disk = tool.run(question="info", vm={"name": "box"}).result["disk"]
    assert len(disk["chain"]) == 2
    assert "delta disk" in disk["transports"][0]["reason"]


@pytest.mark.usefixtures("boxed")
def test_a_first_class_disk_that_a_vm_has_is_what_that_vm_has(tool):
    told = tool.sim.govc("disk.create", "-ds", "LocalDS_0", "-size", "4M", "scratch")
    tool.sim.govc("disk.attach", "-vm", "box", "-ds", "LocalDS_0", str(told).strip())
    asked = {"first_class_disk": {"name": "scratch", "datastore": "LocalDS_0"}}
    found = tool.run(question="info", **asked).result["disk"]
    assert (found["vm"], found["name"], found["transports"][0]["usable"]) == ("box", "scratch", True)
    assert tool.run(question="dump", count=1, **asked).result["dump"][0].startswith("000000000000  00 00")
    tool.sim.govc("vm.power", "-on", "box")
    found = tool.run(question="info", **asked).result["disk"]
    assert (found["capacity"], found["transports"][0]["usable"]) == (4 * MIB, False)
    assert "has locked the file" in found["transports"][0]["reason"]
    assert tool.attempt(question="dump", **asked).code == "disk_not_readable"


def test_a_first_class_disk_is_asked_about_by_id_and_by_name(tool, tmp_path):
    told = tool.sim.govc("disk.create", "-ds", "LocalDS_0", "-size", "4M", "scratch")
    found = tool.run(question="info", first_class_disk={"name": "scratch", "datastore": "LocalDS_0"}).result["disk"]
    assert (found["name"], found["capacity"], len(found["chain"])) == ("scratch", 4 * MIB, 1)
    ways = {way["name"]: way for way in found["transports"]}
    assert list(ways) == ["datastore_http", "export", "hotadd", "nbd"]
    assert [name for name, way in ways.items() if way["usable"]] == ["datastore_http"]
    assert "no VM has it" in ways["export"]["reason"]
    by_id = {"first_class_disk": {"id": found["id"], "datastore": "LocalDS_0"}}
    assert found["id"] in str(told)
    assert tool.run(question="dump", count=1, **by_id).result["dump"][0].startswith("000000000000  00 00")
    empty = tmp_path / "empty.raw"
    empty.write_bytes(bytes(4 * MIB))
    assert tool.run(question="compare", other={"path": str(empty)}, **by_id).result["compared"]["same"] is True
    assert tool.run(question="allocated", **by_id).result["allocated"]["areas"] == []
    elsewhere = tool.attempt(question="info", datacenter="DC9", first_class_disk={"name": "scratch", "datastore": "LocalDS_0"})
    assert "No datacenter DC9 was found. There are: DC0." in str(elsewhere.error)
    missing = tool.attempt(question="info", first_class_disk={"name": "nobody", "datastore": "LocalDS_0"})
    assert missing.code == "not_found"


def _strike_when(is_due):
    """Send this process a signal as soon as something holds."""

    def strike():
        end = time.monotonic() + 120
        while time.monotonic() < end and not is_due():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=strike, daemon=True).start()


def test_a_signal_ends_the_programs_that_read_for_a_benchmark(copy, tmp_path, monkeypatch):
    begun = tmp_path / "begun"
    begun.mkdir()
    slow = tmp_path / "qemu-io"
    slow.write_text(f"#!/bin/sh\ntouch {begun}/$$\nexec sleep 600\n", encoding="ascii")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    _strike_when(lambda: len(list(begun.iterdir())) == 3)
    with _signals.as_interrupts(), pytest.raises(Interrupted):
        ask("read_benchmark", path=copy, block_size=4096, reads=50, streams=3)
    assert [each.name for each in begun.iterdir() if pathlib.Path("/proc", each.name).exists()] == []


def test_a_signal_breaks_off_what_is_read_from_a_datastore_for_a_benchmark():
    over = threading.Event()
    reading_now = []

    def read():
        reading_now.append(1)
        over.wait(600)

    _strike_when(lambda: len(reading_now) == 2)
    with _signals.as_interrupts(), pytest.raises(Interrupted):
        reading._at_once([read, read], over.set)
    assert over.is_set()

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long calls may take: a late answer is asked for again, a silent server costs one time-out, and all ends with the task."""

from __future__ import annotations

import contextlib
import math
import pathlib
import re
import socket
import threading
import time

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._connector import soap as limits
from ansible_collections.vforge.vsphere.plugins.module_utils._connector import tasks
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.find import TO_VMS
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.props import collect, read
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.pyvmomi import VmomiSupport, vim
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.session import Session
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.soap import Limit
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import (
    CallTimedOut,
    ConnectionFailed,
    ConnectionLost,
    Unavailable,
)
from ansible_collections.vforge.vsphere.tests.unit.plugins.deadlines import time_over
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.connector.support import (
    Server,
    impatient,
    nobody,
    options,
    read_request,
    tls,
)

EMPTY = ("--vms", "1", "--parents", "0")


def calls(sim) -> dict[str, int]:
    return sim.calls()["by_method"]


def task(sim, timeout: float, **changes) -> Session:
    """A session of a task that begins now."""
    return Session(options(sim, **changes), pytest.fail, begun=time.monotonic(), timeout=timeout)


def names(known) -> list[str]:
    """A read."""
    root = known.content.rootFolder
    return [row.get("name") for row in read(known, [root], vim.Folder, ["name"]).values()]


def whole(known) -> list[str]:
    """A session with one read, which does not wait long for its answer."""
    with known:
        known.limit.per_call = 1.0
        return names(known)


# The rule itself


def test_a_call_may_take_what_is_left_and_a_little_to_clean_up(monkeypatch):
    now = 100.0
    monkeypatch.setattr(limits.time, "monotonic", lambda: now)
    limit = Limit(60, end=200)
    assert (limit.seconds(), limit.over()) == (60, False)
    now = 170.0
    assert limit.seconds() == 30
    with limit.within(185):
        assert limit.seconds() == 15
        with limit.within(1000):
            assert limit.deadline == 185
        now = 186.0
        assert (limit.over(), limit.task_over()) == (True, False)
    now = 201.0
    assert (limit.seconds(), limit.over()) == (10, True)
    assert Limit(3).seconds() == 3
    assert math.isinf(Limit(3).deadline)


# Late answers


def test_a_read_whose_answer_is_late_is_asked_again(make_sim):
    sim = make_sim(*EMPTY)
    with task(sim, 60) as known:
        sim.inject(method="RetrievePropertiesEx", do="delay", times=5)
        impatient(known, "RetrievePropertiesEx", 1, 2, 3, 4, 5)
        assert names(known) == ["Datacenters"]
    assert calls(sim)["RetrievePropertiesEx"] == 6


def test_every_question_is_asked_again():
    """A method that plugins call and whose name is that of a question; others may do something twice."""
    files = pathlib.Path(limits.__file__).parents[1].rglob("*.py")
    called = {name for file in files for name in re.findall(r"\.([A-Z]\w+)\b", file.read_text(encoding="utf-8"))}
    asked = {name for name in called if re.match("Convert|Current|Fetch|Find|Get|Has|List|Query|Read|Retrieve|Validate", name)}
    found = set()
    for kind in map(VmomiSupport.GetVmodlType, list(VmomiSupport._managedDefMap)):
        # Of hosts as such nothing is asked.
        if not kind.__name__.startswith(("vim.vslm.host.", "vim.host.", "eam.", "sms.")):
            found |= {info.wsdlName for name, info in kind._methodInfo.items() if name in asked and not info.isTask}
    # Of the catalogue one thing is asked, and pages are asked for by who begins a read again.
    found = {name for name in found if not name.startswith("Vslm")} | {"VslmRetrieveVStorageObjects"}
    assert len(found) > 15
    assert sorted(found - limits._REPEATABLE) == []


def test_an_answer_that_is_drawn_out_is_late(make_sim):
    sim = make_sim(*EMPTY)
    with task(sim, 60) as known:
        sim.inject(method="RetrievePropertiesEx", do="half", delay_ms=600_000)
        impatient(known, "RetrievePropertiesEx", 1)
        assert names(known) == ["Datacenters"]
    assert calls(sim)["RetrievePropertiesEx"] == 2


def test_a_later_page_that_is_lost_begins_the_read_again(make_sim):
    sim = make_sim("--vms", "600", "--parents", "0")
    with task(sim, 60) as known:
        sim.inject(method="ContinueRetrievePropertiesEx", do="delay")
        impatient(known, "ContinueRetrievePropertiesEx", 1)
        rows = collect(known, [known.content.rootFolder], {vim.VirtualMachine: ("name",)}, TO_VMS)
    assert len(rows) == 600
    assert calls(sim)["ContinueRetrievePropertiesEx"] == 2


@pytest.mark.parametrize("do", ["delay", "half"])
def test_a_wait_whose_answer_is_late_goes_on(make_sim, do):
    sim = make_sim(*EMPTY)
    with task(sim, 60) as known:
        root = known.content.rootFolder
        sim.inject(method="WaitForUpdatesEx", do=do, delay_ms=600_000, nth=2, every=2, times=2)
        impatient(known, "WaitForUpdatesEx", 2, 4)
        waiting = tasks.updates(known, [root], vim.Folder, ["name"], time.monotonic() + 60)
        with contextlib.closing(waiting):
            for _round in range(3):
                # After a late answer the whole state is told, so that nothing is missed.
                assert next(waiting)[0].values == {"name": "Datacenters"}
    # The collectors that vCenter was still busy with were given back.
    assert calls(sim)["CreatePropertyCollector"] == calls(sim)["DestroyPropertyCollector"] + 1


def test_what_is_late_at_the_deadline_is_reported(make_sim):
    sim = make_sim(*EMPTY)
    with task(sim, 60) as known:
        sim.inject(method="RetrievePropertiesEx", do="delay", times=0)
        impatient(known, "RetrievePropertiesEx", *range(1, 10))
        with pytest.raises(CallTimedOut) as caught, time_over("RetrievePropertiesEx", 4):
            names(known)
    assert caught.value.error_code == "call_timeout"
    assert "within 1 s" in str(caught.value)
    assert calls(sim)["RetrievePropertiesEx"] == 4


def test_a_call_that_may_have_been_carried_out_is_not_sent_again(make_sim):
    sim = make_sim("--vms", "0")
    with task(sim, 60) as known:
        sim.inject(method="ResetVM_Task", do="half", delay_ms=600_000)
        impatient(known, "ResetVM_Task", 1)
        parent = known.content.searchIndex.FindByInventoryPath("DC0/vm/golden-parent")
        with pytest.raises(CallTimedOut):
            known.retrying(parent.ResetVM_Task)
        assert names(known) == ["Datacenters"]
    assert calls(sim)["ResetVM_Task"] == 1


# Silent servers


@pytest.mark.parametrize("how", ["silence", "freeze", "gone"])
def test_a_server_that_is_not_there_any_more_is_asked_once(make_sim, how):
    sim = make_sim(*EMPTY)
    begun = time.monotonic()
    sim.inject(method="RetrievePropertiesEx", do=how)
    known = task(sim, 900)
    with pytest.raises((ConnectionLost, ConnectionFailed)):
        whole(known)
    counts = known.stats.summary()["by_method"]
    assert counts["RetrievePropertiesEx"] <= 2  # a broken connection is tried once more
    assert "Logout" not in counts
    assert time.monotonic() - begun < 30


def test_a_server_that_is_silent_is_not_asked_again_for_anything(make_sim):
    sim = make_sim(*EMPTY)
    with task(sim, 900) as known:
        sim.inject(method="RetrievePropertiesEx", do="silence")
        known.limit.per_call = 1.0
        with pytest.raises(CallTimedOut):
            names(known)
        assert known.unreachable()
        with pytest.raises(ConnectionFailed) as caught:
            known.content.searchIndex.FindByInventoryPath("DC0")
    assert caught.value.error_code == "connection_timeout"
    assert "does not answer any more" in str(caught.value)


@pytest.mark.parametrize("how", ["silence", "freeze"])
def test_a_server_that_is_silent_from_the_beginning_costs_one_time_out(make_sim, how):
    sim = make_sim(*EMPTY)
    with task(sim, 900, session_cache=True):
        pass
    sim.inject(method="*", do=how)
    for keep in (True, False):  # a kept session is tried, a new one asks for the versions first
        with pytest.raises(ConnectionFailed) as caught, task(sim, 900, session_cache=keep, connection_timeout=1):
            pass
        assert caught.value.error_code == "connection_timeout"


def test_connecting_ends_with_the_task(monkeypatch):
    monkeypatch.setattr(limits, "_CLEAN_UP_SECONDS", 0.5)

    def silent(connection: socket.socket, _number: int) -> None:
        while connection.recv(65536):
            pass

    with Server(silent) as server:
        begun = time.monotonic()
        with (
            pytest.raises(ConnectionFailed) as caught,
            Session(nobody(server.port, connection_timeout=600), begun=begun, timeout=1),
        ):
            pass
    assert caught.value.error_code == "connection_timeout"
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize("proxy", [False, True])
def test_what_waits_for_a_handshake_is_broken_off(proxy):
    reached, over, ended = threading.Event(), threading.Event(), []

    def serve(connection, _number):
        if proxy:
            read_request(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        connection.recv(5)  # the beginning of a handshake, which is not answered
        reached.set()
        over.wait()

    def take():
        try:
            pool.take()
        except ConnectionFailed as error:
            ended.append(error)

    with Server(serve) as server:
        way = {"proxy_host": "127.0.0.1", "proxy_port": server.port} if proxy else {}
        pool = limits.ConnectionPool(nobody(server.port, connection_timeout=3600, **way))
        taking = threading.Thread(target=take, daemon=True)
        taking.start()
        try:
            assert reached.wait(300)
            pool.break_off()
            taking.join(300)
        finally:
            over.set()
    assert not taking.is_alive()
    assert [error.error_code for error in ended] in (["tls_handshake"], ["unreachable"])


def test_a_byte_now_and_then_does_not_draw_a_call_out():
    def drip(connection: socket.socket, _number: int) -> None:
        stream = tls(connection)
        read_request(stream)
        for _byte in range(300):
            stream.sendall(b"H" if _byte == 0 else b"T")
            time.sleep(0.1)

    with Server(drip) as server:
        begun = time.monotonic()
        with pytest.raises(ConnectionFailed) as caught, Session(nobody(server.port, connection_timeout=1)):
            pass
    assert caught.value.error_code == "connection_timeout"
    assert time.monotonic() - begun < 15


# A vCenter that restarts


def test_a_vcenter_that_restarts_is_waited_for(make_sim):
    sim = make_sim(*EMPTY)
    with task(sim, 60) as known:
        sim.inject(method="RetrievePropertiesEx", do="restart", delay_ms=1500)
        assert names(known) == ["Datacenters"]
    assert calls(sim)["Login"] == 2


def test_a_vcenter_that_is_starting_is_waited_for_in_connecting(make_sim):
    sim = make_sim(*EMPTY)
    with task(sim, 60, session_cache=True):
        pass
    for keep in (True, False):
        sim.inject(method="CreatePropertyCollector", do="restart", delay_ms=1500)
        with task(sim, 60, session_cache=keep) as known:
            assert names(known) == ["Datacenters"]


@pytest.mark.parametrize("status", [502, 503, 504])
@pytest.mark.parametrize("method", ["RetrieveServiceContent", "Login", "CreatePropertyCollector"])
def test_one_that_does_not_come_up_is_unavailable_wherever_it_is_noticed(make_sim, status, method):
    sim = make_sim(*EMPTY)
    sim.inject(method=method, do="http-status", status=status, times=0)
    with pytest.raises(ConnectionFailed) as caught, task(sim, 2):
        pass
    assert caught.value.error_code == "vcenter_unavailable"
    assert str(status) in str(caught.value)


def test_a_call_that_may_not_be_repeated_is_reported_as_unavailable(make_sim):
    sim = make_sim("--vms", "0")
    with task(sim, 60) as known:
        parent = known.content.searchIndex.FindByInventoryPath("DC0/vm/golden-parent")
        sim.inject(method="ResetVM_Task", do="http-status", status=503)
        with pytest.raises(Unavailable):
            known.retrying(parent.ResetVM_Task)
    assert calls(sim)["ResetVM_Task"] == 1


# Names


def test_a_resolver_that_does_not_answer_is_waited_for_as_long_as_a_call(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: time.sleep(5) or [])
    begun = time.monotonic()
    with pytest.raises(ConnectionFailed) as caught, Session(nobody(443, hostname="vcenter.example", connection_timeout=1)):
        pass
    assert caught.value.error_code == "connection_timeout"
    assert time.monotonic() - begun < 15


def test_a_wait_whose_own_time_is_over_before_the_tasks_ends_without_an_error(make_sim):
    """Of a wait of 11 seconds no round may be as long as its call: the answer would always be late."""
    with task(make_sim(*EMPTY), 300, connection_timeout=60) as known:
        [vm] = [row.ref for row in collect(known, [known.content.rootFolder], {vim.VirtualMachine: ("name",)}, TO_VMS)]
        deadline = time.monotonic() + limits._CLEAN_UP_SECONDS + 1
        seen = [each for batch in tasks.updates(known, [vm], vim.VirtualMachine, ["name"], deadline) for each in batch]
    assert [list(update.values) for update in seen] == [["name"]]

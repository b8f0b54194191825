# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sessions that are kept, shared and replaced, against the simulator: its own counts tell what was sent."""

from __future__ import annotations

import concurrent.futures
import json
import multiprocessing
import os
import signal
import time

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils import _signals
from ansible_collections.vforge.vsphere.plugins.module_utils._connector import faults, soap, tasks
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.props import read
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.pyvmomi import vim
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.session import KeptSession, Session
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import (
    ConnectionFailed,
    Interrupted,
    NotSupported,
    SessionExpired,
    Unavailable,
)
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.datastore_files import (
    DatastoreFiles,
    DatastorePath,
    NoSuchFile,
)
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.connector.support import nobody, options, session


def calls(sim) -> dict[str, int]:
    return sim.calls()["by_method"]


def kept(sim, **changes) -> Session:
    return session(sim, session_cache=True, **changes)


def look(known: Session):
    return known.retrying(lambda: known.content.searchIndex.FindByInventoryPath("DC0"))


@pytest.mark.parametrize(
    ("header", "session_id"),
    [
        ('vmware_soap_session="abc"; Path=/; HttpOnly; Secure; ', '"abc"'),
        ("vmware_soap_session=abc; Path=/; HttpOnly, other=1; Path=/", "abc"),
        ("other=1; Path=/, vmware_soap_session=abc; Path=/", "abc"),
        ("vmware_soap_session=abc; Path=/; Partitioned", "abc"),
        ("my_vmware_soap_session=abc", None),
    ],
)
def test_the_session_is_found_among_other_cookies_and_attributes(header, session_id):
    stub = soap.Stub(nobody(1), soap.CallStats())
    stub.cookie = header
    assert stub.GetSessionId() == session_id


# Keeping


def test_without_keeping_each_session_logs_in_and_out(make_sim):
    sim = make_sim("--vms", "0", "--parents", "0")
    for attempt in ("first", "second"):
        with session(sim) as known:
            assert look(known) is not None, attempt
    assert calls(sim) == {
        "RetrieveServiceContent": 2,
        "Login": 2,
        "CreatePropertyCollector": 2,
        "FindByInventoryPath": 2,
        "Logout": 2,
    }
    assert sim.sessions()["count"] == 0


def test_a_second_session_makes_no_login_and_no_logout(shared_sim):
    with kept(shared_sim) as known:
        assert look(known) is not None
    assert calls(shared_sim)["Login"] == 1
    shared_sim.reset_calls()
    with kept(shared_sim) as known:
        assert look(known) is not None
    assert calls(shared_sim) == {"CreatePropertyCollector": 1, "FindByInventoryPath": 1, "DestroyPropertyCollector": 1}
    assert known.stats.summary()["by_method"] == calls(shared_sim)


def test_it_knows_the_vcenter_as_the_first_one_did(shared_sim):
    with kept(shared_sim) as first:
        pass
    with kept(shared_sim) as second:
        assert second.about == first.about
        assert second.stub.versionId == first.stub.versionId
        for info in first.content._GetPropertyList():
            reference = getattr(first.content, info.name)
            if isinstance(reference, vim.ManagedObject):
                assert getattr(second.content, info.name)._GetMoId() == reference._GetMoId()


def test_no_text_of_a_session_holds_the_password_or_the_cookie(shared_sim, kept_folder):
    with kept(shared_sim) as known:
        shown = " ".join(map(repr, [known, known.options, known.stub, known.content, known.stats, known.about]))
        shown += str(known.content)
        assert shared_sim.password not in shown
        assert known.stub.session_id not in shown
    (file,) = kept_folder.glob("*.json")
    assert shared_sim.password not in file.read_text(encoding="utf-8")


def test_another_password_does_not_get_the_session(shared_sim):
    with kept(shared_sim):
        pass
    with pytest.raises(ConnectionFailed) as caught, kept(shared_sim, password="of-nobody"):  # noqa: S106
        pass
    assert caught.value.error_code == "wrong_credentials"
    shared_sim.reset_calls()
    with kept(shared_sim):
        pass
    assert "Login" not in calls(shared_sim)


def test_a_session_that_cannot_be_kept_is_logged_out(make_sim, kept_folder):
    sim = make_sim("--vms", "0", "--parents", "0")
    kept_folder.mkdir()
    kept_folder.chmod(0o755)
    warnings: list[str] = []
    with Session(options(sim, session_cache=True), warnings.append):
        pass
    assert sim.sessions()["count"] == 0
    assert str(kept_folder) in warnings[0]


# Many at once


def _one_of_many(known, barrier, results):
    barrier.wait()
    with Session(known) as opened:
        results.put((os.getpid(), look(opened) is not None, opened.stub.session_id))


def test_twenty_processes_at_once_make_one_login(make_sim, kept_folder):
    sim = make_sim("--vms", "0", "--parents", "0")
    many = 20
    forks = multiprocessing.get_context("fork")
    barrier, results = forks.Barrier(many), forks.Queue()
    known = options(sim, session_cache=True)
    processes = [forks.Process(target=_one_of_many, args=(known, barrier, results)) for dummy in range(many)]
    for process in processes:
        process.start()
    told = [results.get(timeout=300) for dummy in processes]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * many
    assert len({one[0] for one in told}) == many
    assert all(one[1] for one in told)
    assert len({one[2] for one in told}) == 1
    assert calls(sim)["Login"] == 1
    assert sim.sessions()["count"] == 1
    # Each process had a collector of its own and removed it.
    assert calls(sim)["CreatePropertyCollector"] == calls(sim)["DestroyPropertyCollector"] == many
    (file,) = kept_folder.glob("*.json")
    assert json.loads(file.read_text(encoding="utf-8"))["cookie"] == told[0][2]


def test_of_a_vcenter_that_was_rebuilt_nothing_is_left_in_a_session():
    known = Session(nobody(1))
    collector = ("vmodl.query.PropertyCollector", "propertyCollector")
    about = {"apiVersion": "8.0.3.0"}
    known._adopt(KeptSession("a", about, {"propertyCollector": collector, "ovfManager": ("vim.OvfManager", "OvfManager")}))
    assert known.manager("ovfManager")._GetMoId() == "OvfManager"
    known._adopt(KeptSession("b", about, {"propertyCollector": collector}))
    with pytest.raises(NotSupported, match="has no ovfManager"):
        known.manager("ovfManager")


@pytest.mark.parametrize("method", ["Login", "CreatePropertyCollector"])
@pytest.mark.parametrize("keep", [True, False])
def test_a_signal_while_a_session_is_opened_leaves_none_that_nobody_knows(make_sim, monkeypatch, keep, method):
    sim, real = make_sim("--vms", "0", "--parents", "0"), soap.Stub._invoke

    def struck(self, mo, info, *args):
        answer = real(self, mo, info, *args)
        if info.wsdlName == method:
            os.kill(os.getpid(), signal.SIGTERM)
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(soap.Stub, "_invoke", struck)
        with _signals.as_interrupts(), pytest.raises(Interrupted), session(sim, session_cache=keep):
            pytest.fail("It is open.")
    assert sim.sessions()["count"] == keep
    assert calls(sim)["CreatePropertyCollector"] == calls(sim).get("DestroyPropertyCollector", not keep)
    with session(sim, session_cache=keep) as known:
        assert look(known) is not None
    assert calls(sim)["Login"] == (1 if keep else 2)


# Sessions that died on the server


@pytest.mark.parametrize("how", ["fault", "missingSet"])
def test_a_kept_session_that_died_is_replaced_in_opening(make_sim, how):
    sim = make_sim("--vms", "0", "--parents", "0")
    with kept(sim):
        pass
    sim.expire_sessions(how)
    sim.reset_calls()
    with kept(sim) as known:
        assert look(known) is not None
    assert calls(sim)["Login"] == 1
    sim.reset_calls()
    with kept(sim) as known:
        assert look(known) is not None
    assert "Login" not in calls(sim)


def test_a_kept_session_that_another_vcenter_does_not_know_is_replaced(shared_sim):
    with kept(shared_sim):
        pass
    shared_sim.inject(method="CreatePropertyCollector", do="fault", fault="InvalidRequest")
    shared_sim.reset_calls()
    with kept(shared_sim) as known:
        assert look(known) is not None
    assert calls(shared_sim)["Login"] == 1


@pytest.mark.parametrize("how", ["fault", "missingSet"])
@pytest.mark.parametrize("keep", [True, False])
def test_a_session_that_dies_is_replaced_in_a_read(make_sim, how, keep):
    sim = make_sim("--vms", "1", "--parents", "0")
    with session(sim, session_cache=keep) as known:
        root = known.content.rootFolder
        assert read(known, [root], vim.Folder, ["name"])[root._GetMoId()].get("name") == "Datacenters"
        sim.expire_sessions(how)
        assert read(known, [root], vim.Folder, ["name"])[root._GetMoId()].get("name") == "Datacenters"
    assert calls(sim)["Login"] == 2
    assert calls(sim)["RetrievePropertiesEx"] == 3


def test_many_threads_replace_a_dead_session_once(make_sim):
    sim = make_sim("--vms", "0", "--parents", "0")
    with kept(sim) as known, concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(list(pool.map(lambda _: look(known), range(8))))
        sim.expire_sessions()
        assert all(list(pool.map(lambda _: look(known), range(64))))
        assert known.generation == 1
    assert calls(sim)["Login"] == 2


def test_a_session_that_dies_is_replaced_while_updates_are_waited_for(make_sim):
    sim = make_sim("--vms", "1", "--parents", "0")
    with kept(sim) as known:
        root = known.content.rootFolder
        waiting = tasks.updates(known, [root], vim.Folder, ["name"], time.monotonic() + 60)
        assert next(waiting)[0].values == {"name": "Datacenters"}
        sim.expire_sessions()
        # The wait begins again with the whole state, so nothing that happened meanwhile is missed.
        assert next(waiting)[0].values == {"name": "Datacenters"}
        waiting.close()
    assert calls(sim)["Login"] == 2
    assert calls(sim)["CreateFilter"] == 2
    assert calls(sim)["DestroyPropertyFilter"] == 1  # the other filter went with its session


def test_a_session_that_dies_again_at_once_is_an_error(make_sim):
    sim = make_sim("--vms", "0", "--parents", "0")
    sim.inject(method="FindByInventoryPath", do="fault", fault="NotAuthenticated", times=0)
    with pytest.raises(SessionExpired) as caught, session(sim) as known:
        look(known)
    assert caught.value.error_code == "session_expired"
    assert calls(sim)["Login"] == calls(sim)["FindByInventoryPath"] == tasks.MOST_SESSIONS


def test_what_ends_with_each_of_fifty_sessions_is_an_error(make_sim):
    sim, ran = make_sim("--vms", "0", "--parents", "0"), []
    with session(sim) as known:

        def answered_by_half():
            ran.append(known.generation)
            known.useful(known.generation)
            raise faults.session_expired()

        with pytest.raises(SessionExpired):
            known.retrying(answered_by_half)
    assert ran == list(range(51))


def test_what_another_process_has_opened_meanwhile_is_taken(make_sim):
    sim = make_sim("--vms", "0", "--parents", "0")
    with kept(sim) as first:
        sim.expire_sessions()
        with kept(sim) as second:
            assert look(second) is not None
            assert look(first) is not None
            assert first.stub.session_id == second.stub.session_id
    assert calls(sim)["Login"] == 2


def test_a_session_that_ends_with_the_file_that_keeps_it_is_opened_anew(make_sim, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    sim = make_sim("--vms", "0", "--parents", "0")
    with kept(sim) as known:
        sim.expire_sessions()
        (file,) = tmp_path.rglob("*.json")
        file.unlink()
        assert look(known) is not None
    with kept(sim) as again:
        assert look(again) is not None
    assert calls(sim)["Login"] == 2


@pytest.mark.parametrize("keep", [True, False])
def test_sessions_that_end_every_few_calls_are_replaced_unnoticed(make_sim, keep):
    sim = make_sim("--vms", "1", "--parents", "0")
    with session(sim, session_cache=keep) as known, concurrent.futures.ThreadPoolExecutor(16) as pool:
        sim.inject(method="*", do="expire", nth=20, every=20, times=0)
        root = known.content.rootFolder
        rows = list(pool.map(lambda _: read(known, [root], vim.Folder, ["name"]), range(150)))
        assert all(row[root._GetMoId()].get("name") == "Datacenters" for row in rows)
        sim.clear()
    assert calls(sim)["Login"] > 5


def test_sessions_that_end_during_long_downloads_are_replaced_however_many_there_are(make_sim):
    """Files are all that is asked for then: no SOAP call says that a session was of use."""
    sim, text = make_sim("--vms", "0", "--parents", "0"), b"some notes\n"
    with session(sim) as known, DatastoreFiles(known, "/DC0") as files:
        path = DatastorePath("LocalDS_0", "notes.txt")
        files.write(path, text)
        for _half_hour in range(2 * tasks.MOST_SESSIONS):
            sim.expire_sessions()
            assert files.read(path, 100) == text
        assert known.generation == 2 * tasks.MOST_SESSIONS


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_gateway_that_answers_for_files_does_not_say_that_they_are_locked(make_sim, status):
    sim, path = make_sim("--vms", "0", "--parents", "0"), DatastorePath("LocalDS_0", "notes.txt")
    known = Session(options(sim), pytest.fail, begun=time.monotonic(), timeout=600)
    with known, DatastoreFiles(known, "/DC0") as files:
        for method, do in (("PUT", lambda: files.write(path, b"some notes")), ("GET", lambda: files.read(path, 100))):
            sim.inject(method=f"{method} /folder", do="http-status", status=status, times=2)
            do()
        assert files.read(path, 100) == b"some notes"
        with pytest.raises(NoSuchFile):
            files.read(path.beside("none.txt"), 100)
        sim.inject(method="GET /folder", do="http-status", status=status, times=0)
        known.limit.finish()  # it does not come up in time
        with pytest.raises(Unavailable, match=str(status)):
            files.read(path, 100)


@pytest.mark.parametrize("method", ["CreatePropertyCollector", "RetrieveServiceContent", "Login"])
def test_a_session_that_ends_with_its_login_is_replaced(make_sim, method):
    sim = make_sim("--vms", "0", "--parents", "0")
    sim.inject(method=method, do="expire", times=2)
    with session(sim) as known:
        assert look(known) is not None


# Leaving


def test_a_session_that_died_is_left_without_a_word(make_sim):
    sim = make_sim("--vms", "0", "--parents", "0")
    with session(sim):
        sim.expire_sessions()
    with session(sim) as known:
        assert look(known) is not None


def _look_after_its_end(known, sim):
    sim.stop()
    known.stub.DropConnections()
    look(known)


def test_a_server_that_is_gone_is_not_asked_to_say_farewell(make_sim):
    sim = make_sim("--vms", "0", "--parents", "0")
    warnings: list[str] = []
    known = Session(options(sim), warnings.append)
    with pytest.raises(ConnectionFailed), known:
        _look_after_its_end(known, sim)
    assert "Logout" not in known.stats.summary()["by_method"]
    assert warnings == []


def test_a_farewell_that_fails_is_a_warning(make_sim):
    sim = make_sim("--vms", "0", "--parents", "0")
    warnings: list[str] = []
    with Session(options(sim), warnings.append):
        sim.inject(method="Logout", do="fault", fault="SystemError")
    assert "could not be closed" in warnings[0]


def test_a_connection_that_the_server_closed_while_idle_is_not_used(make_sim):
    """A call that may not be repeated must not fail for a connection that has been silent for long."""
    sim = make_sim("--vms", "0", "--parents", "0")
    with session(sim) as known:
        idle = known.stub.GetConnection()
        idle.request("GET", "/sdk/vimServiceVersions.xml", headers={"Connection": "close"})
        idle.getresponse().read()
        known.stub.ReturnConnection(idle)
        assert look(known) is not None
    assert calls(sim)["FindByInventoryPath"] == 1


def test_a_connection_that_nobody_has_used_for_long_is_not_used(shared_sim, monkeypatch):
    """A firewall may have forgotten it, without a word to either side."""
    with session(shared_sim) as known:
        idle = known.stub.GetConnection()
        known.stub.ReturnConnection(idle)
        assert known.stub.GetConnection() is idle
        known.stub.ReturnConnection(idle)
        monkeypatch.setattr(soap, "_LONGEST_IDLE", -1.0)
        other = known.stub.GetConnection()
        assert other is not idle
        assert idle.sock is None
        known.stub.ReturnConnection(other)

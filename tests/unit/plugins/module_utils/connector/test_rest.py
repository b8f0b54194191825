# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The REST API of a server that has it at ``/rest``, or at ``/api`` alone."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import json
import os
import signal
import ssl
import threading
import time

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils import _signals
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.rest import RestSession
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import (
    ConnectionFailed,
    ConnectionLost,
    Fault,
    Interrupted,
    SessionExpired,
    StrangeAnswer,
    Unavailable,
)
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import tags
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.connector.support import IMPOSTOR, nobody

TAG, CATEGORY = "urn:vmomi:InventoryServiceTag:1:GLOBAL", "urn:vmomi:InventoryServiceCategory:2:GLOBAL"
VMS = [{"type": "VirtualMachine", "id": "vm-1"}, {"type": "HostSystem", "id": "host-1"}]

# As the reference of the vSphere Automation API has them (cis).
API = {
    "POST /api/session": "a token",
    "DELETE /api/session": None,
    "GET /api/cis/tagging/tag": [TAG],
    f"GET /api/cis/tagging/tag/{TAG}": {"id": TAG, "name": "blue", "category_id": CATEGORY},
    f"GET /api/cis/tagging/category/{CATEGORY}": {"id": CATEGORY, "name": "colour"},
    "POST /api/cis/tagging/tag-association?action=list-attached-objects-on-tags": [{"tag_id": TAG, "object_ids": VMS}],
    "POST /api/cis/tagging/tag-association?action=list-attached-tags": [TAG],
    "POST /api/cis/tagging/tag-association?action=attach-multiple-tags-to-object": {
        "success": False,
        "error_messages": [{"default_message": "No."}],
    },
}

REST = {
    "POST /rest/com/vmware/cis/session": {"value": "a token"},
    "DELETE /rest/com/vmware/cis/session": None,
    "POST /rest/com/vmware/cis/tagging/tag-association?~action=list-attached-tags": {"value": [TAG]},
}


class _Server:
    """A server that has these answers; anything else is not found.

    asked: what it was asked, and with which token; bodies: with which body the last time.
    refuses: HTTP status with which it answers what it has, by what is asked.
    breaks: questions whose connection it closes without an answer, each once for each time that it is listed.
    holds: what it does not answer before the test is over; ``held`` is set when it is asked for such.
    """

    def __init__(self, answers):
        self.asked = []
        self.bodies = {}
        self.refuses = {}
        self.holds = ()
        self.breaks = []
        self.held, self.over = threading.Event(), threading.Event()
        known = self

        class Handler(http.server.BaseHTTPRequestHandler):
            """Answers one request."""

            def answer(self):
                """The answer that is known for it."""
                asked = f"{self.command} {self.path}"
                known.bodies[asked] = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                known.asked.append((asked, self.headers.get("vmware-api-session-id")))
                if asked in known.breaks:
                    known.breaks.remove(asked)
                    self.close_connection = True
                    return
                if asked in known.holds:
                    known.held.set()
                    known.over.wait(900)
                status = known.refuses.get(asked) or (201 if self.path.endswith("session") else 200)
                body = json.dumps(answers[asked]).encode() if answers.get(asked) is not None else b""
                self.send_response(status if asked in answers else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):  # the client may have broken off
                    self.wfile.write(body)

            do_GET = do_POST = do_DELETE = answer  # noqa: N815 (names of http.server)

            def log_message(self, *_args):
                """Nothing is logged."""

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(IMPOSTOR)
        self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        self.options = nobody(self.http.server_address[1])


@pytest.fixture
def serve():
    """A function that starts such a server."""
    with contextlib.ExitStack() as stack:

        def start(answers):
            server = _Server(answers)
            stack.callback(server.http.server_close)
            stack.callback(server.http.shutdown)
            stack.callback(server.over.set)
            threading.Thread(target=server.http.serve_forever, args=(0.05,), daemon=True).start()
            return server

        yield start


def test_a_server_that_has_api_alone_is_asked_there(serve):
    server = serve(API)
    with RestSession(server.options, pytest.fail) as rest:
        assert tags.read_tags(rest) == {"vm-1": {"tags": {TAG: "blue"}, "tags_by_category": {"colour": [{TAG: "blue"}]}}}
        assert tags.attached_to(rest, "vm-1") == {TAG}
        assert tags.attach(rest, "vm-1", [TAG]) == ["No."]
    assert [asked for asked, _token in server.asked[:2]] == ["POST /rest/com/vmware/cis/session", "POST /api/session"]
    assert {asked for asked, _token in server.asked[1:]} == set(API)
    assert {token for _asked, token in server.asked[2:]} == {"a token"}
    bodies = {asked.rpartition("=")[2]: body for asked, body in server.bodies.items() if "?action=" in asked}
    vm = {"object_id": {"type": "VirtualMachine", "id": "vm-1"}}
    assert {action: json.loads(body) for action, body in bodies.items()} == {
        "list-attached-objects-on-tags": {"tag_ids": [TAG]},
        "list-attached-tags": vm,
        "attach-multiple-tags-to-object": {**vm, "tag_ids": [TAG]},
    }
    assert {server.bodies[asked] for asked in API if asked.startswith("GET")} == {b""}


def test_a_server_that_has_rest_is_asked_there_without_a_call_more(serve):
    server = serve(REST | API)
    with RestSession(server.options, pytest.fail) as rest:
        assert tags.attached_to(rest, "vm-1") == {TAG}
    assert [asked for asked, _token in server.asked] == [
        "POST /rest/com/vmware/cis/session",
        "POST /rest/com/vmware/cis/tagging/tag-association?~action=list-attached-tags",
        "DELETE /rest/com/vmware/cis/session",
    ]


def test_a_server_that_has_neither_is_reported(serve):
    with pytest.raises(Fault, match="knows nothing of /api/session"), RestSession(serve({}).options, pytest.fail):
        pytest.fail("It has no session.")


@pytest.mark.parametrize(("answers", "login"), [(REST, next(iter(REST))), (API, next(iter(API)))])
def test_wrong_credentials_are_reported_as_such(serve, answers, login):
    server = serve(answers)
    server.refuses[login] = 401
    with pytest.raises(ConnectionFailed) as caught, RestSession(server.options, pytest.fail):
        pytest.fail("It has no session.")
    assert caught.value.error_code == "wrong_credentials"


def test_a_question_whose_answer_was_lost_is_asked_once_more(serve):
    server = serve(API)
    questions = list(API)[2:7]
    server.breaks = list(questions)
    with RestSession(server.options, pytest.fail) as rest:
        assert list(tags.read_tags(rest)) == ["vm-1"]
        assert tags.attached_to(rest, "vm-1") == {TAG}
        assert server.breaks == []
        assert sorted(asked for asked, _token in server.asked if asked in questions) == sorted([*questions, *questions])
        # What is lost twice is lost, and what changes something is not sent again.
        attaching = list(API)[7]
        server.breaks = [questions[0]] * 2 + [attaching]
        with pytest.raises(ConnectionLost):
            tags.known_ids(rest)
        with pytest.raises(ConnectionLost):
            tags.attach(rest, "vm-1", [TAG])
    assert [asked for asked, _token in server.asked].count(attaching) == 1


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_gateway_that_answers_for_the_vcenter_refuses_nothing(serve, status):
    server = serve(REST)
    server.refuses[next(iter(REST))] = status
    with pytest.raises(Unavailable, match=f"HTTP {status}"), RestSession(server.options, pytest.fail):
        pytest.fail("It has no session.")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (300, "rest_error"),
        (400, "rest_error"),
        (402, "rest_error"),
        (403, "no_permission"),
        (404, "not_found"),
        (405, "rest_error"),
        (500, "rest_error"),
        (501, "rest_error"),
        (505, "rest_error"),
    ],
)
def test_a_refusal_says_what_was_refused_and_which_it_is(serve, status, code):
    server = serve(API)
    attaching = list(API)[7]
    server.refuses[attaching] = status
    with RestSession(server.options, pytest.fail) as rest, pytest.raises(Fault, match="/api/cis/tagging/tag-assoc") as caught:
        tags.attach(rest, "vm-1", [TAG])
    assert caught.value.error_code == code


@pytest.mark.parametrize("status", [200, 201, 202, 299])
def test_every_answer_that_is_no_refusal_is_taken(serve, status):
    server = serve(API)
    server.refuses[list(API)[7]] = status
    with RestSession(server.options, pytest.fail) as rest:
        assert tags.attach(rest, "vm-1", [TAG]) == ["No."]


def test_a_signal_ends_calls_that_are_not_answered_and_the_farewell_too(serve):
    server, warned = serve(API), []
    server.holds = (f"GET /api/cis/tagging/tag/{TAG}", "DELETE /api/session")

    def strike():
        if server.held.wait(120):
            os.kill(os.getpid(), signal.SIGTERM)

    striking = threading.Thread(target=strike)
    striking.start()
    patient = dataclasses.replace(server.options, connection_timeout=600)
    begun = time.monotonic()
    with _signals.as_interrupts(), pytest.raises(Interrupted), RestSession(patient, warned.append) as rest:
        tags.read_tags(rest)
    assert time.monotonic() - begun < 300
    striking.join()
    assert server.asked[-1][0] == "DELETE /api/session"
    (warning,) = warned
    assert "could not be closed" in warning


@pytest.mark.parametrize(
    ("asked", "answer", "said"),
    [
        ("POST /api/session", None, "its session"),
        ("POST /api/session", {"token": "a"}, "its session"),
        ("POST /api/cis/tagging/tag-association?action=list-attached-objects-on-tags", [TAG], "tags"),
        ("POST /api/cis/tagging/tag-association?action=list-attached-objects-on-tags", [{"tag": TAG}], "tags"),
        (f"GET /api/cis/tagging/tag/{TAG}", {"name": "blue"}, "tags"),
        (f"GET /api/cis/tagging/category/{CATEGORY}", ["colour"], "tags"),
    ],
)
def test_an_answer_of_another_form_is_called_that(serve, asked, answer, said):
    server = serve({**API, asked: answer})
    strange = pytest.raises(StrangeAnswer, match=f"answers of {said} has another form")
    with strange, RestSession(server.options, pytest.fail) as rest:
        tags.read_tags(rest)


def test_a_session_that_vcenter_has_ended_is_no_wrong_password(serve):
    server = serve(REST)
    server.refuses = dict.fromkeys(list(REST)[1:], 401)
    with pytest.raises(SessionExpired), RestSession(server.options, pytest.fail) as rest:
        tags.attached_to(rest, "vm-1")
    assert len(server.asked) == 2
    # Nor is it one where only its end is refused, and there is nothing to warn of.
    with RestSession(server.options, pytest.fail):
        pass
    assert len(server.asked) == 4

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the tests of OVF packages."""

from __future__ import annotations

import contextlib

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.ovf.web import Authority, Server


@pytest.fixture
def authority():
    """A certificate authority of the test's own."""
    return Authority.make()


@pytest.fixture
def serve(tmp_path, authority):
    """A function that serves a folder, by HTTPS unless it is not wanted; ``serve.ca`` is the file of its authority."""
    with contextlib.ExitStack() as stack:

        def start(folder, *, tls=True):
            server = Server(folder, authority.context(tmp_path) if tls else None)
            stack.callback(server.close)
            return server

        start.ca = str(authority.pem(tmp_path / "ca.pem"))
        yield start

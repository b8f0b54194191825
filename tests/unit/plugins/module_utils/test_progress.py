# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One line every two seconds, from the first that is told on, whether or not there is something new."""

from __future__ import annotations

import queue
import socket

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils import _progress
from ansible_collections.vforge.vsphere.plugins.module_utils._progress import Progress


class Seconds:
    """The time between two lines, which passes when the test says so."""

    def __init__(self):
        self._ends = queue.Queue()
        self._begun = queue.Queue()

    def __call__(self, over, seconds):
        assert seconds == _progress.SECONDS_BETWEEN_LINES == 2.0
        self._begun.put(None)
        return self._ends.get() or over.is_set()

    def pass_by(self):
        """Two seconds pass; returns when what comes then is done."""
        self._ends.put(False)
        self._begun.get()

    def end(self):
        self._ends.put(True)


@pytest.fixture
def line():
    """Both ends of a lifeline; the module's never blocks."""
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    yield reader, writer
    reader.close()
    writer.close()


def test_a_line_comes_every_two_seconds_also_when_there_is_nothing_new(line):
    reader, writer = line
    seconds = Seconds()
    with Progress(writer, seconds) as progress:
        seconds._begun.get()
        seconds.pass_by()  # nothing was told yet
        progress.show("1 of 60 calls sent to vCenter")
        progress.show("2 of 60 calls sent to vCenter")
        seconds.pass_by()
        seconds.pass_by()
        progress.show("3 of 60\nclones made")
        seconds.pass_by()
        seconds.end()
    writer.close()
    said = reader.makefile(encoding="utf-8").read().splitlines()
    assert said == ["2 of 60 calls sent to vCenter", "2 of 60 calls sent to vCenter (0 s ago)", "3 of 60 clones made"]


def test_a_reader_that_is_gone_or_slow_holds_nothing_up(line):
    reader, writer = line
    seconds = Seconds()
    with Progress(writer, seconds) as progress:
        seconds._begun.get()
        progress.show("x" * 1_000_000)
        seconds.pass_by()
        seconds.pass_by()
        reader.close()
        seconds.pass_by()
        seconds.end()


def test_what_cannot_be_sent_as_it_is_does_not_end_the_lines(line):
    reader, writer = line
    seconds = Seconds()
    with Progress(writer, seconds) as progress:
        seconds._begun.get()
        progress.show("image-\udce4.vmdk")  # a name of a file that is no UTF-8
        seconds.pass_by()
        progress.show("the next one")
        seconds.pass_by()
        seconds.end()
    writer.close()
    assert reader.makefile(encoding="utf-8").read().splitlines() == ["image-?.vmdk", "the next one"]


def test_without_a_lifeline_nothing_is_begun():
    with Progress(None, pytest.fail) as progress:
        progress.show("half done")

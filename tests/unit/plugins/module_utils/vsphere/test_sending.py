# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A file that is read and hashed ahead while it is sent: its parts, their order, and what ends the reading."""

from __future__ import annotations

import hashlib
import io
import os
import threading

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import sending

_PART = 1_000
_SIZE = 20 * _PART + 1
_DATA = os.urandom(_SIZE)


class Source(io.BytesIO):
    """A file, and how often it was read. size: what it is said to have."""

    label = "disk.vmdk"

    def __init__(self, data=_DATA, size=_SIZE):
        super().__init__(data)
        self.size = size
        self.reads = 0

    def open(self):
        """As a source."""
        return self

    def readinto(self, buffer, /):
        """As a stream."""
        self.reads += 1
        return super().readinto(buffer)


def reading(source, algorithm="sha256", progress=lambda _count: None):
    return sending._Reading(source, algorithm, _PART, progress)


@pytest.mark.parametrize("algorithm", ["sha256", "sha1", ""])
def test_the_parts_are_the_file_and_the_digest_is_of_them(algorithm):
    went = []
    with reading(Source(), algorithm, went.append) as read:
        # A part is valid until the next is asked for.
        assert b"".join(bytes(part) for part in read.parts()) == _DATA
    assert (sum(went), read.sent) == (_SIZE, _SIZE)
    assert read.digest() == (hashlib.new(algorithm, _DATA).hexdigest() if algorithm else "")


def test_an_empty_file_has_no_part():
    with reading(Source(b"", 0)) as read:
        assert list(read.parts()) == []
    assert read.digest() == hashlib.sha256().hexdigest()


def test_who_leaves_in_the_middle_reads_no_further_and_leaves_no_thread():
    source, before = Source(), threading.active_count()
    with reading(source) as read:
        assert bytes(next(read.parts())) == _DATA[:_PART]
    assert source.closed
    assert source.reads <= sending._PARTS + 1
    assert threading.active_count() == before


def test_who_never_begins_reads_nothing():
    source = Source()
    with reading(source):
        pass
    assert (source.reads, source.closed) == (0, False)


def test_what_goes_wrong_is_reported_behind_the_parts_before_it():
    before, found = threading.active_count(), []
    with reading(Source(_DATA[: 3 * _PART])) as read, pytest.raises(sending.SourceChanged, match=r"disk\.vmdk became shorter"):
        found.extend(bytes(part) for part in read.parts())
    assert b"".join(found) == _DATA[: 3 * _PART]
    assert threading.active_count() == before

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changed block tracking: what changed on a disk, proved, or why that is not known.

Any module that reads disks may call it. One disk at a snapshot that the
caller has, areas as they come::

    answer = Answer(where="/DC0/vm/web-1", disk=disk, since="52 de c0 ... 7b 65 63/81")
    ask_disk(session, "vm-42", "snapshot-43", answer, sink)
    if answer.full is not None: ...  # read it whole, for the reason in answer.full

``sink`` is an ``AreaSink``, or anything with ``add``, ``finish`` and ``abandon``. ``disk`` comes
from ``read.read_snapshot_disks``, and ``changeid.judge`` says before asking whether an earlier
changeId can still be asked with.

Besides the rooms of every domain: ``changeid``, ``areas`` (coverage, merging), ``state`` (the state
file), and ``sink`` (where areas go).
"""

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changed block tracking: what changed on a disk, proved, or why that is not known.

Made to be called by any module that reads disks. One disk at a snapshot that the caller has, areas as they come::

    answer = Answer(disk, since="52 de c0 d9 b9 43 9d 10-61 d5 4c 1b e9 7b 65 63/81")
    ask_disk(session, "vm-42", "snapshot-43", answer, sink)
    if answer.full is not None: ...  # read it whole, for the reason in answer.full

``sink`` is an ``AreaSink``, or anything with ``add``, ``finish`` and ``abandon``. ``disk`` comes from
``lookup.read_snapshot_disks``, and ``changeid.judge`` tells before asking whether what was kept can still be asked with.

Parts without vCenter: ``areas`` (coverage, merging), ``changeid``, ``selection`` (which disk, which snapshot), ``state`` (the
state file), ``page`` (the report). With it: ``taking`` (snapshots that are removed in every ending), ``querying``,
``enabling``.
"""

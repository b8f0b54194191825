# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tasks that succeed, and whose results do not come with their ends: ``info.result`` is optional (API reference, TaskInfo)."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._connector import batch, tasks


def late_results(patch: pytest.MonkeyPatch) -> None:
    """Have the results come to whoever asks for them."""
    real = tasks._task_end

    def without(moid: str, info: t.Mapping[str, t.Any], gone: bool) -> tasks.TaskEnd | None:
        return real(moid, {**info, "info.result": None}, gone)

    patch.setattr(tasks, "_task_end", without)


def no_results(patch: pytest.MonkeyPatch) -> None:
    """Have the results never come."""
    late_results(patch)
    patch.setattr(batch, "read", lambda *_args: {})


def no_times(patch: pytest.MonkeyPatch) -> None:
    """Have no task say when it ended, which is optional, too."""
    real = tasks._task_end

    def without(moid: str, info: t.Mapping[str, t.Any], gone: bool) -> tasks.TaskEnd | None:
        return real(moid, {**info, "info.completeTime": None}, gone)

    patch.setattr(tasks, "_task_end", without)

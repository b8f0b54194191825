# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes the result of the last task to the file named in VFORGE_BENCH_RESULT, so that no output has to be parsed."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: bench_result
type: notification
short_description: Write the result of a task to a file
description: Writes the result of the last task that succeeded to the file named in E(VFORGE_BENCH_RESULT).
requirements:
  - enabled in the configuration
"""


class CallbackModule(CallbackBase):
    """Writes results."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "bench_result"
    CALLBACK_NEEDS_ENABLED = True

    def v2_runner_on_ok(self, result):
        """Write the result of a task."""
        Path(os.environ["VFORGE_BENCH_RESULT"]).write_text(json.dumps(result.result, default=str), encoding="utf-8")

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes what plays show by ansible.builtin.debug to the file named in VFORGE_DEMO_STORY, one line of JSON each."""

from __future__ import annotations

import json
import os

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: demo_story
type: notification
short_description: Write what plays show to a file
description: Appends a line for each play that begins, and for each message of a debug task, to a file.
requirements:
  - enabled in the configuration
"""


class CallbackModule(CallbackBase):
    """Writes messages."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "demo_story"
    CALLBACK_NEEDS_ENABLED = True

    def _write(self, **line):
        with open(os.environ["VFORGE_DEMO_STORY"], "a", encoding="utf-8") as handle:
            handle.write(json.dumps(line) + "\n")

    def v2_playbook_on_play_start(self, play):
        """Write that a play begins."""
        self._write(play=play.get_name())

    def v2_runner_on_ok(self, result):
        """Write what a debug task shows."""
        if result.task.action in ("debug", "ansible.builtin.debug") and "msg" in result.result:
            shown = result.result["msg"]
            self._write(shown=list(map(str, shown)) if isinstance(shown, (list, tuple)) else [str(shown)])

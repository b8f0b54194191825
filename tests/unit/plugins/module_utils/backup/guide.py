# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commands of the guide on backups, run as they stand there, on a point of a test."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
import textwrap
import time
import typing as t
from pathlib import Path

_GUIDE = Path(__file__).parents[5] / "docs/docsite/rst/guide_backup.rst"

# Seconds that only commands which hang take.
_LONG = "300"

_POINT = "/srv/backups/vm-50234567-.../points/20261129T011500Z-1f0e9c3a"


def commands(heading: str, number: int) -> str:
    """The shell commands of a section; there may be several blocks of them."""
    text = _GUIDE.read_text(encoding="utf-8")
    section = re.search(rf"^{re.escape(heading)}\n[~-]+\n(.*?)(?=^[^\n]+\n[~-]+\n|\Z)", text, re.MULTILINE | re.DOTALL)
    assert section, heading
    blocks = re.findall(r"^\.\. code-block:: shell\n\n((?:   [^\n]*\n|\n)+)", section[1], re.MULTILINE)
    return textwrap.dedent(blocks[number])


class Shell:
    """Runs commands of the guide with the folder of a point, and places of a test, in place of the guide's own.

    places: by the names of the folders that the guide has in /mnt and /srv.
    """

    def __init__(self, point: Path, **places: Path) -> None:
        self._point = point
        self._places = places

    def _command(self, text: str) -> dict[str, t.Any]:
        text = text.replace(_POINT, str(self._point))
        for name, place in self._places.items():
            text = re.sub(rf"/(?:mnt|srv)/{name}\b", str(place), text)
        assert not re.search(r"(?<![\w-])/(?:mnt|srv)/", text), text
        # What every Debian starts with, such as debugfs, is not on every user's path.
        env = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
        # It ends what they have started, too.
        return {"args": ["timeout", _LONG, "/bin/sh", "-ec", text], "env": env, "stdin": subprocess.DEVNULL}

    def run(self, text: str) -> str:
        """Run commands to their end; what they have printed."""
        ran = subprocess.run(**self._command(text), capture_output=True, check=False)
        assert ran.returncode == 0, ran.stderr.decode(errors="replace")
        return ran.stdout.decode(errors="replace")

    @contextlib.contextmanager
    def beside(self, text: str, appears: Path) -> t.Iterator[None]:
        """Run commands the last of which goes on in the background, until a file is there; it has to end with the context."""
        command = self._command(f"{text}\nwait $!")
        with tempfile.TemporaryFile("w+") as said, subprocess.Popen(**command, stdout=said, stderr=said) as process:
            try:
                while not appears.exists():
                    assert process.poll() is None, said.seek(0) or said.read()
                    time.sleep(0.05)
                yield
                assert process.wait() == 0, said.seek(0) or said.read()
            finally:
                process.terminate()

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start govmomi's own vcsim, unmodified, as a second server beside the simulator. Standard library only."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any


class Vcsim:
    """A running vcsim with its usual inventory: a datacenter with a cluster of three hosts and a host of its own.

    Args:
        binary: path of vcsim; govc is beside it.
        machines: VMs on each of the two.
        api_version: that it names, in place of its own 6.5.

    Attributes:
        connection: the connection options of a module.
    """

    def __init__(self, binary: Path, machines: int = 2, api_version: str = "") -> None:
        self._binary = binary
        self._flags = ["-vm", str(machines), "-api-version", api_version]
        self._files = tempfile.TemporaryDirectory(prefix="vcsim-")
        self.connection: dict[str, Any] = {}

    def __enter__(self) -> Vcsim:
        self._process = subprocess.Popen([self._binary, *self._flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        ready = json.loads(self._process.stdout.readline())
        self._certificate = Path(self._files.name) / "certificate.pem"
        self._certificate.write_text(ready["certificate"], encoding="ascii")
        self.connection = {
            "hostname": "127.0.0.1",
            "port": int(ready["port"]),
            "username": "user",
            "password": "pass",
            "thumbprint": ready["thumbprint"],
        }
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.communicate()
        self._files.cleanup()

    def govc(self, *words: str) -> Any:
        """What govc answers, read from its JSON."""
        environment = {
            **os.environ,
            "GOVC_URL": f"https://user:pass@127.0.0.1:{self.connection['port']}/sdk",
            "GOVC_TLS_CA_CERTS": str(self._certificate),
            "GOVMOMI_HOME": self._files.name,
        }
        command = [self._binary.with_name("govc"), words[0], "-json", *words[1:]]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return json.loads(done.stdout) if done.stdout.strip() else None

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tools that bring an OVF package with a large disk to the same vCenter, and curl, which only sends the disk."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vforge_disks
from bench.figures import Sample, Upload
from bench.tools import Tools, WrongResult
from bench.vcenter import DATACENTER
from vforge_ova import write_package

CURL = "curl -T, the disk alone"
OURS = "cached_ovf_template"
REPEAT = "  the same again"
GOVC = "govc import.ovf"
COMMUNITY = "vmware_deploy_ovf"

_MIB = 1 << 20
_NETWORK = "VM Network"
_CLUSTER = "DC0_C0"


@dataclass(frozen=True)
class Large:
    """A package of loose files, the first of whose disks is large.

    descriptor, disk: files; mib: the size of the disk.
    """

    descriptor: Path
    disk: Path
    mib: int

    @classmethod
    @contextmanager
    def made(cls, folder: Path, mib: int, *, sparse: bool = False) -> Iterator[Large]:
        """One in a folder, for as long as the block runs. sparse: the disk is a hole, which takes no space here."""
        try:
            yield cls._make(folder, mib, sparse=sparse)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @classmethod
    def _make(cls, folder: Path, mib: int, *, sparse: bool) -> Large:
        package = write_package(folder)
        package.ova.unlink()
        disk = package.disks[0]
        small = disk.stat().st_size
        with disk.open("wb") as file:
            # Whole in itself; what follows is there to be carried.
            file.write(vforge_disks.qemu(_MIB, capacity=2 * mib * _MIB))
            if sparse:
                file.truncate(mib * _MIB)
            else:
                for _part in range(mib - 1):
                    file.write(os.urandom(_MIB))
        text = package.ovf.read_text(encoding="utf-8").replace(f'ovf:size="{small}"', f'ovf:size="{mib * _MIB}"')
        text = re.sub(r'ovf:capacity="8"', f'ovf:capacity="{2 * mib}"', text)
        package.ovf.write_text(text, encoding="utf-8")
        lines = [f"SHA256({path.name})= {_digest(path)}\n" for path in (package.ovf, *package.disks)]
        package.manifest.write_text("".join(lines), encoding="utf-8")
        return cls(package.ovf, disk, mib)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class TemplateTools(Tools):
    """Runs the tools against one vCenter. Each makes a VM or template of its own, by the name of the turn."""

    def curl(self, package: Large, name: str) -> Upload:
        """curl, between the calls that it needs: the seconds are those of curl alone."""
        program = shutil.which("curl")
        if program is None:
            raise WrongResult("There is no curl to compare with: install it.")
        figures = self._fresh("curl.json")
        asked = {"name": name, "curl": program, "cluster": _CLUSTER, "network": _NETWORK, "figures": str(figures)}
        files = {"descriptor": str(package.descriptor), "disk": str(package.disk)}
        sample = self._measure(CURL, [name], self._script("curl.py", {**self._vcenter.job, **asked, **files}))
        return _upload(sample, package, float(json.loads(figures.read_text(encoding="utf-8"))["span"]))

    def template(self, package: Large, name: str, verify: str, *, tool: str = OURS) -> Upload:
        """Our module, with the usage of its process. The seconds are those from the begin of the upload to its end."""
        variables, usage = self._metered()
        options: dict[str, Any] = {"name": name, "source": str(package.descriptor), "verify": verify, "cluster": _CLUSTER}
        options |= {"folder": self._vcenter.folder, "default_network": _NETWORK, "timeout": 7200}
        task = {"vforge.vsphere.cached_ovf_template": options}
        result, sample = self._task(task, [name], tool, "templates", variables, VFORGE_BENCH_USAGE=str(usage))
        if result["changed"] is not (tool == OURS):
            raise WrongResult(f"{tool.strip()} says {result['actions']}.")
        peak = json.loads(usage.read_text(encoding="utf-8"))["peak_kib"] / 1024
        return _upload(sample, package, result["transfer"]["seconds"] or None, peak_mib=peak, how=verify)

    def import_ovf(self, package: Large, name: str) -> Upload:
        """The command govc. Its -m would compare with what vCenter tells afterwards, which is SHA-1 in the simulator."""
        where, options = self._vcenter, self._fresh("import.json")
        asked = {"DiskProvisioning": "thin", "NetworkMapping": [{"Name": "front", "Network": _NETWORK}], "PowerOn": False}
        options.write_text(json.dumps(asked), encoding="utf-8")
        place = ["-pool", f"/{DATACENTER}/host/{_CLUSTER}/Resources", "-ds", where.datastore, "-folder", where.folder]
        words = ["import.ovf", "-name", name, *place, "-options", str(options), str(package.descriptor)]
        return _upload(self._measure(GOVC, [name], [str(self._at.govc), *words], where.sim.govc_environment()), package)

    def deploy_ovf(self, package: Large, name: str) -> Upload:
        """The module of community.vmware. It does not know the hosts' certificates, so it works only if it looks at none."""
        where = self._vcenter
        options = {"name": name, "ovf": str(package.descriptor), "datacenter": DATACENTER, "cluster": _CLUSTER}
        options |= {"datastore": where.datastore, "folder": where.folder, "networks": {"front": _NETWORK}}
        task = {"community.vmware.vmware_deploy_ovf": {**options, "power_on": False, "validate_certs": False}}
        return _upload(self._community_loop([name], task, tool=COMMUNITY), package)


def _upload(
    sample: Sample, package: Large, span: float | None = None, *, peak_mib: float | None = None, how: str = ""
) -> Upload:
    return Upload(sample.tool, package.mib, how, sample.calls, sample.rounds, sample.seconds, span, peak_mib)

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""cloud-init and netplan from Debian's packages, unpacked and never installed: an installed cloud-init runs at the next boot.

They are the real consumers of what the collection delivers. Without Debian's tools or its packages the tests that want them are
skipped, with the reason.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from devtools import layout, processes
from devtools.builds import Build

_WANTED = ("cloud-init", "netplan.io")

# Of all that they depend on, what is Python or a library that they load; the rest is a system's, and is there.
_NEEDED = re.compile(r"cloud-init|netplan\.io|netplan-generator|python3-(?!minimal).*|lib(netplan|yaml|glib2|pcre2|ffi).*")

_TOOLS = ("apt-get", "apt-cache", "dpkg-deb", "/usr/bin/python3")

# Nothing waits for a mirror that is not there.
_PATIENCE = ("-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=20", "-o", "Acquire::https::Timeout=20")


def why_not() -> str:
    """Why the packages cannot be had here, or empty."""
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    return f"this is no Debian: {', '.join(missing)} is missing" if missing else ""


def build() -> Build:
    """A folder with what the packages hold, as the root of a file system."""
    release = Path("/etc/os-release")
    return Build("debian", (release.read_text(encoding="utf-8") if release.exists() else "", *_WANTED), _unpack)


def _unpack(folder: Path) -> None:
    log = layout.LOGS / "debian.log"
    own: list[str] = []
    if processes.run(["apt-cache", "show", "--no-all-versions", *_WANTED], log).code:
        # This machine has no lists of packages, and they are not ours to change: these are read into a folder of our own.
        own = _own_lists(folder / ".apt")
        processes.check(["apt-get", *own, *_PATIENCE, "update"], log)
    listed = processes.check(["apt-cache", *own, "depends", "--recurse", *_only_depends(), *_WANTED], log)
    names = sorted({line for line in listed.splitlines() if _NEEDED.fullmatch(line)})
    packages = folder / ".packages"
    packages.mkdir()
    processes.check(["apt-get", *own, *_PATIENCE, "download", *_real(names, own, log)], log, cwd=packages)
    for package in sorted(packages.glob("*.deb")):
        processes.check(["dpkg-deb", "-x", package, folder], log)
    shutil.rmtree(packages)
    shutil.rmtree(folder / ".apt", ignore_errors=True)


def _own_lists(folder: Path) -> list[str]:
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    return ["-o", f"Dir::State::lists={folder}/lists", "-o", f"Dir::Cache={folder}/cache", "-o", "Debug::NoLocking=1"]


def _only_depends() -> list[str]:
    return [f"--no-{kind}" for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")]


def _real(names: list[str], own: list[str], log: Path) -> list[str]:
    """Those that are packages, and not only names that packages provide: it shows the former, and fails for the latter."""
    shown = processes.run(["apt-cache", *own, "show", "--no-all-versions", *names], log).output
    return sorted(set(re.findall(r"^Package: (\S+)$", shown, re.MULTILINE)))

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs from Debian's packages, unpacked and never installed: an installed cloud-init runs at the next boot.

cloud-init and netplan are the real consumers of what the collection delivers to guests. qemu-img, libvmdk, 7-Zip and the like
make disks for it and judge those that it makes; qemu's machine boots them; cpuid and libcpuid judge what it says of processors.
Without Debian's tools or its packages the tests that want them are skipped, with the reason. apt verifies what it downloads by
Debian's own signatures.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

from devtools import layout, processes
from devtools.builds import Build

_TOOLS = ("apt-get", "apt-cache", "dpkg-deb", "/usr/bin/python3")

# Nothing waits for a mirror that is not there.
_PATIENCE = ("-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=20", "-o", "Acquire::https::Timeout=20")

_CLOUD_INIT = ("cloud-init", "netplan.io")

# Of all that these depend on, what is Python or a library that they load; the rest is a system's, and is there.
_OF_CLOUD_INIT = re.compile(
    r"cloud-init|netplan\.io|netplan-generator|python3-(?!minimal).*|lib(netplan|yaml|glib2|pcre2|ffi).*"
)

_DISK_TOOLS = (
    "qemu-utils",
    "libvmdk-utils",
    "python3-libvmdk",
    "7zip",
    "nbdkit",
    "nbdkit-plugin-python",
    "libnbd-bin",
    "python3-libnbd",
    "fuse2fs",
    "restic",
    "cpuid",
    "cpuidtool",
)

# Not on all of Debian's architectures.
_BOOT_TOOLS = ("qemu-system-x86", "grub-pc-bin")

# Of what these depend on, the libraries, but for those that every Debian has and that must be of one kind in a process.
_LIBRARIES = r"|lib(?!c6$|gcc-s1$|crypt1$|perl|python3-stdlib$|gdbm|newt|slang|debian|textwrap).*"
_OF_DISK_TOOLS = re.compile("|".join(map(re.escape, _DISK_TOOLS)) + _LIBRARIES)
_OF_BOOT_TOOLS = re.compile(r"qemu-system-(x86|common|data)|seabios|grub-(pc-bin|common)" + _LIBRARIES)

# Where the programs lie in their packages.
_PROGRAMS = {
    "qemu-img": "usr/bin/qemu-img",
    "qemu-nbd": "usr/bin/qemu-nbd",
    "qemu-io": "usr/bin/qemu-io",
    "vmdkinfo": "usr/bin/vmdkinfo",
    "7z": "usr/bin/7zz",
    "nbdkit": "usr/bin/nbdkit",
    "nbdinfo": "usr/bin/nbdinfo",
    "nbdcopy": "usr/bin/nbdcopy",
    "nbdfuse": "usr/bin/nbdfuse",
    "fuse2fs": "usr/bin/fuse2fs",
    "restic": "usr/bin/restic",
    "cpuid": "usr/bin/cpuid",
    "cpuid_tool": "usr/bin/cpuid_tool",
    "disk-python": "/usr/bin/python3",
}

_BOOT_PROGRAMS = {"qemu-system-x86_64": "usr/bin/qemu-system-x86_64", "grub-mkimage": "usr/bin/grub-mkimage"}

# Debian's own Python with the modules of libnbd (`nbd`) and libvmdk (`pyvmdk`), which are built for it and no other.
_PYTHON = """\
export PYTHONPATH=%(root)s/usr/lib/python3/dist-packages
"""

# nbdkit looks for its plugins and filters in the system's folder, unless it gets them as paths. Its plugin for Python looks for
# the modules that Python comes with.
_NBDKIT = """\
export PYTHONHOME="${PYTHONHOME:-%(root)s/usr}"
parts=$(echo %(root)s/usr/lib/*/nbdkit)
plugin=
for word; do
  shift
  case $word in
    --filter=[!/.]*) word="--filter=$parts/filters/nbdkit-${word#--filter=}-filter.so" ;;
    [!-]*) if [ -z "$plugin" ] && [ -e "$parts/plugins/nbdkit-$word-plugin.so" ]; then
        word="$parts/plugins/nbdkit-$word-plugin.so"
        plugin=$word
      fi ;;
  esac
  set -- "$@" "$word"
done
"""

# What qemu would look for in the system's folders.
_QEMU = """\
export QEMU_MODULE_DIR=$(echo %(root)s/usr/lib/*/qemu)
set -- -L %(root)s/usr/share/qemu -L %(root)s/usr/share/seabios "$@"
"""

_FIRST = {"nbdkit": _NBDKIT, "disk-python": _PYTHON, "qemu-system-x86_64": _QEMU}


def why_not() -> str:
    """Why the packages cannot be had here, or empty."""
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    return f"this is no Debian: {', '.join(missing)} is missing" if missing else ""


def cloud_init() -> Build:
    """A folder with what the packages of cloud-init hold, as the root of a file system."""
    return _build("debian", _CLOUD_INIT, _OF_CLOUD_INIT)


def disk_tools() -> Build:
    """The same of the programs that read, write and serve images of disks, and of those that decode CPUID.

    Its folder `tools` has a command for each.

    A command runs the unpacked program with the unpacked libraries.
    """
    return _build("disk-tools", _DISK_TOOLS, _OF_DISK_TOOLS, _PROGRAMS)


def boot_tools() -> Build:
    """The same of a machine that boots disks, and of GRUB, which makes disks that boot."""
    return _build("boot-tools", _BOOT_TOOLS, _OF_BOOT_TOOLS, _BOOT_PROGRAMS)


def _build(name: str, wanted: tuple[str, ...], needed: re.Pattern[str], programs: Mapping[str, str] | None = None) -> Build:
    release = Path("/etc/os-release")
    commands = programs or {}

    def make(folder: Path) -> None:
        _unpack(folder, wanted, needed, layout.LOGS / f"{name}.log")
        _write_commands(folder, commands)

    system = release.read_text(encoding="utf-8") if release.exists() else ""
    return Build(name, (system, *wanted, *commands.values(), *(_FIRST.get(command, "") for command in commands)), make)


def _unpack(folder: Path, wanted: tuple[str, ...], needed: re.Pattern[str], log: Path) -> None:
    own: list[str] = []
    if processes.run(["apt-cache", "show", "--no-all-versions", *wanted], log).code:
        # This machine has no lists of packages, and they are not ours to change: these are read into a folder of our own.
        own = _own_lists(folder / ".apt")
        processes.check(["apt-get", *own, *_PATIENCE, "update"], log)
    listed = processes.check(["apt-cache", *own, "depends", "--recurse", *_only_depends(), *wanted], log)
    names = sorted({line for line in listed.splitlines() if needed.fullmatch(line)})
    packages = folder / ".packages"
    packages.mkdir()
    processes.check(["apt-get", *own, *_PATIENCE, "download", *_real(names, own, log)], log, cwd=packages)
    for package in sorted(packages.glob("*.deb")):
        processes.check(["dpkg-deb", "-x", package, folder], log)
    shutil.rmtree(packages)
    shutil.rmtree(folder / ".apt", ignore_errors=True)


def _write_commands(root: Path, programs: Mapping[str, str]) -> None:
    """A command for each program: a script that runs it with the libraries beside it."""
    if not programs:
        return
    libraries = sorted({*root.glob("lib/*-linux-*"), *root.glob("usr/lib/*-linux-*")})
    (root / "tools").mkdir()
    for name, program in programs.items():
        before = _FIRST.get(name, "") % {"root": shlex.quote(str(root))}
        path = ":".join(map(str, libraries))
        path = f'export LD_LIBRARY_PATH={shlex.quote(path)}"${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"'
        command = root / "tools" / name
        command.write_text(f'#!/bin/sh\n{before}{path}\nexec {shlex.quote(str(root / program))} "$@"\n', encoding="utf-8")
        command.chmod(0o755)


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


# What of Debian libnbd needs: a system has it that has installed python3-libnbd.
_LIBNBD_NEEDS = (
    "libnbd",
    "libxml2",
    "libgnutls",
    "libicu",
    "libp11-kit",
    "libidn2",
    "libunistring",
    "libtasn1",
    "libnettle",
    "libhogweed",
    "libgmp",
    "liblzma",
)


def with_libnbd(root: Path, libraries: Path) -> dict[str, str]:
    """Variables by which a Python that was not made for it finds libnbd's module where it was unpacked.

    libraries: a folder that is made for links to what the module needs, and nothing else of Debian.
    """
    libraries.mkdir()
    for name in _LIBNBD_NEEDS:
        for path in root.rglob(f"{name}*.so*"):
            (libraries / path.name).symlink_to(path)
    return {"LD_LIBRARY_PATH": str(libraries), "PYTHONPATH": str(root / "usr/lib/python3/dist-packages")}

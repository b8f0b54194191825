# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A home directory inside the build folder for Ansible's tools.

They keep collections, caches and virtual environments under HOME, where a stale copy of this collection would
shadow the checkout; and ansible-test passes little more than HOME and PATH on to what it starts, so pip's settings
have to be in a file there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from devtools import layout, processes
from devtools.builds import Build

# The pip that each ansible-test puts into its virtual environments. It would fetch a bootstrap script from the web.
_PIPS = {"2.17": "23.1.2", "2.18": "24.2", "2.19": "24.2", "2.20": "25.2", "2.21": "25.2", "2.22": "25.2"}

_BOOTSTRAP = '''\
"""Stands in for the bootstrap script that ansible-test would download: pip installs itself."""
import sys

sys.path.insert(0, {wheel!r})
from pip._internal.cli.main import main

# The two options are the other script's own.
sys.exit(main(["install"] + [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]))
'''

# ansible-test makes a key pair for the hosts that it would manage, with ssh-keygen, which may be missing, and without
# thinking of a second ansible-test that does the same. No host gets this key.
_KEY_PAIR = """\
import sys
from pathlib import Path
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import rsa

key = rsa.generate_private_key(public_exponent=65537, key_size=3072)
private = Path(sys.argv[1])
private.touch(mode=0o600)
private.write_bytes(key.private_bytes(form.Encoding.PEM, form.PrivateFormat.TraditionalOpenSSL, form.NoEncryption()))
public = key.public_key().public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH)
private.with_suffix(".pub").write_bytes(public + b" vforge.vsphere\\n")
"""


def core_version(venv: Path) -> str:
    """The ansible-core of a virtual environment, such as "2.19"."""
    found = next((venv / "lib").glob("python*/site-packages/ansible_core-*.dist-info"))
    match = re.match(r"ansible_core-(\d+\.\d+)", found.name)
    if match is None:
        raise ValueError(f"{found} does not name a version")
    return match[1]


def _pip_settings(python: Path, log: Path) -> str:
    """What pip is set to, by files and by environment, as the text of one pip.conf."""
    output = processes.check([python, "-m", "pip", "config", "list"], log)
    settings = re.findall(r"^(global|user|install|:env:)\.([\w-]+)='(.*)'$", output, re.MULTILINE)
    merged = {name: value for scope, name, value in settings}
    # HOME is another one for this pip: without this it would fetch again what the user's pip has already.
    merged["cache-dir"] = processes.check([python, "-m", "pip", "cache", "dir"], log).strip()
    return "".join(["[global]\n", *(f"{name} = {value}\n" for name, value in sorted(merged.items()))])


def build(venv: Path, name: str = "home") -> Build:
    """The home that goes with a virtual environment. name: its name in the build folder."""
    pip = _PIPS[core_version(venv)]
    python = venv / "bin" / "python"
    settings = tuple(sorted(f"{key}={value}" for key, value in os.environ.items() if key.startswith("PIP_")))

    def make(home: Path) -> None:
        log = layout.LOGS / f"{name.replace('/', '-')}.log"
        cache = home / ".ansible" / "test" / "cache"
        cache.mkdir(parents=True)
        processes.check([python, "-m", "pip", "download", "--quiet", "--no-deps", "-d", cache, f"pip=={pip}"], log)
        wheel = next(cache.glob("pip-*.whl"))
        script = cache / f"get_pip_{pip.replace('.', '_')}.py"
        script.write_text(_BOOTSTRAP.format(wheel=str(wheel)), encoding="utf-8")
        processes.check([python, "-c", _KEY_PAIR, cache.parent / "id_rsa"], log)
        config = home / ".config" / "pip" / "pip.conf"
        config.parent.mkdir(parents=True)
        # An index address may hold a password.
        config.touch(mode=0o600)
        config.write_text(_pip_settings(python, log), encoding="utf-8")

    return Build(name, (str(venv), pip, *settings, Path(__file__)), make)


def environment(home: Path, first: Iterable[Path], **more: str) -> dict[str, str]:
    """The environment of a command in that home, with some folders first on PATH."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "VMWARE_", "PYTHON"))}
    path = [str(folder) for folder in first]
    # Shims start whichever version pyenv thinks is selected, or none: useless to a tool that looks for python3.12.
    path += [part for part in env.get("PATH", os.defpath).split(os.pathsep) if "shims" not in Path(part).parts]
    env.update(PATH=os.pathsep.join(path), HOME=str(home), LC_ALL="C.UTF-8", PY_COLORS="0")
    env.update(ANSIBLE_NOCOLOR="1", ANSIBLE_LOCALHOST_WARNING="0")
    env.update(more)
    return env

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scripts for guests that come with the collection, by their names."""

from __future__ import annotations

import pathlib
import typing as t

_FOLDER = pathlib.Path(__file__).parent / "guest_scripts"

# The parts that make up each script. A script in parts is one file in the guest, and one transfer.
_PARTS = {
    "cloud_init": ("linux.sh", "cloud_init_steps.sh"),
    "networkmanager": ("linux.sh", "networkmanager.sh", "linux_steps.sh"),
    "netplan": ("linux.sh", "netplan.sh", "linux_steps.sh"),
    "ifcfg": ("linux.sh", "ifcfg.sh", "linux_steps.sh"),
    "windows": ("windows.ps1",),
}

NAMES = tuple(_PARTS)


def script(name: str) -> str:
    """The text of a ready-made script.

    :raises KeyError: when there is none of this name.
    """
    texts = [(_FOLDER / part).read_text(encoding="utf-8") for part in _PARTS[name]]
    return "\n".join([texts[0], *(text.split("\n", 1)[1] for text in texts[1:])])


def resolved(scripts: t.Any) -> t.Any:
    """The scripts with each name of a ready-made one replaced by its text; anything else is
    left to the module to judge.
    """
    if not isinstance(scripts, (list, tuple)):
        return scripts
    return [script(item) if isinstance(item, str) and item in _PARTS else ended(item) for item in scripts]


def ended(text: t.Any) -> t.Any:
    """A script with a line end after its last line.

    Ansible stars out the text of a secret option wherever else it appears: of ``true`` that would
    be every "true" of the result, of ``true`` with a line end it is nothing, up to ansible-core 2.21.
    """
    return f"{text}\n" if isinstance(text, str) and text and not text.endswith("\n") else text

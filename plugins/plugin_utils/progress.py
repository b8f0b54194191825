# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the progress of a module is shown: where a person reads, and never on a standard output
that a program reads.

- Where the standard error of ansible-playbook is a terminal, progress goes there. Standard output,
  on which callbacks such as ``json`` write, is left alone.
- Elsewhere it comes with ``-v``, as Ansible's own lines of that level do:
    ``ANSIBLE_VERBOSE_TO_STDERR`` holds for it too.
"""

from __future__ import annotations

import os
import typing as t

from ansible.utils.display import Display

# Ansible loads an action plugin in its main process before the first task of it is given to a
# worker. Newer releases take the terminal away from their workers.
_TERMINAL = os.isatty(2)


def shown_for(host: str) -> t.Callable[[str], None]:
    """How a line of progress is shown.

    :param host: whose task it is of.
    """
    display = Display()
    if _TERMINAL:
        return lambda text: display.display(f"  [{host}] {text}", stderr=True)
    return lambda text: display.v(text, host=host)

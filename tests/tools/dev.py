# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Entry point of the developer tools; see `devtools/cli.py`."""

from __future__ import annotations

import sys

from devtools.cli import main

if __name__ == "__main__":
    sys.exit(main())

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings of Sphinx for the site that `make docs` builds; no page of it needs the network."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "vforge.vsphere"
html_title = "vforge.vsphere"
project_copyright = "the vforge.vsphere authors"

# The last one turns addresses of guides, as ansible-doc shows them, into links within the site.
extensions = ["sphinx_antsibull_ext", "guide_links"]

# antsibull-docs writes references with this role.
default_role = "any"
pygments_style = "ansible"
highlight_language = "YAML+Jinja"

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_use_index = False
# Options have names such as --check, which no dash may replace.
smartquotes = False

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors of OVF packages and of templates made of them."""

from __future__ import annotations

from .._errors import CodedError


class PackageError(CodedError):
    """Something about the package that is to be brought in; the code says what.

    ``source_unreadable``, ``source_refused`` (by its server), ``unsafe_package``,
    ``invalid_package``, ``checksum_mismatch``, ``signature_invalid``, ``source_changed``.
    """


class TemplateError(CodedError):
    """Something about the template in vCenter; the code says what.

    ``name_taken``, ``digest_mismatch``, ``other_cluster``, ``busy``, ``in_use``,
    ``descriptor_refused``, ``upload_failed``, ``incomplete_upload``.
    """

# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exports of VMs as OVF packages.

Besides the rooms of every domain there are ``descriptor`` (the OVF that is written), ``package``
(its files on this machine) and ``record`` (what was exported, for the next run).
"""

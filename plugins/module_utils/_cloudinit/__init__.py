# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What VMs are given for cloud-init's VMware data source, brought to what is asked and read back.

``encoding``, ``multipart``, ``payload``, ``networks``, ``documents`` and
``report_script`` make and judge the data, and know nothing of vSphere; the filters use
them too. ``task`` and ``info`` are the tasks.
"""

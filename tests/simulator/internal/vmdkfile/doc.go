// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package vmdkfile is the files in which disks travel: streamOptimized VMDKs as hosts write and
// take them. They are written and read piece by piece; memory does not grow with the disk.
package vmdkfile

// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package fcd has the catalogue of first class disks, what is known of each, and what can be
// asked of them without their bytes.
package fcd

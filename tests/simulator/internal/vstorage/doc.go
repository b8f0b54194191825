// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package vstorage is the first class disks: their manager, their snapshots, and the global catalogue at /vslm/sdk. What is
// known of each is in package fcd. The rules and their sources: "First class disks" in the simulator's README.
package vstorage

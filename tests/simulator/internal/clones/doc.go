// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package clones makes VMs of others: instant clones and their dry run, full and linked clones, templates, and
// the children of VMFork. The rules and their sources: "Instant clones", "Full and linked clones, templates" and
// "VMFork" in the simulator's README.
//
// All of them make a plan first (clonePlan), which refuses what vCenter refuses, and carry it out then. That is why they
// are one package.
package clones

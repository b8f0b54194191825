// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package core is what all parts of the simulator share: vcsim with its registry, the settings, users and sessions,
// names, events, who uses which layer of a disk, and where things are.
//
// A part is a struct that embeds Core and names the parts that it needs; none needs one that needs it. Package sim
// joins them.
package core

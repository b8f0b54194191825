// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package props is the property collector: reads, filters, and waiting for updates. vcsim's own is neither as
// strict nor as quick.
package props

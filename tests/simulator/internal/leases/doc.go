// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package leases is the leases of imports and exports (HttpNfcLease), with the files that go in and out under them. The rules
// and their sources: "OVF imports" and "Exports" in the simulator's README.
package leases

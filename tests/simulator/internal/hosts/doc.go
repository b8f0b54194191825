// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package hosts is the HTTPS servers of the ESXi hosts, each with a certificate of its own. What they serve, and take, is
// said by who stands before all files: package front.
package hosts

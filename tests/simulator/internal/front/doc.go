// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package front is what stands before vcsim. Every call and every file passes here first: it is counted, delayed, dropped,
// failed or refused, and the server may be silent, gone or restarting. Which trouble there is says package inject.
package front

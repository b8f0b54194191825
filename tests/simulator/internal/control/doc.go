// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package control is the control endpoint, by which tests change what is simulated, and look behind the API. The
// simulator's README lists its requests.
package control

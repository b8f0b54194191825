// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package guestos is a Linux guest in memory: files, processes, network cards and
// the handful of programs that preparing and freezing a parent needs. Nothing in it
// touches the machine that it runs on.
package guestos

// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package apiversion

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// apiVersions are the vim25 API versions that vCenter announces, newest first,
// as the version identifiers of the public SDKs list them.
var apiVersions = []string{
	"9.0.0.0",
	"8.0.3.1", "8.0.3.0", "8.0.2.0", "8.0.1.0", "8.0.0.2", "8.0.0.1", "8.0.0.0",
	"7.0.3.2", "7.0.3.1", "7.0.3.0", "7.0.2.1", "7.0.2.0", "7.0.1.1", "7.0.1.0", "7.0.0.2", "7.0.0.0",
	"6.9.1", "6.8.7", "6.7.3", "6.7.2", "6.7.1", "6.7", "6.5", "6.0", "5.5", "5.1", "5.0",
	"4.1", "4.0", "2.5u2", "2.5",
}

// InstantCloneSince is the API version that introduced InstantClone_Task and its
// check.
const InstantCloneSince = "6.7"

// FirstClassDisksSince is the version that has first class disks.
const FirstClassDisksSince = "6.5"

// PropertySince are properties that came after API 6.0, of those that clients are known
// to read, with the version that has them first.
var PropertySince = map[string]string{
	"config.bootOptions.efiSecureBootEnabled": "6.5",
	"runtime.inQuarantineMode":                "6.5",
	"summary.runtime.inQuarantineMode":        "6.5",
	"runtime.instantCloneFrozen":              "6.7",
	"summary.runtime.instantCloneFrozen":      "6.7",
	"capability.supportedEVCGraphicsMode":     GraphicsEVCSince,
	"summary.currentEVCGraphicsModeKey":       GraphicsEVCSince,
	"capability.perVmEvcSupported":            PerVMEVCSince,
}

// Known returns an error for what is no API version that a server can have.
func Known(v string) error {
	if i := slices.Index(apiVersions, v); i >= 0 && i <= slices.Index(apiVersions, "6.0") {
		return nil
	}
	return fmt.Errorf("%q is not an API version of vCenter 6.0 to 9.0 (for example 8.0.3.0, 6.7 or 6.5)", v)
}

// Prior returns the versions that a server of version v still speaks.
func Prior(v string) []string {
	return apiVersions[slices.Index(apiVersions, v)+1:]
}

// Less compares dotted versions number by number; a suffix such as "u2" is
// ignored, which is enough for the versions that can talk to this server at all.
func Less(a, b string) bool {
	x, y := versionNumbers(a), versionNumbers(b)
	return slices.Compare(x, y) < 0
}

func versionNumbers(v string) []int {
	var out []int
	for _, part := range strings.Split(v, ".") {
		digits := part
		if i := strings.IndexFunc(part, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
			digits = part[:i]
		}
		n, err := strconv.Atoi(digits)
		if err != nil {
			break
		}
		out = append(out, n)
	}
	for len(out) > 0 && out[len(out)-1] == 0 { // 8.0.0.0 is 8
		out = out[:len(out)-1]
	}
	return out
}

// Product is what About says for an API version: releases are named by
// their first three numbers.
func Product(api string) string {
	parts := strings.Split(api, ".")
	for len(parts) < 3 {
		parts = append(parts, "0")
	}
	return strings.Join(parts[:3], ".")
}

// OfRequest is the API version that a call is made in: the one that the
// client names in SOAPAction, unless the server is older or does not know it.
func OfRequest(action, server string) string {
	_, v, ok := strings.Cut(strings.Trim(action, `"`), "/")
	if !ok || !slices.Contains(apiVersions, v) || Less(server, v) {
		return server
	}
	return v
}

// GuestCustomizationSince is the API version that introduced customization of running
// guests; CustomizationInfoSince the one that tells of it in guest.customizationInfo.
const (
	GuestCustomizationSince = "6.8.7"
	CustomizationInfoSince  = "7.0.2.0"
)

// PullSince is the API version that lets hosts fetch files by themselves.
const PullSince = "6.7"

// CertificatesSince is the API version that pins servers by their certificates, and refuses
// SHA-1 thumbprints.
const CertificatesSince = "9.0.0.0"

// PerVMEVCSince is the API version in which a VM can have an EVC mode of its own.
const PerVMEVCSince = "6.7"

// GraphicsEVCSince is the API version in which a cluster can have an EVC graphics mode.
const GraphicsEVCSince = "7.0.1.0"

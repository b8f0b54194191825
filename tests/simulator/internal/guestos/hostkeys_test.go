// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guestos

import (
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

// Clients take host keys apart, so each has the fields of its type and nothing behind
// them (RFC 4253 section 6.6, RFC 5656, RFC 8709).
func TestAPublicHostKeyHasTheFieldsOfItsType(t *testing.T) {
	s, _ := boot(t)
	for kind, want := range map[string][]int{
		"ed25519": {len("ssh-ed25519"), 32},
		"rsa":     {len("ssh-rsa"), 3, 257},
		"ecdsa":   {len("ecdsa-sha2-nistp256"), len("nistp256"), 65},
	} {
		text, err := s.Read(root, hostKeyPath(kind)+".pub")
		if err != nil {
			t.Fatal(err)
		}
		words := strings.Fields(string(text))
		blob, err := base64.StdEncoding.DecodeString(words[1])
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		var got []int
		first := ""
		for len(blob) >= 4 {
			n := int(binary.BigEndian.Uint32(blob))
			if n > len(blob)-4 {
				t.Fatalf("%s: a field of %d bytes, and %d are left", kind, n, len(blob)-4)
			}
			if first == "" {
				first = string(blob[4 : 4+n])
			}
			got, blob = append(got, n), blob[4+n:]
		}
		if len(blob) != 0 || first != words[0] || !slices.Equal(got, want) {
			t.Errorf("%s: fields of %v bytes, want %v; type %q in a line of %q; %d bytes behind", kind, got, want, first, words[0], len(blob))
		}
	}
}

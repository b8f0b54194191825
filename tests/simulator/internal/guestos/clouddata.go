// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guestos

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"strings"
)

// cloudParts takes a MIME message apart; anything else is one part.
func cloudParts(text string) []string {
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		return []string{text}
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || !strings.HasPrefix(kind, "multipart/") {
		return []string{text}
	}
	var out []string
	r := multipart.NewReader(m.Body, params["boundary"])
	for {
		part, err := r.NextRawPart()
		if err != nil {
			return out
		}
		body, err := io.ReadAll(part)
		if err == nil && strings.EqualFold(part.Header.Get("Content-Transfer-Encoding"), "base64") {
			body, err = base64.StdEncoding.DecodeString(string(bytes.ReplaceAll(body, []byte("\n"), nil)))
		}
		if err == nil {
			out = append(out, string(body))
		}
	}
}

// DecodeGuestinfo unpacks a value of guestinfo and its encoding as they stand in the
// VM's configuration: cloud-init takes trailing space for none, of both.
func DecodeGuestinfo(value, encoding string) ([]byte, error) {
	return decode(trimmed(value), trimmed(encoding))
}

func trimmed(text string) string {
	return strings.TrimRight(text, " \t\r\n")
}

// decode unpacks a guestinfo value: plain, base64, or gzip and base64; the names of
// encodings are compared letter by letter.
func decode(value, encoding string) ([]byte, error) {
	packed := encoding == "gzip+base64" || encoding == "gz+b64"
	if !packed && encoding != "base64" && encoding != "b64" {
		return []byte(value), nil
	}
	raw, err := base64.StdEncoding.DecodeString(value)
	if err != nil || !packed {
		return raw, err
	}
	r, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, maxMetadata))
}

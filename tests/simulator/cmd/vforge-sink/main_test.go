// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"testing"
)

func TestTakesWhatItIsSentUntilStandardInputEnds(t *testing.T) {
	stdin, keep := io.Pipe()
	stdout, says := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- run(stdin, says) }()
	var port int
	var pin string
	if _, err := fmt.Fscanln(stdout, &port, &pin); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	body := bytes.Repeat([]byte("x"), 3*pieceSize+1)
	request, err := http.NewRequest(http.MethodPut, fmt.Sprintf("https://127.0.0.1:%d/disk", port), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil || string(text) != fmt.Sprintln(len(body)) {
		t.Errorf("it took %q of %d bytes, %v", text, len(body), err)
	}
	if sum := sha256.Sum256(answer.TLS.PeerCertificates[0].Raw); hex.EncodeToString(sum[:]) != pin {
		t.Errorf("it says %s of a certificate with %x", pin, sum)
	}
	_ = keep.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

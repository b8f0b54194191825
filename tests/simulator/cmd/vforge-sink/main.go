// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Command vforge-sink is the far end of a measured upload: an HTTPS server that
// reads what it is sent and throws it away, so that it is never the limit.
//
// It says "PORT SHA256" on standard output when it listens, on loopback alone,
// and ends with its standard input.
package main

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	"vforge.vsphere/simulator/internal/certs"
	"vforge.vsphere/simulator/internal/settings"
)

// Bytes that are read at once. Smaller ones cost system calls.
const pieceSize = 256 << 10

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		log.Fatalf("vforge-sink: %v", err)
	}
}

// run serves until stdin ends.
func run(stdin io.Reader, stdout io.Writer) error {
	identity, err := certs.New(settings.CertSelfSigned)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: http.HandlerFunc(discard),
		// HTTP/1.1 alone, as ESXi hosts speak it.
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{identity.Leaf}, NextProtos: []string{"http/1.1"}},
		ErrorLog:  log.New(io.Discard, "", 0), // clients that break off are no news
	}
	pin := sha256.Sum256(identity.Leaf.Certificate[0])
	if _, err := fmt.Fprintln(stdout, listener.Addr().(*net.TCPAddr).Port, hex.EncodeToString(pin[:])); err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, stdin)
		_ = server.Close()
	}()
	if err := server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// discard reads a body to its end and answers with its size.
func discard(w http.ResponseWriter, r *http.Request) {
	piece, size := make([]byte, pieceSize), 0
	for {
		n, err := r.Body.Read(piece)
		size += n
		if errors.Is(err, io.EOF) {
			fmt.Fprintln(w, size)
			return
		}
		if err != nil {
			return // the client broke off
		}
	}
}

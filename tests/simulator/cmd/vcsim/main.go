// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Command vcsim is govmomi's own simulator as it comes, without a line of this one: a second
// server for the modules, which were made beside the first.
//
// It writes its port, its certificate and that one's SHA-256 as JSON on standard output when it
// listens, on loopback alone, and ends with its standard input. It takes any user and password.
package main

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"flag"
	"io"
	"log"
	"os"

	"github.com/vmware/govmomi/simulator"

	// What the command of govmomi's own release serves besides.
	_ "github.com/vmware/govmomi/cns/simulator"
	_ "github.com/vmware/govmomi/lookup/simulator"
	_ "github.com/vmware/govmomi/pbm/simulator"
	_ "github.com/vmware/govmomi/ssoadmin/simulator"
	_ "github.com/vmware/govmomi/sts/simulator"
	_ "github.com/vmware/govmomi/vapi/simulator"
	_ "github.com/vmware/govmomi/vslm/simulator"
)

func main() {
	machines := flag.Int("vm", 2, "VMs in each resource pool")
	version := flag.String("api-version", "", "the API version that it names, in place of its own")
	flag.Parse()
	if err := run(*machines, *version, os.Stdin, os.Stdout); err != nil {
		log.Fatalf("vcsim: %v", err)
	}
}

// run serves until stdin ends.
func run(machines int, version string, stdin io.Reader, stdout io.Writer) error {
	model := simulator.VPX()
	model.Machine = machines
	if version != "" {
		model.ServiceContent.About.ApiVersion = version
	}
	defer model.Remove()
	if err := model.Create(); err != nil {
		return err
	}
	model.Service.TLS = new(tls.Config)
	model.Service.RegisterEndpoints = true
	server := model.Service.NewServer()
	defer server.Close()
	certificate := server.Certificate().Raw
	pin := sha256.Sum256(certificate)
	ready := map[string]string{
		"port":        server.URL.Port(),
		"thumbprint":  hex.EncodeToString(pin[:]),
		"certificate": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})),
	}
	if err := json.NewEncoder(stdout).Encode(ready); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, stdin)
	return err
}

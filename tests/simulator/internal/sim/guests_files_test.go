// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/certs"
	"vforge.vsphere/simulator/internal/settings"
)

// transfer makes one HTTPS request that trusts only the certificate in pem.
func (b *bench) transfer(method, address string, body []byte, trusted []byte) (int, []byte, error) {
	b.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(trusted)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(b.ctx, method, address, bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	return res.StatusCode, data, err
}

// hostCert is the certificate of a VM's host, as the API shows it.
func (b *bench) hostCert(vm types.ManagedObjectReference) (certificate []byte, thumbprint string) {
	b.Helper()
	var host mo.HostSystem
	ref := *b.read(vm).Runtime.Host
	if err := property.DefaultCollector(b.client).RetrieveOne(b.ctx, ref, []string{"config.certificate", "summary.config.sslThumbprint"}, &host); err != nil {
		b.Fatal(err)
	}
	return host.Config.Certificate, host.Summary.Config.SslThumbprint
}

func TestFilesOfAGuest(t *testing.T) {
	b := start(t)
	in := b.inside(b.parent().Reference())
	b.patch("golden-parent", map[string]any{"guest": map[string]any{
		"users": map[string]string{"ann": "secret"}, "files": map[string]string{"/data/a": "1", "/data/b": "22", "/data/c/d": "3"},
	}})
	ann := login("ann", "secret")
	attr := &types.GuestFileAttributes{}
	for name, c := range map[string]struct {
		do   func() error
		want types.BaseMethodFault
	}{
		"make":                 {func() error { return in.fm.MakeDirectory(b.ctx, in.auth, "/tmp/new", false) }, nil},
		"make again":           {func() error { return in.fm.MakeDirectory(b.ctx, in.auth, "/data", false) }, &types.FileAlreadyExists{}},
		"make without parent":  {func() error { return in.fm.MakeDirectory(b.ctx, in.auth, "/no/dir", false) }, &types.FileNotFound{}},
		"make with parents":    {func() error { return in.fm.MakeDirectory(b.ctx, in.auth, "/no1/dir", true) }, nil},
		"make in another's":    {func() error { return in.fm.MakeDirectory(b.ctx, ann, "/etc/x", false) }, &types.GuestPermissionDenied{}},
		"make in one's home":   {func() error { return in.fm.MakeDirectory(b.ctx, ann, "/home/ann/x", false) }, nil},
		"relative path":        {func() error { return in.fm.MakeDirectory(b.ctx, in.auth, "x", false) }, &types.InvalidArgument{}},
		"delete missing":       {func() error { return in.fm.DeleteFile(b.ctx, in.auth, "/none") }, &types.FileNotFound{}},
		"delete a directory":   {func() error { return in.fm.DeleteFile(b.ctx, in.auth, "/data") }, &types.NotAFile{}},
		"delete another's":     {func() error { return in.fm.DeleteFile(b.ctx, ann, "/data/a") }, &types.GuestPermissionDenied{}},
		"remove a file":        {func() error { return in.fm.DeleteDirectory(b.ctx, in.auth, "/data/a", false) }, &types.NotADirectory{}},
		"remove a full one":    {func() error { return in.fm.DeleteDirectory(b.ctx, in.auth, "/data", false) }, &types.DirectoryNotEmpty{}},
		"move over":            {func() error { return in.fm.MoveFile(b.ctx, in.auth, "/data/a", "/data/b", false) }, &types.FileAlreadyExists{}},
		"move a directory":     {func() error { return in.fm.MoveFile(b.ctx, in.auth, "/data/c", "/data/e", false) }, &types.NotAFile{}},
		"move missing":         {func() error { return in.fm.MoveFile(b.ctx, in.auth, "/none", "/data/e", false) }, &types.FileNotFound{}},
		"temporary nowhere":    {func() error { _, err := in.fm.CreateTemporaryFile(b.ctx, in.auth, "a", "b", "/none"); return err }, &types.FileNotFound{}},
		"list missing":         {func() error { _, err := in.fm.ListFiles(b.ctx, in.auth, "/none", 0, 0, ""); return err }, &types.FileNotFound{}},
		"list with bad regexp": {func() error { _, err := in.fm.ListFiles(b.ctx, in.auth, "/data", 0, 0, "("); return err }, &types.InvalidArgument{}},
		"fetch missing":        {func() error { _, err := in.fm.InitiateFileTransferFromGuest(b.ctx, in.auth, "/none"); return err }, &types.FileNotFound{}},
		"fetch a directory":    {func() error { _, err := in.fm.InitiateFileTransferFromGuest(b.ctx, in.auth, "/data"); return err }, &types.NotAFile{}},
		"fetch a secret": {func() error {
			_, err := in.fm.InitiateFileTransferFromGuest(b.ctx, ann, "/etc/ssh/ssh_host_rsa_key")
			return err
		}, &types.GuestPermissionDenied{}},
		"send over": {func() error {
			_, err := in.fm.InitiateFileTransferToGuest(b.ctx, in.auth, "/data/a", attr, 1, false)
			return err
		}, &types.FileAlreadyExists{}},
		"send nowhere": {func() error {
			_, err := in.fm.InitiateFileTransferToGuest(b.ctx, in.auth, "/none/a", attr, 1, true)
			return err
		}, &types.FileNotFound{}},
		"send to a directory": {func() error {
			_, err := in.fm.InitiateFileTransferToGuest(b.ctx, in.auth, "/data", attr, 1, true)
			return err
		}, &types.NotAFile{}},
		"send less than none": {func() error {
			_, err := in.fm.InitiateFileTransferToGuest(b.ctx, in.auth, "/data/x", attr, -1, true)
			return err
		}, &types.InvalidArgument{}},
		"send to another's": {func() error {
			_, err := in.fm.InitiateFileTransferToGuest(b.ctx, ann, "/etc/x", attr, 1, true)
			return err
		}, &types.GuestPermissionDenied{}},
	} {
		t.Run(name, func(t *testing.T) {
			b.T = t
			err := c.do()
			if c.want == nil {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			b.wantFault(b.callFault(err), c.want)
		})
	}
	b.T = t
	list, err := in.fm.ListFiles(b.ctx, in.auth, "/data", 1, 1, "[a-z]")
	if err != nil || len(list.Files) != 1 || list.Files[0].Path != "b" || list.Files[0].Size != 2 || list.Remaining != 1 {
		t.Errorf("the second of three files reads as %+v, %v", list, err)
	}
	if err := in.fm.MoveFile(b.ctx, in.auth, "/data/a", "/data/b", true); err != nil || b.guestFile("golden-parent", "/data/b") != "1" {
		t.Errorf("the file was not moved over the other: %v", err)
	}
	if err := in.fm.DeleteDirectory(b.ctx, in.auth, "/data", true); err != nil {
		t.Error(err)
	}
}

func TestTransfers(t *testing.T) {
	b := start(t)
	vm := b.parent().Reference()
	in := b.inside(vm)
	cert, thumb := b.hostCert(vm)
	block, _ := pem.Decode(cert)
	if certs.SHA1Thumbprint(block.Bytes) != thumb {
		t.Error("certificate and thumbprint of the host are not the same")
	}
	ca, err := os.ReadFile(b.sim.Cfg.StateDir + "/ca.pem")
	if err != nil {
		t.Fatal(err)
	}
	send := func(data string) string {
		t.Helper()
		address, err := in.fm.InitiateFileTransferToGuest(b.ctx, in.auth, "/root/f", &types.GuestPosixFileAttributes{Permissions: 0o700}, int64(len(data)), true)
		if err != nil {
			t.Fatal(err)
		}
		return address
	}
	put := send("hello")
	if u, err := url.Parse(put); err != nil || u.Path != "/guestFile" || u.Host == b.sim.URL().Host {
		t.Errorf("the file goes to %s, not to the host", put)
	}
	if _, _, err := b.transfer("PUT", put, []byte("hello"), ca); err == nil {
		t.Error("the host's certificate is by vCenter's authority")
	}
	for _, c := range []struct {
		name, method, address, body string
		want                        int
	}{
		{"another token", "PUT", put + "0", "hello", http.StatusForbidden},
		{"first", "PUT", put, "hello", http.StatusOK},
		{"again", "PUT", put, "hello", http.StatusForbidden},
		{"another size", "PUT", send("hello"), "hell", http.StatusInternalServerError},
		{"another method", "GET", send("hello"), "", http.StatusMethodNotAllowed},
		{"no number", "PUT", strings.Replace(put, "id=", "id=x", 1), "hello", http.StatusBadRequest},
	} {
		if status, _, err := b.transfer(c.method, c.address, []byte(c.body), cert); err != nil || status != c.want {
			t.Errorf("%s: status %d, %v; want %d", c.name, status, err, c.want)
		}
	}
	info, err := in.fm.InitiateFileTransferFromGuest(b.ctx, in.auth, "/root/f")
	if err != nil {
		t.Fatal(err)
	}
	if a := info.Attributes.(*types.GuestPosixFileAttributes); info.Size != 5 || a.Permissions != 0o700 || *a.OwnerId != 0 {
		t.Errorf("the file reads as %+v", info)
	}
	if status, data, err := b.transfer("GET", info.Url, nil, cert); err != nil || status != http.StatusOK || string(data) != "hello" {
		t.Errorf("status %d, %q, %v", status, data, err)
	}
	late := send("late")
	b.reset("golden-parent")
	if status, _, err := b.transfer("PUT", late, []byte("late"), cert); err != nil || status != http.StatusInternalServerError {
		t.Errorf("after a reset: status %d, %v", status, err)
	}
	b.patch("golden-parent", map[string]any{"guest": map[string]any{"transfer": "vcenter"}})
	address := send("by vCenter")
	if !strings.HasPrefix(address, "https://*/guestFile?") {
		t.Fatalf("the file goes to %s", address)
	}
	address = strings.Replace(address, "*", b.sim.URL().Host, 1)
	if status, _, err := b.transfer("PUT", address, []byte("by vCenter"), ca); err != nil || status != http.StatusOK {
		t.Errorf("through vCenter: status %d, %v", status, err)
	}
}

// reset resets a VM and waits for its Tools.
func (b *bench) reset(name string) {
	b.Helper()
	vm := object.NewVirtualMachine(b.client, b.find("/DC0/vm/"+name))
	task, err := vm.Reset(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	b.result(task)
	b.until(vm.Reference(), func(vm mo.VirtualMachine) bool { return len(vm.Guest.Net) > 0 })
}

func TestEachHostHasACertificateOfItsOwn(t *testing.T) {
	b := start(t, func(c *settings.Config) { c.Hosts = 3 })
	seen := make(map[string]bool)
	hosts := b.sim.Reg.All("HostSystem")
	for _, e := range hosts {
		var host mo.HostSystem
		if err := property.DefaultCollector(b.client).RetrieveOne(b.ctx, e.Reference(), []string{"summary.config.sslThumbprint"}, &host); err != nil {
			t.Fatal(err)
		}
		seen[host.Summary.Config.SslThumbprint] = true
	}
	if len(hosts) != 6 || len(seen) != len(hosts) {
		t.Errorf("%d hosts have %d certificates", len(hosts), len(seen))
	}
}

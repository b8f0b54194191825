// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/certs"
	"vforge.vsphere/simulator/internal/settings"
	"vforge.vsphere/simulator/internal/vmdkfile"
)

// A lease ends an upload that is still running, however slow, and removes what has come in.
func TestAnAbortEndsUploads(t *testing.T) {
	b := start(t)
	b.control("POST", "/uploads", map[string]any{"rate": 1000, "times": 0}, nil)
	im := b.imported("appliance")
	l := im.ready()
	ended := make(chan error, 1)
	go func() {
		_, err := im.put(l, 0, bytes.NewReader(content(2<<20, 1)))
		ended <- err
	}()
	for {
		var uploads struct{ Bytes int }
		if b.control("GET", "/uploads", nil, &uploads); uploads.Bytes > 0 {
			break
		}
	}
	if err := im.abort(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("the upload went well")
	}
	b.nothingOf("appliance")
}

func TestADroppedUploadIsDoneAgain(t *testing.T) {
	b := start(t)
	b.control("POST", "/uploads", map[string]any{"drop_after": 50_000, "file": "disk-0.vmdk"}, nil)
	im := b.imported("appliance")
	l := im.ready()
	if _, err := im.put(l, 0, bytes.NewReader(content(2<<20, 1))); err == nil {
		t.Error("the connection was to be dropped")
	}
	im.mustPut(l, 1, content(3_000, 2))
	b.wantFault(b.callFault(im.complete()), &types.InvalidState{})
	want, file := packedDisk(3, vmdkfile.QEMU)
	im.mustPut(l, 0, file)
	if err := im.complete(); err != nil {
		t.Fatal(err)
	}
	b.hasDisk("appliance/appliance-flat.vmdk", want)
	b.noOrphans()
}

// Sending what the descriptor says of a file's size, and not the size that the file has,
// cuts disks short; nothing but the size tells.
func TestAShortContentLengthTruncates(t *testing.T) {
	b := start(t)
	im := b.imported("appliance")
	l := im.ready()
	raw, file := packedDisk(1, vmdkfile.QEMU)
	short := int64(len(file) - 700) // in the last grain, of which there is one in the last but one place
	res, err := im.put(l, 0, io.LimitReader(bytes.NewReader(file), short), func(r *http.Request) { r.ContentLength = short })
	if err != nil || res.StatusCode != http.StatusCreated {
		t.Fatalf("%v, %v", res, err)
	}
	im.mustPut(l, 1, content(2000, 1))
	if err := im.complete(); err != nil {
		t.Fatal(err)
	}
	clear(raw[15<<16:])
	b.hasDisk("appliance/appliance-flat.vmdk", raw)
}

func TestUploadsThatAreRefused(t *testing.T) {
	b := start(t)
	b.control("POST", "/uploads", map[string]any{"status": 503, "file": "disk-1.vmdk"}, nil)
	im := b.imported("appliance")
	l := im.ready()
	for name, c := range map[string]struct {
		i      int
		change func(*http.Request)
		want   int
	}{
		"PUT for a disk that is there": {0, func(r *http.Request) { r.Method = http.MethodPut }, http.StatusMethodNotAllowed},
		"GET":                          {0, func(r *http.Request) { r.Method = http.MethodGet }, http.StatusMethodNotAllowed},
		"another disk":                 {0, func(r *http.Request) { r.URL.Path += "x" }, http.StatusNotFound},
		"another lease":                {0, func(r *http.Request) { r.URL.Path = "/nfc/0123/disk-0.vmdk" }, http.StatusNotFound},
		"a test's wish":                {1, func(*http.Request) {}, http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			res, err := im.put(l, c.i, nil, c.change)
			if err != nil || res.StatusCode != c.want {
				t.Errorf("%v, %v; want %d", res, err, c.want)
			}
		})
	}
	// The host's certificate is its own: whoever trusts the vCenter's CA does not trust it.
	url := l.Info.DeviceUrl[0].Url
	if _, err := (&http.Client{}).Post(url, "", nil); err == nil {
		t.Error("the host has a certificate that others trust")
	}
}

func TestPull(t *testing.T) {
	b := start(t)
	raw, disk := packedDisk(5, vmdkfile.Stream)
	serve := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/a.vmdk" || r.Header.Get("X-Token") != "yes" {
			http.NotFound(w, r)
			return
		}
		if _, err := w.Write(disk); err != nil {
			t.Error(err)
		}
	})
	plain, secure := httptest.NewServer(serve), httptest.NewUnstartedServer(serve)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // that it is refused is the point
	secure.StartTLS()
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	thumb := certs.SHA1Thumbprint(secure.Certificate().Raw)
	im := b.imported("appliance")
	l := im.ready()
	pull := func(i int, url, thumb string) (*object.Task, error) {
		res, err := methods.HttpNfcLeasePullFromUrls_Task(b.ctx, b.client, &types.HttpNfcLeasePullFromUrls_Task{
			This: im.lease, Files: []types.HttpNfcLeaseSourceFile{{
				TargetDeviceId: im.items[i].DeviceId, Url: url, SslThumbprint: thumb, HttpHeaders: []types.KeyValue{{Key: "X-Token", Value: "yes"}},
			}},
		})
		if err != nil {
			return nil, err
		}
		return object.NewTask(b.client, res.Returnval), nil
	}
	for name, c := range map[string]struct {
		url, thumb string
		want       types.BaseMethodFault
	}{
		"not there":        {plain.URL + "/b.vmdk", "", &types.HttpFault{}},
		"other server":     {secure.URL + "/a.vmdk", strings.Repeat("00:", 19) + "00", &types.SSLVerifyFault{}},
		"unknown server":   {secure.URL + "/a.vmdk", "", &types.HttpFault{}},
		"no URL of theirs": {"ftp://localhost/a.vmdk", "", &types.InvalidArgument{}},
	} {
		t.Run(name, func(t *testing.T) {
			task, err := pull(0, c.url, c.thumb)
			if err != nil {
				t.Fatal(err)
			}
			b.wantFault(b.taskFault(task), c.want)
		})
	}
	for i, url := range []string{plain.URL + "/a.vmdk", secure.URL + "/a.vmdk"} {
		task, err := pull(i, url, thumb)
		if err != nil {
			t.Fatal(err)
		}
		b.result(task)
	}
	if err := im.complete(); err != nil {
		t.Fatal(err)
	}
	b.hasDisk("appliance/appliance_1-flat.vmdk", raw)
	if l.Info == nil {
		t.Error("no info")
	}
}

// From 9.0 on the server of a source is known by its certificate, and a SHA-1 thumbprint is refused.
func TestPullsFromAServerThatIsKnownByItsCertificate(t *testing.T) {
	_, disk := packedDisk(5, vmdkfile.Stream)
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, err := w.Write(disk); err != nil {
			t.Error(err)
		}
	}))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // that it is refused is the point
	secure.StartTLS()
	t.Cleanup(secure.Close)
	other, err := certs.New(settings.CertSelfSigned)
	if err != nil {
		t.Fatal(err)
	}
	own, others := inPEM(secure.Certificate().Raw), inPEM(other.Leaf.Certificate[0])
	thumb := certs.SHA1Thumbprint(secure.Certificate().Raw)
	for name, c := range map[string]struct {
		version, certificate, thumb, property string
		want                                  types.BaseMethodFault
	}{
		"certificate":        {"9.0.0.0", own, "", "", nil},
		"other server":       {"9.0.0.0", others, "", "", &types.SSLVerifyFault{}},
		"no certificate":     {"9.0.0.0", thumb, "", "files.sslCertificate", nil},
		"both":               {"9.0.0.0", own, thumb, "files.sslCertificate", nil},
		"SHA-1":              {"9.0.0.0", "", thumb, "files.sslThumbprint", nil},
		"SHA-1 before":       {"8.0.3.1", "", thumb, "", nil},
		"certificate before": {"8.0.3.1", own, "", "files.sslCertificate", nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, func(cfg *settings.Config) { cfg.APIVersion = c.version })
			im := b.imported("appliance")
			im.ready()
			res, err := methods.HttpNfcLeasePullFromUrls_Task(b.ctx, b.client, &types.HttpNfcLeasePullFromUrls_Task{
				This: im.lease, Files: []types.HttpNfcLeaseSourceFile{{
					TargetDeviceId: im.items[0].DeviceId, Url: secure.URL, SslThumbprint: c.thumb, SslCertificate: c.certificate,
				}},
			})
			if c.property != "" {
				fault, _ := b.callFault(err).(types.InvalidArgument)
				if fault.InvalidProperty != c.property {
					t.Errorf("the fault is about %q, want %s", fault.InvalidProperty, c.property)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			task := object.NewTask(b.client, res.Returnval)
			if c.want != nil {
				b.wantFault(b.taskFault(task), c.want)
				return
			}
			b.result(task)
		})
	}
}

func inPEM(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestUploadsThroughTheServerThatWasAsked(t *testing.T) {
	b := start(t, func(c *settings.Config) { c.DiscardUploads = true })
	b.control("POST", "/leases", map[string]any{"relayed": true}, nil)
	im := b.imported("appliance")
	l := im.ready()
	for i := range l.Info.DeviceUrl {
		url := &l.Info.DeviceUrl[i]
		if !strings.HasPrefix(url.Url, "https://*/nfc/") {
			t.Fatalf("URL %s", url.Url)
		}
		url.Url = strings.Replace(url.Url, "*", b.sim.SDKAddress.String(), 1)
		im.mustPut(l, i, content(5_000_000, 1))
	}
	if err := im.complete(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(b.local("appliance/appliance-flat.vmdk")); err != nil || info.Size() != 5_000_000 {
		t.Errorf("%v, %v", info, err)
	}
}

// Connections to a host show the host's own certificate, and each host has another.
func TestHostsHaveCertificatesOfTheirOwn(t *testing.T) {
	b := start(t)
	l := b.imported("appliance").ready()
	address := strings.Split(strings.TrimPrefix(l.Info.DeviceUrl[0].Url, "https://"), "/")[0]
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := certs.SHA1Thumbprint(conn.ConnectionState().PeerCertificates[0].Raw); got != l.Info.DeviceUrl[0].SslThumbprint {
		t.Errorf("%s, announced was %s", got, l.Info.DeviceUrl[0].SslThumbprint)
	}
	if errors.Is(b.ctx.Err(), context.DeadlineExceeded) {
		t.Error("too late")
	}
}

func TestFailuresOfImportsThatATestAsksFor(t *testing.T) {
	b := start(t)
	b.control("POST", "/inject", map[string]any{"method": "ImportVApp", "name": "appliance", "do": "task-fault", "fault": "FileFault"}, nil)
	l := b.imported("appliance").state(types.HttpNfcLeaseStateInitializing)
	if l.State != types.HttpNfcLeaseStateError {
		t.Fatalf("lease %+v", l)
	}
	b.wantFault(l.Error.Fault, &types.FileFault{})
	b.nothingOf("appliance")
	im := b.imported("appliance")
	im.ready()
	b.control("POST", "/leases", map[string]any{"fail": "HostNotReachable"}, nil)
	if l := im.state(types.HttpNfcLeaseStateReady); l.Error == nil {
		t.Errorf("lease %+v", l)
	}
	b.nothingOf("appliance")
	later := b.imported("appliance")
	later.ready()
	b.control("POST", "/leases", map[string]any{"fail": "Timedout", "after_ms": 1}, nil)
	b.wantFault(later.state(types.HttpNfcLeaseStateReady).Error.Fault, &types.Timedout{})
	b.nothingOf("appliance")
	if status := b.control("POST", "/leases", map[string]any{"fail": "Nonsense"}, nil); status != http.StatusBadRequest {
		t.Errorf("a fault that is none: %d", status)
	}
	for _, body := range []map[string]any{{}, {"rate": -1}, {"status": 200}, {"drop_after": 1, "file": "["}} {
		if status := b.control("POST", "/uploads", body, nil); status != http.StatusBadRequest {
			t.Errorf("%v is taken: %d", body, status)
		}
	}
}

// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package leases

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/apiversion"
	"vforge.vsphere/simulator/internal/certs"
	"vforge.vsphere/simulator/internal/datastores"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/vmdkfile"
)

// pullError is what goes wrong with a pull, as the API says it.
type pullError struct{ fault types.BaseMethodFault }

func (e *pullError) Error() string { return faults.Text(e.fault) }

// HttpNfcLeasePullFromUrlsTask has the host fetch the files of a lease from web servers.
func (sh *leaseShim) HttpNfcLeasePullFromUrlsTask(ctx *simulator.Context, req *types.HttpNfcLeasePullFromUrls_Task) soap.HasFault {
	l, fault := sh.open(ctx, req.This)
	if fault == nil && len(req.Files) == 0 {
		fault = faults.Invalid("files")
	}
	for i := range req.Files {
		if fault == nil {
			fault = sh.pinned(&req.Files[i])
		}
	}
	if fault != nil {
		return &methods.HttpNfcLeasePullFromUrls_TaskBody{Fault_: faults.SOAP(fault)}
	}
	task := sh.S.Tasks.Run(ctx, l.vm, "pullFromUrls", func(*simulator.Context) (types.AnyType, types.BaseMethodFault) {
		for i := range req.Files {
			if err := l.pull(&req.Files[i]); err != nil {
				var known *pullError
				if errors.As(err, &known) {
					return nil, known.fault
				}
				var other *certs.Mismatch
				if errors.As(err, &other) {
					return nil, &types.SSLVerifyFault{Thumbprint: other.Thumbprint}
				}
				var refused *vmdkfile.DiskFormatError
				if errors.As(err, &refused) {
					go l.fail(refused.Fault())
					return nil, refused.Fault()
				}
				if errors.Is(err, datastores.ErrNoSpace) {
					fault := sh.S.Datastores.Full(l.fileOf(req.Files[i].TargetDeviceId).backing)
					go l.fail(fault)
					return nil, fault
				}
				return nil, &types.HttpFault{StatusMessage: err.Error()}
			}
		}
		return nil, nil
	})
	return &methods.HttpNfcLeasePullFromUrls_TaskBody{Res: &types.HttpNfcLeasePullFromUrls_TaskResponse{Returnval: task}}
}

// pinned is what is wrong with the certificate or the thumbprint by which the server of a file is known.
func (sh *leaseShim) pinned(src *types.HttpNfcLeaseSourceFile) types.BaseMethodFault {
	old := apiversion.Less(sh.S.Cfg.APIVersion, apiversion.CertificatesSince)
	if src.SslCertificate != "" {
		if _, ok := certs.PinnedCertificate(src.SslCertificate); old || !ok || src.SslThumbprint != "" {
			return faults.Invalid("files.sslCertificate")
		}
	}
	if !old && certs.IsSHA1(src.SslThumbprint) {
		return faults.Invalid("files.sslThumbprint")
	}
	return nil
}

// pull fetches one file. The lease does not time out meanwhile.
func (l *Lease) pull(src *types.HttpNfcLeaseSourceFile) error {
	method := http.MethodPost
	if src.Create {
		method = http.MethodPut
	}
	f, status := l.begin(l.nameOf(src.TargetDeviceId), method)
	if status != http.StatusOK {
		return &pullError{faults.Invalid("files.targetDeviceId")}
	}
	defer l.transfers.Done()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		tick := time.NewTicker(l.s.Cfg.LeaseTimeout / 4)
		defer tick.Stop()
		for {
			select {
			case <-l.gone:
				cancel()
				return
			case <-ctx.Done():
				return
			case <-tick.C:
				l.renew()
			}
		}
	}()
	up := l.s.Uploads.begin(l, f, &http.Request{Method: "PULL", ContentLength: src.Size})
	err := l.fetch(ctx, src, f, up)
	l.end(f, up, err)
	return err
}

// fileOf is the file for a device, by any of its names.
func (l *Lease) fileOf(device string) *File {
	name := l.nameOf(device)
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.files[name]
}

// nameOf is the name in URLs of the file for a device, by any of its names.
func (l *Lease) nameOf(device string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.order {
		if f.importKey == device || f.key == device {
			return f.name
		}
	}
	return ""
}

func (l *Lease) fetch(ctx context.Context, src *types.HttpNfcLeaseSourceFile, f *File, up *upload) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, src.Url, nil)
	if err != nil || req.URL.Scheme != "http" && req.URL.Scheme != "https" {
		return &pullError{faults.Invalid("files.url")}
	}
	for _, h := range src.HttpHeaders {
		req.Header.Set(h.Key, h.Value)
	}
	trusted, ok := certs.PinnedCertificate(src.SslCertificate)
	if !ok {
		trusted = certs.Pinned(src.SslThumbprint)
	}
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: trusted}
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return &pullError{&types.HttpFault{StatusCode: int32(res.StatusCode), StatusMessage: http.StatusText(res.StatusCode)}}
	}
	body, err := member(res.Body, src.MemberName)
	if err != nil {
		return err
	}
	return l.receive(f, up, body)
}

// member finds a file in an archive; without a name the whole body is the file.
func member(body io.Reader, name string) (io.Reader, error) {
	if name == "" {
		return body, nil
	}
	archive := tar.NewReader(body)
	for {
		h, err := archive.Next()
		if err != nil {
			return nil, fmt.Errorf("%s is not in the archive: %w", name, err)
		}
		if path.Clean(h.Name) == path.Clean(name) {
			return archive, nil
		}
	}
}

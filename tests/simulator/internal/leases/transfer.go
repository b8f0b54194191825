// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package leases

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"vforge.vsphere/simulator/internal/datastores"
	"vforge.vsphere/simulator/internal/inject"
	"vforge.vsphere/simulator/internal/vmdkfile"
)

// partSuffix marks a file that is still coming in.
const partSuffix = ".part"

// ServeNFC takes a file for a lease, or gives one away. The lease's token in the URL is all the
// authentication that there is.
func (s *Leases) ServeNFC(w http.ResponseWriter, r *http.Request) {
	token, name := path.Split(strings.TrimPrefix(path.Clean(r.URL.Path), "/nfc/"))
	l := s.table.find(strings.TrimSuffix(token, "/"))
	if l == nil {
		http.Error(w, "no such lease", http.StatusNotFound)
		return
	}
	f, status := l.begin(name, r.Method)
	if status != http.StatusOK {
		http.Error(w, http.StatusText(status), status)
		return
	}
	defer l.transfers.Done()
	if l.exporting {
		s.serveExport(w, r, l, f)
		return
	}
	up := s.Uploads.begin(l, f, r)
	if up.trouble.status != 0 {
		l.end(f, up, errors.New("refused"))
		http.Error(w, http.StatusText(up.trouble.status), up.trouble.status)
		return
	}
	ended := make(chan struct{})
	defer close(ended)
	go func() { // a lease that ends takes its transfers with it, also those that wait for data
		select {
		case <-l.gone:
			_ = http.NewResponseController(w).SetReadDeadline(time.Now()) // a connection that is gone already
		case <-ended:
		}
	}()
	err := l.receive(f, up, r.Body)
	l.end(f, up, err)
	var refused *vmdkfile.DiskFormatError
	if errors.As(err, &refused) {
		http.Error(w, refused.Error(), http.StatusInternalServerError)
		go l.fail(refused.Fault()) // which waits for this transfer to be over
		return
	}
	if errors.Is(err, datastores.ErrNoSpace) {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		go l.fail(l.s.Datastores.Full(f.backing))
		return
	}
	if err != nil {
		inject.HangUp(w)
		return
	}
	w.WriteHeader(http.StatusCreated)
}

// begin finds a file that is waited for, and says with which status it cannot be taken.
func (l *Lease) begin(name, method string) (*File, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.files[name]
	switch {
	case l.over, f == nil:
		return nil, http.StatusNotFound
	case l.exporting && method != http.MethodGet:
		return nil, http.StatusMethodNotAllowed
	case !l.exporting && method != http.MethodPut && method != http.MethodPost, !l.exporting && f.create != (method == http.MethodPut):
		return nil, http.StatusMethodNotAllowed
	case f.busy:
		return nil, http.StatusConflict
	}
	f.busy, f.done = true, false
	l.transfers.Add(1)
	return f, http.StatusOK
}

// receive stores what comes in, byte for byte. Memory does not grow with it.
func (l *Lease) receive(f *File, up *upload, body io.Reader) error {
	part := f.path + partSuffix
	if err := os.MkdirAll(filepath.Dir(part), 0o700); err != nil {
		return err
	}
	out, err := os.OpenFile(part, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	var to io.Writer = out
	if l.s.Cfg.DiscardUploads {
		to = io.Discard
	}
	sum, other := sha1.New(), sha256.New()
	n, err := io.CopyBuffer(io.MultiWriter(to, sum, other, up), datastores.OnlyReader{Reader: body}, make([]byte, 256<<10))
	if err == nil && l.s.Cfg.DiscardUploads {
		err = out.Truncate(n)
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	if err := l.keep(f, part); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	f.size, f.sha1, f.sha256 = n, hex.EncodeToString(sum.Sum(nil)), hex.EncodeToString(other.Sum(nil))
	return nil
}

// keep puts what came in where it belongs: the file of a disk is unpacked into the disk's layer.
func (l *Lease) keep(f *File, part string) error {
	switch {
	case !f.disk:
		return os.Rename(part, f.path)
	case l.s.Cfg.DiscardUploads:
		if err := os.Rename(part, f.path); err != nil {
			return err
		}
		return l.s.DiskLayers.Adopt(f.backing, f.capacity)
	}
	if err := vmdkfile.CheckDiskFormat(part, f.capacity); err != nil {
		return err
	}
	err := l.s.DiskLayers.Fill(f.backing, f.capacity, f.taken == 0, func(put func(p []byte, off int64) error) error {
		return vmdkfile.Unpack(part, l.s.Datastores.Within(f.backing, put))
	})
	if err != nil {
		return err
	}
	return os.Remove(part)
}

// end notes how a transfer ended.
func (l *Lease) end(f *File, up *upload, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f.busy, f.done = false, err == nil
	if err == nil {
		f.taken++
	}
	l.s.Uploads.end(up, err == nil)
	if err == nil || l.exporting {
		return
	}
	if err := os.Remove(f.path + partSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
		log.Printf("vforge-sim: %v", err)
	}
}

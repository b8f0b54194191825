// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package leases

import (
	"cmp"
	"errors"
	"net/http"
	"path"
	"slices"
	"sync"
	"time"

	"vforge.vsphere/simulator/internal/controlhttp"
)

// uploadTrouble is what a test has happen to uploads: a connection that is dropped after
// some bytes, a slow one, or one that is refused.
type uploadTrouble struct {
	File      string `json:"file"`       // a glob on the device's import key or file name; empty: any
	DropAfter int64  `json:"drop_after"` // bytes
	Rate      int64  `json:"rate"`       // bytes a second
	Status    int    `json:"status"`     // refuse with it
	Times     int    `json:"times"`      // how many uploads it strikes, one by default, 0 for ever
	struck    int
}

// upload is one transfer of a file to a lease.
type upload struct {
	VM      string `json:"vm"`
	File    string `json:"file"`
	Method  string `json:"method"`
	Length  int64  `json:"length"` // as announced; -1 when it was not
	Bytes   int64  `json:"bytes"`
	Done    bool   `json:"done"`
	Running bool   `json:"running"`

	table   *uploadTable
	lease   *Lease
	begun   time.Time
	trouble struct {
		drop, rate int64
		status     int
	}
}

// uploadTable counts uploads since the start or the last reset.
type uploadTable struct {
	mu       sync.Mutex
	list     []*upload
	troubles []*uploadTrouble
}

func (t *uploadTable) begin(l *Lease, f *File, r *http.Request) *upload {
	t.mu.Lock()
	defer t.mu.Unlock()
	up := &upload{
		VM: l.vm.Value, File: cmp.Or(f.importKey, f.key), Method: r.Method, Length: r.ContentLength, Running: true,
		table: t, lease: l, begun: time.Now(),
	}
	for _, x := range t.troubles {
		if x.Times > 0 && x.struck >= x.Times || x.File != "" && !x.means(f) {
			continue
		}
		x.struck++
		up.trouble.drop, up.trouble.rate, up.trouble.status = x.DropAfter, x.Rate, x.Status
		break
	}
	t.list = append(t.list, up)
	return up
}

func (x *uploadTrouble) means(f *File) bool {
	return slices.ContainsFunc([]string{f.name, path.Base(f.importKey)}, func(name string) bool {
		ok, err := path.Match(x.File, name)
		return err == nil && ok
	})
}

var errDropped = errors.New("the connection was to be dropped here")

// Write counts what comes in, and makes it slow or breaks it off as a test wants.
func (up *upload) Write(p []byte) (int, error) {
	up.table.mu.Lock()
	up.Bytes += int64(len(p))
	sum := up.Bytes
	up.table.mu.Unlock()
	up.lease.dataMoved()
	if up.trouble.drop > 0 && sum >= up.trouble.drop {
		return 0, errDropped
	}
	if up.trouble.rate > 0 {
		due := up.begun.Add(time.Duration(float64(sum) / float64(up.trouble.rate) * float64(time.Second)))
		select {
		case <-up.lease.gone:
			return 0, errDropped
		case <-time.After(time.Until(due)):
		}
	}
	return len(p), nil
}

func (t *uploadTable) end(up *upload, done bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	up.Running, up.Done = false, done
}

// view is what GET /uploads answers.
func (t *uploadTable) view() map[string]any {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]upload, 0, len(t.list))
	var sum int64
	done := 0
	for _, up := range t.list {
		copied := *up
		list = append(list, copied)
		sum += up.Bytes
		if up.Done {
			done++
		}
	}
	return map[string]any{"count": len(list), "done": done, "bytes": sum, "uploads": list}
}

// Reset counts from zero again. Uploads that run are not disturbed.
func (t *uploadTable) Reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = nil
}

// Calm ends all trouble for uploads to come.
func (t *uploadTable) Calm() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.troubles = nil
}

// GetUploads lists the uploads.
func (s *Leases) GetUploads(*http.Request) (any, error) { return s.Uploads.view(), nil }

// PostUploads makes trouble for the uploads to come.
func (s *Leases) PostUploads(r *http.Request) (any, error) {
	x := uploadTrouble{Times: 1}
	if err := controlhttp.Decode(r, &x); err != nil {
		return nil, err
	}
	if _, err := path.Match(x.File, ""); err != nil {
		return nil, controlhttp.BadRequest(err)
	}
	if x.DropAfter < 0 || x.Rate < 0 || x.Times < 0 || x.Status != 0 && (x.Status < 400 || x.Status > 599) {
		return nil, controlhttp.BadRequest(errors.New(`"drop_after", "rate" and "times" are not negative; "status" is that of an error`))
	}
	if x.DropAfter == 0 && x.Rate == 0 && x.Status == 0 {
		return nil, controlhttp.BadRequest(errors.New(`"drop_after", "rate" or "status" is needed`))
	}
	s.Uploads.mu.Lock()
	defer s.Uploads.mu.Unlock()
	s.Uploads.troubles = append(s.Uploads.troubles, &x)
	return controlhttp.Done, nil
}

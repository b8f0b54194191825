// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package inject

import (
	"errors"
	"io"
	"net/http"
	"time"

	"vforge.vsphere/simulator/internal/clock"
)

// pieceOfSlow is how often a slow transfer moves on.
const pieceOfSlow = 20 * time.Millisecond

// errCut is how a transfer ends that a rule breaks off.
var errCut = errors.New("the transfer was to be cut here")

// Transfer serves a request of which the rule cuts, stalls or slows the bytes, be it that they come in or go out.
func Transfer(w http.ResponseWriter, r *http.Request, rule *Rule, serve http.Handler) {
	m := &meter{rule: rule, r: r, w: w}
	r.Body = &meteredBody{r.Body, m}
	serve.ServeHTTP(&meteredWriter{w, m}, r)
	if r.Method == http.MethodGet && rule.Do == DoCut {
		m.cut() // a file that is shorter than that does not arrive whole either
	}
}

// meter counts the bytes of a transfer, and breaks it off.
type meter struct {
	rule  *Rule
	r     *http.Request
	w     http.ResponseWriter
	moved int64
	over  bool
}

// most is how many bytes may move at once.
func (m *meter) most(n int) int {
	if m.rule.Do == DoSlow {
		return min(n, max(1, int(m.rule.Rate*int64(pieceOfSlow)/int64(time.Second))))
	}
	return int(min(int64(n), m.rule.Bytes-m.moved))
}

// before is called before more bytes move.
func (m *meter) before() error {
	if m.over {
		return errCut
	}
	switch m.rule.Do {
	case DoSlow:
		clock.Sleep(m.r.Context(), pieceOfSlow)
		return m.r.Context().Err()
	case DoStall:
		if m.moved >= m.rule.Bytes {
			m.rule.Delay(m.r.Context())
			return m.cut()
		}
	case DoCut:
		if m.moved >= m.rule.Bytes {
			return m.cut()
		}
	}
	return nil
}

func (m *meter) cut() error {
	if !m.over {
		m.over = true
		HangUp(m.w)
	}
	return errCut
}

// meteredBody is what comes in.
type meteredBody struct {
	io.ReadCloser
	m *meter
}

func (b *meteredBody) Read(p []byte) (int, error) {
	if err := b.m.before(); err != nil {
		return 0, err
	}
	n, err := b.ReadCloser.Read(p[:b.m.most(len(p))])
	b.m.moved += int64(n)
	return n, err
}

// meteredWriter is what goes out: of an upload, an answer that nothing is done to.
type meteredWriter struct {
	http.ResponseWriter
	m *meter
}

// Unwrap is for http.ResponseController.
func (w *meteredWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *meteredWriter) WriteHeader(status int) {
	if !w.m.over {
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *meteredWriter) Write(p []byte) (int, error) {
	if w.m.r.Method != http.MethodGet && !w.m.over {
		return w.ResponseWriter.Write(p)
	}
	written := 0
	for written < len(p) {
		if err := w.m.before(); err != nil {
			return written, err
		}
		n, err := w.ResponseWriter.Write(p[written : written+w.m.most(len(p)-written)])
		written, w.m.moved = written+n, w.m.moved+int64(n)
		if err == nil {
			err = http.NewResponseController(w.ResponseWriter).Flush()
		}
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

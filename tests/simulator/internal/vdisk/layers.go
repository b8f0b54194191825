// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package vdisk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/dsfiles"
)

// FlatBacking is what every layer of a disk is described by: a base disk, or a delta
// with its Parent.
type FlatBacking = types.VirtualDiskFlatVer2BackingInfo

// SectorSize is the unit in which a guest writes.
const SectorSize = 512

// layer is one file of a disk's chain: sparse, each byte at its own offset. What was
// never written to it shows what is below it, and below a base disk there are zeros.
// The file appears with the first write.
type layer struct {
	mu         sync.RWMutex
	descriptor string // both are paths on this machine
	Extent     string
	written    dsfiles.Layer // what the descriptor says
	delta      bool
	adopted    bool // thin, and filled by an import
	capacity   int64
	data       Spans
}

// Layers knows the layers of all disks by the paths of their extents.
type Layers struct {
	reg    *simulator.Registry
	mu     sync.Mutex
	layers map[string]*layer
}

// NewLayers knows no layer yet; it finds their datastores in a registry.
func NewLayers(reg *simulator.Registry) *Layers { return &Layers{reg: reg} }

// Layer returns the layer of a backing, which need not have a file yet.
//
// It returns an error when the backing's datastore does not exist.
func (t *Layers) Layer(b *FlatBacking, capacity int64) (*layer, error) {
	name, file := dsfiles.Split(b.FileName)
	if b.Datastore == nil {
		return nil, fmt.Errorf("%s is on no known datastore", b.FileName)
	}
	ds, ok := t.reg.Get(*b.Datastore).(*simulator.Datastore)
	if !ok || ds.Name != name {
		return nil, fmt.Errorf("%s is not on datastore %s", b.FileName, b.Datastore.Value)
	}
	extent := dsfiles.Local(ds, dsfiles.Extent(file, b.Parent != nil))
	t.mu.Lock()
	defer t.mu.Unlock()
	l, ok := t.layers[extent]
	if !ok {
		if t.layers == nil {
			t.layers = make(map[string]*layer)
		}
		l = &layer{descriptor: dsfiles.Local(ds, file), Extent: extent, delta: b.Parent != nil, capacity: capacity, written: Described(b, capacity)}
		l.adopt() // somebody may have put a file there
		t.layers[extent] = l
	}
	return l, nil
}

// Described is what the descriptor of a backing says.
func Described(b *FlatBacking, capacity int64) dsfiles.Layer {
	l := dsfiles.Layer{Name: b.FileName, Capacity: capacity, UUID: b.Uuid, Thick: b.ThinProvisioned == nil || !*b.ThinProvisioned}
	if b.Parent != nil {
		l.Parent = b.Parent.FileName
	}
	return l
}

// Remove deletes files of this machine, and what is known of the layers in them.
// One that is gone already is no error.
func (t *Layers) Remove(files []string) error {
	t.mu.Lock()
	for _, f := range files {
		delete(t.layers, f)
	}
	t.mu.Unlock()
	var failed error
	for _, f := range files {
		if err := os.Remove(f); err != nil && !errors.Is(err, os.ErrNotExist) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// Move gives a base disk other files; both are descriptors on this machine.
//
// It returns an error when the files cannot be renamed.
func (t *Layers) Move(from, to string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	old, made := dsfiles.Extent(from, false), dsfiles.Extent(to, false)
	if err := errors.Join(os.Rename(old, made), os.Rename(from, to), dsfiles.Renamed(to)); err != nil {
		return err
	}
	if l := t.layers[old]; l != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.descriptor, l.Extent = to, made
		t.layers[made] = l
		delete(t.layers, old)
	}
	return nil
}

// Known is the layer whose extent is a file of this machine, or nil.
func (t *Layers) Known(extent string) *layer {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.layers[extent]
}

// Adopt takes a file that lies where a layer's extent belongs for the layer's
// content: all of it counts as written. Whoever has put a file there calls it.
//
// It returns an error when there is no such file.
func (t *Layers) Adopt(b *FlatBacking, capacity int64) error {
	l, err := t.Layer(b, capacity)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err = os.Stat(l.Extent)
	l.adopt()
	l.adopted = b.ThinProvisioned != nil && *b.ThinProvisioned
	return err
}

// Fill writes what from puts into the layer of a backing, in place of all that it has where
// fresh is set. Of a thin disk only what was put takes space.
//
// It returns the error of from, or that of the layer's file. Then the content is as far as it got.
func (t *Layers) Fill(b *FlatBacking, capacity int64, fresh bool, from func(put func(p []byte, off int64) error) error) error {
	l, err := t.Layer(b, capacity)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := l.open()
	if err != nil {
		return err
	}
	if fresh {
		err = errors.Join(f.Truncate(0), f.Truncate(capacity))
		l.data = nil
	}
	l.adopted = b.ThinProvisioned != nil && *b.ThinProvisioned
	if err == nil {
		err = from(func(p []byte, off int64) error {
			p = p[:max(0, min(int64(len(p)), capacity-off))]
			_, err := f.WriteAt(p, off)
			l.data.Add(Span{off, off + int64(len(p))})
			return err
		})
	}
	return errors.Join(err, f.Close())
}

// adopt counts all that the extent holds as written. The caller holds the layer's lock,
// or nobody else knows the layer yet.
func (l *layer) adopt() {
	l.data = nil
	if info, err := os.Stat(l.Extent); err == nil && !hollow(info) {
		l.data.Add(Span{0, min(info.Size(), l.capacity)})
	}
}

// hollow tells if nothing was ever written to a file that has a size.
func hollow(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Blocks == 0
}

// open opens the extent for writing and makes the files if there are none. The caller
// holds the layer's lock.
func (l *layer) open() (*os.File, error) {
	if _, err := os.Stat(l.Extent); errors.Is(err, os.ErrNotExist) {
		if err := dsfiles.MakeLayerFiles(l.descriptor, l.Extent, l.written); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(l.Extent, os.O_WRONLY, 0o600)
}

// MakeFiles makes the layer's files if there are none.
func (l *layer) MakeFiles() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := l.open()
	if err != nil {
		return err
	}
	return f.Close()
}

// Replaced counts all that the extent holds as written: somebody has put another file there.
func (l *layer) Replaced() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.adopt()
}

// Grow makes a base layer larger, its files too; what is new reads as zeros.
func (l *layer) Grow(capacity int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := l.open()
	if err != nil {
		return err
	}
	l.capacity, l.written.Capacity = capacity, capacity
	return errors.Join(f.Truncate(capacity), f.Close(), dsfiles.SetCapacity(l.descriptor, capacity))
}

// Write writes ranges, each with the bytes that fill makes for it.
func (l *layer) Write(ranges Spans, fill func(p []byte, off int64) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := l.open()
	if err != nil {
		return err
	}
	err = eachPiece(ranges, func(p []byte, off int64) error {
		if err := fill(p, off); err != nil {
			return err
		}
		_, err := f.WriteAt(p, off)
		return err
	})
	if err == nil {
		l.data = l.data.With(ranges)
	}
	return errors.Join(err, f.Close())
}

// Written is the set of bytes that were ever written to the layer.
func (l *layer) Written() Spans {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return append(Spans(nil), l.data...)
}

// Size is what the layer's extent occupies, as the API tells it.
func (l *layer) Size() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	switch {
	case l.delta:
		return dsfiles.DeltaSize + l.data.Bytes()
	case l.adopted:
		return l.data.Bytes() // a thin disk, of which only what was sent takes space
	}
	return l.capacity
}

// pieceSize bounds what is held in memory of a disk.
const pieceSize = 1 << 20

// eachPiece calls do for all bytes of ranges, a piece at a time.
func eachPiece(ranges Spans, do func(p []byte, off int64) error) error {
	var buf []byte
	for _, r := range ranges {
		if n := min(r.Length(), pieceSize); int64(len(buf)) < n {
			buf = make([]byte, n)
		}
		for at := r.Start; at < r.End; {
			p := buf[:min(r.End-at, pieceSize)]
			if err := do(p, at); err != nil {
				return err
			}
			at += int64(len(p))
		}
	}
	return nil
}

// Image is what a guest sees of a disk: the layers of a chain, top first.
type Image struct {
	Layers   []*layer
	Capacity int64
}

// Image is the disk that a backing and those below it make.
//
// It returns an error when the datastore of one of them does not exist.
func (t *Layers) Image(top *FlatBacking, capacity int64) (*Image, error) {
	d := &Image{Capacity: capacity}
	for b := top; b != nil; b = b.Parent {
		l, err := t.Layer(b, capacity)
		if err != nil {
			return nil, err
		}
		d.Layers = append(d.Layers, l)
	}
	return d, nil
}

// ReadAt implements io.ReaderAt. It reads zeros where no layer was written.
func (d *Image) ReadAt(p []byte, off int64) (int, error) {
	if off >= d.Capacity {
		return 0, io.EOF
	}
	var short error
	if rest := d.Capacity - off; int64(len(p)) > rest {
		p, short = p[:rest], io.EOF
	}
	if err := readLayers(d.Layers, p, off); err != nil {
		return 0, err
	}
	return len(p), short
}

func readLayers(layers []*layer, p []byte, off int64) error {
	if len(layers) == 0 {
		clear(p)
		return nil
	}
	l, all := layers[0], Span{off, off + int64(len(p))}
	holes, err := l.read(p, all)
	for _, hole := range holes {
		if err == nil {
			err = readLayers(layers[1:], p[hole.Start-off:hole.End-off], hole.Start)
		}
	}
	return err
}

// read fills the parts of p, which is what is at all, that the layer has, and tells
// which it has not.
func (l *layer) read(p []byte, all Span) (holes Spans, err error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if held := l.data.Within(all); len(held) > 0 {
		f, err := os.Open(l.Extent)
		if err != nil {
			return nil, err
		}
		for _, in := range held {
			if _, failed := f.ReadAt(p[in.Start-all.Start:in.End-all.Start], in.Start); failed != nil {
				err = errors.Join(err, failed)
			}
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
	}
	return l.data.Outside(all), nil
}

// Allocated is the set of bytes that some layer of the chain has.
func (d *Image) Allocated() Spans {
	var out Spans
	for _, l := range d.Layers {
		out = out.Union(l.Written())
	}
	return out
}

// CopyTo writes the upper n layers of the chain, as they show together, into another
// layer. With n the number of all layers that is a full copy.
func (d *Image) CopyTo(into *layer, n int) error {
	upper := Image{Layers: d.Layers[:n], Capacity: d.Capacity}
	return into.Write(upper.Allocated(), func(p []byte, off int64) error {
		return readLayers(upper.Layers, p, off)
	})
}

// Resize gives the layer another capacity.
func (l *layer) Resize(capacity int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.capacity == capacity {
		return nil
	}
	l.capacity, l.written.Capacity = capacity, capacity
	if err := dsfiles.SetCapacity(l.descriptor, capacity); err != nil {
		return err
	}
	if _, err := os.Stat(l.Extent); l.delta || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return os.Truncate(l.Extent, capacity)
}

// ForgetRemoved forgets what is known of the content of layers whose files were removed.
func (t *Layers) ForgetRemoved() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for extent, l := range t.layers {
		l.mu.Lock()
		if _, err := os.Stat(extent); os.IsNotExist(err) {
			l.data = nil
		}
		l.mu.Unlock()
	}
}

// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"sync"
	"syscall"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// flatBacking is what every layer of a disk is described by: a base disk, or a delta
// with its Parent.
type flatBacking = types.VirtualDiskFlatVer2BackingInfo

// sectorSize is the unit in which a guest writes.
const sectorSize = 512

// layer is one file of a disk's chain: sparse, each byte at its own offset. What was
// never written to it shows what is below it, and below a base disk there are zeros.
// The file appears with the first write.
type layer struct {
	mu         sync.RWMutex
	descriptor string // both are paths on this machine
	extent     string
	delta      bool
	adopted    bool // thin, and filled by an import
	capacity   int64
	data       spans
}

// layerTable knows the layers of all disks by the paths of their extents.
type layerTable struct {
	reg    *simulator.Registry
	mu     sync.Mutex
	layers map[string]*layer
}

func newLayerTable(reg *simulator.Registry) *layerTable { return &layerTable{reg: reg} }

// layer returns the layer of a backing, which need not have a file yet.
//
// It returns an error when the backing's datastore does not exist.
func (t *layerTable) layer(b *flatBacking, capacity int64) (*layer, error) {
	name, file := splitDSPath(b.FileName)
	if b.Datastore == nil {
		return nil, fmt.Errorf("%s is on no known datastore", b.FileName)
	}
	ds, ok := t.reg.Get(*b.Datastore).(*simulator.Datastore)
	if !ok || ds.Name != name {
		return nil, fmt.Errorf("%s is not on datastore %s", b.FileName, b.Datastore.Value)
	}
	extent := localPath(ds, extentName(file, b.Parent != nil))
	t.mu.Lock()
	defer t.mu.Unlock()
	l, ok := t.layers[extent]
	if !ok {
		if t.layers == nil {
			t.layers = make(map[string]*layer)
		}
		l = &layer{descriptor: localPath(ds, file), extent: extent, delta: b.Parent != nil, capacity: capacity}
		l.adopt() // somebody may have put a file there
		t.layers[extent] = l
	}
	return l, nil
}

// remove deletes files of this machine, and what is known of the layers in them.
// One that is gone already is no error.
func (t *layerTable) remove(files []string) error {
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

// known is the layer whose extent is a file of this machine, or nil.
func (t *layerTable) known(extent string) *layer {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.layers[extent]
}

// adopt takes a file that lies where a layer's extent belongs for the layer's
// content: all of it counts as written. Whoever has put a file there calls it.
//
// It returns an error when there is no such file.
func (t *layerTable) adopt(b *flatBacking, capacity int64) error {
	l, err := t.layer(b, capacity)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err = os.Stat(l.extent)
	l.adopt()
	l.adopted = b.ThinProvisioned != nil && *b.ThinProvisioned
	return err
}

// adopt counts all that the extent holds as written. The caller holds the layer's lock,
// or nobody else knows the layer yet.
func (l *layer) adopt() {
	l.data = nil
	if info, err := os.Stat(l.extent); err == nil && !hollow(info) {
		l.data.add(span{0, min(info.Size(), l.capacity)})
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
	if _, err := os.Stat(l.extent); errors.Is(err, os.ErrNotExist) {
		if err := makeLayerFiles(l.descriptor, l.extent, l.capacity, l.delta); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(l.extent, os.O_WRONLY, 0o600)
}

// makeFiles makes the layer's files if there are none.
func (l *layer) makeFiles() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := l.open()
	if err != nil {
		return err
	}
	return f.Close()
}

// replaced counts all that the extent holds as written: somebody has put another file there.
func (l *layer) replaced() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.adopt()
}

// grow makes a base layer larger, its files too; what is new reads as zeros.
func (l *layer) grow(capacity int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := l.open()
	if err != nil {
		return err
	}
	l.capacity = capacity
	return errors.Join(f.Truncate(capacity), f.Close())
}

// write writes ranges, each with the bytes that fill makes for it.
func (l *layer) write(ranges spans, fill func(p []byte, off int64) error) error {
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
		l.data = l.data.with(ranges)
	}
	return errors.Join(err, f.Close())
}

// written is the set of bytes that were ever written to the layer.
func (l *layer) written() spans {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return append(spans(nil), l.data...)
}

// size is what the layer's extent occupies, as the API tells it.
func (l *layer) size() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	switch {
	case l.delta:
		return deltaSize + l.data.bytes()
	case l.adopted:
		return l.data.bytes() // a thin disk, of which only what was sent takes space
	}
	return l.capacity
}

// pieceSize bounds what is held in memory of a disk.
const pieceSize = 1 << 20

// eachPiece calls do for all bytes of ranges, a piece at a time.
func eachPiece(ranges spans, do func(p []byte, off int64) error) error {
	var buf []byte
	for _, r := range ranges {
		if n := min(r.length(), pieceSize); int64(len(buf)) < n {
			buf = make([]byte, n)
		}
		for at := r.start; at < r.end; {
			p := buf[:min(r.end-at, pieceSize)]
			if err := do(p, at); err != nil {
				return err
			}
			at += int64(len(p))
		}
	}
	return nil
}

// diskImage is what a guest sees of a disk: the layers of a chain, top first.
type diskImage struct {
	layers   []*layer
	capacity int64
}

// image is the disk that a backing and those below it make.
//
// It returns an error when the datastore of one of them does not exist.
func (t *layerTable) image(top *flatBacking, capacity int64) (*diskImage, error) {
	d := &diskImage{capacity: capacity}
	for b := top; b != nil; b = b.Parent {
		l, err := t.layer(b, capacity)
		if err != nil {
			return nil, err
		}
		d.layers = append(d.layers, l)
	}
	return d, nil
}

// ReadAt implements io.ReaderAt. It reads zeros where no layer was written.
func (d *diskImage) ReadAt(p []byte, off int64) (int, error) {
	if off >= d.capacity {
		return 0, io.EOF
	}
	var short error
	if rest := d.capacity - off; int64(len(p)) > rest {
		p, short = p[:rest], io.EOF
	}
	if err := readLayers(d.layers, p, off); err != nil {
		return 0, err
	}
	return len(p), short
}

func readLayers(layers []*layer, p []byte, off int64) error {
	if len(layers) == 0 {
		clear(p)
		return nil
	}
	l, all := layers[0], span{off, off + int64(len(p))}
	holes, err := l.read(p, all)
	for _, hole := range holes {
		if err == nil {
			err = readLayers(layers[1:], p[hole.start-off:hole.end-off], hole.start)
		}
	}
	return err
}

// read fills the parts of p, which is what is at all, that the layer has, and tells
// which it has not.
func (l *layer) read(p []byte, all span) (holes spans, err error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if held := l.data.within(all); len(held) > 0 {
		f, err := os.Open(l.extent)
		if err != nil {
			return nil, err
		}
		for _, in := range held {
			if _, failed := f.ReadAt(p[in.start-all.start:in.end-all.start], in.start); failed != nil {
				err = errors.Join(err, failed)
			}
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
	}
	return l.data.outside(all), nil
}

// allocated is the set of bytes that some layer of the chain has.
func (d *diskImage) allocated() spans {
	var out spans
	for _, l := range d.layers {
		out = out.union(l.written())
	}
	return out
}

// copyTo writes the upper n layers of the chain, as they show together, into another
// layer. With n the number of all layers that is a full copy.
func (d *diskImage) copyTo(into *layer, n int) error {
	upper := diskImage{layers: d.layers[:n], capacity: d.capacity}
	return into.write(upper.allocated(), func(p []byte, off int64) error {
		return readLayers(upper.layers, p, off)
	})
}

// disksReconfigured is called when a VM has been given other disks, or larger ones. The
// changes of a disk with another size are tracked anew. The caller holds the VM's lock.
func (s *Sim) disksReconfigured(ctx *simulator.Context, vm *simulator.VirtualMachine) {
	for _, disk := range disksOf(vm.Config.Hardware.Device) {
		top, ok := disk.Backing.(*flatBacking)
		if !ok {
			continue
		}
		l, err := s.diskLayers.layer(top, disk.CapacityInBytes)
		if err == nil {
			err = l.resize(disk.CapacityInBytes)
		}
		if err != nil {
			log.Printf("vforge-sim: reconfiguring %s: %v", vm.Name, err)
		}
	}
	s.tracks.resized(vm)
	s.tracks.showIDs(ctx, vm)
	s.trackLayers(vm)
	s.tellFiles(ctx, vm)
}

// resize gives the layer another capacity.
func (l *layer) resize(capacity int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.capacity == capacity {
		return nil
	}
	l.capacity = capacity
	if _, err := os.Stat(l.extent); l.delta || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return os.Truncate(l.extent, capacity)
}

// forgetRemoved forgets what is known of the content of layers whose files were removed.
func (t *layerTable) forgetRemoved() {
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

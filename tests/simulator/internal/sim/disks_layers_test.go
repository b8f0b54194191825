// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/vdisk"
)

// A set of bytes keeps what a plain map of bytes keeps.
func TestSpansAgreeWithAMap(t *testing.T) {
	const size = 64
	random := rand.New(rand.NewPCG(1, 2))
	draw := func() vdisk.Span {
		start := random.Int64N(size)
		return vdisk.Span{Start: start, End: start + random.Int64N(size-start+1)}
	}
	members := func(s vdisk.Spans) (in [size]bool) {
		for i, r := range s {
			if r.Start >= r.End || i > 0 && r.Start <= s[i-1].End {
				t.Fatalf("%v is not sorted, disjoint and merged", s)
			}
			for at := r.Start; at < r.End; at++ {
				in[at] = true
			}
		}
		return in
	}
	for range 2000 {
		var a, b vdisk.Spans
		var want [size]bool
		for range random.IntN(6) {
			r := draw()
			a.Add(r)
			for at := r.Start; at < r.End; at++ {
				want[at] = true
			}
		}
		if members(a) != want {
			t.Fatalf("%v after adding", a)
		}
		for range random.IntN(6) {
			b.Add(draw())
		}
		inA, inB, both, window := members(a), members(b), members(a.Union(b)), draw()
		within, outside := members(a.Within(window)), members(a.Outside(window))
		wide := members(a.Aligned(8, size-3))
		for at := range both {
			inside := window.Start <= int64(at) && int64(at) < window.End
			granule := at / 8 * 8
			touched := false
			for i := granule; i < granule+8; i++ {
				touched = touched || inA[i]
			}
			switch {
			case both[at] != (inA[at] || inB[at]):
				t.Fatalf("union of %v and %v is %v", a, b, a.Union(b))
			case within[at] != (inside && inA[at]) || outside[at] != (inside && !inA[at]):
				t.Fatalf("%v in %v: %v, and not %v", a, window, a.Within(window), a.Outside(window))
			case at < size-3 && wide[at] != touched:
				t.Fatalf("%v aligned is %v", a, a.Aligned(8, size-3))
			}
		}
	}
}

// topOf is the top backing of a VM's first disk.
func topOf(vm *simulator.VirtualMachine) (*vdisk.FlatBacking, int64) {
	d := vdisk.DisksOf(vm.Config.Hardware.Device)[0]
	return d.Backing.(*types.VirtualDiskFlatVer2BackingInfo), d.CapacityInBytes
}

// What is written to a layer hides what is below it, byte for byte; a clone keeps what
// its parent had, whatever is written to the parent afterwards.
func TestAChainOfLayersReadsAsOneDisk(t *testing.T) {
	b := start(t)
	parent := b.sim.VM(b.parent().Reference())
	put := func(vm *simulator.VirtualMachine, off int64, text string) {
		t.Helper()
		top, capacity := topOf(vm)
		l, err := b.sim.DiskLayers.Layer(top, capacity)
		if err == nil {
			err = l.Write(vdisk.Spans{{Start: off, End: off + int64(len(text))}}, func(p []byte, _ int64) error {
				copy(p, text)
				return nil
			})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	get := func(vm *simulator.VirtualMachine, off int64, n int) string {
		t.Helper()
		image, err := b.sim.DiskLayers.Image(topOf(vm))
		if err != nil {
			t.Fatal(err)
		}
		p := make([]byte, n)
		if _, err := image.ReadAt(p, off); err != nil && err != io.EOF {
			t.Fatal(err)
		}
		return string(bytes.ReplaceAll(p, []byte{0}, []byte{'.'}))
	}
	put(parent, 1000, "base base")
	clone := b.sim.VM(b.clone("web"))
	put(parent, 1002, "PP")
	put(clone, 1005, "CCCCCC")
	if got := get(parent, 998, 15); got != "..baPP base...." {
		t.Errorf("the parent reads %q", got)
	}
	if got := get(clone, 998, 15); got != "..base CCCCCC.." {
		t.Errorf("the clone reads %q", got)
	}
	_, capacity := topOf(parent)
	if got := get(parent, capacity-2, 4); got != "...." {
		t.Errorf("the end reads %q", got)
	}
}

// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/snaptree"
	"vforge.vsphere/simulator/internal/vdisk"
)

const modelSectors = 16

// modelMoment is what the model knows of a point in time: what the disk showed, which
// tracker was at work, and how much had been written.
type modelMoment struct {
	shows [modelSectors]byte
	era   int
	wrote int
	id    string // the changeId that goes with it
}

// diskModel is a disk as one would explain it: what it shows, all writes so far, and a
// list of snapshots with what the disk showed then.
type diskModel struct {
	*diskBench
	random    *rand.Rand
	now       modelMoment
	writes    []int64 // the sectors, in order
	snapshots map[types.ManagedObjectReference]modelMoment
	past      []modelMoment // of all snapshots that there ever were
	steps     []string
}

func (m *diskModel) text(shows [modelSectors]byte) string {
	return strings.ReplaceAll(string(shows[:]), "\x00", ".")
}

func (m *diskModel) fail(format string, args ...any) {
	m.Helper()
	m.Fatalf("%s\nafter %s", fmt.Sprintf(format, args...), strings.Join(m.steps, ", "))
}

// pick chooses a snapshot; the order of a map is no random choice that repeats.
func (m *diskModel) pick() (types.ManagedObjectReference, bool) {
	if m.vm.Snapshot == nil {
		return types.ManagedObjectReference{}, false
	}
	all := snaptree.Refs(m.vm.Snapshot.RootSnapshotList)
	return all[m.random.IntN(len(all))], true
}

func (m *diskModel) write() {
	sector, letter := m.random.Int64N(modelSectors), byte('a'+m.random.IntN(26))
	m.put(sector, letter)
	m.now.shows[sector] = letter
	m.writes = append(m.writes, sector)
	m.now.wrote++
	m.steps = append(m.steps, fmt.Sprintf("%c at %d", letter, sector))
}

func (m *diskModel) snapshot() {
	ref := m.snap(fmt.Sprintf("s%d", len(m.past)), m.random.IntN(2) == 0)
	then := m.now
	then.id = m.changeID(&ref)
	m.snapshots[ref] = then
	m.past = append(m.past, then)
	m.steps = append(m.steps, "snapshot "+ref.Value)
}

func (m *diskModel) removeOne() {
	ref, ok := m.pick()
	if !ok {
		return
	}
	children := m.random.IntN(4) == 0
	m.steps = append(m.steps, fmt.Sprintf("remove %s %v", ref.Value, children))
	m.remove(ref, children)
	left := make(map[types.ManagedObjectReference]bool)
	if m.vm.Snapshot != nil {
		for _, ref := range snaptree.Refs(m.vm.Snapshot.RootSnapshotList) {
			left[ref] = true
		}
	}
	if left[ref] || !children && len(left) != len(m.snapshots)-1 {
		m.fail("%d snapshots are left of %d", len(left), len(m.snapshots))
	}
	for ref := range m.snapshots {
		if !left[ref] {
			delete(m.snapshots, ref)
		}
	}
}

func (m *diskModel) removeAll() {
	m.steps = append(m.steps, "remove all")
	task, err := m.vc.RemoveAllSnapshot(m.ctx, nil)
	if err != nil {
		m.Fatal(err)
	}
	m.result(task)
	clear(m.snapshots)
}

func (m *diskModel) revertOne() {
	ref, ok := m.pick()
	if !ok {
		return
	}
	m.steps = append(m.steps, "revert "+ref.Value)
	m.revert(ref)
	era := m.now.era + 1
	m.now = m.snapshots[ref]
	m.now.era, m.now.wrote = era, len(m.writes)
	if m.vm.Runtime.PowerState != core.PoweredOn {
		m.power(true)
	}
}

func (m *diskModel) powerFails() {
	m.steps = append(m.steps, "power failure")
	m.control("POST", "/vms/"+m.vm.Self.Value+"/power-failure", nil, nil)
	m.power(true)
	m.now.era++
}

func (m *diskModel) consolidate() {
	m.steps = append(m.steps, "consolidate")
	res, err := methods.ConsolidateVMDisks_Task(m.ctx, m.client, &types.ConsolidateVMDisks_Task{This: m.vm.Self})
	if err != nil {
		m.Fatal(err)
	}
	m.finished(res.Returnval)
}

// instantClone leaves a layer outside of the snapshot tree, and a VM that builds on
// what is below it.
func (m *diskModel) instantClone(clones map[*diskBench]string) {
	name := fmt.Sprintf("clone-%d", len(clones))
	m.steps = append(m.steps, name)
	task, err := m.vc.InstantClone(m.ctx, cloneSpec(name))
	if err != nil {
		m.Fatal(err)
	}
	ref := m.result(task)
	clones[m.of(ref)] = m.text(m.now.shows)
}

// check compares all that can be seen with the model.
func (m *diskModel) check() {
	m.Helper()
	if got := m.sectors(m.vm.Config.Hardware.Device); got != m.text(m.now.shows) {
		m.fail("the disk shows %q, want %q", got, m.text(m.now.shows))
	}
	refs := slices.SortedFunc(maps.Keys(m.snapshots), func(a, b types.ManagedObjectReference) int { return strings.Compare(a.Value, b.Value) })
	for _, ref := range refs { // in an order that repeats
		then := m.snapshots[ref]
		if got := m.sectors(m.sim.Snapshot(ref).Config.Hardware.Device); got != m.text(then.shows) {
			m.fail("%s shows %q, want %q", ref.Value, got, m.text(then.shows))
		}
		if len(m.past) > 0 {
			m.checkChanges(ref, m.past[m.random.IntN(len(m.past))], then)
		}
	}
}

// checkChanges compares what is told of the time between two moments: nothing but what
// was written, and at least what differs.
func (m *diskModel) checkChanges(ref types.ManagedObjectReference, from, to modelMoment) {
	m.Helper()
	info, err := m.query(&ref, 0, from.id)
	if from.era != to.era || from.wrote > to.wrote || from.id == "" {
		if err == nil && from.era != to.era {
			m.fail("%s tells of changes since %s, of another era", ref.Value, from.id)
		}
		return
	}
	if err != nil {
		// Two snapshots with no write between them can be asked in one direction only.
		if from.wrote == to.wrote {
			return
		}
		m.fail("since %s: %v", from.id, err)
	}
	var told, wrote [modelSectors]bool
	for _, a := range info.ChangedArea {
		for at := a.Start; at < a.Start+a.Length; at += vdisk.SectorSize {
			told[at/vdisk.SectorSize] = true
		}
	}
	for _, sector := range m.writes[from.wrote:to.wrote] {
		wrote[sector] = true
	}
	if told != wrote {
		m.fail("from %s to %s: told %v, wrote %v", from.id, to.id, told, wrote)
	}
	for i := range told {
		if from.shows[i] != to.shows[i] && !told[i] {
			m.fail("sector %d differs, and is not told", i)
		}
	}
}

func TestDisksAgreeWithAModel(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			b := start(t)
			m := &diskModel{
				diskBench: b.small("one", map[string]any{"disks": []map[string]any{{"bytes": modelSectors * vdisk.SectorSize}}}).tracked(),
				random:    rand.New(rand.NewPCG(seed, 1)), snapshots: make(map[types.ManagedObjectReference]modelMoment),
			}
			clones := make(map[*diskBench]string)
			for range 120 {
				switch n := m.random.IntN(40); {
				case n < 18:
					m.write()
				case n < 26:
					m.snapshot()
				case n < 31:
					m.removeOne()
				case n < 35:
					m.revertOne()
				case n < 36:
					m.removeAll()
				case n < 37:
					m.powerFails()
				case n < 38:
					m.consolidate()
				default:
					m.instantClone(clones)
				}
				m.check()
			}
			for clone, want := range clones {
				if got := clone.sectors(clone.vm.Config.Hardware.Device); got != want {
					m.fail("%s shows %q, want %q", clone.vm.Name, got, want)
				}
			}
			for clone := range clones {
				b.destroy(clone.vm.Self)
			}
			m.removeAll()
			m.consolidate() // where there was no snapshot, what clones have left is still there
			m.check()
			m.wantNoLayerTooMany()
		})
	}
}

// wantNoLayerTooMany fails the test unless the disk is one file, with nothing beside it.
func (m *diskModel) wantNoLayerTooMany() {
	m.Helper()
	dsName, vmx := dsfiles.Split(m.vm.Config.Files.VmPathName)
	ds, _ := m.sim.DatastoreOf(m.vm, dsName)
	entries, err := os.ReadDir(dsfiles.Local(ds, path.Dir(vmx)))
	if err != nil {
		m.Fatal(err)
	}
	var disks []string
	for _, e := range entries {
		if path.Ext(e.Name()) == ".vmdk" {
			disks = append(disks, e.Name())
		}
	}
	if vdisk.DeltasOf(m.vm) != 0 || len(disks) != 2 {
		m.fail("%d layers and the files %v are left", vdisk.DeltasOf(m.vm), disks)
	}
}

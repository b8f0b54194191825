// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package inventory

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/simulator/esx"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/apiversion"
	"vforge.vsphere/simulator/internal/deepcopy"
	"vforge.vsphere/simulator/internal/lookup"
	"vforge.vsphere/simulator/internal/naming"
	"vforge.vsphere/simulator/internal/settings"
	"vforge.vsphere/simulator/internal/vhardware"
)

// maxRealFiles is how many plain VMs get real files.
const maxRealFiles = 500

// parentName is the ready instant-clone parent; further ones are numbered from 2.
const parentName = "golden-parent"

// DatastoreDir is the folder of the datastores.
func DatastoreDir(stateDir string) string { return filepath.Join(stateDir, "datastores") }

// building is held while vcsim builds an inventory: it fills in templates that the
// whole process shares.
var building sync.Mutex

// NewService has vcsim build datacenters, clusters, hosts, pools and networks. The
// datastores are made here, as vcsim's would lie in the system's temporary
// directory; VMs are added afterwards, directly.
func NewService(cfg settings.Config) (*simulator.Service, error) {
	m := simulator.VPX()
	m.Datacenter, m.Cluster, m.ClusterHost, m.Host = cfg.Datacenters, cfg.Clusters, cfg.Hosts, 0
	m.Pool, m.Datastore, m.Portgroup, m.Machine = cfg.Pools, 0, cfg.Portgroups, 0
	about := &m.ServiceContent.About
	about.ApiVersion = cfg.APIVersion
	about.Version = apiversion.Product(cfg.APIVersion)
	about.Build = "24022515"
	about.FullName = fmt.Sprintf("%s %s build-%s", about.Name, about.Version, about.Build)
	about.LicenseProductVersion = about.Version

	building.Lock()
	defer building.Unlock()
	ctx := simulator.NewContext()
	m.Service = simulator.New(simulator.NewServiceInstance(ctx, m.ServiceContent, m.RootFolder))
	if err := createInfrastructure(ctx, m); err != nil {
		return nil, err
	}
	return m.Service, addDatastores(ctx, cfg)
}

// createInfrastructure has vcsim make what the model says. vcsim copies the configuration of each host by XML, which was
// half of a start; what it does not look at meanwhile is given to the hosts afterwards. Their certificates they get
// anyhow: see giveHostsCertificates.
func createInfrastructure(ctx *simulator.Context, m *simulator.Model) error {
	template := esx.HostSystem.Config
	whole := *template
	defer func() { *template = whole }()
	template.Certificate, template.Firewall, template.Service = nil, nil, nil
	template.StorageDevice, template.VirtualNicManagerInfo = nil, nil
	defer settle(ctx.Map)()
	if err := m.CreateInfrastructure(ctx); err != nil {
		return err
	}
	for _, e := range ctx.Map.All("HostSystem") {
		config := e.(*simulator.HostSystem).Config
		config.Firewall, config.Service = deepcopy.Of(whole.Firewall), deepcopy.Of(whole.Service)
		config.StorageDevice = deepcopy.Of(whole.StorageDevice)
		config.VirtualNicManagerInfo = deepcopy.Of(whole.VirtualNicManagerInfo)
	}
	return nil
}

// addDatastores gives every host of a datacenter that datacenter's datastores.
func addDatastores(ctx *simulator.Context, cfg settings.Config) error {
	root := DatastoreDir(cfg.StateDir)
	if err := os.RemoveAll(root); err != nil { // of a simulator that was killed here
		return err
	}
	options := ctx.Map.OptionManager()
	options.Setting = append(options.Setting, &types.OptionValue{Key: "vcsim.home", Value: root})
	for _, e := range ctx.Map.All("HostSystem") {
		host := e.(*simulator.HostSystem)
		dc := datacenterName(ctx, host)
		dss := ctx.Map.Get(*host.ConfigManager.DatastoreSystem).(*simulator.HostDatastoreSystem)
		for i := range cfg.Datastores {
			name := fmt.Sprintf("LocalDS_%d", i)
			dir := filepath.Join(root, dc, name)
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return err
			}
			res := dss.CreateLocalDatastore(ctx, &types.CreateLocalDatastore{This: dss.Self, Name: name, Path: dir})
			if f := res.Fault(); f != nil {
				return fmt.Errorf("datastore %s: %s", name, f.String)
			}
		}
	}
	for _, e := range ctx.Map.All("Datastore") {
		ds := e.(*simulator.Datastore)
		ds.Summary.Type = string(types.HostFileSystemVolumeFileSystemTypeVMFS)
		ds.Summary.MultipleHostAccess = types.NewBool(true)
	}
	return nil
}

func datacenterName(ctx *simulator.Context, e mo.Entity) string {
	for e.Reference().Type != "Datacenter" {
		e = ctx.Map.Get(*e.Entity().Parent).(mo.Entity)
	}
	return e.Entity().Name
}

// Site is one datacenter, in the order in which VMs are spread over it.
type Site struct {
	Datacenter *simulator.Datacenter
	Folders    []types.ManagedObjectReference // the VM folder, then the ones below it
	Clusters   []*simulator.ClusterComputeResource
	Pools      [][]types.ManagedObjectReference // by cluster: the named ones, or Resources
	datastores []*simulator.Datastore
	Networks   []lookup.Network // port groups first, then "VM Network"
}

// Populate adds folders, parents and plain VMs.
func (s *Inventory) Populate() error {
	sites, err := s.sites()
	if err != nil {
		return err
	}
	s.Sites = sites
	for i := range s.Cfg.Parents {
		name := parentName
		if i > 0 {
			name = fmt.Sprintf("%s-%d", parentName, i+1)
		}
		spec := s.Spread(sites[i%len(sites)], i/len(sites), name)
		spec.Folder = sites[i%len(sites)].Folders[0]
		spec.Datastore, spec.Networks = sites[i%len(sites)].datastores[0], sites[i%len(sites)].Networks[:1]
		spec.On = true
		if err := s.addRunning(spec); err != nil {
			return err
		}
	}
	for i := range s.Cfg.VMs {
		spec := s.Spread(sites[i%len(sites)], i/len(sites), fmt.Sprintf("server-%05d", i+1))
		spec.On, spec.listed = i%2 == 0, s.Cfg.VMs > maxRealFiles
		if err := s.addRunning(spec); err != nil {
			return err
		}
	}
	return nil
}

// Spread places the i-th VM of a site: hosts, pools, folders, datastores and
// networks are each taken in turn.
func (s *Inventory) Spread(st *Site, i int, name string) VMSpec {
	c := i % len(st.Clusters)
	hosts, pools := st.Clusters[c].Host, st.Pools[c]
	k := i / len(st.Clusters)
	return VMSpec{
		Name:      naming.Escape(name),
		Folder:    st.Folders[i%len(st.Folders)],
		Host:      hosts[k%len(hosts)],
		Pool:      pools[k%len(pools)],
		Datastore: st.datastores[i%len(st.datastores)],
		Networks:  st.Networks[i%len(st.Networks) : i%len(st.Networks)+1],
		MemoryMB:  2048,
		CPUs:      2,
		Disks:     []vhardware.DiskSpec{{Bytes: 10 * GiB}},
	}
}

// addRunning adds a VM whose guest, if it is on, has been up for long: it reports
// at once.
func (s *Inventory) addRunning(spec VMSpec) error {
	vm, err := s.AddVM(s.Background(""), spec)
	if err == nil && spec.On {
		s.Guests.Report(vm.Self, 0)
	}
	return err
}

// sites reads back what vcsim's model built and adds the VM folders.
func (s *Inventory) sites() ([]*Site, error) {
	var out []*Site
	dcs := s.Reg.All("Datacenter")
	sort.Slice(dcs, func(i, j int) bool { return dcs[i].Entity().Name < dcs[j].Entity().Name })
	for _, e := range dcs {
		dc := e.(*simulator.Datacenter)
		st := &Site{Datacenter: dc, Folders: []types.ManagedObjectReference{dc.VmFolder}}
		if err := s.addFolders(st); err != nil {
			return nil, err
		}
		for _, ref := range dc.Datastore {
			st.datastores = append(st.datastores, s.Reg.Get(ref).(*simulator.Datastore))
		}
		for _, ref := range dc.Network {
			if net, ok := s.NetworkByRef(ref); ok && !strings.Contains(net.Name, "DVUplinks") {
				st.Networks = append(st.Networks, net)
			}
		}
		sort.Slice(st.Networks, func(i, j int) bool {
			a, b := st.Networks[i], st.Networks[j]
			if (a.Portgroup == "") != (b.Portgroup == "") {
				return a.Portgroup != ""
			}
			return a.Name < b.Name
		})
		for _, ref := range s.Reg.Get(dc.HostFolder).(*simulator.Folder).ChildEntity {
			c := s.Reg.Get(ref).(*simulator.ClusterComputeResource)
			s.SetDRS(c, string(types.DrsBehaviorPartiallyAutomated))
			st.Clusters = append(st.Clusters, c)
			st.Pools = append(st.Pools, s.poolsOf(c))
		}
		out = append(out, st)
	}
	return out, nil
}

func (s *Inventory) poolsOf(c *simulator.ClusterComputeResource) []types.ManagedObjectReference {
	root := s.Reg.Get(*c.ResourcePool).(*simulator.ResourcePool)
	if len(root.ResourcePool.ResourcePool) > 0 {
		return root.ResourcePool.ResourcePool
	}
	return []types.ManagedObjectReference{root.Self}
}

func (s *Inventory) addFolders(st *Site) error {
	root := s.Reg.Get(st.Datacenter.VmFolder).(*simulator.Folder)
	for i := range s.Cfg.Folders {
		name := fmt.Sprintf("%s_F%d", st.Datacenter.Name, i)
		res := root.CreateFolder(s.Background(""), &types.CreateFolder{This: root.Self, Name: name})
		if f := res.Fault(); f != nil {
			return fmt.Errorf("folder %s: %s", name, f.String)
		}
		st.Folders = append(st.Folders, res.(*methods.CreateFolderBody).Res.Returnval)
	}
	return nil
}

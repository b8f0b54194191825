// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Command vforge-sim runs a simulated vCenter for tests and demonstrations.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"vforge.vsphere/simulator/internal/cpus"
	"vforge.vsphere/simulator/internal/settings"
	"vforge.vsphere/simulator/internal/sim"
)

// exitUsage is the exit status for a command line that makes no sense.
const exitUsage = 2

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

type options struct {
	cfg           settings.Config
	passwordFile  string
	exitWithStdin bool
}

func parse(args []string, usage io.Writer) (options, error) {
	o := options{cfg: settings.DefaultConfig()}
	c := &o.cfg
	fs := flag.NewFlagSet("vforge-sim", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&c.StateDir, "state-dir", c.StateDir, "`directory` for ready.json, the CA, the password and the datastores (required)")
	fs.StringVar(&c.Listen, "listen", c.Listen, "`address` of the SDK endpoint")
	fs.StringVar(&c.Control, "control", c.Control, "`address` of the control endpoint, loopback only")
	fs.StringVar(&c.Username, "username", c.Username, "`name` of the administrator")
	fs.StringVar(&o.passwordFile, "password-file", "", "`file` with the administrator's password; else VFORGE_SIM_PASSWORD, else a random one")
	fs.StringVar(&c.APIVersion, "api-version", c.APIVersion, "API `version` that is announced, 6.0 to 9.0.0.0")
	fs.Func("cert", "certificate: valid, expired, wrong-host or self-signed (default valid)", func(v string) error {
		c.Cert = settings.CertKind(v)
		return nil
	})
	fs.IntVar(&c.Datacenters, "datacenters", c.Datacenters, "`number` of datacenters")
	fs.IntVar(&c.Clusters, "clusters", c.Clusters, "`number` of clusters in each datacenter")
	fs.IntVar(&c.Hosts, "hosts", c.Hosts, "`number` of hosts in each cluster")
	fs.IntVar(&c.Pools, "pools", c.Pools, "`number` of named resource pools in each cluster")
	fs.IntVar(&c.Datastores, "datastores", c.Datastores, "`number` of datastores in each datacenter")
	fs.IntVar(&c.Portgroups, "portgroups", c.Portgroups, "`number` of distributed port groups in each datacenter")
	fs.IntVar(&c.Folders, "folders", c.Folders, "`number` of VM folders in each datacenter")
	fs.IntVar(&c.VMs, "vms", c.VMs, "`number` of plain VMs, in all")
	fs.IntVar(&c.Parents, "parents", c.Parents, "`number` of instant-clone parents, in all: golden-parent, golden-parent-2, ...")
	fs.Func("processors", "`names` of the processors of each cluster's hosts, in turn: xeon-haswell,xeon-skylake (default "+cpus.Default+")", func(v string) error {
		c.Processors = strings.Split(v, ",")
		return nil
	})
	fs.IntVar(&c.HostTasks, "host-tasks", c.HostTasks, "how many clones a host has at a time, from it or to it; the others are queued; 0: as many as come")
	fs.DurationVar(&c.CloneTime, "clone-time", c.CloneTime, "how long one instant clone takes")
	fs.DurationVar(&c.GuestTime, "guest-time", c.GuestTime, "how long after its start a guest reports its address")
	fs.DurationVar(&c.SnapshotTime, "snapshot-time", c.SnapshotTime, "how long a change of a VM's snapshots takes")
	fs.DurationVar(&c.ReconfigureTime, "reconfigure-time", c.ReconfigureTime, "how long a change of a VM's configuration takes")
	fs.DurationVar(&c.Latency, "latency", c.Latency, "added to each SDK call")
	fs.DurationVar(&c.LeaseTimeout, "lease-timeout", c.LeaseTimeout, "how long an import lives without progress")
	fs.DurationVar(&c.SessionIdle, "session-idle", c.SessionIdle, "how long a session lives without a call; 0: for ever")
	fs.BoolVar(&c.DiscardUploads, "discard-uploads", false, "keep sizes and checksums of uploaded disks, not what is in them")
	fs.BoolVar(&c.StrictDatastore, "strict-datastore", false, "refuse a datastore in an instant clone's location")
	fs.Int64Var(&c.CBTGranule, "cbt-granule", c.CBTGranule, "widen changed areas to multiples of so many `bytes`; 0 tells them exactly")
	fs.BoolVar(&o.exitWithStdin, "exit-with-stdin", false, "exit as soon as standard input ends")
	err := fs.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fs.SetOutput(usage)
		fmt.Fprintln(usage, "vforge-sim --state-dir DIRECTORY [options]: a simulated vCenter")
		fs.PrintDefaults()
		return o, err
	}
	if err == nil && fs.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if err == nil {
		err = c.Validate()
	}
	if err == nil {
		c.Password, err = password(o.passwordFile)
		c.GuestPassword = os.Getenv("VFORGE_SIM_GUEST_PASSWORD")
	}
	return o, err
}

// password takes the administrator's password from where a process list does not
// show it.
func password(file string) (string, error) {
	if file == "" {
		return os.Getenv("VFORGE_SIM_PASSWORD"), nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("--password-file: %w", err)
	}
	p := strings.TrimRight(string(text), "\r\n")
	if p == "" {
		return "", fmt.Errorf("--password-file: %s is empty", file)
	}
	return p, nil
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	log.SetOutput(stderr)
	o, err := parse(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "vforge-sim: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if o.exitWithStdin {
		var ended context.CancelFunc
		ctx, ended = context.WithCancel(ctx)
		go func() {
			_, _ = io.Copy(io.Discard, stdin) // how it ends does not matter, only that it does
			ended()
		}()
	}
	if err := serve(ctx, o.cfg, stdout); err != nil {
		fmt.Fprintf(stderr, "vforge-sim: %v\n", err)
		return 1
	}
	return 0
}

func serve(ctx context.Context, cfg settings.Config, stdout io.Writer) error {
	s, err := sim.New(cfg)
	if err != nil {
		return err
	}
	if err := s.Start(); err != nil {
		return err
	}
	fmt.Fprintln(stdout, "ready")
	<-ctx.Done()
	return s.Close()
}

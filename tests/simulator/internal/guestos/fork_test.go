// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guestos

import (
	"testing"
	"time"
)

// freeze runs a script that freezes its guest and waits until it has.
func freeze(t *testing.T, s *System, h *hardware, script string) int64 {
	t.Helper()
	if err := s.Place("/root/freeze.sh", []byte(script)); err != nil {
		t.Fatal(err)
	}
	pid := s.Start(root, "/bin/sh", "/root/freeze.sh > /tmp/log 2>&1", "", nil)
	select {
	case <-h.frozen:
	case <-time.After(deadline):
		t.Fatal("the guest does not freeze")
	}
	return pid
}

// wake makes the guest of a clone and waits for its script's end.
func wake(t *testing.T, s *System, h *hardware, pid int64) (*System, string, int) {
	t.Helper()
	child := s.Fork(h)
	t.Cleanup(child.Halt)
	child.Wake()
	code := ended(t, child, pid)
	log, err := child.Read(root, "/tmp/log")
	if err != nil {
		t.Fatal(err)
	}
	return child, string(log), code
}

// Each of these says something before the freeze and after it: a clone must have said
// the first once, and the second for itself.
func TestAFrozenScriptGoesOnInEachClone(t *testing.T) {
	const freezing = `vmware-rpctool "instantclone.freeze"`
	for name, c := range map[string]struct{ script, want string }{
		"plain":           {"echo before\n" + freezing + "\necho after $?", "before\nafter 0\n"},
		"variables":       {"x=$(uuidgen); echo $x > /tmp/id\n" + freezing + "\n[ \"$x\" = \"$(cat /tmp/id)\" ] && echo same", "same\n"},
		"in a function":   {"f() { echo in; " + freezing + "; echo \"out $1\"; }; f arg; echo end", "in\nout arg\nend\n"},
		"in a loop":       {"for i in 1 2 3; do echo $i; [ $i = 2 ] && " + freezing + "; done", "1\n2\n3\n"},
		"in a pipeline":   {"printf 'a\\nb\\n' | while read -r x; do echo $x; [ $x = a ] && " + freezing + "; done; echo end", "a\nb\nend\n"},
		"in a subshell":   {"(echo in; " + freezing + "; exit 5); echo $?", "in\n5\n"},
		"in another":      {"cat > /tmp/inner <<'EOF'\necho inner\n" + freezing + "\necho woken\nEOF\nsh /tmp/inner; echo outer", "inner\nwoken\nouter\n"},
		"substitution":    {"x=$(echo early; " + freezing + " >/dev/null; echo late); echo \"$x\"", "early\nlate\n"},
		"appends once":    {"echo line >> /tmp/count\n" + freezing + "\nwc -l < /tmp/count", "1\n"},
		"reads its input": {"printf 'one\\ntwo\\n' > /tmp/in\n{ head -n 1 > /dev/null; " + freezing + "; cat; } < /tmp/in; echo end", "end\n"},
		"trap":            {"trap 'echo bye' EXIT\n" + freezing + "\necho hi", "hi\nbye\n"},
		"errexit":         {"set -e\n" + freezing + "\nfalse\necho never", ""},
		"vmtoolsd":        {"vmtoolsd --cmd 'instantclone.freeze'; echo on", "on\n"},
		"vmfork":          {"vmtoolsd --cmd 'vmfork-begin -1 -1'; echo child $?", "child 0\n"},
	} {
		t.Run(name, func(t *testing.T) {
			s, h := boot(t)
			pid := freeze(t, s, h, c.script)
			for _, clone := range []string{"one", "two"} {
				child, log, _ := wake(t, s, newHardware(clone, "00:50:56:00:00:02", "10.0.0.2"), pid)
				if log != c.want {
					t.Errorf("clone %s says %q, want %q", clone, log, c.want)
				}
				if !child.Awake() {
					t.Errorf("clone %s does not know that it woke", clone)
				}
			}
			if p := s.Processes([]int64{pid}); len(p) != 1 || p[0].Ended != nil {
				t.Error("the parent did not stay in its freeze")
			}
			s.Halt()
			if len(s.Processes([]int64{pid})) != 0 {
				t.Error("a reset left the process")
			}
		})
	}
}

func TestClonesOfAFrozenParentKnowNothingOfEachOther(t *testing.T) {
	s, h := boot(t)
	pid := freeze(t, s, h, `vmware-rpctool instantclone.freeze
hostnamectl set-hostname "$(vmware-rpctool "info-get guestinfo.hostname")"
echo mine > /root/mine`)
	for _, name := range []string{"one", "two"} {
		clone := newHardware(name, "00:50:56:00:00:0"+name[:1], "10.0.0.9")
		clone.SetGuestinfo("hostname", "name-"+name)
		child, log, code := wake(t, s, clone, pid)
		if code != 0 || child.HostName() != "name-"+name {
			t.Errorf("%s: exit %d, named %s, says %q", name, code, child.HostName(), log)
		}
	}
	if s.HostName() != "golden" {
		t.Errorf("the parent is named %s", s.HostName())
	}
	if _, err := s.Stat("/root/mine"); err == nil {
		t.Error("a clone wrote to its parent's disk")
	}
}

func TestOtherProcessesOfAFrozenGuestStandStill(t *testing.T) {
	s, h := boot(t)
	other := s.Start(root, "/bin/sh", `-c 'while [ ! -e /tmp/go ]; do sleep 0.001; done; echo went > /tmp/went'`, "", nil)
	freeze(t, s, h, "vmware-rpctool instantclone.freeze")
	if err := s.Place("/tmp/go", nil); err != nil {
		t.Fatal(err)
	}
	child := s.Fork(newHardware("clone", "00:50:56:00:00:02", "10.0.0.2"))
	t.Cleanup(child.Halt)
	child.Wake()
	if code := ended(t, child, other); code != 0 {
		t.Errorf("in the clone it ended with %d", code)
	}
	if _, err := s.Stat("/tmp/went"); err == nil {
		t.Error("it went on in the frozen parent")
	}
}

func TestTheOwnNetworkIsSeenAfterTheDriverIsBoundAgain(t *testing.T) {
	s, h := boot(t)
	pid := freeze(t, s, h, `vmware-rpctool instantclone.freeze
cat /sys/class/net/ens192/address; hostname -I
device=$(basename "$(readlink -f /sys/class/net/ens192/device)")
driver=$(readlink -f /sys/class/net/ens192/device/driver)
echo "$device" > "$driver/unbind"
ls -d /sys/class/net/ens192 2>/dev/null || echo no card
echo "$device" > "$driver/unbind" || echo twice
echo "$device" > "$driver/bind"
cat /sys/class/net/ens192/address; hostname -I`)
	clone := newHardware("clone", "00:50:56:00:00:99", "10.0.0.99")
	child, log, _ := wake(t, s, clone, pid)
	want := "00:50:56:00:00:01\n10.0.0.1\nno card\nsh: write error: No such device\ntwice\n00:50:56:00:00:99\n10.0.0.99\n"
	if log != want {
		t.Errorf("the clone says\n%s\nwant\n%s", log, want)
	}
	n := child.NICs()
	if len(n) != 1 || n[0].MAC != clone.mac || !n[0].Leased || !n[0].Bound {
		t.Errorf("the clone's card is %+v", n)
	}
	if clone.changes == 0 {
		t.Error("nobody was told of the change")
	}
}

func TestWaysToConfigureANetwork(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		want   string // the address; empty for DHCP
	}{
		"ip":              {"ip addr flush dev ens192; ip addr add 192.0.2.7/25 dev ens192", "192.0.2.7/25"},
		"new connection":  {"nmcli con add type ethernet con-name c ifname ens192 ipv4.method manual ipv4.addresses 192.0.2.7/25 ipv4.gateway 192.0.2.1; nmcli con up c", "192.0.2.7/25"},
		"old connection":  {"nmcli con mod ens192 ipv4.method manual ipv4.addresses 192.0.2.7/25; nmcli con up ens192", "192.0.2.7/25"},
		"connection off":  {"nmcli con add type ethernet con-name c ifname ens192 ipv4.method auto; nmcli con up c; nmcli con delete c", ""},
		"netplan":         {"printf 'network:\\n  ethernets:\\n    ens192:\\n      addresses: [192.0.2.7/25]\\n' > /etc/netplan/9.yaml; netplan apply", "192.0.2.7/25"},
		"netplan by name": {"printf 'network:\\n  ethernets:\\n    any:\\n      match: {name: ens*}\\n      addresses: [192.0.2.7/25]\\n' > /etc/netplan/9.yaml; netplan apply", "192.0.2.7/25"},
		"later netplan":   {"printf 'network: {ethernets: {ens192: {addresses: [192.0.2.7/25]}}}\\n' > /etc/netplan/1.yaml; printf 'network: {ethernets: {ens192: {dhcp4: true}}}\\n' > /etc/netplan/9.yaml; netplan apply", ""},
		"ifcfg":           {"printf 'BOOTPROTO=none\\nIPADDR=192.0.2.7\\nNETMASK=255.255.255.128\\n' > /etc/sysconfig/network-scripts/ifcfg-ens192; ifdown ens192; ifup ens192", "192.0.2.7/25"},
		"dhclient":        {"ip addr flush dev ens192; dhclient ens192", ""},
		"modprobe":        {"modprobe -r vmxnet3; modprobe vmxnet3", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := boot(t)
			if out, code := run(t, s, c.script); code != 0 {
				t.Fatalf("exit %d: %s", code, out)
			}
			n := s.NICs()[0]
			got := ""
			if len(n.Addrs) > 0 {
				got = address{n.Addrs[0], n.Prefix[0]}.String()
			}
			if got != c.want || n.Leased != (c.want == "") {
				t.Errorf("address %q, leased %v; want %q", got, n.Leased, c.want)
			}
		})
	}
}

func TestWhatIsConfiguredForGoodOutlastsABoot(t *testing.T) {
	s, _ := boot(t)
	if out, code := run(t, s, `nmcli con mod ens192 ipv4.method manual ipv4.addresses 192.0.2.7/24; nmcli con up ens192
hostnamectl set-hostname kept; hostname passing`); code != 0 {
		t.Fatal(out)
	}
	s.Halt()
	s.Boot()
	if n := s.NICs()[0]; len(n.Addrs) != 1 || n.Addrs[0] != "192.0.2.7" {
		t.Errorf("after the boot the card is %+v", n)
	}
	if s.HostName() != "kept" {
		t.Errorf("after the boot the name is %s", s.HostName())
	}
}

func TestCloudInit(t *testing.T) {
	s, h := boot(t)
	h.SetGuestinfo("metadata", "instance-id: one\nlocal-hostname: ci\nnetwork: {version: 2, ethernets: {nic: {match: {macaddress: '"+h.mac+"'}, addresses: [192.0.2.8/24]}}}\n")
	for _, step := range []struct{ script, name string }{
		{"cloud-init init --local && cloud-init init", "ci"},
		{"hostname other; cloud-init init", "other"}, // the same instance
		{"cloud-init clean --logs; cloud-init init", "ci"},
	} {
		if out, code := run(t, s, step.script); code != 0 || s.HostName() != step.name {
			t.Errorf("%s: exit %d, name %s: %s", step.script, code, s.HostName(), out)
		}
	}
	if n := s.NICs()[0]; len(n.Addrs) != 1 || n.Addrs[0] != "192.0.2.8" {
		t.Errorf("the card is %+v", n)
	}
}

func TestIdentity(t *testing.T) {
	s, _ := boot(t)
	out, code := run(t, s, `a=$(cat /etc/machine-id); systemd-machine-id-setup; [ "$a" = "$(cat /etc/machine-id)" ] && echo kept
rm /etc/machine-id; systemd-machine-id-setup; [ "$a" != "$(cat /etc/machine-id)" ] && echo new
k=$(cat /etc/ssh/ssh_host_rsa_key.pub); ssh-keygen -A; [ "$k" = "$(cat /etc/ssh/ssh_host_rsa_key.pub)" ] && echo kept
rm -f /etc/ssh/ssh_host_*; ssh-keygen -A; [ "$k" != "$(cat /etc/ssh/ssh_host_rsa_key.pub)" ] && echo new`)
	if code != 0 || out != "kept\nnew\nkept\nnew\n" {
		t.Errorf("exit %d, output %q", code, out)
	}
}

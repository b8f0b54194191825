// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guestos

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"
)

const deadline = 30 * time.Second

// hardware is a machine for tests: a name, one card, and guestinfo.
type hardware struct {
	mu      sync.Mutex
	name    string
	mac     string
	lease   string
	info    map[string]string
	frozen  chan struct{} // closed by the freeze
	refuse  error
	changes int
}

func newHardware(name, mac, lease string) *hardware {
	return &hardware{name: name, mac: mac, lease: lease, info: make(map[string]string), frozen: make(chan struct{})}
}

func (h *hardware) Name() string { return h.name }

func (h *hardware) Cards() []Card { return []Card{{Key: 4000, MAC: h.mac}} }

func (h *hardware) Lease() (string, int32) { return h.lease, 24 }

func (h *hardware) Guestinfo(key string) (string, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	v, ok := h.info[key]
	return v, ok
}

func (h *hardware) SetGuestinfo(key, value string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.info[key] = value
}

func (h *hardware) Freeze(Freezing) error {
	if h.refuse != nil {
		return h.refuse
	}
	close(h.frozen)
	return nil
}

func (h *hardware) Changed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changes++
}

func boot(t *testing.T) (*System, *hardware) {
	t.Helper()
	h := newHardware("golden", "00:50:56:00:00:01", "10.0.0.1")
	s := New(h, root, "secret")
	t.Cleanup(s.Halt)
	return s, h
}

// run runs a text in a shell and returns all that it printed and its exit code.
func run(t *testing.T, s *System, text string) (string, int) {
	t.Helper()
	if err := s.Place("/tmp/script", []byte(text)); err != nil {
		t.Fatal(err)
	}
	pid := s.Start(root, "/bin/sh", "/tmp/script > /tmp/output 2>&1", "", nil)
	code := ended(t, s, pid)
	out, err := s.Read(root, "/tmp/output")
	if err != nil {
		t.Fatal(err)
	}
	return string(out), code
}

// ended waits for a process to end and returns its exit code.
func ended(t *testing.T, s *System, pid int64) int {
	t.Helper()
	for late := time.Now().Add(deadline); time.Now().Before(late); time.Sleep(time.Millisecond) {
		for _, p := range s.Processes([]int64{pid}) {
			if p.Ended != nil {
				return p.Code
			}
		}
	}
	t.Fatalf("process %d does not end", pid)
	return 0
}

func TestScripts(t *testing.T) {
	for name, c := range map[string]struct {
		script, want string
		code         int
	}{
		"words":               {`a=1; b="$a 2"; echo "$b" '$b' ${c:-none} ${b#* }`, "1 2 $b none 2\n", 0},
		"exit":                {`echo one; exit 7; echo two`, "one\n", 7},
		"status of last":      {`true; false`, "", 1},
		"set -e":              {"set -e\nfalse\necho never", "", 1},
		"set -e in condition": {"set -e\nif false; then :; fi\nfalse || echo on\n! true\necho end", "on\nend\n", 0},
		"set -e in and":       {"set -e\nfalse && true\necho end", "end\n", 0},
		"set -e in function":  {"set -e\nf() { false; echo never; }\nf", "", 1},
		"set -e last of and":  {"set -e\ntrue && false\necho never", "", 1},
		"set -e substitution": {"set -e\nx=$(false)\necho never", "", 1},
		"set -u":              {"set -u\necho $nothing\necho never", "sh: nothing: unbound variable\n", 1},
		"if":                  {`if [ -n "x" ] && [ 2 -gt 1 ]; then echo yes; elif true; then echo no; else echo no; fi`, "yes\n", 0},
		"case":                {`for x in 10.0.0.5/24 10.0.0.5; do case $x in */*) echo prefix;; *) echo bare;; esac; done`, "prefix\nbare\n", 0},
		"while read":          {"printf 'a 1\\nb 2\\n' | while read -r k v; do echo \"$k=$v\"; done", "a=1\nb=2\n", 0},
		"break":               {`for i in 1 2 3; do for j in 1 2; do [ $i = 2 ] && break 2; echo $i$j; done; done`, "11\n12\n", 0},
		"continue":            {`i=0; while [ $i -lt 3 ]; do i=$((i + 1)); [ $i = 2 ] && continue; echo $i; done`, "1\n3\n", 0},
		"functions":           {`f() { local v=2; echo "$1 $# $v"; return 3; }; v=1; f a b; echo $? $v`, "a 2 2\n3 1\n", 0},
		"subshell":            {`x=1; (x=2; cd /etc; exit 4); echo $? $x $(pwd)`, "4 1 /root\n", 0},
		"pipeline":            {`printf 'b\na\nb\n' | sort -u | tr a-z A-Z`, "A\nB\n", 0},
		"here document":       {"n=7\ncat <<EOF > /tmp/x\nn is $n\nEOF\ncat /tmp/x", "n is 7\n", 0},
		"quoted here doc":     {"cat <<'EOF'\n$n\nEOF", "$n\n", 0},
		"redirections":        {`echo out > /tmp/a; echo more >> /tmp/a; ls /nowhere 2>/dev/null; cat < /tmp/a`, "out\nmore\n", 0},
		"exec redirects":      {"exec > /tmp/b\necho in b\nexec > /tmp/output\ncat /tmp/b", "in b\n", 0},
		"trap":                {`trap 'echo bye' EXIT; echo hi; exit 2`, "hi\nbye\n", 2},
		"source":              {`echo 'x=5; return 6' > /tmp/lib; . /tmp/lib; echo $? $x`, "6 5\n", 0},
		"eval":                {`c='echo deep'; eval "$c"`, "deep\n", 0},
		"glob":                {`cd /etc/ssh; echo *_key.pub no*thing`, "ssh_host_ecdsa_key.pub ssh_host_ed25519_key.pub ssh_host_rsa_key.pub no*thing\n", 0},
		"own script":          {"printf '#!/bin/sh\\necho I am $1\\n' > /tmp/s; chmod 755 /tmp/s; /tmp/s me", "I am me\n", 0},
		"not executable":      {"echo x > /tmp/s; /tmp/s", "sh: /tmp/s: Permission denied\n", exitCannotExec},
		"unknown program":     {`python3 -c 'print(1)'`, "sh: python3: not found\n", exitNotFound},
		"missing path":        {`/opt/tool`, "sh: /opt/tool: No such file or directory\n", exitNotFound},
		"syntax only":         {`echo 'if' > /tmp/bad; sh -n /tmp/bad 2>/dev/null; echo $?; echo 'rm /etc/hosts' > /tmp/ok; sh -n /tmp/ok; echo $?; cat /etc/hosts`, "2\n0\n127.0.0.1\tlocalhost\n", 0},
		"too many fds":        {`echo x 3>&1`, "sh: file descriptor 3 is not simulated\n", exitUsage},
		"recursion":           {`f() { f; }; f`, "sh: nested too deeply\n", exitUsage},
		"command -v":          {`command -v nmcli; command -v docker || echo none`, "/usr/bin/nmcli\nnone\n", 0},
		"sed":                 {`echo 'a=1' | sed -e 's/a/b/' -e 's/\(.\)=\(.\)/\2=\1/'`, "1=b\n", 0},
		"awk":                 {`printf 'a b c\n' | awk '{print $2}'`, "b\n", 0},
		"grep":                {`printf 'one\ntwo\n' | grep -q two && echo found`, "found\n", 0},
		"readlink":            {`readlink -f /sys/class/net/ens192/device/driver; basename "$(readlink -f /sys/class/net/ens192/device)"`, "/sys/bus/pci/drivers/vmxnet3\n0000:0b:00.0\n", 0},
		"address of a card":   {`cat /sys/class/net/ens192/address; hostname -I`, "00:50:56:00:00:01\n10.0.0.1\n", 0},
		"rm and mkdir":        {`mkdir -p /opt/a/b; touch /opt/a/b/c; rm -rf /opt/a; ls -d /opt/a 2>/dev/null || echo gone; rm -f /none; rm /none`, "gone\nrm: /none: No such file or directory\n", 1},
		"test of files":       {`[ -d /etc ] && [ -f /etc/hosts ] && [ -L /bin ] && [ ! -e /none ] && [ -x /bin/sh ] && [ -r /etc/hosts ] && echo all`, "all\n", 0},
		"double brackets":     {`x=web-12; [[ $x == web-* && $x =~ ^web-[0-9]+$ ]] && echo match`, "match\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := boot(t)
			out, code := run(t, s, c.script)
			if code != c.code || out != c.want {
				t.Errorf("exit %d, output %q; want %d, %q", code, out, c.code, c.want)
			}
		})
	}
}

func TestTools(t *testing.T) {
	s, h := boot(t)
	h.SetGuestinfo("name", "value of it")
	for _, c := range []struct {
		script, want string
		code         int
	}{
		{`vmware-rpctool "info-get guestinfo.name"`, "value of it\n", 0},
		{`vmware-rpctool info-get guestinfo.name`, "value of it\n", 0},
		{`vmtoolsd --cmd "info-get guestinfo.name"`, "value of it\n", 0},
		{`vmware-rpctool "info-get guestinfo.other"`, "No value found\n", 1},
		{`vmtoolsd --cmd 'info-set guestinfo.new a b' && vmtoolsd --cmd='info-get guestinfo.new'`, "\na b\n", 0},
		{`vmware-rpctool "info-set other x"`, "Unknown command\n", 1},
		{`vmware-rpctool "vmfork-begin"`, "Invalid arguments\n", 1},
		{`vmware-rpctool "machine.id.get"`, "Unknown command\n", 1},
	} {
		if out, code := run(t, s, c.script); out != c.want || code != c.code {
			t.Errorf("%s: exit %d, output %q; want %d, %q", c.script, code, out, c.code, c.want)
		}
	}
	if v, _ := h.Guestinfo("new"); v != "a b" {
		t.Errorf("guestinfo.new is %q", v)
	}
	h.refuse = errors.New("Not now")
	if out, code := run(t, s, `vmware-rpctool "instantclone.freeze"; echo "still here $?"`); out != "Not now\nstill here 1\n" || code != 0 {
		t.Errorf("a freeze that is refused: exit %d, output %q", code, out)
	}
}

func TestTroubleThatATestWants(t *testing.T) {
	s, _ := boot(t)
	s.SetFail(map[string]int{"netplan apply": 9, "/usr/bin/nm*": 4})
	if out, code := run(t, s, "netplan generate; echo $?; netplan apply; echo $?; nmcli; echo $?"); code != 0 ||
		out != "0\nnetplan: simulated failure\n9\nnmcli: simulated failure\n4\n" {
		t.Errorf("exit %d, output %q", code, out)
	}
	s.SetMissing([]string{"nmcli"})
	if out, code := run(t, s, "nmcli"); code != exitNotFound || out != "sh: nmcli: not found\n" {
		t.Errorf("a program that is gone: exit %d, output %q", code, out)
	}
	s.SetHang("cloud-init*")
	pid := s.Start(root, "/usr/bin/cloud-init", "init", "", nil)
	if !s.Kill(pid) {
		t.Fatal("there is nothing to kill")
	}
	if code := ended(t, s, pid); code != exitTerminated {
		t.Errorf("a killed process ended with %d", code)
	}
	if s.Kill(pid) {
		t.Error("a process that has ended was killed")
	}
}

func TestAnEndlessLoopCanBeKilled(t *testing.T) {
	s, _ := boot(t)
	pid := s.Start(root, "/bin/sh", `-c 'while :; do :; done'`, "", nil)
	s.Stop(true) // it stands still with its guest, and can be killed there too
	if !s.Kill(pid) {
		t.Fatal("there is nothing to kill")
	}
	if code := ended(t, s, pid); code != exitTerminated {
		t.Errorf("ended with %d", code)
	}
}

func TestPermissions(t *testing.T) {
	s, _ := boot(t)
	s.SetUsers(map[string]string{"ann": "pw"})
	for _, c := range []struct {
		script string
		code   int
	}{
		{"echo x > /home/ann/f && cat /home/ann/f", 0},
		{"echo x > /tmp/ann", 0},
		{"echo x > /etc/motd", 1},
		{"cat /etc/ssh/ssh_host_rsa_key", 1},
		{"cat /etc/hosts", 0},
		{"hostnamectl set-hostname mine", 1},
		{"echo 0000:0b:00.0 > /sys/bus/pci/drivers/vmxnet3/unbind", 1},
		{"ip addr flush dev ens192", 2},
	} {
		pid := s.Start("ann", "/bin/sh", "-c "+quote(c.script), "", nil)
		if code := ended(t, s, pid); code != c.code {
			t.Errorf("%s: exit %d, want %d", c.script, code, c.code)
		}
	}
	if !s.Login("ann", "pw") || s.Login("ann", "PW") || s.Login("bob", "") {
		t.Error("passwords are not checked")
	}
	s.SetUsers(map[string]string{"ann": ""})
	if s.Login("ann", "") || s.Login("ann", "pw") {
		t.Error("a user who was taken away can still log in")
	}
}

func TestEnvironmentAndDirectory(t *testing.T) {
	s, _ := boot(t)
	pid := s.Start(root, "/bin/sh", `-c 'echo "$A:$HOME:$(pwd)" > /tmp/out'`, "/etc", []string{"A=1 2"})
	if code := ended(t, s, pid); code != 0 {
		t.Fatalf("exit %d", code)
	}
	out, err := s.Read(root, "/tmp/out")
	if want := "1 2::/etc\n"; err != nil || string(out) != want {
		t.Errorf("output %q, %v; want %q", out, err, want)
	}
}

func ExampleSystem_Processes() {
	s := New(newHardware("vm", "00:50:56:00:00:01", "10.0.0.1"), root, "pw")
	for _, p := range s.Processes(nil) {
		fmt.Println(p.PID, p.Name)
	}
	// Output:
	// 1 systemd
	// 612 vmtoolsd
}

func TestSharedImageIsNeverChanged(t *testing.T) {
	before := maps.Clone(image().nodes)
	s, _ := boot(t)
	if out, code := run(t, s, "rm -rf /etc/ssh; echo x > /etc/hosts; chmod 600 /usr/bin/sed; mv /opt /opt2"); code != 0 {
		t.Fatal(out)
	}
	if !maps.Equal(before, image().nodes) {
		t.Error("a guest changed what all guests begin with")
	}
}

func TestHeadAndTailCountBytes(t *testing.T) {
	s, _ := boot(t)
	text := "printf 'one\\ntwo\\n' > /tmp/x; head -c 5 /tmp/x; echo; tail -c 3 /tmp/x; tail -c 99 /tmp/x; tail -c 0 /tmp/x; tail -c x /tmp/x"
	out, code := run(t, s, text)
	want := "one\nt\nwo\none\ntwo\ntail: invalid number of bytes: 'x'\n"
	if out != want || code != 1 {
		t.Fatalf("%q, %d; want %q, 1", out, code, want)
	}
}

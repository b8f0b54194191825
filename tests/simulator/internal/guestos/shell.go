// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guestos

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// Exit codes of shells.
const (
	exitUsage      = 2
	exitCannotExec = 126
	exitNotFound   = 127
)

// maxCalls bounds how deep functions, scripts and substitutions may nest.
const maxCalls = 100

// flow is what interrupts the commands of a shell.
type flow int

const (
	flowNone flow = iota
	flowBreak
	flowContinue
	flowReturn
	flowExit
)

// shell carries out the syntax tree of a script. It is a POSIX shell but for this:
// there are no jobs, so that "command &" runs to its end first; a pipeline's commands
// run one after the other; and only the file descriptors 0, 1 and 2 exist. So a
// script is deterministic, which Process needs.
type shell struct {
	p      *Process
	user   string
	vars   map[string]expand.Variable
	funcs  map[string]*syntax.Stmt
	params []string
	name   string
	dir    string
	in     *bytes.Reader
	out    io.Writer
	errs   io.Writer

	errexit, nounset, pipefail, noglob, noexec bool

	status  int
	flow    flow
	levels  int // loops that a break or continue still has to leave
	loops   int
	tested  int // depth of conditions, in which a failure does not end the shell
	calls   int
	locals  []map[string]expand.Variable
	onExit  string
	gone    bool
	subbing int // status of the last command substitution, or -1
}

// searchPath is where programs are looked for.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// LoginEnvironment is the environment of a user's programs.
func LoginEnvironment(user string) []string {
	return []string{
		"HOME=" + homeOf(user), "LOGNAME=" + user, "PATH=" + searchPath, "SHELL=/bin/bash", "USER=" + user,
	}
}

// runText carries out a process's text and returns its exit code.
func runText(p *Process) (code int) {
	sh := &shell{
		p: p, user: p.Owner, vars: make(map[string]expand.Variable), funcs: make(map[string]*syntax.Stmt),
		name: "sh", dir: p.dir, in: bytes.NewReader(nil), out: io.Discard, errs: io.Discard,
	}
	env := p.env
	if len(env) == 0 { // what is given is all that there is
		env = LoginEnvironment(p.Owner)
	}
	sh.export("PATH", searchPath)
	sh.export("PWD", p.dir)
	for _, pair := range env {
		name, value, _ := strings.Cut(pair, "=")
		sh.export(name, value)
	}
	sh.script(p.text, "sh")
	sh.exitTrap()
	return sh.status
}

func (sh *shell) export(name, value string) {
	sh.vars[name] = expand.Variable{Set: true, Exported: true, Kind: expand.String, Str: value}
}

func (sh *shell) exitTrap() {
	if text := sh.onExit; text != "" && !sh.gone {
		status := sh.status
		sh.onExit, sh.flow = "", flowNone
		sh.script(text, "trap")
		sh.status = status
	}
}

// script parses and carries out a text in this shell.
func (sh *shell) script(text, name string) {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(text), name)
	if err != nil {
		sh.fail(exitUsage, "%v", err)
		sh.flow = flowExit
		return
	}
	if sh.noexec { // only the syntax was asked for
		sh.status = 0
		return
	}
	sh.guarded(func() { sh.stmts(file.Stmts) })
}

// guarded runs f. The expansion library panics at what it does not know; for a
// script that is an error like any other.
func (sh *shell) guarded(f func()) {
	defer func() {
		if r := recover(); r != nil {
			sh.fail(exitUsage, "not simulated: %v", r)
			sh.flow = flowExit
		}
	}()
	f()
}

// fail reports an error as a shell does and sets the status.
func (sh *shell) fail(status int, format string, args ...any) {
	fmt.Fprintf(sh.errs, "sh: %s\n", fmt.Sprintf(format, args...))
	sh.status = status
}

// subshell is a copy that changes nothing here.
func (sh *shell) subshell() *shell {
	sub := *sh
	sub.vars, sub.funcs = maps.Clone(sh.vars), maps.Clone(sh.funcs)
	sub.locals, sub.onExit, sub.loops = nil, "", 0
	sub.calls++
	return &sub
}

// joined ends a subshell: what it exited with is this shell's status.
func (sh *shell) joined(sub *shell) {
	sub.exitTrap()
	sh.status = sub.status
	if sub.gone {
		sh.gone, sh.flow = true, flowExit
	}
}

func (sh *shell) stmts(list []*syntax.Stmt) {
	for _, s := range list {
		sh.stmt(s)
		if sh.flow != flowNone {
			return
		}
	}
}

// stmt carries out one statement with its redirections.
func (sh *shell) stmt(s *syntax.Stmt) {
	// A process that catches up with its original does not wait; any other stands still
	// with its guest, even in a loop of nothing but builtins.
	if sh.p.caughtUp() && !sh.p.sys.running(sh.p) {
		sh.noteGone(outcome{gone: true})
	}
	if sh.flow != flowNone {
		return
	}
	if sh.calls > maxCalls {
		sh.fail(exitUsage, "nested too deeply")
		sh.flow = flowExit
		return
	}
	in, out, errs := sh.in, sh.out, sh.errs
	ok := true
	for _, r := range s.Redirs {
		if ok = sh.redirect(r); !ok {
			break
		}
	}
	if ok && s.Cmd != nil {
		if s.Negated {
			sh.tested++
		}
		sh.command(s.Cmd)
		if s.Negated {
			sh.tested--
			sh.status = oneIf(sh.status == 0)
		}
	} else if ok {
		sh.status = 0
	}
	if !sh.keepsRedirections(s) {
		sh.in, sh.out, sh.errs = in, out, errs
	}
	if sh.status != 0 && sh.errexit && sh.tested == 0 && !s.Negated && sh.flow == flowNone && ends(s.Cmd) {
		sh.flow = flowExit
	}
}

// ends tells if a failure of a command is its own: one of a list or of a compound
// has been seen to inside.
func ends(c syntax.Command) bool {
	if b, ok := c.(*syntax.BinaryCmd); ok {
		return b.Op == syntax.Pipe || b.Op == syntax.PipeAll
	}
	return true
}

// keepsRedirections: "exec" without a command redirects the shell itself.
func (sh *shell) keepsRedirections(s *syntax.Stmt) bool {
	call, ok := s.Cmd.(*syntax.CallExpr)
	return ok && len(call.Args) == 1 && call.Args[0].Lit() == "exec"
}

func oneIf(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (sh *shell) command(c syntax.Command) {
	switch c := c.(type) {
	case *syntax.CallExpr:
		sh.simple(c)
	case *syntax.Block:
		sh.stmts(c.Stmts)
	case *syntax.Subshell:
		sub := sh.subshell()
		sub.stmts(c.Stmts)
		sh.joined(sub)
	case *syntax.BinaryCmd:
		sh.binary(c)
	case *syntax.IfClause:
		sh.ifClause(c)
	case *syntax.WhileClause:
		sh.loop(func() bool { return (sh.test(c.Cond) == 0) != c.Until }, c.Do)
	case *syntax.ForClause:
		sh.forClause(c)
	case *syntax.CaseClause:
		sh.caseClause(c)
	case *syntax.FuncDecl:
		sh.funcs[c.Name.Value] = c.Body
		sh.status = 0
	case *syntax.DeclClause:
		sh.declare(c)
	case *syntax.TestClause:
		sh.status = oneIf(!sh.condition(c.X))
	case *syntax.ArithmCmd:
		n, err := expand.Arithm(sh.config(), c.X)
		if err != nil {
			sh.fail(1, "%v", err)
			return
		}
		sh.status = oneIf(n == 0)
	default:
		sh.fail(exitUsage, "%T is not simulated", c)
	}
}

// test carries out a condition.
func (sh *shell) test(cond []*syntax.Stmt) int {
	sh.tested++
	sh.stmts(cond)
	sh.tested--
	return sh.status
}

func (sh *shell) expansionError(err error) {
	var unset expand.UnsetParameterError
	if errors.As(err, &unset) {
		sh.fail(1, "%s", strings.TrimSpace(unset.Error()))
	} else {
		sh.fail(1, "%v", err)
	}
	sh.flow = flowExit
}

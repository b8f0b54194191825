// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guestos

import (
	"bytes"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

func (sh *shell) ifClause(c *syntax.IfClause) {
	for ; c != nil; c = c.Else {
		if len(c.Cond) == 0 { // else
			sh.stmts(c.Then)
			return
		}
		if sh.test(c.Cond) == 0 || sh.flow != flowNone {
			sh.stmts(c.Then)
			return
		}
	}
	sh.status = 0
}

func (sh *shell) loop(more func() bool, body []*syntax.Stmt) {
	sh.loops++
	defer func() { sh.loops-- }()
	status := 0
	for sh.flow == flowNone && more() && sh.flow == flowNone {
		sh.stmts(body)
		status = sh.status
		if sh.flow == flowBreak || sh.flow == flowContinue {
			again := sh.flow == flowContinue
			if sh.levels--; sh.levels > 0 {
				break
			}
			sh.flow = flowNone
			if !again {
				break
			}
		}
	}
	if sh.flow == flowNone {
		sh.status = status
	}
}

func (sh *shell) forClause(c *syntax.ForClause) {
	it, ok := c.Loop.(*syntax.WordIter)
	if !ok {
		sh.fail(exitUsage, "this kind of for is not simulated")
		return
	}
	items := sh.params
	if it.InPos.IsValid() {
		items = sh.fields(it.Items)
	}
	sh.status = 0
	i := 0
	sh.loop(func() bool {
		if i >= len(items) {
			return false
		}
		sh.setVar(it.Name.Value, items[i])
		i++
		return true
	}, c.Do)
}

func (sh *shell) caseClause(c *syntax.CaseClause) {
	word := sh.literal(c.Word)
	sh.status = 0
	for _, item := range c.Items {
		for _, pattern := range item.Patterns {
			p, err := expand.Pattern(sh.config(), pattern)
			if err != nil {
				sh.expansionError(err)
				return
			}
			if matches(p, word) {
				sh.stmts(item.Stmts)
				return
			}
		}
	}
}

func (sh *shell) binary(c *syntax.BinaryCmd) {
	switch c.Op {
	case syntax.AndStmt, syntax.OrStmt:
		sh.tested++
		sh.stmt(c.X)
		sh.tested--
		if sh.flow == flowNone && (sh.status == 0) == (c.Op == syntax.AndStmt) {
			sh.stmt(c.Y)
		}
	default:
		sh.pipe(c)
	}
}

// pipe runs the left side to its end and then the right side with what it wrote.
func (sh *shell) pipe(c *syntax.BinaryCmd) {
	var through bytes.Buffer
	left := sh.subshell()
	left.out = &through
	if c.Op == syntax.PipeAll {
		left.errs = &through
	}
	left.tested++
	left.stmt(c.X)
	sh.joined(left)
	if sh.gone {
		return
	}
	right := sh.subshell()
	right.in = bytes.NewReader(through.Bytes())
	right.stmt(c.Y)
	first := sh.status
	sh.joined(right)
	if sh.pipefail && sh.status == 0 {
		sh.status = first
	}
}

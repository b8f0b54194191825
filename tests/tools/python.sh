#!/bin/sh
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Runs its arguments with a Python that can run the developer tools: PYTHON when given, else the first
# of python3.11, 3.12, 3.13, 3.14 and python3 on PATH or under pyenv that really starts.
set -eu

complain() {
    echo "$1" >&2
    exit 1
}

# A name on PATH proves nothing: a pyenv shim exists for versions that are not selected.
usable() {
    "$1" -I -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

command -v git >/dev/null 2>&1 || complain "git is needed and is not on PATH."

if [ -n "${PYTHON:-}" ]; then
    usable "$PYTHON" ||
        complain "PYTHON=$PYTHON is not a Python 3.11 or later with the venv and ensurepip modules."
    exec "$PYTHON" "$@"
fi

for minor in 11 12 13 14; do
    for candidate in "python3.$minor" "${PYENV_ROOT:-${HOME:-/}/.pyenv}/versions/3.$minor".*/bin/python3; do
        if usable "$candidate"; then
            exec "$candidate" "$@"
        fi
    done
done
if usable python3; then
    exec python3 "$@"
fi
complain "Python 3.11 or later with its venv module is needed and was not found (on Debian and Ubuntu: python3-venv); name one with PYTHON=/path/to/python3."

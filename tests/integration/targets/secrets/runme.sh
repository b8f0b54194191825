#!/usr/bin/env bash
# Runs a playbook with secrets at the highest verbosity, and looks for them in all that Ansible says and logs.
set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

run() {
    ANSIBLE_ASYNC_DIR="$work/async" ANSIBLE_LOG_PATH="$work/log" ANSIBLE_CALLBACKS_ENABLED=ansible.builtin.junit JUNIT_OUTPUT_DIR="$work/junit" \
        ansible-playbook playbook.yml -i ../../inventory -e @../../integration_config.yml "$@" >>"$work/output" 2>&1
}

run -vvvvv --diff || { grep -A 40 -m 3 -E "^(fatal|\[ERROR\])" "$work/output"; exit 1; }

if grep -rnE 's3cret(-|%2D)[a-z]+' "$work"; then
    echo "A secret was shown." >&2
    exit 1
fi
password=$(sed -n 's/^vcenter_password: "\(.*\)"$/\1/p' ../../integration_config.yml)
if [ -z "$password" ] || grep -rnF -- "$password" "$work"; then
    echo "The password was shown, or is not known." >&2
    exit 1
fi
# Short values of guestinfo are words of every result: hiding each of them would make the results unreadable.
for word in '"name": "web-1"' '"created": 1' '"msg": "one web server"'; do
    grep -qF -- "$word" "$work/output" || { echo "Starred out: $word" >&2; exit 1; }
done
echo "No secret was shown."

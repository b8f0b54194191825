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
for word in '"name": "web-1"' '"created": 1' '"msg": "one web server"' '1 clone web-1 of the role web; wrong is one more word'; do
    grep -qF -- "$word" "$work/output" || { echo "Starred out: $word" >&2; exit 1; }
done
# ansible-core 2.22 masks in the recap, too.
recap='^testhost +: ok=[0-9]+ +changed=[0-9]+ +unreachable=0 +failed=0 +skipped=[0-9]+ +rescued=0 +ignored=[0-9]+'
grep -qE -- "$recap" "$work/output" || { echo "The recap cannot be read:" >&2; grep -A 3 '^PLAY RECAP' "$work/output" >&2; exit 1; }
echo "No secret was shown."

#!/bin/bash
# The worker under control groups of version 2 with their memory controller, which many machines keep in version 1: in a kernel of its
# own, that runs as a process of this user (User-Mode Linux) on this machine's files. Nothing in there has a network. Skipped where
# there is no such kernel.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
build=${TERN_BUILD:-$PWD}
limit_s=200

skip() {
    echo "skipped: $*"
    exit 77
}

[ "${TERN_FLOWS:-}" != skip ] || skip "TERN_FLOWS=skip"
command -v bats > /dev/null || skip "bats is not installed (contrib/install-deps --tests)"
kernel=$(command -v linux.uml) || skip "no kernel for a process: user-mode-linux is not installed (contrib/install-deps --tests)"
! grep -qs 'fsanitize=' "$build/Makefile" || skip "a sanitizer's program takes more memory than the limits that are tested"

scratch=$(mktemp -d "${TMPDIR:-/tmp}/tern-cgroup.XXXXXX")
machine=
end() {
    [ -z "$machine" ] || kill -KILL "$machine" 2> /dev/null || true
    rm -rf "$scratch"
}
trap end EXIT
trap 'exit 143' TERM INT

# Its memory is a file in TMPDIR. What it says on its console is the test's output; status: how it ended.
TMPDIR=$scratch HOME=$scratch timeout -k 10 "$limit_s" "$kernel" mem=512M rootfstype=hostfs rw quiet con=null con0=fd:0,fd:1 init="$here/init" \
    TERN_BUILD="$build" TERN_RESULT="$scratch/status" < /dev/null > "$scratch/console" 2>&1 &
machine=$!
wait "$machine" || true
machine=
tr -d '\r' < "$scratch/console"
[ -f "$scratch/status" ] || {
    grep -q 'TAP\|^1\.\.' "$scratch/console" || skip "the kernel does not start here (see above)"
    echo "it did not come to its end"
    exit 1
}
[ "$(cat "$scratch/status")" = 0 ]

#!/bin/bash
# The units in a machine whose PID 1 is a real systemd (tests/with-systemd): installed there by make install, and what is written
# in there is thrown away. Skipped where that cannot be.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
build=${TERN_BUILD:-$PWD}

skip() {
    echo "skipped: $*"
    exit 77
}

[ "${TERN_FLOWS:-}" != skip ] || skip "TERN_FLOWS=skip"
command -v bats > /dev/null || skip "bats is not installed (contrib/install-deps --tests)"
! grep -qs 'fsanitize=' "$build/Makefile" || skip "a sanitizer's program does not run under the units' restrictions"
status=0
"$here/../with-systemd" --boot-timeout 60 -- true || status=$?
[ "$status" -ne 77 ] || skip "no throw-away systemd can be booted here (see above)"

source=$(cd "$here/../.." && pwd)
exec timeout -k 10 280 "$here/../with-systemd" -v --boot-timeout 60 --bind "$build" --bind-ro "$source" -- \
    env TERN_BUILD="$build" TERN_SOURCE="$source" bats --tap "$here/service.bats"

#!/bin/bash
# The Debian packages that make deb has made: lintian finds no error, and in a machine with a real systemd they are installed, used,
# upgraded, removed and purged. Usage: packages.sh DIRECTORY, where the packages are. Exit status 77: cannot be tried here.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
debs=$(cd "$1" && pwd)

skip() {
    echo "skipped: $*"
    exit 77
}

for needed in lintian bats; do
    command -v "$needed" > /dev/null || skip "$needed is not installed (contrib/install-deps --deb)"
done
lintian --fail-on error "$debs"/*.changes
status=0
"$here/../with-systemd" --boot-timeout 60 -- true || status=$?
[ "$status" -ne 77 ] || skip "no throw-away systemd can be booted here (see above)"
exec timeout -k 10 200 "$here/../with-systemd" -v --boot-timeout 60 --bind-ro "$debs" --bind-ro "$(cd "$here/../.." && pwd)" -- \
    env TERN_DEBS="$debs" bats --tap "$here/packages.bats"

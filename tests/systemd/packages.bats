#!/usr/bin/env bats
# The packages, in the machine that packages.sh makes: TERN_DEBS names the directory they are in.
# shellcheck shell=bash
bats_require_minimum_version 1.5.0
load helpers

setup_file() {
    rm -f /usr/sbin/policy-rc.d # containers have one that starts nothing
}

connected() { tern workers --json | grep -q '"name"'; }

@test "what was installed takes a job at once" {
    dpkg -i "$TERN_DEBS"/{tern,tern-broker,tern-worker,libtern0,libtern-dev}_*.deb
    systemctl is-active tern-broker.service tern-worker@1.service tern-workers.target
    systemctl is-enabled tern-broker.service tern-worker@1.service tern-workers.target
    [ "$(tern run --cwd / -- id -un)" = tern-worker ]
}

@test "members of the group tern may submit, nobody else" {
    useradd -G tern anna
    useradd bob
    [ "$(cd / && setpriv --reuid anna --init-groups --regid anna tern run -- echo hello)" = hello ]
    run -77 setpriv --reuid bob --init-groups --regid bob tern ping
}

@test "an upgrade keeps the jobs, and what runs" {
    id=$(tern submit --cwd / --delay 3s -- echo kept)
    dpkg -i "$TERN_DEBS"/{tern-broker,tern-worker}_*.deb
    eventually 10 connected
    tern wait --timeout 30s "$id"
    [ "$(tern result "$id")" = kept ]
}

@test "a program is built against the installed library" {
    cd "$BATS_TEST_TMPDIR"
    printf '#include <tern/tern.h>\n#include <tern/handler.h>\nint main(void) { return tern_exit_status(0); }\n' > a.c
    # shellcheck disable=SC2046
    cc -o a a.c $(pkg-config --cflags --libs tern)
    ./a
    mkdir debian
    printf 'Source: a\n\nPackage: a\nArchitecture: any\n' > debian/control
    needs=$(dpkg-shlibdeps -O a)
    [[ $needs == *"libtern0 (>= 0.1.0)"* ]]
}

@test "removed, nothing runs; purged, nothing is left" {
    dpkg -r tern tern-broker tern-worker libtern0 libtern-dev
    run ! pgrep -x 'tern-broker|tern-worker'
    [ -e /var/lib/tern/tern.db ]
    dpkg -P tern tern-broker tern-worker libtern0 libtern-dev
    run ! getent passwd tern tern-worker
    run ! getent group tern-worker
    left=$(find / -xdev \( -path /proc -o -path /sys -o -path /tmp -o -path /var/tmp -o -path "$TERN_DEBS" -o -path "${BATS_TEST_DIRNAME%/tests/systemd}" \) -prune -o \
        \( -name 'tern*' -o -name 'libtern*' \) -print | grep -vE '^/(root|home|usr/local|work|var/lib/dpkg/info/tern)|/site-packages/|/dist-packages/|/usr/share/(perl|bash-completion)|terninfo' || true)
    echo "$left"
    [ -z "$left" ]
}

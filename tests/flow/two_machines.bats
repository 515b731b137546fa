#!/usr/bin/env bats
# README's page "Two machines", executed as it stands there, on network hosts of their own.
# shellcheck disable=SC2154,SC2016
load helpers
eval "$(declare -f teardown | sed '1s/teardown/flow_teardown/')"

readme=${TERN_SOURCE:-$BATS_TEST_DIRNAME/../..}/README.md
hosts=("${TERN_SOURCE:-$BATS_TEST_DIRNAME/../..}/tests/netns-hosts" --prefix "rd$(($$ % 100000))")

# blocks: how many blocks of commands the page has; block N: the nth of them.
page() { awk '/^## / { inside = $0 == "## Two machines" } inside' "$readme"; }
blocks() { page | grep -c '^```sh$'; }
block() { page | awk -v want="$1" '/^```sh$/ { n++; inside = n == want; next } /^```$/ { inside = 0 } inside'; }

# on HOST COMMANDS: there, in that host's own directory.
on() {
    (cd "$dir/$1" && "${hosts[@]}" exec "$1" bash -euc "$2") < /dev/null >> "$dir/$1.log" 2>&1 3>&-
}

hosts_up() {
    local status=0
    "${hosts[@]}" up "$1" > hosts.out 2>&1 3>&- || status=$?
    [ "$status" -ne 77 ] || skip "$(cat hosts.out)"
    [ "$status" -eq 0 ] || cat hosts.out
    mkdir host1 host2 host3
    unset TERN_BROKER
    return "$status"
}

teardown() {
    cp "$dir"/host*/*.log "$dir" 2> /dev/null || true
    "${hosts[@]}" down > /dev/null 2>&1 3>&- || true
    flow_teardown
}

@test "the page Two machines works word by word; a person on a third machine is let in the same way, and cut off by a revocation" {
    [ "$(blocks)" -eq 3 ]
    page | grep -qF 'tern keygen ada'
    hosts_up 3
    on host1 "$(block 1)"
    cp host1/broker.pub host2/
    on host2 "$(block 2)"
    eventually 30 grep -q "does not know this worker's key" host2.log
    cp host2/worker2.pub host1/
    on host1 "$(block 3)"
    [ "$(tail -n 1 host1.log)" = host2 ]

    local as_ada='tern --broker tcp://host1:7711 --key ada.key --broker-key broker.pub'
    on host3 'tern keygen ada'
    cp host3/ada.pub host1/
    cp host1/broker.pub host3/
    on host1 'tern-broker authorize ada.pub --exec --keys peers.d'
    on host3 "$as_ada run -- hostname"
    [ "$(tail -n 1 host3.log)" = host2 ]
    on host1 'tern-broker revoke ada --keys peers.d'
    eventually 20 eval "! on host3 '$as_ada ping'"
    tail -n 1 host3.log | grep -q "does not know this client's key"
    on host1 'tern --broker ipc://$PWD/broker.sock run -- true'
}

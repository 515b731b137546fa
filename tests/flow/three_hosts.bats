#!/usr/bin/env bats
# Three network hosts, each with a worker and a key of its own: one that is cut off for a while, and for longer than a lease.
# shellcheck disable=SC2016,SC2154
load helpers
eval "$(declare -f teardown | sed '1s/teardown/flow_teardown/')"

hosts=("${TERN_SOURCE:-$BATS_TEST_DIRNAME/../..}/tests/netns-hosts" --prefix "th$(($$ % 100000))")

# on HOST COMMAND...: there, in the directory that all of them see.
on() { "${hosts[@]}" exec "$@" < /dev/null 3>&-; }

hosts_up() {
    local status=0
    "${hosts[@]}" up 3 > hosts.out 2>&1 3>&- || status=$?
    [ "$status" -ne 77 ] || skip "$(cat hosts.out)"
    [ "$status" -eq 0 ] || cat hosts.out
    return "$status"
}

teardown() {
    "${hosts[@]}" down > /dev/null 2>&1 3>&- || true
    flow_teardown
}

start_everywhere() {
    tern-broker keygen --dir . --keys peers.d
    for n in 1 2 3; do
        tern keygen "w$n" --role worker
        tern-broker authorize "w$n.pub" --keys peers.d
    done
    on host1 tern-broker --listen "$TERN_BROKER,tcp://0.0.0.0:7711" --key broker.key --keys peers.d --db tern.db --ballast 1M \
        > broker.log 2>&1 &
    eventually 30 tern ping
    for n in 1 2 3; do
        on "host$n" tern-worker --broker tcp://host1:7711 --key "w$n.key" --broker-key broker.pub --name "w$n" --process 2 \
            > "worker-w$n.log" 2>&1 &
    done
    eventually 30 connected 3
}

connected() { [ "$(tern workers --json | grep -cE '"name":"w[123]"')" -eq "$1" ]; }
running_at() { tern list --limit 0 --json --state running | grep -c "\"worker\":\"$1\""; }
busy_everywhere() { [ "$(running_at w1) $(running_at w2) $(running_at w3)" = '2 2 2' ]; }
ids_at() { tern list --limit 0 --json --state running | grep "\"worker\":\"$1\"" | sed 's/.*"id":\([0-9]*\).*/\1/'; }
done_events() { tern history --json "$1" | grep -c '"event":"done"'; }

attempts_are() {
    local n=$1 id
    shift
    for id in "$@"; do
        field_is "$id" attempt "$n" || return 1
    done
}

until_ms() {
    local left=$(($1 - $(now_ms)))
    [ "$left" -le 0 ] || sleep "$((left / 1000)).$((left % 1000 / 100))"
}

# The leases are those that people use: 10 s, with a heartbeat each 2 s. On host3 the first attempts of a job end while it is cut off, but
# for one job, which is still at it when the host is back.
long_sleep=1000.$$ # a name to find it by
job='echo $TERN_JOB_ID $TERN_ATTEMPT $(hostname) >> ran
if [ $(hostname) = host3 ] && [ $TERN_ATTEMPT = 1 ] && mkdir stays; then
    exec sleep '$long_sleep'
fi
sleep 6'

@test "a worker that is cut off for less than a lease keeps its jobs; in 30 s they run elsewhere, and are recorded once" {
    local began short long id
    hosts_up
    start_everywhere
    printf '%s\n' "$job" > job.sh
    repeat 12 '{"command": ["sh", "job.sh"], "tag": "cpu"}' | tern submit --batch - > ids
    eventually 20 busy_everywhere
    short=$(ids_at w2)
    long=$(ids_at w3)
    began=$(now_ms)
    "${hosts[@]}" cut host2
    "${hosts[@]}" cut host3
    sleep 4 # two heartbeats
    "${hosts[@]}" heal host2
    # shellcheck disable=SC2086
    eventually 30 attempts_are 2 $long
    until_ms $((began + 30000))
    somebody_with "$long_sleep"
    not connected 3
    "${hosts[@]}" heal host3
    eventually 20 nobody_with "$long_sleep" # it is told that the attempt is not its own any more
    tern wait --timeout 60s all
    eventually 20 connected 3
    [ "$(tern list --limit 0 --json --state 'done' | wc -l)" -eq 12 ]
    for id in $short; do
        field_is "$id" worker w2 attempt 1
    done
    for id in $long; do
        field_is "$id" attempt 2
        grep -E "^$id 1 host3$" ran
        grep -E "^$id 2 host[12]$" ran
    done
    while read -r id; do
        [ "$(done_events "$id")" -eq 1 ]
    done < ids
    [ "$(wc -l < ran)" -eq 14 ]
    [ "$(tern run --timeout 10s --host host3 -- hostname)" = host3 ]
}

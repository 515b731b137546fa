#!/usr/bin/env bats
# Many at once, in the time and the memory that are promised.
# shellcheck disable=SC2154,SC2016
load helpers

# Jobs of the two other pools, one after the other while the process lives: how many, and the slowest of them.
pace_beside() {
    local pid=$1 before took
    n_beside=0 slowest_ms=0
    until gone "$pid"; do
        before=$(now_ms)
        [ "$(tern run --tag cpu -- echo cpu)" = cpu ]
        tern submit --wait --tag io --handler echo --payload io > /dev/null
        took=$(($(now_ms) - before))
        n_beside=$((n_beside + 1))
        [ "$took" -le "$slowest_ms" ] || slowest_ms=$took
    done
}

mebibytes_at_most() {
    local peak
    peak=$(peak_kb "$1")
    echo "peak memory: $((peak / 1024)) MiB"
    [ -n "$sanitized" ] || [ "$peak" -lt $(($2 * 1024)) ]
}

@test "10,000 slow-io sleeps of 2 s end within 4 s in one worker of less than 200 MiB, while cpu and io jobs go on" {
    start_both
    repeat 10000 '{"handler":"sleep","tag":"slow-io","payload":"2s"}' > lines
    local before took batch limit=4000
    [ -z "$sanitized" ] || limit=12000
    before=$(now_ms)
    tern submit --batch lines --wait > ids 3>&- &
    batch=$!
    pace_beside "$batch"
    wait "$batch"
    took=$(($(now_ms) - before))
    echo "$took ms; beside them $n_beside jobs in each other pool, the slowest pair took $slowest_ms ms"
    [ "$took" -ge 2000 ]
    [ "$took" -le "$limit" ]
    [ "$n_beside" -ge 5 ]
    [ "$slowest_ms" -le $((1500 * slower)) ]
    [ "$(tern list --limit 0 --json | grep -c '"state":"done".*"handler":"sleep".*"pool":"loop"')" = 10000 ]
    mebibytes_at_most "$worker" 200
    mebibytes_at_most "$broker" 100
}

@test "300 slow-io commands at once hold no thread, and end in their time" {
    start_both
    local n=300 before
    repeat $n '{"command":["sleep","1"],"tag":"slow-io"}' > lines
    before=$(now_ms)
    tern submit --batch lines --wait > ids
    echo "$(($(now_ms) - before)) ms"
    [ $(($(now_ms) - before)) -le $((6000 * slower)) ]
    count_is 'done' $n
}

@test "1,000,000 waiting jobs of a handler that nobody has: the broker stays under 100 MiB, and a new job starts at once" {
    start_both
    local n=1000000 before i
    [ -z "$sanitized" ] || n=50000
    before=$(now_ms)
    repeat $n '{"handler":"nobody-has-it"}' | tern submit --batch - > ids 2> submit.log
    echo "$n submitted in $(($(now_ms) - before)) ms"
    lines_of ids $n
    count_is queued $n
    for i in 1 2 3; do
        before=$(now_ms)
        [ "$(tern run --tag cpu -- echo at once)" = "at once" ]
        echo "a new job took $(($(now_ms) - before)) ms"
        [ $(($(now_ms) - before)) -le $((1000 * slower)) ]
    done
    before=$(now_ms)
    tern queues > /dev/null
    tern list --limit 10 > /dev/null 2>&1
    [ $(($(now_ms) - before)) -le $((1000 * slower)) ]
    mebibytes_at_most "$broker" 100
    kill_and_wait KILL "$broker"
    start_broker
    count_is queued $n
    [ "$(tern run -- echo after)" = after ]
    mebibytes_at_most "$broker" 100
}

@test "2,000 http requests at once, each answered after 0.2 to 1 s, are all right" {
    start_slow_server
    start_broker
    start_worker w1 --http-allow loopback
    local i before
    for ((i = 1; i <= 2000; i++)); do
        echo '{"handler":"http","tag":"slow-io","payload":"http://127.0.0.1:'"$(< port)"/$i'"}'
    done > lines
    before=$(now_ms)
    tern submit --batch lines --wait > ids
    echo "$(($(now_ms) - before)) ms"
    [ $(($(now_ms) - before)) -le $((10000 * slower)) ]
    count_is 'done' 2000
    tern result all > items
    seq -f 'item %.0f' 2000 | cmp - items
    exec 7>&-
}

@test "20,000 no-op jobs in each pool end soon, each once" {
    start_both
    local n=$((20000 / slower))
    repeat $n '{"handler":"echo","tag":"cpu","payload":"x"}' | tern submit --batch - --wait > ids
    repeat $n '{"handler":"echo","tag":"io","payload":"x"}' | tern submit --batch - --wait > ids
    repeat $n '{"handler":"sleep","tag":"slow-io","payload":"0s"}' | tern submit --batch - --wait > ids
    count_is 'done' $((n * 3))
    [ "$(tern list --limit 0 --json | grep -vc '"attempt":1,')" = 0 ]
}

# For the flows that put a broker under pressure: peers that do what none should, and jobs of others, that go on all the while.
# shellcheck shell=bash disable=SC2034,SC2154

# hostile WHAT [ARGUMENT...]: of tests/pressure/hostile.py, until it has done its worst; ends when `let_go` closes its input.
hostile() {
    /usr/bin/python3 -c 'import msgpack' 2> /dev/null || skip "needs python3-msgpack"
    : > hostile.log
    [ -e hold ] || mkfifo hold
    exec 8<> hold
    /usr/bin/python3 "${TERN_SOURCE:-$BATS_TEST_DIRNAME/../..}/tests/pressure/hostile.py" "${address:-$dir/broker.sock}" "$@" \
        < hold > hostile.log 2>&1 3>&- 8>&- &
    hostile=$!
    started+=("$hostile")
    eventually 60 hostile_is_ready
    grep ready hostile.log
}

hostile_is_ready() {
    grep -q ready hostile.log || gone "$hostile"
}

let_go() {
    exec 8>&-
}

use_tcp() {
    TERN_BROKER=tcp://127.0.0.1:$((20000 + RANDOM % 10000))
    address=${TERN_BROKER#tcp://}
}

broker_stays_under() {
    local peak
    peak=$(peak_kb "$broker")
    echo "the broker's peak memory: $((peak / 1024)) MiB"
    [ -n "$sanitized" ] || [ "$peak" -lt $(($1 * 1024)) ]
}

# How long one job takes, from tern to tern, in $took.
time_a_job() {
    local before
    before=$(now_ms)
    [ "$(tern run --tag io -- echo hi)" = hi ]
    took=$(($(now_ms) - before))
}

# Of the worst of three, while all is quiet.
measure_quiet() {
    quiet=0
    local i
    for i in 1 2 3; do
        time_a_job
        [ "$took" -le "$quiet" ] || quiet=$took
    done
}

# Jobs of others end, each within ten times what it takes else, and eight seconds: they share two cores with the hostile ones, and the
# delays after `busy` add up.
others_go_on() {
    local i
    for i in 1 2 3; do
        time_a_job
        echo "a job took $took ms, $quiet ms when it is quiet"
        [ "$took" -le $(((10 * quiet + 8000) * slower)) ]
    done
}

#!/usr/bin/env bats
# Peers that do what none should: what others ask goes on, the broker's memory stays in bounds, and all is well again by itself.
# shellcheck disable=SC2154,SC2016,SC2030,SC2031
load helpers
load pressure

# A finished job whose result has about a mebibyte, in $large.
make_large_result() {
    head -c 1000000 /dev/urandom > blob
    large=$(tern submit --wait --tag io -- cat "$dir/blob")
    tern result "$large" | cmp - blob
}

# ---- who does not read --------------------------------------------------------------------------------------

@test "a client that asks 900 times for 1 MB and reads nothing has 16 MiB in the broker's memory, and busy for the rest" {
    start_both
    make_large_result
    measure_quiet
    hostile hoard 1 "$large" 900
    others_go_on
    tern result "$large" | cmp - blob
    broker_stays_under 64
    let_go
    eventually 60 grep 'all is well' hostile.log
    cat hostile.log
    grep -qx 'answers 1[0-9] busy 8[0-9]*' hostile.log
}

@test "50 such clients have 128 MiB between them, others read their results, and in the end all of them do" {
    start_both
    make_large_result
    measure_quiet
    hostile hoard 50 "$large" 100
    others_go_on
    tern result "$large" | cmp - blob
    tern list > /dev/null
    broker_stays_under 256
    let_go
    eventually 60 grep 'all is well' hostile.log
    tern result "$large" | cmp - blob
}

@test "a client whose answers were dropped is told that its session has ended" {
    start_both
    hostile deaf 10000
    others_go_on
    broker_stays_under 64
    let_go
    eventually 60 grep 'answers, then 3' hostile.log
    cat hostile.log
    [ "$(tern stats --json | value dropped_replies)" -gt 0 ]
}

@test "a client that reads 10 large answers a second gets all of them, and nobody waits for it" {
    start_both
    make_large_result
    measure_quiet
    hostile slow "$large" 20 10
    others_go_on
    eventually 60 grep 'answers 20' hostile.log
    cat hostile.log
    broker_stays_under 64
    let_go
}

@test "a worker that reads nothing for a while is sent some jobs, not all that it has room for, and runs each once" {
    start_broker --lost-after 2m
    start_worker w2 --loop 0
    measure_quiet
    start_worker w1 --process 0 --thread 0
    kill -STOP "$worker"
    head -c 700000 /dev/urandom | base64 -w 0 > blob
    echo '{"handler":"echo","tag":"slow-io","payload":"'"$(< blob)"'"}' > line
    local i
    for ((i = 0; i < 80; i++)); do
        cat line
    done | tern submit --batch - > ids
    others_go_on
    broker_stays_under 100
    kill -CONT "$worker"
    tern wait "$(head -n 1 ids)-$(tail -n 1 ids)"
    count_is 'done' $((6 + 80))
    [ "$(tern list --limit 0 --json | grep -vc '"attempt":1,')" = 0 ]
    broker_stays_under 100
}

# ---- many ---------------------------------------------------------------------------------------------------

# Of the broker, in hundredths of a second.
cpu_time() {
    awk '{ print $14 + $15 }' "/proc/$broker/stat"
}

# At most a fifth of a core.
broker_does_not_spin() {
    local before
    before=$(cpu_time)
    read -rt 1 <> <(:) || true
    echo "CPU time in 1 s: $(($(cpu_time) - before)) of 100"
    [ $(($(cpu_time) - before)) -lt $((20 * slower)) ]
}

descriptors_at_most() {
    [ "$(find "/proc/$broker/fd" -mindepth 1 | wc -l)" -le "$1" ]
}

# idle_crowd OPTION...: of the worker.
idle_crowd() {
    start_worker w1 "$@"
    measure_quiet
    local before
    before=$(rss_kb "$broker")
    hostile idle 500 500 1000
    others_go_on
    broker_does_not_spin
    others_go_on
    echo "memory a connection: $((($(rss_kb "$broker") - before) / 2000)) KiB"
    broker_stays_under 100
    let_go
    eventually 20 descriptors_at_most 50
    others_go_on
}

@test "2,000 connections over a Unix socket that say nothing, or say HELLO and then nothing" {
    [ "$(ulimit -Hn)" -ge 3000 ] || skip "not enough descriptors"
    start_broker
    idle_crowd
}

@test "2,000 connections over TCP that say nothing, or say HELLO and then nothing" {
    [ "$(ulimit -Hn)" -ge 3000 ] || skip "not enough descriptors"
    use_tcp
    start_broker --insecure-loopback
    idle_crowd --insecure-loopback
}

@test "more connections than descriptors: they are closed, nobody else is disturbed, and later there is room again" {
    (
        ulimit -n 300
        exec tern-broker --listen "$TERN_BROKER" --db "$dir/tern.db" --ballast 1M < /dev/null >> broker.log 2>&1 3>&-
    ) &
    broker=$!
    started+=("$broker")
    eventually 30 answers_or_ended "$broker"
    start_worker
    measure_quiet
    mkfifo go
    tern run --tag io -- sh -c 'touch up; read line < go; echo out' > out 3>&- &
    local runs=$!
    eventually 20 test -e up
    hostile crowd 1000
    descriptors_at_most 300
    echo > go
    wait "$runs"
    [ "$(< out)" = out ]
    broker_does_not_spin
    broker_stays_under 64
    let_go
    eventually 20 tern ping
    others_go_on
}

@test "clients that come, say HELLO and are gone without a word leave room for others" {
    start_broker --heartbeat 100ms --lost-after 500ms
    start_worker
    measure_quiet
    hostile come_and_go 12000
    others_go_on
    broker_stays_under 64
    let_go
}

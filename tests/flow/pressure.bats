#!/usr/bin/env bats
# Peers that do what none should, and a disk that is full: what others ask goes on, the broker's memory stays in bounds, and all is
# well again by itself.
# shellcheck disable=SC2154,SC2016,SC2030,SC2031
load helpers

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

broker_stays_under() {
    local peak
    peak=$(peak_kb "$broker")
    echo "the broker's peak memory: $((peak / 1024)) MiB"
    [ -n "$sanitized" ] || [ "$peak" -lt $(($1 * 1024)) ]
}

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
    hostile slow "$large" 40 10
    others_go_on
    eventually 60 grep 'answers 40' hostile.log
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
    read -rt 2 <> <(:) || true
    echo "CPU time in 2 s: $(($(cpu_time) - before)) of 200"
    [ $(($(cpu_time) - before)) -lt $((40 * slower)) ]
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

# ---- full speed ---------------------------------------------------------------------------------------------

# flood SECONDS KIND...: all of them at the same time, while jobs of others go on.
flood() {
    local batch
    repeat 2000 '{"handler":"echo","tag":"io","payload":"x"}' > lines
    hostile flood "$@"
    tern submit --batch lines --wait > ids 3>&- 8>&- &
    batch=$!
    others_go_on
    wait "$batch"
    eventually 60 gone "$hostile"
    let_go
    cat hostile.log
    others_go_on
    [ "$(tern list --limit 0 --json | grep -c '"state":"done".*"handler":"echo".*"attempt":1,')" = 2000 ]
    [ "$(tern workers --json | wc -l)" = 1 ]
    [ "$(wc -l < broker.log)" -lt 20 ]
}

@test "bytes that are no ZMTP, half greetings, half frames and frames of 2^63 bytes at full speed" {
    start_both
    measure_quiet
    flood 5 bytes greetings halves huge
    broker_stays_under 128
}

@test "messages that are none, that have no end, of nobody's session, HELLOs and 16 MiB of nothing at full speed" {
    start_both
    measure_quiet
    flood 5 messages parts foreign hellos large
    broker_stays_under 192
    [ "$(tern stats --json | value bad_messages)" -gt 1000 ]
}

@test "connections that end in the middle of what they say do not end the broker, with ZMTP's own pings among it" {
    start_both
    measure_quiet
    hostile cut_off 500
    others_go_on
    broker_stays_under 128
    let_go
}

@test "messages of 16 MiB that never come to their end take 128 MiB between them" {
    start_both
    measure_quiet
    hostile almost 30
    others_go_on
    broker_stays_under 256
    head -c 900000 /dev/urandom > blob
    tern submit --wait --tag io --handler echo --payload @blob > id
    tern result "$(< id)" | cmp - blob
    let_go
}

@test "bytes and messages that are none at full speed over TCP" {
    use_tcp
    start_broker --insecure-loopback
    start_worker w1 --insecure-loopback
    measure_quiet
    flood 3 bytes huge messages foreign
    broker_stays_under 192
}

# ---- a full disk --------------------------------------------------------------------------------------------

# A broker whose database is on 64 MiB of its own, mounted where only it sees it; in $disk.
start_broker_on_small_disk() {
    mkdir disk
    unshare --mount mount -t tmpfs none disk 2> /dev/null || skip "cannot mount a file system"
    unshare --mount sh -c 'mount -t tmpfs -o size=64m none disk && exec tern-broker "$@"' sh --listen "$TERN_BROKER" \
        --db "$dir/disk/tern.db" --ballast 2M < /dev/null >> broker.log 2>&1 3>&- &
    broker=$!
    started+=("$broker")
    disk=/proc/$broker/root/$dir/disk
    eventually 30 answers_or_ended "$broker"
}

# leave KIB: of the free space.
leave() {
    local blocks block_bytes
    read -r blocks block_bytes < <(stat -f -c '%a %S' "$disk")
    fallocate -l $((blocks * block_bytes - $1 * 1024)) "$disk/filler"
}

disk_is_busy() {
    [ "$(tern stats --json | value disk_used_percent)" -ge 95 ] && grep -q 'submits are refused' broker.log
}

@test "a disk over 95 %: submits get busy with 75, what runs ends and is recorded, and with space again all goes on by itself" {
    start_broker_on_small_disk
    start_worker
    measure_quiet
    mkfifo go
    local runs long waits late batch before i
    runs=$(tern submit --tag io -- sh -c 'read line < go; echo out')
    long=$(tern submit --tag io -- sleep 1000)
    waits=$(tern submit --delay 1h -- true)
    leave 2500
    eventually 20 disk_is_busy
    run -75 timeout 30 tern --broker-timeout 1s submit -- true
    [[ $output == *"busy: disk"*"95 %"* ]]
    tern submit -- echo late > late.id 2> late.log 3>&- &
    late=$!
    # A stream of submits, all that may be open at a time: their order holds.
    repeat 20000 '{"handler":"echo","tag":"io"}' | tern submit --batch - > batch.ids 2> batch.log 3>&- &
    batch=$!
    for i in 1 2 3 4 5 6 7 8 9 10; do
        tern submit -- echo "late $i" > "late.$i" 2>> late.log 3>&- &
        started+=("$!")
    done
    echo > go
    ended_as "$runs" 'done' null
    [ "$(tern result "$runs")" = out ]
    tern cancel "$long"
    ended_as "$long" cancelled cancelled
    tern cancel "$waits"
    field_is "$waits" state cancelled
    not gone "$late"
    rm "$disk/filler"
    before=$(now_ms)
    wait "$late"
    echo "the submit that waited was in after $(($(now_ms) - before)) ms"
    for i in 1 2 3 4 5 6 7 8 9 10; do
        eventually 30 test -s "late.$i"
        [ "$(tern wait "$(< "late.$i")"; tern result "$(< "late.$i")")" = "late $i" ]
    done
    tern wait "$(< late.id)"
    [ "$(tern result "$(< late.id)")" = late ]
    wait "$batch"
    lines_of batch.ids 20000
    sort -nu batch.ids | cmp - batch.ids
    tern wait all || true
    count_is 'done' $((1 + 3 + 11 + 20000))
    others_go_on
    [ "$(grep -c 'disk is [0-9]' broker.log)" = 2 ]
}

@test "a disk that is full to the last byte: what ends is recorded all the same, once, and all goes on without a restart" {
    start_broker_on_small_disk
    start_worker
    measure_quiet
    local n=20
    mkfifo go
    exec 9<> go
    repeat $n '{"command":["sh","-c","read line < go; head -c 500000 /dev/zero"],"tag":"slow-io"}' |
        tern submit --batch - > ids
    eventually 30 count_is running $n
    leave 0
    yes | head -n $n >&9
    # 10 MB do not fit into 2 MiB of ballast: some wait in the worker until there is space.
    eventually 30 grep -q 'the disk is full' broker.log
    tern stats > /dev/null
    not gone "$broker"
    rm "$disk/filler"
    exec 9>&-
    tern wait all
    count_is 'done' $((n + 3))
    [ "$(tern list --limit 0 --json | grep -vc '"attempt":1,')" = 0 ]
    others_go_on
    eventually 30 test -s "$disk/tern.db.ballast"
}

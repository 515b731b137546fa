#!/usr/bin/env bats
# A disk that is full: what others ask goes on, and all is well again by itself.
# shellcheck disable=SC2154,SC2016,SC2030,SC2031
load helpers
load pressure

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

#!/usr/bin/env bats
# What the kernel keeps of a job's memory, where control groups of version 2 have the memory controller.
# shellcheck disable=SC2154
load ../flow/helpers

unit=/sys/fs/cgroup/unit$BATS_TEST_NUMBER

# In a group that is delegated, as systemd does it (Delegate=yes).
# shellcheck disable=SC2317
tern-worker() {
    echo "$BASHPID" > "$unit/cgroup.procs"
    exec env tern-worker "$@"
}

start_all() {
    mkdir "$unit"
    python3 -c 'import os; os.setxattr("'"$unit"'", "user.delegate", b"1")'
    start_broker
    start_worker w1 --process 2
}

groups() { find "$unit" -mindepth 1 -maxdepth 1 -type d -name "$1*"; }
none() { [ -z "$("$@")" ]; }

# greedy TAG OPTION...: a job that takes 200 MB at once, and goes on; $id.
greedy() {
    local tag=$1
    shift
    id=$(tern submit --cwd / --tag "$tag" "$@" -- python3 -c 'x = b"x" * 200000000; import time; time.sleep(1007)')
    run -1 tern wait --timeout 60s "$id"
}

worker_lives() {
    not gone "$worker"
    [ "$(tern run --cwd / --tag cpu -- echo fine)" = fine ]
    eventually 10 none groups command.
    run ! pgrep -f 'sleep.1007'
}

kills_for_memory() { awk '$1 == "oom_kill" { print $2 }' "$unit/memory.events"; }

@test "the kernel bounds a job's memory, and the job alone is ended" {
    start_all
    [ "$(tern workers --json | value isolation)" = cgroup ]
    for tag in cpu io; do
        before=$(kills_for_memory)
        greedy "$tag" --memory 48M
        field_is "$id" state dead reason memory-limit
        [ "$(kills_for_memory)" -gt "$before" ]
        # 200 MB in some milliseconds: one that looks from time to time would have found more.
        [ "$(tern show --json "$id" | value max_rss_kb)" -le $((50 * 1024)) ]
    done
    worker_lives
}

@test "what the unit's own limit ends is recorded as memory, and the worker goes on" {
    start_all
    echo $((100 * 1024 * 1024)) > "$unit/memory.max"
    greedy cpu
    field_is "$id" state dead reason memory-limit
    worker_lives
}

@test "a job that fits its limit, and one that is killed by hand, are told apart from that" {
    start_all
    tern run --cwd / --tag cpu --memory 300M -- sh -c 'head -c 100M /dev/zero | tail -c 80M > /dev/null'
    id=$(tern submit --cwd / --tag cpu --memory 300M -- sh -c 'kill -KILL $$')
    run -1 tern wait --timeout 60s "$id"
    field_is "$id" reason signal signal 9
    worker_lives
}

@test "a kill reaches what has left its session, its parent and its environment" {
    start_all
    for tag in cpu io; do
        id=$(tern submit --cwd / --tag "$tag" --memory 100M --timeout 1s -- \
            sh -c 'setsid env -i setsid sleep 1007 & setsid env -i sleep 1007 & sleep 1007')
        run -1 tern wait --timeout 60s "$id"
        field_is "$id" reason time-limit
        run ! pgrep -f 'sleep.1007'
    done
    worker_lives
}

#!/usr/bin/env bats
# A job that does its worst costs its own attempt alone, is recorded as what it was, and leaves no process behind.
# shellcheck disable=SC2154,SC2016
load helpers

# Beside every bad job runs a good one, in the same pool.
neighbour() {
    good=$(tern submit --tag "${1:-cpu}" -- sh -c 'sleep 1; echo unharmed')
}

# The worker lives, as the same process with the same zygote, and so does the neighbour; nobody has the word.
unharmed() {
    tern wait --timeout 60s "$good"
    [ "$(tern result "$good")" = unharmed ]
    field_is "$good" attempt 1
    not gone "$worker"
    [ "$(zygote_of "$worker")" = "$zygote" ]
    eventually 10 nobody_with "1000.$$7"
    eventually 10 pools_are_empty
    tern run --tag cpu -- true
}

pools_are_empty() {
    not eval "tern workers --json | grep -E '\"(used|stuck)\":[1-9]'"
}

start_all() {
    start_broker
    start_worker w1 --process 4
    zygote=$(zygote_of "$worker")
    neighbour cpu
}

@test "a command that aborts is recorded as signal 6" {
    start_all
    id=$(tern submit --tag cpu -- sh -c 'ulimit -c 0; kill -ABRT $$')
    ended_as "$id" dead signal
    field_is "$id" signal 6
    field_is "$id" exit_code null
    unharmed
}

@test "a command that eats memory past --memory is killed, and recorded as memory-limit" {
    start_all
    id=$(tern submit --tag cpu --memory 64M -- sh -c 'tail /dev/zero; : 1000.'$$7)
    ended_as "$id" dead memory-limit
    unharmed
}

@test "the memory of all the processes of a job counts together" {
    start_all
    id=$(tern submit --tag cpu --memory 64M -- sh -c 'for i in 1 2 3 4; do (head -c 30000000 /dev/zero | tail -c 30000000 | sleep 1000.'$$7') & done; wait')
    ended_as "$id" dead memory-limit
    unharmed
}

@test "--memory that is enough harms nobody" {
    start_all
    tern submit --wait --tag cpu --memory 512M -- sh -c 'head -c 10000000 /dev/zero | tail -c 10000000 | wc -c'
    unharmed
}

@test "a setsid grandchild that hangs past --timeout is killed with its job: time-limit" {
    start_all
    local tag
    for tag in cpu io slow-io; do
        id=$(tern submit --tag "$tag" --timeout 500ms --kill-grace 200ms -- sh -c 'setsid sh -c "sleep 1000.'$$7'; :" & sleep 1000.'$$7)
        ended_as "$id" dead time-limit
        nobody_with "1000.$$7"
        [ "$(field "$id" exit_code)" = null ]
    done
    unharmed
}

@test "a command that spins past its time is killed, and so is one that ignores TERM" {
    start_all
    spin=$(tern submit --tag cpu --timeout 300ms --kill-grace 200ms -- sh -c 'while :; do :; done')
    deaf=$(tern submit --tag cpu --timeout 300ms --kill-grace 200ms -- sh -c 'trap "" TERM INT HUP; while :; do sleep 0.05; done; : 1000.'$$7)
    ended_as "$spin" dead time-limit
    ended_as "$deaf" dead time-limit
    [ "$(field "$spin" cpu_ms | cut -d. -f1)" -ge 10 ]
    unharmed
}

@test "a handler past its time is ended in every pool" {
    start_all
    local tag
    for tag in cpu io slow-io; do
        id=$(tern submit --tag "$tag" --timeout 200ms --kill-grace 200ms --retries 0 --handler sleep --payload 1000s)
        ended_as "$id" dead time-limit
    done
    unharmed
}

@test "a command that floods its output is done, its output cut and marked" {
    start_all
    id=$(tern submit --tag cpu -- sh -c 'yes flood | head -c 200000000')
    ended_as "$id" 'done' null
    tern logs "$id" > log 2> said
    [ "$(wc -c < log)" -le 1100000 ]
    grep -q 'bytes of output are left out' said
    [ "$sanitized" ] || [ "$(peak_kb "$worker")" -lt 100000 ]
    unharmed
}

@test "a command that forks 20 children and ends: they are gone before its end is recorded" {
    start_all
    local tag
    for tag in cpu io slow-io; do
        id=$(tern submit --tag "$tag" -- sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do setsid sleep 1000.'$$7' > /dev/null 2>&1 & done; exit 0')
        tern wait "$id"
        nobody_with "1000.$$7"
    done
    unharmed
}

@test "a command that keeps its output open in a child, or closes it early, ends when it ends" {
    start_all
    held=$(tern submit --tag cpu -- sh -c 'sleep 1000.'$$7' & echo out')
    closed=$(tern submit --tag cpu -- sh -c 'echo out; exec > /dev/null 2>&1 < /dev/null; sleep 0.2; exit 4')
    shut=$(tern submit --tag cpu -- sh -c 'echo out; exec >&- 2>&- <&-; sleep 0.2')
    tern wait --timeout 60s "$held" "$shut"
    [ "$(tern result "$held")" = out ]
    ended_as "$closed" dead exit
    field_is "$closed" exit_code 4
    unharmed
}

@test "a command that daemonises with a scrubbed environment is found and ended with its job" {
    start_all
    local tag
    for tag in cpu io slow-io; do
        id=$(tern submit --tag "$tag" --timeout 1s --kill-grace 200ms -- \
            sh -c 'env -i setsid sh -c "(cd /; sleep 1000.'$$7' < /dev/null > /dev/null 2>&1 &)"; touch up-$0; exec sleep 1000' "$tag")
        eventually 20 test -e "up-$tag"
        somebody_with "1000.$$7"
        ended_as "$id" dead time-limit
        eventually 10 nobody_with "1000.$$7"
    done
    unharmed
}

@test "a command that daemonises with a scrubbed environment and ends leaves nothing behind" {
    start_all
    local tag
    for tag in cpu io slow-io; do
        id=$(tern submit --tag "$tag" -- \
            sh -c 'env -i setsid sh -c "(sleep 1000.'$$7' < /dev/null > /dev/null 2>&1 &)"; exit 0')
        tern wait "$id"
        eventually 10 nobody_with "1000.$$7"
    done
    unharmed
}

@test "a command that kills all that it can reach of its own does not reach its worker" {
    start_all
    id=$(tern submit --tag cpu -- sh -c 'kill -KILL 0')
    ended_as "$id" dead signal
    field_is "$id" signal 9
    unharmed
}

@test "a command that stops itself is ended by its time limit" {
    start_all
    id=$(tern submit --tag cpu --timeout 500ms --kill-grace 200ms -- sh -c 'kill -STOP $$; : 1000.'$$7)
    ended_as "$id" dead time-limit
    unharmed
}

#!/usr/bin/env bats
# What was measured, auto, and advice, with real handlers and commands.
# shellcheck disable=SC2154,SC2016  # variables of helpers.bash and bats; scripts in single quotes are the jobs' own
load helpers

# Handlers with every form of work: sha256 of some MiB computes, sleep waits.
make_work() {
    head -c 6000000 /dev/urandom > "$dir/big"
}

# run_all N LINE...: so often each line of a batch, in turns, until all have ended.
run_all() {
    local n=$1
    shift
    yes "$(printf '%s\n' "$@")" | head -n $((n * $#)) | tern submit --batch - > /dev/null
    tern wait --timeout $((120 * slower))s all
}

# verdict NAME TAG
verdict() {
    tern advise --json "$1" | grep '"tag":"'"$2"'"' | value verdict
}

better() {
    tern advise --json "$1" | grep '"tag":"'"$2"'"' | value better
}

@test "three wrong tags are found after 50 runs each, and right ones are passed over in silence" {
    make_work
    start_broker
    start_worker w1 --process 2 --thread 4
    sha='{"handler":"sha256","tag":"io","payload":"@'$dir'/big"}'
    nap='{"handler":"sleep","tag":"cpu","payload":"20ms"}'
    doze='{"command":["sh","-c","sleep 1.2; exit 0"],"tag":"io","queue":"other"}'
    nod='{"handler":"sleep","tag":"slow-io","payload":"20ms"}'
    run_all 49 "$sha" "$nap" "$nod"
    run -0 --separate-stderr tern advise
    [ -z "$output" ]
    [ "$(verdict sha256 io)" = unknown ]
    run_all 1 "$sha" "$nap" "$nod"
    run_all 50 '{"handler":"echo","tag":"io","payload":"x"}' "$doze"
    run -0 --separate-stderr tern advise
    [ "$(grep -c 'tag it' <<< "$output")" = 3 ]
    [[ $output == *'`sha256` is tagged io; 50 runs used '*' % CPU: tag it cpu'* ]]
    [[ $output == *'`sleep` is tagged cpu; 50 runs used '*' % CPU and waited for the rest of '*' ms: tag it io'* ]]
    [[ $output == *'`sh` is tagged io; 50 runs used '*' % CPU and waited for the rest of 1.'*' s: tag it slow-io'* ]]
    [[ $output == *"jobs a second instead of"* ]]
    [ "$(better sh io)" = slow-io ]
    run -0 --separate-stderr tern advise echo
    [ -z "$output" ]
    [[ $stderr == *"nothing to say of echo, tagged io: what was measured fits its tag"* ]]
    [ "$(verdict sleep slow-io)" = right ]
    # With another broker what was measured is still there.
    tern advise | sort > before
    kill_and_wait TERM "$broker"
    start_broker
    eventually 20 connected w1 "$worker"
    tern advise | sort > after
    cmp before after
}

@test "a tag that was put right is no longer spoken of" {
    start_both
    run_all 50 '{"handler":"sleep","tag":"cpu","payload":"10ms"}'
    [ "$(better sleep cpu)" = io ]
    run_all 50 '{"handler":"sleep","tag":"io","payload":"10ms"}'
    [ "$(verdict sleep cpu)" = past ]
    run -0 --separate-stderr tern advise
    [ -z "$output" ]
}

@test "auto begins in a process, and goes where what was measured says; show tells who chose" {
    make_work
    start_both
    for i in 1 2 3 4 5 6; do
        id=$(tern submit --handler sleep --tag auto --payload 1ms)
        tern wait "$id"
        [ "$i" -gt 1 ] || field_is "$id" pool process
        [ "$i" -gt 1 ] || field_is "$id" pool_by default
    done
    field_is "$id" pool thread
    field_is "$id" pool_by auto
    field_is "$id" pool_tag io
    [[ $(tern show "$id") == *"pool "*"thread (auto, from what was measured of earlier runs: io)"* ]]
    # A command counts by its program, in whatever queue.
    for i in 1 2 3 4 5 6; do
        id=$(tern submit --queue "q$i" -- sha256sum "$dir/big")
        tern wait "$id"
    done
    field_is "$id" pool process
    field_is "$id" pool_tag cpu
    id=$(tern submit --tag slow-io -- true)
    tern wait "$id"
    field_is "$id" pool loop
    field_is "$id" pool_by job
    id=$(tern submit --handler sha256 --payload x)
    tern wait "$id"
    field_is "$id" pool_by handler
    [[ $(tern show "$id") == *"its handler's tag"* ]]
    id=$(tern submit --delay 1h -- true)
    field_is "$id" pool_by null
}

@test "auto never takes a job with a memory limit where that cannot be kept" {
    start_both
    for _ in 1 2 3 4 5 6 7; do
        id=$(tern submit --handler sleep --tag auto --payload 1ms --memory 1G)
        tern wait "$id"
    done
    field_is "$id" pool process
    field_is "$id" state 'done'
}

@test "what a thread pool full of commands was given ahead runs when these have ended" {
    start_broker
    start_worker w1 --thread 2
    run_all 20 '{"handler":"echo","tag":"io","payload":"x"}'
    tern submit --tag io -- sleep 0.5
    tern submit --tag io -- sleep 0.5
    run_all 20 '{"handler":"echo","tag":"io","payload":"x"}'
    count_is 'done' 42
}

@test "advise: an unknown handler, too many words, and one that has not run" {
    start_both
    run -3 --separate-stderr tern advise nobody
    [[ $stderr == *"no handler and no program of a command is called nobody"* ]]
    run -2 --separate-stderr tern advise one two
    run -0 --separate-stderr tern advise sleep
    [[ $stderr == *"no run of sleep has ended yet"* ]]
    run -0 --separate-stderr tern advise --json
    [ -z "$output" ]
    [ -z "$stderr" ]
}

@test "auto makes do with the pools that the workers have" {
    start_broker
    start_worker w1 --process 0 --loop 0
    [ "$(timeout 20 tern run -- echo here)" = here ]
    field_is 1 pool thread
}

#!/usr/bin/env bats
# What was acknowledged is not lost, whoever dies, and is done once in the record.
# shellcheck disable=SC2154,SC2016
load helpers

# Each job of the range ended done; and each wrote its id and attempt into the file, as `N.ATTEMPT`.
all_done() {
    tern wait --timeout 100s --broker-timeout 60s all
    count_is 'done' "$1"
    count_is queued 0
    count_is running 0
}

# A file that one character each was added to.
has_bytes() {
    [ "$(stat -c %s "$1" 2> /dev/null || echo 0)" -ge "$2" ]
}

@test "kill -9 of the broker during 20,000 jobs: each is done once in the record, and none was run twice" {
    start_both
    {
        # Commands that leave a trace each time that they run, amid as many quick ones as there is time for.
        repeat 600 '{"command":["sh","-c","echo $TERN_JOB_ID $TERN_ATTEMPT >> '"$dir"'/trace"],"tag":"io"}'
        repeat 19000 '{"handler":"echo","tag":"io","payload":"x"}'
        repeat 400 '{"handler":"sleep","tag":"slow-io","payload":"1s"}'
    } > lines
    tern submit --batch lines > ids 2> submit.log 3>&- &
    local submit=$! times
    for times in 1 2 3; do
        eventually 60 at_least 'done' $((times * 3000))
        kill_and_wait KILL "$broker"
        start_broker
    done
    wait "$submit"
    lines_of ids 20000
    [ "$(sort -un ids | wc -l)" = 20000 ]
    all_done 20000
    # The worker lived on: nothing that it held was run again. A lease whose RUN died with the broker has a new attempt,
    # but that one alone ran.
    lines_of trace 600
    [ "$(cut -d' ' -f1 trace | sort -u | wc -l)" = 600 ]
    [ "$(tern list --limit 0 --json | grep -c '"failures":0,"crashes":0,')" = 20000 ]
    count_is lost 0
    # All of that under four brokers, to which the worker came back; one may die before its WELCOME is read.
    [ "$(grep -c 'listens on' broker.log)" = 4 ]
    [ "$(grep -c 'connected: epoch=' worker-w1.log)" -ge 2 ]
}

@test "a submit that was acknowledged survives kill -9 of every process" {
    start_broker
    start_worker w1
    local i
    for i in 1 2 3; do
        tern submit --delay 1h -- true
        tern submit --tag cpu -- sh -c 'echo $TERN_ATTEMPT; test "$TERN_ATTEMPT" -gt 1 || exec sleep 1000'
        kill_and_wait KILL "$broker"
        kill_and_wait KILL "$worker"
        start_broker --heartbeat 50ms --lost-after 100ms
        start_worker w1
        count_is scheduled "$i"
    done
    tern wait --timeout 60s 2,4,6
    count_is 'done' 3
}

@test "the broker stops and starts while nothing happens, and the worker is there again by itself" {
    start_both
    tern submit --wait -- true
    kill_and_wait TERM "$broker"
    [ "$ended" -eq 0 ]
    start_broker
    eventually 20 connected w1 "$worker"
    [ "$(tern run -- echo back)" = back ]
    [ "$(tern submit -- true)" = 3 ]
    not gone "$worker"
}

@test "a job that ends while the broker is away is delivered when it is back, and not run again" {
    start_both
    mkfifo go
    id=$(tern submit --tag cpu -- sh -c 'echo ran >> runs; read line < go; echo $line')
    eventually 20 test -s runs
    kill_and_wait KILL "$broker"
    echo finished > go
    eventually 20 nobody_with 'echo ran >> runs'
    start_broker
    tern wait "$id"
    [ "$(tern result "$id")" = finished ]
    field_is "$id" attempt 1
    lines_of runs 1
}

@test "a wait, and a run, outlive a restart of the broker" {
    start_both
    mkfifo go
    tern run --tag cpu -- sh -c 'touch up; read line < go; echo $line' > out 3>&- &
    local run=$!
    started+=("$run")
    eventually 20 test -e up
    kill_and_wait KILL "$broker"
    start_broker
    echo on > go
    wait "$run"
    [ "$(cat out)" = on ]
}

@test "kill -9 of the worker: its jobs run again elsewhere, its processes are gone, and the loss is counted" {
    start_broker --heartbeat 100ms --lost-after 500ms
    start_worker w1
    local tag
    for tag in cpu io slow-io; do
        tern submit --tag "$tag" -- sh -c 'echo $TERN_ATTEMPT >> ran-$0; test $TERN_ATTEMPT != 1 || sleep 1000.'$$1 "$tag"
    done
    eventually 20 eval 'test -s ran-cpu -a -s ran-io -a -s ran-slow-io'
    kill_and_wait KILL "$worker"
    eventually 20 nobody_with "1000.$$1"
    start_worker w2
    tern wait --timeout 60s all
    for id in 1 2 3; do
        field_is "$id" worker w2
        field_is "$id" attempt 2
        field_is "$id" crashes 1
        tern history "$id" | grep -q lost
    done
}

@test "kill -9 of a worker again and again under a job: dead after --crash-limit, with the reason worker-lost" {
    start_broker --heartbeat 50ms --lost-after 200ms
    id=$(tern submit --tag cpu --crash-limit 2 -- sh -c 'echo x >> ran; exec sleep 1000')
    local i
    for i in 1 2; do
        start_worker "w$i"
        eventually 20 eval "lines_of ran $i"
        eventually 20 eval "tern history --json $id | grep '\"attempt\":$i,'"
        kill_and_wait KILL "$worker"
    done
    ended_as "$id" dead worker-lost
    field_is "$id" crashes 2
    lines_of ran 2
}

@test "kill -9 of a pooled child costs that attempt alone" {
    start_broker
    start_worker w1 --process 2
    local victim other
    victim=$(tern submit --tag cpu --handler sleep --payload 1000s)
    other=$(tern submit --tag cpu --handler sleep --payload 3s)
    eventually 20 field_is "$other" state running
    eventually 20 field_is "$victim" state running
    # The child of the victim is the first that runs.
    eventually 20 eval 'test $(children_of $(zygote_of $worker) | wc -l) -ge 2'
    local zygote child
    zygote=$(zygote_of "$worker")
    for child in $(children_of "$zygote"); do
        kill -KILL "$child"
        break
    done
    eventually 20 eval "test \"\$(tern list --state dead --json | wc -l)\" = 1"
    [ "$(tern list --state dead --json | value reason)" = signal ]
    [ "$(tern list --state dead --json | value signal)" = 9 ]
    [ "$(tern list --state running,done --json | wc -l)" = 1 ]
    [ "$(zygote_of "$worker")" = "$zygote" ]
    tern run --tag cpu -- true
    tern list --state running --json | value id | xargs -r tern cancel
}

@test "kill -9 of the zygote costs the attempts under it, leaves none of their processes, and it is replaced" {
    start_both
    local thread victim command zygote
    thread=$(tern submit --tag io --handler sleep --payload 2s)
    victim=$(tern submit --tag cpu --handler sleep --payload 3s)
    command=$(tern submit --tag slow-io -- sh -c 'touch up; test $TERN_ATTEMPT != 1 || sleep 1000.'$$1)
    eventually 20 field_is "$victim" state running
    eventually 20 test -e up
    zygote=$(zygote_of "$worker")
    kill -KILL "$zygote"
    eventually 20 gone "$zygote"
    eventually 20 nobody_with "1000.$$1"
    tern wait --timeout 60s all
    for id in "$victim" "$command"; do
        field_is "$id" attempt 2
        field_is "$id" crashes 1
        tern history "$id" | grep -q worker-lost
    done
    field_is "$thread" attempt 1
    tern run --tag cpu -- true
    not gone "$worker"
}

@test "a worker that was stopped for longer than --lost-after: its job is done elsewhere, and its late result is refused" {
    start_broker --heartbeat 100ms --lost-after 500ms
    start_worker w1
    local stopped=$worker
    id=$(tern submit --tag io --handler sleep --payload 3s)
    command=$(tern submit --tag slow-io -- sh -c 'echo $TERN_ATTEMPT >> ran; exec sleep 3')
    eventually 20 test -s ran
    eventually 20 field_is "$id" state running
    kill -STOP "$stopped"
    start_worker w2
    tern wait --timeout 60s "$id" "$command"
    field_is "$id" worker w2
    field_is "$id" attempt 2
    kill -CONT "$stopped"
    eventually 20 connected w1 "$stopped"
    # It is a worker like any other again, and what it brought changed nothing.
    tern drain w2
    tern submit --wait --tag io -- true
    for id in "$id" "$command"; do
        field_is "$id" state 'done'
        field_is "$id" attempt 2
        field_is "$id" worker w2
        [ "$(tern history --json "$id" | grep -c '"event":"done"')" = 1 ]
    done
}

@test "a broker that was stopped for longer than --lost-after takes no worker for lost" {
    start_broker --heartbeat 100ms --lost-after 500ms
    start_worker w1
    id=$(tern submit --tag io -- sh -c 'touch up; exec sleep 2')
    eventually 20 test -e up
    kill -STOP "$broker"
    run -124 timeout 1 tail --pid "$broker" -f /dev/null
    kill -CONT "$broker"
    tern wait --timeout 60s "$id"
    field_is "$id" attempt 1
    count_is lost 0
}

@test "TERM drains: what can end ends, what waits stays, and what cannot goes back without burning an attempt" {
    start_broker
    start_worker w1 --drain 2s --process 1
    local short long next
    long=$(tern submit --tag cpu -- sh -c 'echo x >> ran; test -e quick || exec sleep 1000')
    next=$(tern submit --tag cpu -- true)
    eventually 20 test -s ran
    short=$(tern submit --tag slow-io -- sh -c 'touch up; exec sleep 0.5')
    eventually 20 test -e up
    kill_and_wait TERM "$worker"
    [ "$ended" -eq 0 ]
    field_is "$short" state 'done'
    field_is "$long" state queued
    field_is "$next" state queued
    field_is "$long" crashes 0
    touch quick
    start_worker w2
    tern wait "$long" "$next"
    field_is "$long" crashes 0
    [ "$(tern show --json "$long" | value failures)" = 0 ]
    lines_of ran 2
}

@test "a second TERM hands everything back at once" {
    start_broker
    start_worker w1 --drain 1h
    local tag
    for tag in cpu io slow-io; do
        tern submit --tag "$tag" --kill-grace 100ms -- sh -c 'touch up-$0; exec sleep 1000.'$$1 "$tag"
    done
    tern submit --tag io --handler sleep --payload 1000s
    tern submit --tag slow-io --handler sleep --payload 1000s
    eventually 20 eval 'test -e up-cpu -a -e up-io -a -e up-slow-io'
    eventually 20 eval 'test $(tern list --state running --json | wc -l) = 5'
    kill -TERM "$worker"
    eventually 20 eval "tern workers --json | grep '\"draining\":true'"
    kill_and_wait TERM "$worker"
    nobody_with "1000.$$1"
    count_is queued 5
    count_is running 0
    [ "$(tern list --json | value crashes | sort -u)" = 0 ]
}

@test "a worker that is drained by tern drain takes nothing new, and ends nothing" {
    start_both
    mkfifo go
    id=$(tern submit --tag io -- sh -c 'touch up; read line < go')
    eventually 20 test -e up
    tern drain w1
    eventually 20 eval "tern workers --json | grep '\"draining\":true'"
    waits=$(tern submit --tag io -- true)
    tern why "$waits" | grep -q draining
    echo > go
    tern wait "$id"
    field_is "$waits" state queued
    eventually 20 gone "$worker"
    start_worker w2
    tern wait "$waits"
    field_is "$waits" worker w2
}

@test "TERM to the broker ends it well, and what waited is there afterwards" {
    start_broker
    repeat 100 '{"command":["true"]}' | tern submit --batch - > /dev/null 2>&1
    kill_and_wait TERM "$broker"
    [ "$ended" -eq 0 ]
    start_broker
    count_is queued 100
    start_worker
    all_done 100
}

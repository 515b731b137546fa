#!/usr/bin/env bats
# Runners that do what they must not, which costs the attempt alone; and the words that name a runner.
# shellcheck disable=SC1010,SC2013,SC2154,SC2016
load helpers
load cases

# in_all_pools [OPTION...]: a job for each, at the same time, in $ids.
in_all_pools() {
    local tag
    ids=()
    for tag in cpu io slow-io; do
        ids+=("$(tern submit --handler bad --tag "$tag" "$@")")
    done
}

# wrong HOW REASON TEXT: in the process pool the attempt fails with these words; others are lost with the runner, and
# then fail alike in a process. The log names it, and the next job finds another.
wrong() {
    start_bad "$1"
    in_all_pools --timeout 20s
    for id in "${ids[@]}"; do
        ended_as "$id" dead "$2"
        says "$id" "$3"
    done
    grep 'event=runner-ended runner=bad pool=process' worker-w1.log
    grep 'event=runner-ended runner=bad pool=thread' worker-w1.log
    grep 'event=runner-ended runner=bad pool=loop' worker-w1.log
    not gone "$worker"
    tern run --tag cpu -- true
}

@test "a runner that prints on its standard output" { wrong garbage handler-error 'what a program prints must go to its standard error'; }
@test "a runner that sends something else than a message" { wrong no-message handler-error 'wrote something that is no message'; }
@test "a runner that dies in the middle of a message" { wrong half exit 'exited with status 0'; }
@test "a runner that answers for another job" { wrong other-job handler-error 'which it does not have'; }
@test "a runner that says READY twice" { wrong ready-twice handler-error 'said READY twice'; }
@test "a runner that closes its standard output" { wrong closes handler-error 'closed its standard output'; }

@test "a runner that never answers ends at the time limit" {
    start_bad silent
    in_all_pools --timeout 300ms --kill-grace 100ms
    for id in "${ids[@]}"; do ended_as "$id" dead time-limit; done
    not gone "$worker"
}

@test "a runner that answers twice has answered, and is then ended" {
    start_bad twice
    id=$(tern submit --handler bad --tag cpu)
    ended_as "$id" done null
    [ "$(tern result "$id")" = first ]
    eventually 10 grep 'event=runner-ended .*which it does not have' worker-w1.log
}

@test "a runner that floods the log keeps head and tail of it" {
    start_bad floods
    before=$(peak_kb "$worker")
    id=$(tern submit --handler bad --tag cpu --timeout 100s)
    ended_as "$id" done null
    [ "$(tern logs "$id" 2>&1 | wc -c)" -le 1200000 ]
    tern logs "$id" 2>&1 | grep "bytes"
    [ -n "$sanitized" ] || [ $(($(peak_kb "$worker") - before)) -lt 20000 ]
}

@test "what comes too late is ignored, and an error text is made fit for a terminal" {
    start_bad late
    for _ in 1 2 3; do
        [ "$(tern submit --handler bad --tag cpu --wait && tern result last)" ]
    done
    not grep runner-ended worker-w1.log
    kill_and_wait TERM "$worker"
    start_worker w2 --runner "bad=$python '$TERN_SOURCE/tests/runner/bad.py' text"
    id=$(tern submit --handler bad --tag cpu)
    ended_as "$id" dead handler-error
    says "$id" 'bell   and line'
}

@test "handlers with bad or taken names are left out and named, the others are there" {
    start_bad names
    [ "$(grep -c 'event=handler-refused runner=bad' worker-w1.log)" -eq 5 ]
    [ "$(tern run --tag cpu -- echo still)" = still ]
    id=$(tern submit --handler bad)
    ended_as "$id" done null
}

@test "a runner that speaks another version, or ends, or says nothing, is named, and the worker goes on without it" {
    need_python
    start_broker
    start_worker w1 --runner "new=$python '$TERN_SOURCE/tests/runner/bad.py' version" --runner gone=/no/such/program \
        --runner 'mute=sleep 1000' --runner 'left=sh -c "exit 4"' --runner "bad=$python '$TERN_SOURCE/tests/runner/bad.py'"
    grep 'event=runner-refused runner=new text="the runner `new` speaks version 7' worker-w1.log
    grep 'event=runner-refused runner=gone text="the runner `gone` cannot be started: /no/such/program: No such file' worker-w1.log
    grep 'event=runner-refused runner=mute text="it has not told within 10 s' worker-w1.log
    grep 'event=runner-refused runner=left text="the runner `left` exited with status 4 before it was ready' worker-w1.log
    id=$(tern submit --handler bad)
    ended_as "$id" done null
}

@test "a runner that ends before it is ready is started again, ever later; its job says why after the third time" {
    start_bad exits "$dir/good"
    id=$(tern submit --handler bad --tag cpu)
    ended_as "$id" dead handler-error
    says "$id" 'the runner `bad` exited with status 5 before it was ready: this is why'
    [ "$(grep -o 'event=runner-not-ready.*wait_ms=[0-9]*' worker-w1.log | sed 's/.*=//' | tr '\n' ' ')" = '1000 2000 4000 ' ]
    slow=$(tern submit --handler bad --tag slow-io)
    eventually 20 grep 'event=runner-not-ready runner=bad pool=loop' worker-w1.log
    touch good
    ended_as "$slow" done null
}

@test "a shared runner gets no more at once than it has room for, and others overtake what waits for it" {
    start_bad room
    repeat 12 '{"handler":"bad","tag":"io"}' | tern submit --batch - > ids
    [ "$(tern run --tag io -- echo overtakes)" = overtakes ]
    for id in $(cat ids); do ended_as "$id" done null; done
    not grep runner-ended worker-w1.log
}

@test "wrong words of a runner's command are wrong usage" {
    run -2 tern-worker --runner "x='open"
    [[ $output == *"--runner: a quote ' is not closed"* ]]
    run -2 tern-worker --runner ""
    [[ $output == *"--runner: the command is empty"* ]]
    printf '[runner a]\ncommand = x\nspeed = 3\n' > worker.conf
    run -78 tern-worker --config worker.conf
    [[ $output == *"worker.conf:3: unknown key speed; a section [runner NAME] has the key command"* ]]
}

@test "a section of worker.conf names a runner" {
    need_python
    start_broker
    printf '[worker]\nprocess = 1\n[runner mine]\ncommand = %s "%s"\n' "$python" "$TERN_SOURCE/tests/runner/bad.py" > worker.conf
    start_worker w1 --config worker.conf
    grep 'event=runner runner=mine software="bad" handlers=1' worker-w1.log
    id=$(tern submit --handler bad)
    ended_as "$id" done null
}

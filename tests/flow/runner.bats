#!/usr/bin/env bats
# Handlers in other languages: the same cases in C and in Python, in all three pools.
# shellcheck disable=SC1010,SC2013,SC2154,SC2016,SC2317
load helpers
load cases

@test "a result, and a log, in every language and pool" {
    start_cases
    check() {
        [ "$(tern result "$id")" = "some bytes" ]
        log_has "$id" "first line"
        log_has "$id" "second line"
    }
    check=check all 'done' null echo --payload 'some bytes'
}

@test "a result of 1 MiB, and none that is larger" {
    start_cases
    head -c 1048576 /dev/urandom > big
    check() { tern result "$id" | cmp - big; }
    check=check all 'done' null echo --payload @big
    check() { [ "$(field "$id" error)" != null ]; }
    check=check all dead handler-error huge
}

@test "a failure for now is tried again, one for good is not" {
    start_cases
    check() { says "$id" "not now" && field_is "$id" attempt 2; }
    check=check all dead handler-error fail --retries 1 --backoff 1ms..1ms
    check() { says "$id" never && field_is "$id" attempt 1; }
    check=check all dead handler-error never --retries 5
}

@test "what a handler did not mean is a failure with its words" {
    start_cases
    check() { [ "$(field "$id" error)" != null ]; }
    check=check all dead handler-error unmeant
    says "$id" "KeyError: 'missing'"
    log_has "$id" "Traceback (most recent call last):"
    log_has "$id" "in unmeant"
    id=$(tern submit --handler py.exit)
    ended_as "$id" dead handler-error
    says "$id" "sys.exit(3)"
}

@test "one that is told to stop stops: a cancel, a time limit" {
    start_cases
    check() { :; }
    check=check all dead time-limit wait --timeout 300ms
    local language tag ids=()
    for language in c py; do
        for tag in cpu io slow-io; do
            ids+=("$(tern submit --handler "$(name_of "$language" "$tag" wait)" --tag "$tag")")
        done
    done
    for id in "${ids[@]}"; do eventually 20 field_is "$id" state running; done
    tern cancel "${ids[@]}"
    for id in "${ids[@]}"; do ended_as "$id" cancelled cancelled; done
    eventually 10 not eval "tern workers --json | grep -E '\"(used|stuck)\":[1-9]'"
}

@test "one that does not hear is killed in a process, and counts as stuck in a shared runner" {
    start_cases
    local language
    for language in c py; do
        case_of "$language" cpu deaf dead time-limit --timeout 200ms --kill-grace 200ms
    done
    case_of py io deaf dead time-limit --timeout 200ms --payload 2
    tern workers --json | grep '"stuck":1'
    case_of py io echo done null
    eventually 10 not eval "tern workers --json | grep -E '\"(used|stuck)\":[1-9]'"
}

@test "a crash costs the attempt alone; in a shared runner its neighbours run again" {
    start_cases
    for language in c py; do
        case_of "$language" cpu crash dead signal
        field_is "$id" signal 11
    done
    log_has "$id" "before the crash"
    naps=$(tern submit --handler py.nap && tern submit --handler py.nap.async)
    for id in $naps; do eventually 20 field_is "$id" state running; done
    thread=$(tern submit --handler py.crash --tag io)
    loop=$(tern submit --handler py.crash.async --tag slow-io)
    ended_as "$thread" dead signal
    ended_as "$loop" dead signal
    tern history "$thread" | grep 'lost .*worker-lost: the runner `py` was ended by signal 11 (SEGV)'
    for id in $naps; do ended_as "$id" done null attempt 2; done
    not gone "$worker"
}

@test "memory past the limit ends the attempt" {
    [ -z "$sanitized" ] || skip "memory says nothing in a sanitizer build"
    start_cases
    case_of py cpu memory dead memory-limit --memory 64M
    case_of py cpu echo done null
}

@test "a process serves many jobs, and is replaced after so many" {
    start_cases --process 1 --jobs-per-child 3
    for _ in 1 2 3 4; do tern submit --handler py.pid --tag cpu; done > ids
    for id in $(cat ids); do tern wait "$id" && tern result "$id" && echo; done > pids
    [ "$(sort -u pids | wc -l)" -eq 2 ]
    [ "$(head -n 3 pids | sort -u | wc -l)" -eq 1 ]
}

@test "what a Python handler leaves behind, forks, or writes on foreign descriptors is its own harm" {
    start_cases
    id=$(tern submit --handler py.stray --payload "1000.$$7")
    ended_as "$id" done null
    eventually 10 nobody_with "1000.$$7"
    id=$(tern submit --handler py.fork)
    ended_as "$id" done null
    [ "$(tern result "$id")" = parent ]
    id=$(tern submit --handler py.wild)
    ended_as "$id" dead handler-error
    says "$id" 'the runner `py` wrote something that is no message'
    case_of py cpu echo done null
}

@test "a zygote that dies takes the runners with it, and they are replaced" {
    start_cases --process 1
    case_of py cpu echo done null
    case_of py io echo done null
    id=$(tern submit --handler py.nap)
    cpu=$(tern submit --handler py.nap --tag cpu)
    eventually 20 field_is "$id" state running
    eventually 20 field_is "$cpu" state running
    kill -KILL "$(zygote_of "$worker")"
    ended_as "$id" done null attempt 2
    ended_as "$cpu" done null attempt 2
}

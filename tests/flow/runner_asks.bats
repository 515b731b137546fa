#!/usr/bin/env bats
# What a handler asks of the broker while it runs, in C and in Python alike, in all three pools: a checkpoint, progress, children; and a
# runner that asks what it must not.
# shellcheck disable=SC2013,SC2154,SC2016
load helpers
load cases

languages="c py coroutine"

# each NAME [OPTION...]: submits the case once in every language and to every pool: "LANGUAGE TAG ID" a line, in the file submitted.
each() {
    local name=$1 language tag
    shift
    for language in $languages; do
        for tag in cpu io slow-io; do
            echo "$language $tag $(tern submit --handler "$(name_of "$language" "$tag" "$name")" --tag "$tag" "$@")"
        done
    done > submitted
    mapfile -t ids < <(cut -d " " -f 3 submitted)
}

in_their_pools() {
    local language tag id
    while read -r language tag id; do
        field_is "$id" pool "$(pool_of "$tag")"
    done < submitted
}

@test "a checkpoint is handed to the next attempt" {
    start_cases
    each resume --retries 1 --backoff 1ms..1ms
    for id in "${ids[@]}"; do
        ended_as "$id" 'done' null
        field_is "$id" attempt 2
        [ "$(tern result "$id")" = 'half of it' ]
    done
    in_their_pools
}

@test "how far a job is is told while it runs" {
    start_cases --process 3
    each progress
    for id in "${ids[@]}"; do eventually 20 field_is "$id" progress 42; done
    tern cancel "${ids[@]}"
    for id in "${ids[@]}"; do
        ended_as "$id" cancelled cancelled
        log_has "$id" 'at the answer'
    done
    in_their_pools
}

@test "more parents than slots, whose children need the same pool; an attempt finds the children of the one before" {
    start_cases --thread 2 --process 2 --loop 2
    for language in $languages; do
        for tag in cpu io slow-io; do
            for _ in 1 2 3; do
                tern submit --handler "$(name_of "$language" "$tag" family)" --tag "$tag" --retries 1 --backoff 1ms..1ms \
                    --payload "$(name_of "$language" "$tag" echo) $tag"
            done
        done
    done > parents
    for id in $(cat parents); do
        ended_as "$id" 'done' null
        field_is "$id" attempt 2
        [ "$(tern result "$id")" = 123 ]
    done
    [ "$(tern list --json --limit 1000 | wc -l)" -eq $((27 * 4)) ]
    eventually 10 not eval "tern workers --json | grep -E '\"(used|parked|stuck)\":[1-9]'"
}

@test "a child that is not done is named; a parent that should stop hears of it while it waits, and takes its child with it" {
    start_cases
    each parent --payload py.never
    for id in "${ids[@]}"; do
        ended_as "$id" dead handler-error
        field "$id" error | grep -E '^child [0-9]+ is dead \(handler-error\)$'
    done
    languages=py each parent --payload py.wait.async
    eventually 20 eval '[ "$(tern list --json --state running | wc -l)" -eq 6 ]'
    tern cancel "${ids[@]}"
    for id in "${ids[@]}"; do ended_as "$id" cancelled cancelled; done
    eventually 20 eval '[ "$(tern list --json --state running | wc -l)" -eq 0 ]'
    each parent --payload py.wait.async --timeout 300ms
    for id in "${ids[@]}"; do ended_as "$id" dead time-limit; done
}

@test "what is refused says why" {
    start_cases
    id=$(tern submit --handler py.refused)
    ended_as "$id" 'done' null
    tern result "$id" > said
    printf '%s\n' > wanted \
        'AskFailed: the name of a handler may have only [A-Za-z0-9._:-]; byte 3 is 0x20' \
        'AskFailed: AWAIT has ranges that rise, of 1 to 10,000 jobs, and a number within them' \
        'AskFailed: no such child' \
        'ValueError: a checkpoint of 65537 bytes; there may be 65536' \
        "ChildFailed: child $id is gone"
    echo >> said
    diff wanted said
}

@test "a runner that asks for a job it does not have, what makes no sense, or too much at a time, is not obeyed" {
    start_bad asks
    for tag in cpu io slow-io; do
        id=$(tern submit --handler bad --tag "$tag")
        ended_as "$id" 'done' null
        [ "$(tern result "$id")" = '[(0, 64), (2, 1), (75, 1)]' ]
    done
    [ "$(tern list --json --limit 1000 | wc -l)" -eq $((3 * 65)) ]
    not grep runner-ended worker-w1.log
}

@test "a runner that asks on and reads no answer is ended" {
    start_bad deaf
    before=$(peak_kb "$worker")
    id=$(tern submit --handler bad --tag cpu --timeout 60s)
    ended_as "$id" dead handler-error
    says "$id" 'asks, and does not read what it is answered'
    [ -n "$sanitized" ] || [ $(($(peak_kb "$worker") - before)) -lt 20000 ]
}

@test "one that looks up from waiting again and again asks once" {
    start_cases
    for tag in cpu slow-io; do
        id=$(tern submit --handler py.impatient.async --tag "$tag")
        ended_as "$id" 'done' null
        [ "$(tern result "$id")" -gt 64 ]
    done
}

@test "what is longer than a message may be costs its own run at most" {
    start_cases
    other=$(tern submit --handler py.doze.async --payload 3 --tag slow-io)
    for what in line child error; do
        id=$(tern submit --handler py.long.async --tag slow-io --payload "$what")
        tern wait --timeout 30s "$id" || true
        field_is "$id" attempt 1
        case $what in
        line) field_is "$id" state 'done' ;;
        child) says "$id" "ValueError: a message to the worker of 5000" ;;
        error) says "$id" "KeyError: 'yyyy" ;;
        esac
    done
    ended_as "$other" 'done' null
    field_is "$other" attempt 1
    not grep -F event=runner-ended "$dir/worker-w1.log"
}

@test "an error that cannot be put into words is one all the same" {
    start_cases
    for tag in cpu io slow-io; do
        id=$(tern submit --handler "$(name_of py "$tag" mute)" --tag "$tag" --timeout 20s)
        ended_as "$id" dead handler-error
        says "$id" Mute
    done
}

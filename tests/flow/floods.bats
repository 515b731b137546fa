#!/usr/bin/env bats
# What comes at full speed and is no message: what others ask goes on, and the broker's memory stays in bounds.
# shellcheck disable=SC2154,SC2016,SC2030,SC2031
load helpers
load pressure

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
    flood 2 bytes greetings halves huge
    broker_stays_under 128
}

@test "messages that are none, that have no end, of nobody's session, HELLOs and 16 MiB of nothing at full speed" {
    start_both
    measure_quiet
    flood 2 messages parts foreign hellos large
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
    hostile almost 20
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
    flood 2 bytes huge messages foreign
    broker_stays_under 192
}

#!/usr/bin/env bats
# What proto/PROTOCOL.md shows is true: its bytes are taken by a real broker, and its client and worker in Python, cut out
# of the page as they stand there, do real work.
# shellcheck shell=bash
bats_require_minimum_version 1.5.0

setup() {
    page=${TERN_SOURCE:-$BATS_TEST_DIRNAME/../..}/proto/PROTOCOL.md
    python=/usr/bin/python3
    "$python" -c 'import msgpack, zmq' 2> /dev/null ||
        skip "needs python3-zmq and python3-msgpack"
    cd "$(mktemp -d "${TMPDIR:-/tmp}/tern-protocol.XXXXXX")" || return 1
    here=$PWD
    address=ipc://$here/s
    pids=()
    cut_programs
    broker
}

teardown() {
    [ -n "${here:-}" ] || return 0
    for pid in "${pids[@]}"; do
        kill -9 "$pid" 2> /dev/null || true
        wait "$pid" 2> /dev/null || true
    done
    cat "$here"/*.log || true
    rm -rf "$here"
}

# Each block of Python begins with its own name.
cut_programs() {
    awk '/^```/ { name = ""; fence = $0; next }
         fence == "```python" { name = $2; fence = "" }
         name { print > name }' "$page"
    [ -s tern_link.py ] && [ -s tern_client.py ] && [ -s tern_worker.py ]
}

# The nth block of hex: the pairs of digits that begin each line.
hex_of() {
    awk -v want="$1" '/^```/ { inside = !inside && $0 == "```"; n += inside; next }
         inside && n == want { sub(/   .*/, ""); printf "%s", $0 }' n=0 "$page" | tr -d ' '
}

# Until COMMAND succeeds; within 10 s.
until_true() {
    local i
    for ((i = 0; i < 200; i++)); do
        ! "$@" || return 0
        read -r -t 0.05 _ <> <(:) || true
    done
    echo "never came true: $*"
    return 1
}

broker() {
    tern-broker --listen "$address" --db "$here/tern.db" --ballast 0 2>> broker.log 3>&- &
    broker=$!
    pids+=("$broker")
    until_true grep -q listens broker.log
}

worker() {
    "$python" tern_worker.py "$address" >> worker.log 2>&1 3>&- &
    worker=$!
    pids+=("$worker")
    until_true grep -q 'worker=python-1 .*connected' broker.log
}

client() {
    timeout 30 "$python" tern_client.py "$address" "$@"
}

# Sends frames, as hex, to the broker, and prints what comes back to each, as hex.
raw() {
    timeout 30 "$python" - "$address" "$@" << 'END'
import sys, zmq
s = zmq.Context().socket(zmq.DEALER)
s.setsockopt(zmq.LINGER, 0)
s.connect(sys.argv[1])
for frame in sys.argv[2:]:
    s.send(bytes.fromhex(frame))
    print(s.recv().hex())
END
}

@test "the bytes of HELLO and SUBMIT on the page are understood, and SUBMITTED is what the page says" {
    worker_less=$(raw "$(hex_of 1)" "$(hex_of 2)")
    echo "$worker_less"
    [[ $worker_less == 9?020101* ]] # WELCOME, epoch 1, session 1
    [[ ${worker_less##*$'\n'} == 990b010101010101* ]]
}

@test "with a worker there, SUBMITTED has no notices" {
    worker
    answers=$(raw "$(hex_of 1)" "$(hex_of 2 | sed 's/^960a0101/960a0102/')")
    echo "$answers"
    [ "${answers##*$'\n'}" = 990b0102010101019000 ]
}

@test "the bytes of the command on the page are those that run" {
    [ "$(hex_of 3)" = "$("$python" -c '
import msgpack
print(msgpack.packb([["sh", "-c", "exit 3"], ["LANG=C"], "/tmp", None]).hex())')" ]
}

@test "the client of the page gets from the worker of the page what it asked for" {
    worker
    [ "$(client 'hello, out there')" = 'hello, out there' ]
}

@test "the client of the page is served by tern-worker" {
    tern-worker --broker "$address" --name c-1 --process 1 --thread 1 --loop 1 2> worker.log 3>&- &
    pids+=("$!")
    [ "$(client 'hello, in there')" = 'hello, in there' ]
}

@test "client and worker of the page live through a broker that is killed and started again" {
    worker
    local n
    (for n in 1 2 3 4 5 6 7 8 9 10; do client "number $n"; done > said 3>&-) &
    local clients=$!
    until_true test -s said
    kill -9 "$broker"
    wait "$broker" || true
    : > broker.log
    broker
    wait "$clients"
    diff <(seq -f 'number %.0f' 10) said
}

@test "the worker of the page says goodbye, and the broker has no bad message to tell of" {
    worker
    client one
    kill "$worker"
    wait "$worker"
    until_true grep -q 'worker=python-1 says goodbye' broker.log
    run ! grep "dropped a message" broker.log
}

#!/usr/bin/env bats
# Whatever is wrong is refused, says what and why, and costs nobody else anything.
# shellcheck disable=SC2154,SC2016
load helpers

# refused STATUS TEXT COMMAND...: ends so, says so on standard error, and prints no data.
refused() {
    local status_wanted=$1 text=$2
    shift 2
    run --separate-stderr "$@"
    if [ "$status" -ne "$status_wanted" ] || [[ $stderr != *"$text"* ]] || [ -n "$output" ]; then
        echo "$*: status $status, not $status_wanted; it said: $stderr; and printed: $output"
        return 1
    fi
}

# A whole job goes through.
works() {
    [ "$(tern run -- echo works)" = works ]
}

# ---- usage: 2 -----------------------------------------------------------------------------------------------

@test "an unknown command ends with 2 and names the nearest" {
    refused 2 submit tern submti -- true
    refused 2 queues tern queus
    refused 2 show tern help shwo
    run -2 tern
}

@test "an unknown option ends with 2 and names the nearest, before anything is submitted" {
    start_both
    refused 2 --priority tern submit --prioritty 3 -- true
    refused 2 --timeout tern wait --timout 3s 1
    refused 2 --json tern list --jsn
    refused 2 --heartbeat tern-broker --hartbeat 3s
    refused 2 --thread tern-worker --threads 3
    count_is submitted 0
}

@test "every command refuses an operand that it does not take, and names one that it lacks, with 2" {
    start_broker
    local command
    for command in queues workers stats ping version up down; do
        refused 2 surplus tern "$command" surplus
    done
    for command in show wait result logs why history cancel retry rm pause resume drain; do
        refused 2 which tern "$command"
    done
    refused 2 'what is to be done' tern submit
    refused 2 '' tern run
}

@test "bad durations, sizes, numbers, times and names are refused with 2, and the right form is shown" {
    start_broker
    refused 2 'durations look like' tern submit --timeout soon -- true
    refused 2 'durations look like' tern submit --delay -5s -- true
    refused 2 'duration' tern submit --delay 99999999999999999999d -- true
    refused 2 'sizes look like' tern submit --memory much -- true
    refused 2 'sizes look like' tern submit --memory 5X -- true
    refused 2 'not a whole number' tern submit --priority high -- true
    refused 2 'not in the range' tern submit --priority 99999999999 -- true
    refused 2 'not in the range' tern submit --retries -1 -- true
    refused 2 'times look like' tern submit --at tomorrow -- true
    refused 2 'byte 2' tern submit --queue a/b -- true
    refused 2 128 tern submit --queue "$(printf 'q%.0s' {1..129})" -- true
    refused 2 empty tern submit --handler ''
    refused 2 'cpu, io, slow-io, auto' tern submit --tag gpu -- true
    refused 2 '1s..10m' tern submit --backoff 10s..1s -- true
    refused 2 'names no variable' tern submit --env =x -- true
    refused 2 'is not set here' tern submit --env NOT_SET_ANYWHERE -- true
    refused 2 'not both' tern submit --handler echo -- true
    refused 2 'not both' tern submit --delay 1s --at 2030-01-01T00:00:00Z -- true
    refused 2 'unknown state' tern list --state runing
    refused 2 'names no jobs' tern show one
    refused 2 'names no jobs' tern show 0
    refused 2 'names no jobs' tern show 99999999999999999999
    refused 2 nowhere tern submit --stdin nowhere -- true
    refused 2 nowhere tern submit --handler echo --payload @nowhere
    refused 2 nowhere tern submit --batch nowhere
    count_is submitted 0
}

@test "broker and worker refuse bad options with 2 and a bad configuration, each named" {
    refused 2 'durations look like' tern-broker --heartbeat often
    refused 2 'at least twice' tern-broker --heartbeat 10s --lost-after 11s
    refused 2 'debug' tern-broker --log-level loud
    refused 2 surplus tern-broker surplus
    refused 2 'not in the range' tern-worker --process 99999999
    refused 2 'a worker needs a pool' tern-worker --process 0 --thread 0 --loop 0
    refused 2 'name of a queue' tern-worker --queues 'a,,b'
    echo 'no-such-key = 1' > conf
    run ! tern-broker --config conf
    [[ $output == *no-such-key* ]]
    run ! tern-worker --config conf
    [[ $output == *no-such-key* ]]
    run ! tern-broker --config nowhere
    [[ $output == *nowhere* ]]
}

# ---- not there: 3 and 69 ------------------------------------------------------------------------------------

@test "an unknown id, queue or worker ends with 3 and is named" {
    start_both
    local command
    for command in show wait result logs why history cancel retry rm; do
        refused 3 12345 tern "$command" 12345
    done
    refused 3 nowhere tern pause nowhere
    refused 3 nowhere tern resume nowhere
    refused 3 nobody tern drain nobody
    works
}

@test "no broker: 69 at once, with the address that was tried and the hint tern up; run ends with 125" {
    local before command
    before=$(now_ms)
    for command in 'submit -- true' 'wait 1' 'show 1' list queues workers stats ping 'cancel 1'; do
        # shellcheck disable=SC2086
        refused 69 "$TERN_BROKER" tern $command
        [[ $stderr == *"tern up"* ]]
    done
    refused 125 'tern up' tern run -- true
    # A socket that nobody listens on any more is no other thing than none.
    start_broker
    kill_and_wait KILL "$broker"
    [ -S broker.sock ]
    refused 69 'tern up' tern ping
    [ $(($(now_ms) - before)) -lt $((5000 * slower)) ]
}

@test "the address is checked before it is used: a scheme that tern does not speak, TCP without keys, a path too long" {
    # Where this machine has a broker's key in its place, TCP is not refused.
    refused 2 'must be ipc:///PATH or tcp://HOST:PORT' tern --broker http://localhost ping
    refused 2 'must be ipc:///PATH or tcp://HOST:PORT' tern --broker tcp://127.0.0.1 ping
    refused 2 'TCP needs keys: `tern-broker keygen` makes' timeout 20 tern-broker --listen tcp://0.0.0.0:7711 --db "$dir/tern.db"
    [[ $stderr != *--insecure-loopback* ]]
    refused 2 'or --insecure-loopback' timeout 20 tern-broker --listen tcp://127.0.0.1:7711 --db "$dir/tern.db"
    refused 2 'TCP needs keys' timeout 20 tern-broker --listen tcp://0.0.0.0:7711 --insecure-loopback --db "$dir/tern.db"
    refused 2 'name them with --key and --broker-key' tern-worker --broker tcp://192.0.2.1:7711
    refused 2 'name them with --key and --broker-key' tern --broker tcp://192.0.2.1:7711 ping
    refused 2 'may have at most 107 bytes' timeout 20 tern-broker --listen "ipc:///tmp/$(printf 'long%.0s' {1..40})" --db "$dir/tern.db"
    [ ! -e tern.db ]
}

# ---- refused: 4 ---------------------------------------------------------------------------------------------

@test "a payload over the limit is refused with 4, naming limit and size, before it is sent" {
    start_both
    head -c $((1024 * 1024)) /dev/zero > fits
    head -c $((1024 * 1024 + 1)) /dev/zero > large
    tern submit --handler sha256 --payload @fits --wait
    refused 4 1048576 tern submit --handler sha256 --payload @large
    [[ $stderr == *1048577* ]]
    refused 4 1048576 tern submit --stdin large -- cat
    head -c 20000000 /dev/zero | { refused 4 'standard input' tern submit --handler sha256 --payload -; }
    count_is submitted 1
    count_is bad_messages 0
}

@test "a broker's own smaller limit is kept too" {
    start_broker --max-payload 1000
    start_worker
    head -c 1001 /dev/zero > large
    refused 4 1000 tern submit --handler sha256 --payload @large
    count_is submitted 0
}

@test "a payload that its handler cannot read fails the job for good, and says why" {
    start_both
    run -1 tern submit --wait --handler sleep --payload soon
    ended_as 1 dead handler-error
    field 1 error | grep -q soon
    field_is 1 attempt 1
    run -1 tern submit --wait --batch - <<< '{"handler":"sha256","payload":"@/nowhere"}'
    field 2 error | grep -q /nowhere
    run -1 tern submit --wait --handler http --payload 'no url'
    run -1 tern submit --wait --handler http --payload 'http://127.0.0.1:1/'
    works
}

@test "an unknown handler is accepted with a warning, waits, and hinders nobody" {
    start_both
    run -0 --separate-stderr tern submit --handler unheard-of
    [ "$output" = 1 ]
    [[ $stderr == *"no connected worker has the handler unheard-of"* ]]
    works
    field_is 1 state queued
}

@test "a handler that a worker does not offer is not run there" {
    start_broker
    start_worker w1 --no-exec
    id=$(tern submit -- touch ran)
    tern submit --wait --handler echo --payload x
    field_is "$id" state queued
    tern why "$id" | grep -q 'handler exec'
    [ ! -e ran ]
}

# ---- the database -------------------------------------------------------------------------------------------

# broker_refuses DATABASE TEXT: it does not start, says why and what to do, and leaves the file as it was.
broker_refuses() {
    local sum
    sum=$(sha256sum < "$1")
    run ! timeout 30 tern-broker --listen "$TERN_BROKER" --db "$1"
    [ "$status" -ne 124 ]
    [[ $output == *"$1"* ]]
    [[ $output == *"$2"* ]]
    [ "$(sha256sum < "$1")" = "$sum" ]
}

@test "a corrupt database is refused and left untouched" {
    start_broker
    repeat 2000 '{"handler":"nobody-has-it","payload":"some bytes to fill pages with"}' | tern submit --batch - > /dev/null 2>&1
    kill_and_wait TERM "$broker"
    cp tern.db whole.db
    head -c 5000 /dev/urandom > junk.db
    broker_refuses "$dir/junk.db" 'not a database'
    dd if=/dev/urandom of=tern.db bs=4096 seek=1 count=20 conv=notrunc status=none
    broker_refuses "$dir/tern.db" ''
    mv whole.db tern.db
    start_broker
    count_is queued 2000
}

@test "a database of a newer version is refused and left untouched" {
    command -v sqlite3 > /dev/null || skip "sqlite3 is not installed"
    start_broker
    kill_and_wait TERM "$broker"
    sqlite3 tern.db 'PRAGMA user_version = 9999'
    broker_refuses "$dir/tern.db" newer
}

@test "a database that is no tern database is refused and left untouched" {
    command -v sqlite3 > /dev/null || skip "sqlite3 is not installed"
    sqlite3 other.db 'CREATE TABLE people (name TEXT)'
    broker_refuses "$dir/other.db" ''
}

@test "a read-only database is refused and left untouched" {
    [ "$(id -u)" -ne 0 ] || skip "root may write everywhere"
    start_broker
    kill_and_wait TERM "$broker"
    chmod 400 tern.db
    broker_refuses "$dir/tern.db" ''
}

@test "a second broker on the same database is refused, and the first goes on" {
    start_both
    run ! timeout 30 tern-broker --listen "ipc://$dir/second.sock" --db "$dir/tern.db"
    [[ $output == *"$dir/tern.db"* ]]
    [[ $output == *"$broker"* ]]
    works
}

@test "an address that is in use is refused, and who listens there goes on" {
    start_both
    run ! timeout 30 tern-broker --listen "$TERN_BROKER" --db "$dir/second.db"
    [[ $output == *"$TERN_BROKER"* ]]
    works
    run -0 tern ping
}

@test "a port in use is refused and named" {
    tern-broker --insecure-loopback --listen tcp://127.0.0.1:27711 --db "$dir/one.db" > one.log 2>&1 3>&- &
    started+=("$!")
    export TERN_BROKER=tcp://127.0.0.1:27711
    eventually 20 grep -q 'listens on' one.log
    run ! timeout 30 tern-broker --insecure-loopback --listen tcp://127.0.0.1:27711 --db "$dir/two.db"
    [[ $output == *27711* ]]
}

@test "a directory that cannot hold a database is refused and named" {
    run ! timeout 30 tern-broker --listen "$TERN_BROKER" --db "$dir/nowhere/tern.db"
    [[ $output == *nowhere* ]]
    mkdir folder
    run ! timeout 30 tern-broker --listen "$TERN_BROKER" --db "$dir/folder"
    [[ $output == *"$dir/folder"* ]]
}

# ---- hostile bytes ------------------------------------------------------------------------------------------

# throw SCRIPT: python3 with what it takes to speak to the broker's socket; its connections are cut at the end.
throw() {
    command -v python3 > /dev/null || skip "python3 is not installed"
    timeout 60 python3 - "$dir/broker.sock" <<-END
	import os, random, socket, struct, sys
	random.seed(7)
	def connect():
	    s = socket.socket(socket.AF_UNIX)
	    s.settimeout(10)
	    s.connect(sys.argv[1])
	    return s
	def send(s, b):
	    try:
	        s.sendall(b)
	        return True
	    except OSError:
	        return False
	def read(s, n):
	    b = b''
	    try:
	        while len(b) < n:
	            more = s.recv(n - len(b))
	            if not more: break
	            b += more
	    except OSError:
	        pass
	    return b
	GREETING = b'\xff' + bytes(8) + b'\x7f' + b'\x03\x00' + b'NULL' + bytes(16) + b'\x00' + bytes(31)
	def command(name, body):
	    b = bytes([len(name)]) + name + body
	    return b'\x04' + bytes([len(b)]) + b
	def prop(name, v): return bytes([len(name)]) + name + struct.pack('>I', len(v)) + v
	# ZMTP 3.0 up to where messages begin.
	def shake():
	    s = connect()
	    send(s, GREETING)
	    read(s, 64)
	    send(s, command(b'READY', prop(b'Socket-Type', b'DEALER') + prop(b'Identity', b'')))
	    read(s, 2)
	    return s
	def frame(b): return b'\x02' + struct.pack('>Q', len(b)) + b
	${1//$'\n'$'\t'/$'\n'}
	END
}

@test "garbage and half greetings on the socket disturb nobody" {
    start_both
    local id
    id=$(tern submit --tag io -- sleep 1000)
    throw '
	for i in range(50):
	    s = connect(); send(s, random.randbytes(random.randrange(1, 5000))); s.close()
	for n in range(0, 64):
	    s = connect(); send(s, GREETING[:n]); s.close()
	held = [connect() for i in range(50)]
	send(held[0], GREETING[:10])'
    works
    field_is "$id" state running
    field_is "$id" attempt 1
    tern cancel "$id"
}

@test "messages that are no messages are dropped and counted, and dispatch goes on meanwhile" {
    start_both
    mkfifo go
    repeat 3000 '{"handler":"echo","tag":"io","payload":"x"}' | tern submit --batch - > ids &
    throw '
	for i in range(300):
	    s = shake(); send(s, frame(random.randbytes(random.randrange(1, 300)))); s.close()
	# msgpack that says more than it has: a depth, a count, a length
	for b in (b"\x91" * 5000, b"\xdd\xff\xff\xff\xff", b"\xdc\xff\xff\x01", b"\xdb\xff\xff\xff\xff", b"\xc6\x7f\xff\xff\xffabc",
	          b"", b"\xc1", b"\x93", b"\x94\x01\x01\x01\x01", b"\x94\xcc\xff\x01\x01\x01", b"\x80", b"\xc0" * 1000):
	    s = shake(); send(s, frame(b)); send(s, frame(b)); s.close()
	# a frame cut short, a frame of a terabyte, many parts
	s = shake(); send(s, frame(b"x" * 1000)[:500]); s.close()
	s = shake(); send(s, b"\x02" + struct.pack(">Q", 1 << 40) + b"x" * 100000); s.close()
	s = shake(); send(s, b"\x03" + struct.pack(">Q", 1) + b"x"); send(s, frame(b"y")); s.close()
	s = shake(); send(s, frame(b"x" * (17 << 20))); s.close()'
    wait $!
    tern wait all
    count_is 'done' 3000
    at_least bad_messages 10
    works
    [ "$(tern workers --json | wc -l)" = 1 ]
    not gone "$broker"
}

@test "a peer that only greets, or that says nothing, keeps nobody from anything" {
    start_both
    command -v python3 > /dev/null || skip "python3 is not installed"
    python3 - "$dir/broker.sock" > silent.log 2>&1 3>&- <<-'END' &
	import socket, sys, signal
	held = []
	for i in range(200):
	    s = socket.socket(socket.AF_UNIX)
	    s.connect(sys.argv[1])
	    held.append(s)
	print("held", flush=True)
	signal.pause()
	END
    started+=("$!")
    eventually 20 grep -q held silent.log
    works
    repeat 1000 '{"handler":"echo","tag":"io"}' | tern submit --batch - --wait > /dev/null
    count_is 'done' 1001
}

@test "what others say steers nobody's terminal: control characters of a job's error are shown as ?" {
    start_both
    id=$(tern submit --name $'\e]0;x\a' -- $'\e[31m\xc2\x9bnope')
    tern wait --timeout 20s "$id" || true
    for command in wait result show history list; do
        run tern "$command" "$id"
        [[ $output == *nope* ]]
        [[ $output != *[$'\e\a']* ]]
        [[ $output != *$'\xc2\x9b'* ]]
    done
}

@test "a command that does not exist fails with 127, as a shell would" {
    start_both
    run -127 tern run -- no-such-command-anywhere
    [[ $output == *no-such-command-anywhere* ]]
    ended_as 1 dead exit
    field_is 1 exit_code 127
}

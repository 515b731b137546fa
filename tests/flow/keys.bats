#!/usr/bin/env bats
# TCP by keys, with real daemons: who comes in, who does not, what a revoked key can still do, and what bytes and peers with bad intent
# cost the broker.
# shellcheck disable=SC2154,SC2016
load helpers

# The broker's key, and the keys ada (a client, with commands), w1 (a worker) and eve (nobody); each case has a copy.
setup_file() {
    cd "$BATS_FILE_TMPDIR" || return
    tern-broker keygen --dir . --keys peers.d
    tern keygen w1 --role worker
    tern keygen ada
    tern keygen eve
    tern-broker authorize w1.pub --keys peers.d
    tern-broker authorize ada.pub --keys peers.d --exec
}

# A broker on its socket and on TCP.
keyed_broker() {
    port=$((20000 + $$ % 12000 + BATS_TEST_NUMBER)) # below those that the kernel gives to connections
    tcp=tcp://127.0.0.1:$port
    cp -a "$BATS_FILE_TMPDIR"/{peers.d,*.key,*.pub} .
    tern-broker --listen "$TERN_BROKER,$tcp" --key broker.key --keys peers.d --db "$dir/tern.db" --ballast 1M \
        < /dev/null >> "$dir/broker.log" 2>&1 3>&- &
    broker=$!
    started+=("$broker")
    eventually 30 answers_or_ended "$broker"
    not gone "$broker"
}

keyed_worker() {
    tern-worker --broker "$tcp" --key w1.key --broker-key broker.pub --name w1 --process 1 --thread 2 --loop 5 \
        < /dev/null >> "$dir/worker-w1.log" 2>&1 3>&- &
    worker=$!
    started+=("$worker")
    eventually 30 connected w1 "$worker"
}

# as NAME COMMAND...: of tern, over TCP.
as() {
    local name=$1
    shift
    tern --broker "$tcp" --key "$name.key" --broker-key broker.pub "$@"
}

@test "a TCP address without keys is refused, with the command that makes them; a key that others can read too" {
    run -78 tern-broker --listen tcp://127.0.0.1:7711 --key "$dir/none.key" --db "$dir/tern.db"
    [[ $output == *keygen* ]]
    tern-broker keygen --dir "$dir" --keys "$dir/peers.d"
    run -4 tern-broker keygen --dir "$dir" --keys "$dir/peers.d"
    [[ $output == *"not overwritten"* ]]
    chmod 644 broker.key
    run -78 tern-broker --listen tcp://127.0.0.1:7711 --key broker.key --keys peers.d --db "$dir/tern.db"
    [[ $output == *"chmod 600"* ]]
}

# credentials_of UNIT: those that this unit loads from the directory credstore, as systemd leaves them to its service.
credentials_of() {
    local unit=${TERN_SOURCE:-$BATS_TEST_DIRNAME/../..}/contrib/systemd/$1.service.in name file
    while IFS=: read -r name file; do
        install -D -m 440 "credstore/$file" "credentials/$1/$name"
    done < <(sed -n 's/^LoadCredential=//p' "$unit")
    echo "$dir/credentials/$1"
}

@test "broker and worker find their keys among the credentials that their units load" {
    port=$((20000 + $$ % 12000 + BATS_TEST_NUMBER)) # below those that the kernel gives to connections
    mkdir credstore
    tern-broker keygen --dir "$dir" --keys "$dir/peers.d"
    tern keygen w1 --role worker
    tern-broker authorize w1.pub --keys peers.d
    mv broker.key credstore/tern-broker.key
    mv broker.pub credstore/tern-broker.pub
    mv w1.key credstore/tern-worker.key
    CREDENTIALS_DIRECTORY=$(credentials_of tern-broker) start_broker \
        --listen "$TERN_BROKER,tcp://127.0.0.1:$port" --keys "$dir/peers.d"
    CREDENTIALS_DIRECTORY=$(credentials_of tern-worker@) start_worker w1 --broker "tcp://127.0.0.1:$port"
    [ "$(tern run -- echo hello)" = hello ]
    # What systemd did not put there is no credential: a key beside it that others can read is refused.
    chmod 440 credstore/tern-worker.key
    run -78 env CREDENTIALS_DIRECTORY="$(credentials_of tern-worker@)" tern-worker --broker "tcp://127.0.0.1:$port" \
        --key credstore/tern-worker.key
    [[ $output == *"chmod 600"* ]]
}

@test "a known key works and submits; an unknown one, a worker's, none, and another broker's are told what is wrong" {
    keyed_broker
    keyed_worker
    [ "$(as ada run -- echo hello)" = hello ]
    [ "$(as ada show --json last | value owner)" = key:ada ]
    run -77 as eve ping
    [[ $output == *"does not know this client's key"* ]]
    run -77 as w1 ping
    [[ $output == *"a worker's"* ]]
    run -77 tern --broker "$tcp" ping
    [[ $output == *"without a key"* ]]
    run -69 tern --broker "$tcp" --key ada.key --broker-key "$(printf 'a%.0s' {1..64})" ping
    [[ $output == *--broker-key* ]]
}

@test "a revoked client is cut off while it waits, a revoked worker's job is queued again uncounted" {
    keyed_broker
    keyed_worker
    as ada run -- sleep 100 > run.log 2>&1 3>&- &
    local waiting=$!
    started+=("$waiting")
    eventually 20 field_is 1 state running
    tern-broker revoke w1 --keys peers.d
    eventually 20 field_is 1 state queued
    field_is 1 crashes 0
    tern-broker revoke ada --keys peers.d
    eventually 20 gone "$waiting"
    grep -q 'not known here' run.log
    run -77 as ada ping
    tern ping
}

@test "a key's file that an editor moves away and writes anew costs nobody a job; one that stays away is revoked" {
    keyed_broker
    keyed_worker
    local id
    mkfifo go
    id=$(as ada submit -- sh -c "read -r line < $dir/go")
    eventually 20 field_is "$id" state running
    mv peers.d/w1.conf peers.d/w1.conf~
    tern ping # when it answers, it has seen that the file is gone
    cp peers.d/w1.conf~ peers.d/w1.conf
    rm peers.d/w1.conf~
    echo > go
    tern wait --timeout 20s "$id"
    field_is "$id" attempt 1
    field_is "$id" state 'done'
    not grep -q 'revoked: cut off' broker.log
    mv peers.d/w1.conf peers.d/w1.conf.off
    eventually 20 grep -q 'revoked: cut off' broker.log
}

@test "an old key is gone after rotation, and the new one is the same owner" {
    keyed_broker
    local id old
    id=$(as ada submit -- true)
    old=$(sed -n 's/^key = //p' ada.pub)
    mkdir new
    tern keygen ada --dir new
    run -4 tern-broker authorize new/ada.pub --keys peers.d --exec
    [[ $output == *"the name ada has another key"* ]]
    tern-broker authorize new/ada.pub --keys peers.d --exec --name ada
    as ada ping
    tern-broker revoke "$old" --keys peers.d
    eventually 20 eval '! as ada ping'
    tern --broker "$tcp" --key new/ada.key --broker-key broker.pub cancel "$id"
    field_is "$id" state cancelled
}

# script NAME TEXT: speak-NAME.py, with what it takes to say anything at all to the broker with NAME's key.
script() {
    /usr/bin/python3 -c 'import msgpack, zmq' 2> /dev/null || skip "needs python3-zmq and python3-msgpack"
    cat > "speak-$1.py" << 'END'
import os, re, sys, time, msgpack, zmq
from zmq.utils import z85
HELLO, WELCOME, ERROR, SUBMIT, SUBMITTED, STARTED, RESULT, RECORDED = 1, 2, 6, 10, 11, 41, 42, 43
s = zmq.Context().socket(zmq.DEALER)
s.linger, s.rcvtimeo, s.immediate = 0, 20000, 1
s.curve_publickey, s.curve_secretkey, s.curve_serverkey = [
    z85.encode(bytes.fromhex(re.search(r"= ([0-9a-f]{64})", open(f).read())[1])) for f in sys.argv[2:]]
s.connect(sys.argv[1])
session = [0, 0]
def tell(type, *fields): s.send(msgpack.packb([type, *session, *fields]))
def hear(*types):
    while True:
        m = msgpack.unpackb(s.recv())
        if m[0] in types:
            return m
def hello(role, name="thief"):
    tell(HELLO, 1, 1, role, "test", [], os.urandom(16), "nowhere", 1, name, ["other"], [[0, 1], [1, 1]], [["echo", 3]], [], 0, 1)
    m = hear(WELCOME, ERROR)
    session[:] = m[1:3]
    return m
END
    printf '%s\n' "$2" >> "speak-$1.py"
}

# speak NAME TEXT: says it.
speak() {
    script "$1" "$2"
    timeout 60 /usr/bin/python3 "speak-$1.py" "$tcp" "$1.pub" "$1.key" broker.pub
}

@test "a worker ends nothing that another one holds" {
    keyed_broker
    keyed_worker
    tern keygen w2 --role worker
    tern-broker authorize w2.pub --keys peers.d
    as ada submit -- sleep 100
    eventually 20 field_is 1 state running
    speak w2 '
assert hello("worker")[0] == WELCOME
tell(STARTED, [[1, 1]], 1)
tell(RESULT, [[1, 1, 0, 0, 0, None, 0, 0, 0, 1, 1, 1, None, b"stolen"]], 2)
assert hear(RECORDED)[3] == [[1, 1]] # it may forget what it made up'
    field_is 1 state running
    field_is 1 attempt 1
    count_is refused_results 1
    tern workers --json | grep '"name":"w1"' | grep -v '"heard_ago_ms":null'
    as ada cancel 1
    ended_as 1 cancelled cancelled
}

@test "each role has its own words: whatever a worker's key asks, what is an admin's, another's jobs, and messages of another role" {
    keyed_broker
    keyed_worker
    local command
    tern keygen bob
    tern-broker authorize bob.pub --keys peers.d
    as ada submit -- sleep 100
    eventually 20 field_is 1 state running
    run -77 as bob submit -- true
    [[ $output == *"may not run commands"* ]]
    # shellcheck disable=SC2086
    for command in 'pause default' 'resume default' 'drain w1'; do
        run -77 as ada $command
    done
    for command in show wait result logs why history cancel retry rm; do
        run -3 as bob "$command" 1
    done
    [ -z "$(as bob list --json)" ]
    # shellcheck disable=SC2086
    for command in 'submit --handler echo' 'show 1' 'wait 1' 'result 1' 'logs 1' 'why 1' 'history 1' 'cancel 1' 'retry 1' 'rm 1' list \
        queues workers stats advise ping 'pause default' 'resume default' 'drain w1'; do
        run -77 as w1 $command
        [[ $output == *"a worker's"* ]]
    done
    run -77 timeout 30 tern-worker --broker "$tcp" --key ada.key --broker-key broker.pub --name false
    speak w1 '
refused = hello("client")
assert refused[0] == ERROR and refused[4] == 77, refused'
    speak w1 '
assert hello("worker")[0] == WELCOME
tell(SUBMIT, 5, 1, [[None, "exec"]])
refused = hear(ERROR, SUBMITTED)
assert refused[0] == ERROR and refused[4] == 76 and "not for a worker" in refused[5], refused'
    field_is 1 state running
    count_is submitted 1
}

@test "a worker's key for one queue: another one is refused when asked for, and not handed out" {
    keyed_broker
    tern keygen mailer --role worker
    tern-broker authorize mailer.pub --keys peers.d --queues mail
    as ada submit --handler echo --payload secret
    run -77 timeout 30 tern-worker --broker "$tcp" --key mailer.key --broker-key broker.pub --queues default
    [[ $output == *queues* ]]
    start_worker mailer --broker "$tcp" --key mailer.key --broker-key broker.pub
    [ "$(as ada run --queue mail -- echo mine)" = mine ]
    field_is 1 state queued
}

@test "a name that somebody claims is worth nothing: in HELLO, and in a key that is to be let in" {
    keyed_broker
    as ada submit -- true
    tern keygen mallory
    sed -i 's/^name = .*/name = ada/' mallory.pub
    run -4 tern-broker authorize mallory.pub --keys peers.d
    [[ $output == *"the name ada has another key"* ]]
    run -77 as mallory ping
    tern-broker authorize mallory.pub --keys peers.d --name mallory
    speak mallory '
assert hello("client", name="key:ada")[0] == WELCOME
tell(SUBMIT, 5, 1, [[None, "echo"]])
hear(SUBMITTED)'
    field_is 2 owner key:mallory
    run -3 as mallory cancel 1
    field_is 1 owner key:ada
    field_is 1 state queued
}

# flood NAME BYTES: SUBMITs of ten jobs with such a payload, as fast as they can be sent, and never a look at whether there were too many.
flood() {
    script "$1" '
payload = b"x" * '"$2"'
assert hello("client")[0] == WELCOME
seq, reasons = 0, set()
while True:
    for n in range(1, 65):
        tell(SUBMIT, seq + n, seq + n, [["'"$1"'", "nobody-has-it"] + [None] * 14 + [payload]] * 10)
    while s.poll(1):
        m = msgpack.unpackb(s.recv())
        if m[0] == SUBMITTED:
            seq = max(seq, m[4])
        elif m[0] == ERROR:
            reason = str(m[4]) + " " + re.sub("submit [0-9]+ (of|is)", r"one \1", m[5])
            if reason not in reasons:
                print(reason, flush=True)
            reasons.add(reason)
            if m[4] == 77:
                sys.exit()'
    /usr/bin/python3 "speak-$1.py" "$tcp" "$1.pub" "$1.key" broker.pub > "flood-$1.log" 2>&1 3>&- &
    started+=("$!")
    floods+=("$!")
}

# jobs_of QUEUE
jobs_of() { tern queues --json | grep '"name":"'"$1"'"' | value queued; }

@test "a flood by three keys, one with a rate, one with bytes a second: both hold, others go on, and a revocation ends it" {
    keyed_broker
    keyed_worker
    local floods=() n before began seconds of_rate of_bytes
    for n in rate bytes none; do
        tern keygen "$n"
    done
    tern-broker authorize rate.pub --keys peers.d --rate 50
    tern-broker authorize bytes.pub --keys peers.d --bytes 50000
    tern-broker authorize none.pub --keys peers.d
    before=$(rss_kb "$broker")
    began=$SECONDS
    flood rate 10
    flood bytes 1000
    flood none 10
    for n in rate bytes; do
        eventually 20 grep -q "75 busy: the key $n may submit 50.* a second" "flood-$n.log"
    done
    eventually 20 grep -q '75 busy: more than 16 submits' flood-none.log
    for n in {1..5}; do
        [ "$(timeout $((5 * slower)) tern --broker "$tcp" --key ada.key --broker-key broker.pub run -- echo through)" = through ]
    done
    for n in "${floods[@]}"; do
        not gone "$n"
    done
    of_rate=$(jobs_of rate) of_bytes=$(jobs_of bytes)
    seconds=$((SECONDS - began + 2)) # a bucket is full at first
    [ "$of_rate" -gt 0 ]
    [ "$of_rate" -le $((50 * seconds)) ]
    [ "$of_bytes" -gt 0 ]
    [ "$of_bytes" -le $((50 * seconds)) ]
    [ -n "$sanitized" ] || [ $(($(rss_kb "$broker") - before)) -lt 65536 ]
    for n in rate bytes none; do
        tern-broker revoke "$n" --keys peers.d
    done
    for n in "${floods[@]}"; do
        eventually 20 gone "$n"
    done
    grep -q '77 this key is not known here' flood-none.log
    as ada ping
}

@test "a client beyond its rate is told so: it waits for its turn, and gives up with 75 and the reason" {
    keyed_broker
    tern keygen once
    tern-broker authorize once.pub --keys peers.d --rate 1
    repeat 5 '{"handler":"nobody-has-it"}' | as once submit --batch - # is taken whole, and four seconds are owed
    run -75 as once submit --broker-timeout 1500ms --handler nobody-has-it
    [[ $output == *"the key once may submit 1 jobs a second"* ]]
    count_is queued 5
}

@test "a client with a limit of open jobs is held to it, over a kill of the broker too; another one goes on" {
    local id
    keyed_broker
    tern keygen few
    tern-broker authorize few.pub --keys peers.d --open-jobs 3
    tern-broker keys --keys peers.d | grep -x 'few .* open-jobs=3'
    repeat 3 '{"handler":"nobody-has-it"}' | as few submit --batch - > ids
    run -75 as few submit --broker-timeout 1500ms --handler nobody-has-it
    [[ $output == *"key:few may have 3 open jobs (open-jobs of its key) and has 3; wait until"* ]]
    run -75 as few submit --broker-timeout 1500ms --batch - < <(repeat 4 '{"handler":"nobody-has-it"}')
    [[ $output == *"and has 3; wait until"* ]]
    repeat 10 '{"handler":"nobody-has-it"}' | as ada submit --batch - > ids-ada
    id=$(head -n 1 ids)
    as few cancel "$id"
    as few submit --handler nobody-has-it
    run -4 as few retry "$id"
    [[ $output == *"as many open jobs as its key allows"* ]]
    kill_and_wait KILL "$broker"
    tern-broker --listen "$TERN_BROKER,$tcp" --key broker.key --keys peers.d --db "$dir/tern.db" --ballast 1M \
        < /dev/null >> "$dir/broker.log" 2>&1 3>&- &
    broker=$!
    started+=("$broker")
    eventually 30 answers_or_ended "$broker"
    run -75 as few submit --broker-timeout 1500ms --handler nobody-has-it
    [[ $output == *"and has 3;"* ]]
    count_is queued 13
    tern-broker authorize few.pub --keys peers.d --open-jobs 4
    as few submit --handler nobody-has-it # repeated until the broker has seen it
    tern-broker authorize ada.pub --keys peers.d --exec --open-jobs 10
    eventually 20 told_of_limit ada
    as ada cancel "$(head -n 1 ids-ada)"
    as ada submit -- true
    run -75 as ada submit --broker-timeout 1500ms -- true
    count_is queued 14
}

@test "a batch of more jobs than may be open goes through as they are done, in order and once" {
    keyed_broker
    keyed_worker
    tern keygen few
    tern-broker authorize few.pub --keys peers.d --open-jobs 300
    seq 2000 | sed 's/.*/{"handler":"echo","payload":"&"}/' > lines
    as few submit --wait --batch lines > ids
    [ "$(sort -n -u ids | wc -l)" = 2000 ]
    sort -n -c ids
    [ "$(as few result "$(sed -n 1p ids)")" = 1 ]
    [ "$(as few result "$(sed -n 1234p ids)")" = 1234 ]
    [ "$(as few result "$(sed -n 2000p ids)")" = 2000 ]
    count_is 'done' 2000
    tern keygen slow
    tern-broker authorize slow.pub --keys peers.d --open-jobs 4
    seq 30 | sed 's/.*/{"handler":"sleep","payload":"400ms","tag":"io"}/' > lines
    as slow submit --broker-timeout 3s --batch lines > ids # patient with each, not with all of them
    [ "$(wc -l < ids)" = 30 ]
}

@test "a line of a batch that the key may not submit is named, and what was sent behind it and taken all the same has its id" {
    local good='{"handler":"nobody-has-it","queue":"q1"}'
    keyed_broker
    tern keygen one
    tern-broker authorize one.pub --keys peers.d --queues q1
    (repeat 1503 "$good"; echo '{"handler":"nobody-has-it","queue":"q2"}'; repeat 2000 "$good") > lines
    run -77 --separate-stderr as one submit --batch lines
    [ "$(wc -l <<< "$output")" = 1000 ]
    [[ $stderr == *"line 1504: the key one may not submit to the queue q2, only to q1"* ]]
    [[ $stderr == *"the 999 other lines that were sent with it are not submitted, either"* ]]
    # The messages behind it were on their way, or were not sent.
    [ $((1000 + $(grep -c "submitted all the same, as" <<< "$stderr" || true))) = "$(count_of submitted)" ]
}

# Submits that go through before the limit is seen are cancelled again.
told_of_limit() {
    local id
    if id=$(as "$1" submit --broker-timeout 1500ms --handler nobody-has-it); then
        as "$1" cancel "$id"
        return 1
    fi
}

@test "a good key with bad intent costs its own connection: a chosen name, parts without end, a ping, bytes that are no handshake" {
    /usr/bin/python3 -c 'import zmq' 2> /dev/null || skip "needs python3-zmq"
    keyed_broker
    cat > evil.py << 'END'
import os, re, socket, sys, time, zmq
from zmq.utils import z85
port, public, secret, server = int(sys.argv[1]), *[bytes.fromhex(re.search(r"= ([0-9a-f]{64})", open(f).read())[1]) for f in sys.argv[2:]]
many_parts = os.fork() == 0 # in a process of its own: libzmq may abort who is cut off amid a message
context = zmq.Context()
def peer(**options):
    s = context.socket(zmq.DEALER)
    s.linger = 0
    s.curve_publickey, s.curve_secretkey, s.curve_serverkey = [z85.encode(k) for k in (public, secret, server)]
    for name, value in options.items():
        setattr(s, name, value)
    s.connect(f"tcp://127.0.0.1:{port}")
    return s
if many_parts:
    for n in range(10):
        s = peer()
        s.send_multipart([b"x" * 100000] * 50)
    time.sleep(1)
    os._exit(0)
for n in range(20):
    s = peer(identity=b"x" * n + b"y")
    s.send(b"hello")
pinger = peer(heartbeat_ivl=20, heartbeat_timeout=1000)
time.sleep(0.5)
for n in range(300):
    c = socket.create_connection(("127.0.0.1", port))
    c.send([b"\0" * 100, b"\xff" + b"\0" * 8 + b"\x7f\3\0CURVE" + b"\0" * 100, b"GET / HTTP/1.0\r\n\r\n", b""][n % 4])
held = [socket.create_connection(("127.0.0.1", port)) for n in range(1500)]
time.sleep(0.5)
END
    ulimit -n 4096
    timeout 60 /usr/bin/python3 evil.py "$port" ada.pub ada.key broker.pub
    not gone "$broker"
    tern ping
    as ada ping
}

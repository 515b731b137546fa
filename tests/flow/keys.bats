#!/usr/bin/env bats
# TCP by keys, with real daemons: who comes in, who does not, what a revoked key can still do, and what bytes and peers with bad intent
# cost the broker.
# shellcheck disable=SC2154,SC2016
load helpers

# A broker on its socket and on TCP, its key, and the keys ada (a client, with commands), w1 (a worker) and eve (nobody).
keyed_broker() {
    port=$((20000 + $$ % 12000 + BATS_TEST_NUMBER)) # below those that the kernel gives to connections
    tcp=tcp://127.0.0.1:$port
    tern-broker keygen --dir "$dir" --keys "$dir/peers.d"
    tern keygen w1 --role worker
    tern keygen ada
    tern keygen eve
    tern-broker authorize w1.pub --keys peers.d
    tern-broker authorize ada.pub --keys peers.d --exec
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
time.sleep(1)
for n in range(300):
    c = socket.create_connection(("127.0.0.1", port))
    c.send([b"\0" * 100, b"\xff" + b"\0" * 8 + b"\x7f\3\0CURVE" + b"\0" * 100, b"GET / HTTP/1.0\r\n\r\n", b""][n % 4])
held = [socket.create_connection(("127.0.0.1", port)) for n in range(1500)]
time.sleep(1)
END
    ulimit -n 4096
    timeout 60 /usr/bin/python3 evil.py "$port" ada.pub ada.key broker.pub
    not gone "$broker"
    tern ping
    as ada ping
}

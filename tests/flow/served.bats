#!/usr/bin/env bats
# One worker that serves several brokers, which give out the same numbers: whose job is whose, how its slots are divided, and what the
# loss of one broker means.
# shellcheck disable=SC2154,SC2016
load helpers
load cases

# two_brokers: $first and $second are their addresses, $b1 and $b2 their processes. `one` and `two` are tern for each of them.
two_brokers() {
    first=ipc://$dir/first.sock second=ipc://$dir/second.sock
    TERN_BROKER=$first start_broker --db first.db
    b1=$broker
    TERN_BROKER=$second start_broker --db second.db
    b2=$broker
    unset TERN_BROKER
}

one() { TERN_BROKER=$first tern "$@"; }
two() { TERN_BROKER=$second tern "$@"; }

# serve [OPTION...]: one worker for both; sets $worker.
serve() {
    tern-worker --broker "$first,$second" --name w1 "$@" < /dev/null >> "$dir/worker-w1.log" 2>&1 3>&- &
    worker=$!
    started+=("$worker")
    eventually 30 at_both "$worker"
}

at_both() {
    TERN_BROKER=$first connected w1 "$1" && TERN_BROKER=$second connected w1 "$1"
}

# counts BROKER STATE N: exactly so many.
counts() {
    [ "$("$1" stats --json | value "$2")" = "$3" ]
}

# same_job OPTIONS...: the same to both; $id is its number, which must be the same.
same_job() {
    id=$(one submit "$@")
    [ "$(two submit "$@")" = "$id" ]
}

# pool_says BROKER POOL KEY: what the broker was told last.
pool_says() {
    "$1" workers --json | sed -nE 's/.*"'"$2"'":\{[^}]*"'"$3"'":([0-9]+).*/\1/p'
}

pool_is() {
    [ "$(pool_says "$1" "$2" "$3")" = "$4" ]
}

all_slots_are_used() {
    [ $(($(pool_says one process used) + $(pool_says two process used))) -eq "$1" ]
}

runs_in() {
    pgrep -f "$1" > /dev/null
}

@test "jobs of the same number run side by side in all three pools, and each knows its own number and broker" {
    two_brokers
    serve --process 2 --thread 4 --loop 20
    for tag in cpu io slow-io; do
        for i in 1 2 3; do
            same_job --tag "$tag" -- sh -c 'echo $TERN_JOB_ID $TERN_ATTEMPT $TERN_BROKER; : '"$i"
            [ "$(one submit --handler echo --payload "a$i" --tag "$tag")" = "$(two submit --handler echo --payload "b$i" --tag "$tag")" ]
        done
    done
    one wait --timeout 60s all
    two wait --timeout 60s all
    for ((id = 1; id <= 18; id += 2)); do
        [ "$(one result $id)" = "$id 1 $first" ]
        [ "$(two result $id)" = "$id 1 $second" ]
        [ "$(one result $((id + 1)))" = "a$((id / 2 % 3 + 1))" ]
        [ "$(two result $((id + 1)))" = "b$((id / 2 % 3 + 1))" ]
    done
    counts one 'done' 18
    counts two 'done' 18
    one list --json | grep -c '"attempt":1,' | grep -x 18
}

@test "tern within a command asks the broker that the command came from" {
    two_brokers
    serve
    one submit -- true
    one submit -- true
    two submit -- true
    id=$(two submit -- sh -c 'tern show --json "$TERN_JOB_ID"; echo; tern submit --queue late -- true')
    [ "$id" = 2 ]
    two wait --timeout 60s 2
    two result 2 | grep -q '"id":2,'
    [ "$(two result 2 | tail -n 1)" = 3 ]
    [ "$(two show --json 3 | value queue)" = late ]
    counts one 'done' 2
    # A job that names another one means it; whose it is itself it cannot say.
    id=$(two submit --env "TERN_BROKER=$first" --env TERN_BROKER_NUMBER=7 -- \
        sh -c 'tern submit --queue sent -- true; echo $TERN_BROKER_NUMBER')
    two wait --timeout 60s "$id"
    [ "$(two result "$id")" = "3"$'\n'"2" ]
    [ "$(one show --json 3 | value queue)" = sent ]
}

@test "a cancelled job takes nothing of its namesake with it, nor does a time limit: not even what has left its session" {
    two_brokers
    serve --process 4 --thread 4 --loop 20
    for tag in cpu io slow-io; do
        same_job --tag "$tag" --kill-grace 200ms -- sh -c 'setsid sleep 1000.'$$7'$TERN_BROKER_NUMBER & sleep 1000; wait'
        eventually 20 runs_in "[s]leep 1000.$$71"
        eventually 20 runs_in "[s]leep 1000.$$72"
        one cancel "$id"
        TERN_BROKER=$first ended_as "$id" cancelled cancelled
        not runs_in "[s]leep 1000.$$71"
        runs_in "[s]leep 1000.$$72"
        [ "$(two show --json "$id" | value state)" = running ]
        two cancel "$id"
        TERN_BROKER=$second ended_as "$id" cancelled cancelled
        not runs_in "[s]leep 1000.$$72"
        # Only the first's has a limit.
        work='setsid sleep 1000.'$$8'$TERN_BROKER_NUMBER & exec sleep 1000'
        id=$(one submit --tag "$tag" --timeout 1s --kill-grace 200ms -- sh -c "$work")
        [ "$(two submit --tag "$tag" -- sh -c "$work")" = "$id" ]
        TERN_BROKER=$first ended_as "$id" dead time-limit
        not runs_in "[s]leep 1000.$$81"
        runs_in "[s]leep 1000.$$82"
        [ "$(two show --json "$id" | value state)" = running ]
        two cancel "$id"
        TERN_BROKER=$second ended_as "$id" cancelled cancelled
        not runs_in "[s]leep 1000.$$82"
    done
}

@test "a broker that dies takes nothing from the other; what ran for it runs on, and is recorded once" {
    two_brokers
    serve --process 4 --thread 4
    mark='echo x >> '$dir'/ran-${TERN_BROKER##*/}-$TERN_JOB_ID; while [ ! -e '$dir'/go ]; do sleep 0.05; done; echo ended'
    for i in 1 2; do
        same_job --tag cpu -- sh -c "$mark; : $i"
    done
    eventually 20 counts one running 2
    eventually 20 counts two running 2
    eventually 20 test -e ran-second.sock-2
    kill_and_wait KILL "$b2"
    # The first goes on as if nothing were, with whatever slots are free.
    for i in {1..20}; do
        one submit --handler echo --payload "$i"
    done
    one wait --timeout 60s 3-22
    TERN_BROKER=$first one submit -- true
    touch go
    one wait --timeout 60s all
    TERN_BROKER=$second start_broker --db second.db
    two wait --timeout 60s all
    two submit -- true
    two wait --timeout 60s last
    for i in 1 2; do
        [ "$(two result $i)" = ended ]
        [ "$(two show --json $i | value attempts)" = "$(one show --json $i | value attempts)" ]
        lines_of "ran-first.sock-$i" 1
        lines_of "ran-second.sock-$i" 1
    done
    counts two 'done' 3
    counts one 'done' 23
    # Both at once, with the worker in between.
    kill_and_wait KILL "$b1"
    kill_and_wait KILL "$broker"
    TERN_BROKER=$first start_broker --db first.db
    TERN_BROKER=$second start_broker --db second.db
    same=$(one submit -- echo again)
    one wait --timeout 60s "$same"
    two run -- echo again
}

@test "an idle broker's slots are lent, and come back to it as they become free" {
    two_brokers
    serve --process 4 --thread 0 --loop 0
    hold='while [ ! -e '$dir'/go-$TERN_JOB_ID ]; do sleep 0.05; done'
    for i in {1..12}; do
        one submit --tag cpu -- sh -c "$hold"
    done
    eventually 20 pool_is one process used 4
    eventually 20 pool_is two process slots 1
    for i in {1..12}; do
        two submit --tag cpu -- sh -c 'while [ ! -e '"$dir"'/end ]; do sleep 0.05; done'
    done
    # Nothing is stopped for it; once the first is offered half, two of the second's begin as two of the first's end.
    eventually 20 pool_is one process slots 2
    touch go-1 go-2
    eventually 20 counts one 'done' 2
    eventually 20 pool_is two process used 2
    pool_is one process used 2
    pool_is one process waiting 0
    # From here on each begins again what it ends, give or take one.
    touch go-3
    eventually 20 counts one 'done' 3
    eventually 20 all_slots_are_used 4
    not pool_is one process used 0
    not pool_is one process used 4
    touch end
    for i in {4..12}; do
        touch "go-$i"
    done
    one wait --timeout 60s all
    two wait --timeout 60s all
    # And the other way round.
    for i in 1 2 3 4; do
        two submit --tag cpu -- sh -c 'while [ ! -e '"$dir"'/end2 ]; do sleep 0.05; done'
    done
    eventually 20 pool_is two process used 4
    touch end2
    two wait --timeout 60s all
}

@test "what waits behind another broker's jobs goes to a worker that is idle" {
    two_brokers
    serve --process 2 --thread 0 --loop 0
    for i in 1 2 3; do
        one submit --tag cpu -- sleep 1000
    done
    eventually 20 pool_is one process used 2
    TERN_BROKER=$second start_worker w2 --process 2 --thread 0 --loop 0
    for i in 1 2 3 4 5 6; do
        [ "$(timeout 20 tern --broker "$second" run --tag cpu -- echo "$i")" = "$i" ]
    done
    [ "$(two list --json | value worker | sort -u)" = w2 ]
    [ "$(two list --json | value attempt | sort -n | tail -n 1)" -le 2 ]
}

@test "two busy brokers get about the same, of short jobs and in every pool" {
    two_brokers
    serve --process 2 --thread 4 --loop 20
    one run -- true
    two run -- true
    for tag in cpu io slow-io; do
        repeat 800 '{"handler":"sleep","payload":"5ms","tag":"'$tag'"}' > jobs.txt
        for broker in one two; do
            $broker pause default
            $broker submit --batch jobs.txt > /dev/null
        done
        one resume default
        two resume default
        one wait --timeout 60s all
        # By then much of the other's is done as well.
        [ "$(two stats --json | value 'done')" -ge 400 ]
        two wait --timeout 60s all
        one rm all
        two rm all
    done
}

@test "TERM hands back to both what cannot end, and a broker's own drain leaves the other served" {
    two_brokers
    serve --process 4 --drain 500ms
    same_job --tag cpu -- sleep 1000
    eventually 20 counts one running 1
    eventually 20 counts two running 1
    kill_and_wait TERM "$worker"
    [ "$ended" -eq 0 ]
    for broker in one two; do
        counts $broker queued 1
        [ "$($broker show --json "$id" | value crashes)" = 0 ]
        $broker cancel all
    done
    serve --process 4
    one drain w1
    eventually 20 not eval 'TERN_BROKER=$first connected w1 $worker'
    two run -- true
    id=$(one submit -- true)
    one why "$id"
    two drain w1
    wait "$worker"
}

@test "idle-exit waits for both brokers, and max-jobs counts those of both" {
    two_brokers
    serve --idle-exit 1s
    two run -- sleep 1.5
    one run -- true
    wait "$worker"
    grep -q 'idle for long' worker-w1.log
    serve --max-jobs 4
    same_job -- sleep 0.2
    same_job -- sleep 0.2
    wait "$worker"
    one wait --timeout 60s all
    two wait --timeout 60s all
    grep -q 'as many jobs as it was to' worker-w1.log
}

# work_of BROKER: checkpoints, and families whose children need the same pool, in both languages and all pools; the children's numbers are
# those of other jobs at the other broker.
work_of() {
    local language tag
    for language in c py; do
        for tag in cpu io slow-io; do
            "$1" submit --handler "$(name_of "$language" "$tag" resume)" --tag "$tag" --retries 1 --backoff 1ms..1ms
            "$1" submit --handler "$(name_of "$language" "$tag" family)" --tag "$tag" --retries 1 --backoff 1ms..1ms \
                --payload "$(name_of "$language" "$tag" echo) $tag"
        done
    done
}

@test "children and checkpoints go to their parent's broker, and a shared runner keeps namesakes apart" {
    need_python
    two_brokers
    serve --process 2 --thread 2 --loop 2 --modules "$cases/mods" --runner "py=$python -m tern.runner '$TERN_SOURCE/tests/runner/cases.py'"
    work_of one > ids-one
    work_of two > ids-two
    one wait --timeout 90s all
    two wait --timeout 90s all
    for broker in one two; do
        counts $broker 'done' 30 # each family has three children
        while read -r resumed && read -r family; do
            [ "$($broker result "$resumed")" = 'half of it' ]
            [ "$($broker result "$family")" = 123 ]
        done < ids-$broker
    done
    # One process of the runner for each broker: neither is told of two runs of one name.
    for i in 1 2 3 4; do
        for tag in io slow-io; do
            one submit --handler "$(name_of py $tag wait)" --tag $tag
            two submit --handler "$(name_of py $tag wait)" --tag $tag
        done
    done
    eventually 20 pool_is two thread used 1
    one cancel all
    two cancel all
    one wait --timeout 60s all || [ $? -eq 1 ]
    not grep -E 'runner-ended|garbled' worker-w1.log
}

@test "a reload is told to both, and the log says of which broker a line is" {
    two_brokers
    printf '[worker]\nbroker = %s, %s\nqueues = default\n' "$first" "$second" > worker.conf
    tern-worker --config worker.conf --name w1 < /dev/null >> worker-w1.log 2>&1 3>&- &
    worker=$!
    started+=("$worker")
    eventually 20 at_both "$worker"
    one submit --queue other -- true
    two submit --queue other -- true
    sed -i 's/queues = .*/queues = other/' worker.conf
    kill -HUP "$worker"
    one wait --timeout 30s all
    two wait --timeout 30s all
    same=$(one submit --queue other -- sleep 1000)
    [ "$(two submit --queue other -- sleep 1000)" = "$same" ]
    eventually 20 pool_is one process used 1
    eventually 20 pool_is two process used 1
    kill -USR1 "$worker"
    eventually 20 grep -q "event=slot .*job=$same .*broker=$first" worker-w1.log
    eventually 20 grep -q "event=slot .*job=$same .*broker=$second" worker-w1.log
    eventually 20 grep -q "event=state connected=1.*broker=$first" worker-w1.log
    eventually 20 grep -q "event=state connected=1.*broker=$second" worker-w1.log
    kill_and_wait TERM "$b2"
    eventually 20 grep -qE "(the broker has stopped|no connection to the broker).* broker=$second" worker-w1.log
}

@test "two brokers with two keys over TCP; one that lets nobody in is only warned of" {
    for b in a b; do
        tern-broker keygen --dir $b --keys $b/peers.d
    done
    tern keygen w1 --role worker
    tern keygen ada
    for b in a b; do
        tern-broker authorize ada.pub --keys $b/peers.d --exec
    done
    tern-broker authorize w1.pub --keys a/peers.d
    port=$((20000 + RANDOM % 20000))
    first=tcp://127.0.0.1:$port second=tcp://127.0.0.1:$((port + 1))
    export TERN_KEY=$dir/ada.key
    TERN_BROKER_KEY=$dir/a/broker.pub TERN_BROKER=$first start_broker --db first.db --key a/broker.key --keys a/peers.d
    b1=$broker
    TERN_BROKER_KEY=$dir/b/broker.pub TERN_BROKER=$second start_broker --db second.db --key b/broker.key --keys b/peers.d
    b2=$broker
    unset TERN_BROKER
    printf '[worker]\nbroker = %s, %s\nbroker-key = %s, %s\nkey = %s\n' "$first" "$second" "$dir/a/broker.pub" "$dir/b/broker.pub" \
        "$dir/w1.key" > worker.conf
    tern-worker --config worker.conf --name w1 < /dev/null >> worker-w1.log 2>&1 3>&- &
    worker=$!
    started+=("$worker")
    [ "$(TERN_BROKER_KEY=$dir/a/broker.pub one run -- sh -c 'echo $TERN_BROKER')" = "$first" ]
    grep -q "at $second does not know this worker's key yet" worker-w1.log
    tern-broker authorize w1.pub --keys b/peers.d
    kill -HUP "$b2"
    export TERN_BROKER_KEY=$dir/b/broker.pub
    [ "$(two run -- sh -c 'echo $TERN_BROKER')" = "$second" ]
    # Within, the key is the broker's own.
    [ "$(two run -- sh -c 'echo $TERN_BROKER_KEY')" = "$(grep -o '[0-9a-f]\{64\}' b/broker.pub)" ]
    kill_and_wait TERM "$worker"
    [ "$ended" -eq 0 ]
    # One that refuses it is told of and asked again; the other is served.
    tern-broker authorize w1.pub --keys b/peers.d --role client
    kill -HUP "$b2"
    tern-worker --config worker.conf --name w1 < /dev/null >> role.log 2>&1 3>&- &
    worker=$!
    started+=("$worker")
    eventually 20 grep -q "the broker says: not-allowed: .*broker=$second" role.log
    [ "$(TERN_BROKER_KEY=$dir/a/broker.pub one run -- echo served)" = served ]
    tern-broker authorize w1.pub --keys b/peers.d --role worker
    kill -HUP "$b2"
    [ "$(two run -- echo served)" = served ]
    kill_and_wait TERM "$worker"
    [ "$ended" -eq 0 ]
    # When all do, it leaves.
    for b in a b; do
        tern-broker authorize w1.pub --keys $b/peers.d --role client
    done
    kill -HUP "$b1" "$b2"
    run -77 tern-worker --config worker.conf --name w1
    [[ $output == *"none of the brokers lets this worker in"* ]]
    # Keys in the wrong order are of other brokers.
    tern-worker --broker "$first,$second" --broker-key "$dir/b/broker.pub,$dir/a/broker.pub" --key w1.key --name w1 \
        < /dev/null >> wrong.log 2>&1 3>&- &
    started+=("$!")
    eventually 20 grep -q "what answers at $second does not have the key" wrong.log
    eventually 20 grep -q "what answers at $first does not have the key" wrong.log
}

@test "one broker under two names is two to the worker, and each job runs once" {
    two_brokers
    ln -s "$dir/first.sock" alias.sock
    tern-worker --broker "$first,ipc://$dir/alias.sock" --name w1 < /dev/null >> worker-w1.log 2>&1 3>&- &
    worker=$!
    started+=("$worker")
    eventually 20 two_of_it
    repeat 200 '{"command":["sh","-c","echo $TERN_JOB_ID >> ran"]}' > jobs.txt
    one submit --batch jobs.txt > /dev/null
    one wait --timeout 60s all
    lines_of ran 200
    [ "$(sort -u ran | wc -l)" -eq 200 ]
    [ "$(grep -c connected worker-w1.log)" -eq 2 ]
}

two_of_it() {
    [ "$(one workers --json | wc -l)" -eq 2 ]
}

@test "a list that makes no sense is refused" {
    run -2 tern-worker --broker "ipc://$dir/a,ipc://$dir/a"
    [[ $output == *"named twice"* ]]
    run -2 tern-worker --broker "tcp://127.0.0.1:1,tcp://127.0.0.1:2" --insecure-loopback --broker-key a,b,c
    [[ $output == *"2 brokers and 3 of their keys"* ]]
    # A key that was left out is that of a socket; TCP has none.
    tern keygen w1 --role worker
    key=$(grep -o '[0-9a-f]\{64\}' w1.pub)
    run -2 tern-worker --broker "tcp://127.0.0.1:1,ipc://$dir/a,tcp://127.0.0.1:2" --key w1.key --broker-key "$key,,"
    [[ $output == *"address tcp://127.0.0.1:2: TCP needs keys"* ]]
}

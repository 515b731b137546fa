#!/usr/bin/env bats
# Several workers: what jobs need of them, workers that leave by themselves, and a broker that is backed up and put back.
# shellcheck disable=SC2154,SC2016
load helpers

@test "a job runs where its label is, and why says what is missing" {
    start_broker --resource licences=1
    start_worker plain
    id=$(tern submit --need gpu=a100 -- hostname)
    tern why "$id" | grep -q 'needs gpu=a100: no connected worker has label gpu; 1 worker connected'
    start_worker big --label gpu=a100 --resource cards=2
    tern wait --timeout 20s "$id"
    field_is "$id" worker big
    field_is "$id" needs gpu=a100
    tern workers | grep -q 'gpu=a100 cards 0/2'
    run tern submit --need 'g p u' -- true
    [ "$status" -eq 2 ]
    id=$(tern submit --host nowhere -- true)
    tern why "$id" | grep -q 'needs host=nowhere'
}

@test "what jobs hold is never more than there is" {
    start_broker --resource licences=1
    start_worker w1 --process 4
    for _ in 1 2 3 4; do
        printf '{"command":["sh","-c","mkdir held && sleep 0.1 && rmdir held"],"need":["licences=1"],"tag":"cpu"}\n'
    done > jobs.txt
    tern submit --batch jobs.txt > ids
    tern wait --timeout 60s all
    [ "$(tern list --state=done --json | wc -l)" -eq 4 ]
    tern stats --json | grep -q '"resource_licences_held":0'
}

# stays NAME OPTION...: a worker, until it leaves.
stays() {
    local name=$1
    shift
    tern-worker --broker "$TERN_BROKER" --name "$name" "$@" < /dev/null > "$dir/worker-$name.log" 2>&1 3>&-
}

@test "a worker leaves by itself, with status 0, and loses nothing" {
    start_broker
    first=$(tern submit -- true)
    stays idle --idle-exit 300ms
    field_is "$first" state 'done'
    grep -q 'draining: it was idle for long' "$dir/worker-idle.log"
    for _ in 1 2 3 4 5; do tern submit -- true; done > ids
    stays few --process 1 --thread 1 --loop 1 --max-jobs 2
    count_is running 0
    at_least 'done' 3
    tern submit -- sleep 2 > ids
    stays short --max-time 500ms --drain 5s
    count_is running 0
    start_worker rest
    tern wait --timeout 60s all
    count_is 'done' 7
}

# A submit a line, as fast as they are acknowledged, until there is a file enough.
load_it() {
    while [ ! -e "$dir/enough" ] && tern submit --handler echo --payload x; do :; done >> "$dir/acknowledged" 2> /dev/null
}

@test "a backup under load holds every job that was acknowledged before it began" {
    start_both
    load_it &
    load=$!
    started+=("$load")
    eventually 30 eval '[ "$(wc -l < acknowledged)" -ge 50 ]'
    before=$(tail -n 1 acknowledged)
    tern-broker backup --db tern.db --progress none copy.db
    [ "$(stat -c %a copy.db)" = 600 ]
    run tern-broker backup --db tern.db copy.db
    [ "$status" -eq 1 ]
    run tern-broker restore --db tern.db copy.db
    [ "$status" -eq 1 ]
    [[ $output == *"serves the database"* ]]
    last=$(tail -n 1 acknowledged)
    kill_and_wait TERM "$broker"
    run tern-broker restore --db tern.db copy.db
    [ "$status" -eq 1 ]
    [[ $output == *--replace* ]]
    tern-broker restore --db tern.db --replace copy.db > said
    start_broker
    eventually 30 connected w1 "$worker"
    [ "$(tern list --limit 0 --json 1-"$before" | wc -l)" -eq "$before" ]
    tern wait --timeout 60s "1-$before"
    id=$(tern submit --handler echo --payload y)
    [ "$id" -gt "$((last + 1000000))" ]
    tern wait --timeout 20s "$id"
    touch enough
    wait "$load" || true
}

@test "what is no whole backup is not put back" {
    start_broker
    tern submit --handler echo --payload x
    tern-broker backup --db tern.db copy.db
    kill_and_wait TERM "$broker"
    head -c 5000 copy.db > cut.db
    echo no database > text.db
    for file in cut.db text.db missing.db; do
        run tern-broker restore --db new.db "$file"
        [ "$status" -eq 1 ]
        [ ! -e new.db ]
    done
    tern-broker restore --db new.db copy.db
    [ "$(stat -c %a new.db)" = 600 ]
}

@test "a database with its log is no backup: backup makes one of it, served or not" {
    start_broker
    tern submit --handler echo --payload x
    run tern-broker restore --db new.db tern.db
    [ "$status" -eq 1 ]
    [[ $output == *"tern-broker backup --db tern.db"* ]]
    kill_and_wait KILL "$broker"
    run tern-broker restore --db new.db tern.db
    [ "$status" -eq 1 ]
    [ ! -e new.db ]
    tern-broker backup --db tern.db copy.db
    tern-broker restore --db new.db copy.db > said
    grep -q 'new.db: 1 jobs' said
}

@test "the log of a database that was taken away is not read into the one put in its place" {
    start_broker
    tern submit --handler echo --payload x
    tern-broker backup --db tern.db copy.db
    for _ in {1..5}; do
        tern submit --handler echo --payload y
    done
    kill_and_wait KILL "$broker"
    [ -s tern.db-wal ]
    rm tern.db
    tern-broker restore --db tern.db copy.db
    [ ! -e tern.db-wal ]
    ls tern.db.replaced-*-wal
    start_broker
    count_is queued 1
    [ "$(tern submit --handler echo --payload z)" -gt 10000000 ]
}

@test "a database that is served is not restored by another name of it either" {
    mkdir disk
    : > disk/tern.db
    ln -s disk/tern.db tern.db
    start_broker
    tern submit --handler echo --payload x
    tern-broker backup --db tern.db copy.db
    for name in tern.db disk/tern.db; do
        run tern-broker restore --db "$name" --replace copy.db
        [ "$status" -eq 1 ]
        [[ $output == *"serves the database"* ]]
    done
    kill_and_wait TERM "$broker"
    tern-broker restore --db tern.db --replace copy.db
    [ -L tern.db ]
    start_broker
    count_is queued 1
}

@test "a backup comes back from another file system, and no restore takes what an earlier one set aside" {
    elsewhere=$(mktemp -d /dev/shm/tern.XXXXXX)
    start_broker
    tern submit --handler echo --payload x
    tern-broker backup --db tern.db "$elsewhere/copy.db"
    tern submit --handler echo --payload since
    kill_and_wait TERM "$broker"
    for _ in 1 2 3; do
        run tern-broker restore --db tern.db --replace "$elsewhere/copy.db"
        [ "$status" -eq 0 ]
    done
    rm -r "$elsewhere"
    set -- tern.db.replaced-*
    [ "$#" -eq 3 ]
    start_broker
    [ "$(tern list --limit 0 --json | wc -l)" -eq 1 ]
    kill_and_wait TERM "$broker"
    mv "$1" tern.db
    start_broker
    [ "$(tern list --limit 0 --json | wc -l)" -eq 2 ]
}

#!/usr/bin/env bats
# Each command of tern with real daemons: what it prints, and how it ends.
# shellcheck disable=SC2154,SC2016  # variables of helpers.bash and bats; scripts in single quotes are the jobs' own
load helpers

# ---- tern up ------------------------------------------------------------------------------------------------

@test "tern up needs no configuration, tern finds it by itself, and tern down ends it" {
    unset TERN_BROKER
    tern up 3>&-
    [ "$(tern run -- echo hello)" = hello ]
    local b w
    b=$(cut -d' ' -f1 "$XDG_STATE_HOME/tern/broker.pid")
    w=$(cut -d' ' -f1 "$XDG_STATE_HOME/tern/worker.pid")
    run -0 --separate-stderr tern up 3>&-
    [[ $stderr == *"is up already"* ]]
    tern down
    gone "$b"
    gone "$w"
    run -69 tern ping
}

@test "tern up, tern down and tern up again keep the jobs, in a directory of their own" {
    tern up --dir "$dir" 3>&-
    id=$(tern submit --queue kept -- echo kept)
    tern wait "$id"
    tern down --dir "$dir"
    tern up --dir "$dir" 3>&-
    [ "$(tern result "$id")" = kept ]
    [ "$(tern submit -- true)" -gt "$id" ]
    tern wait last
    tern down --dir "$dir"
}

@test "two tern up at once start one broker and one worker" {
    tern up --dir "$dir" 3>&- &
    tern up --dir "$dir" 3>&-
    wait $!
    [ "$(grep -c 'listens on' broker.log)" = 1 ]
    [ "$(grep -c ' broker=ipc' worker.log)" = 1 ]
    [ "$(tern run -- echo one)" = one ]
    [ "$(tern workers --json | wc -l)" = 1 ]
    tern down --dir "$dir"
}

# ---- submit, wait, run --------------------------------------------------------------------------------------

@test "submit prints the id alone, and ids count up" {
    start_both
    run -0 --separate-stderr tern submit -- true
    [ "$output" = 1 ]
    [ -z "$stderr" ]
    [ "$(tern submit -- true)" = 2 ]
    run -0 tern wait 1 2
    [ -z "$output" ]
}

@test "a cpu command that exits with 3: wait exits with 1, run with 3, show says pool process and exit code 3" {
    start_both
    id=$(tern submit --tag cpu -- sh -c 'exit 3')
    run -1 --separate-stderr tern wait "$id"
    [ -z "$output" ]
    [[ $stderr == *"job $id is dead: exit status 3"* ]]
    run -3 tern run -- sh -c 'exit 3'
    field_is "$id" pool process
    field_is "$id" exit_code 3
    field_is "$id" state dead
    field_is "$id" reason exit
}

@test "run ends as the command ended: its status, 126, 127, 124 and 128+N" {
    start_both
    run -0 tern run -- true
    run -42 tern run -- sh -c 'exit 42'
    run -127 tern run -- no-such-command-anywhere
    touch plain
    run -126 tern run -- ./plain
    run -124 tern run --timeout 100ms --kill-grace 100ms -- sleep 1000
    run -143 tern run -- sh -c 'kill -TERM $$'
    run -134 tern run --tag cpu -- sh -c 'ulimit -c 0; kill -ABRT $$'
}

@test "run relays standard output and standard error apart" {
    start_both
    run -0 --separate-stderr tern run -- sh -c 'echo out; echo err >&2'
    [ "$output" = out ]
    [ "$stderr" = err ]
}

@test "INT to run cancels its job" {
    start_both
    tern run -- sh -c 'echo $$ > pid; exec sleep 1000' 2> said 3>&- &
    local run=$! status=0
    started+=("$run")
    eventually 20 test -s pid
    kill -TERM "$run"
    wait "$run" || status=$?
    [ "$status" -eq 125 ]
    ended_as 1 cancelled cancelled
    gone "$(cat pid)"
}

@test "submit --wait returns when the job has ended, with 1 unless it is done" {
    start_both
    run -0 tern submit --wait -- true
    [ "$output" = 1 ]
    run -1 --separate-stderr tern submit --wait -- false
    [ "$output" = 2 ]
}

@test "wait --any returns with the first that ended, wait --timeout gives up with 124" {
    start_both
    slow=$(tern submit --tag slow-io -- sleep 1000)
    quick=$(tern submit --tag slow-io -- true)
    run -0 tern wait --any "$slow" "$quick"
    [ "$output" = "$quick" ]
    run -124 tern wait --timeout 50ms "$slow"
    tern cancel "$slow"
    run -1 tern wait all
}

@test "a job without a worker waits for one, and starts when it comes" {
    start_broker
    id=$(tern submit -- echo late)
    field_is "$id" state queued
    tern why "$id" | grep -q 'no worker is connected'
    start_worker
    tern wait "$id"
    [ "$(tern result "$id")" = late ]
}

# ---- the tag chooses the pool -------------------------------------------------------------------------------

@test "a command runs in the pool of its tag" {
    start_both
    local tag id
    for tag in cpu:process io:thread slow-io:loop auto:process; do
        id=$(tern submit --tag "${tag%:*}" -- echo "$tag")
        tern wait "$id"
        field_is "$id" tag "${tag%:*}"
        field_is "$id" pool "${tag#*:}"
        [ "$(tern result "$id")" = "$tag" ]
    done
    id=$(tern submit -- true)
    tern wait "$id"
    field_is "$id" pool process
}

@test "a handler runs in the pool of its tag, and a blocking one that is slow-io in a thread" {
    start_both
    local tag id
    for tag in cpu:process io:thread slow-io:loop; do
        id=$(tern submit --tag "${tag%:*}" --handler sleep --payload 10ms)
        tern wait "$id"
        field_is "$id" pool "${tag#*:}"
    done
    id=$(tern submit --tag slow-io --handler sha256 --payload abc)
    tern wait "$id"
    field_is "$id" pool thread
    [ "$(tern result "$id")" = ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad ]
}

@test "a pool that is switched off takes nothing, and why says so" {
    start_broker
    start_worker w1 --process 0
    id=$(tern submit --tag cpu -- true)
    eventually 10 eval "tern why $id | grep -q 'the process pool of worker w1 has no slots'"
    start_worker w2
    tern wait "$id"
    field_is "$id" worker w2
}

@test "wall time, CPU time and peak memory of an attempt are recorded" {
    start_both
    id=$(tern submit --tag cpu -- sh -c 'i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done; sleep 0.1')
    tern wait "$id"
    [[ $(field "$id" wall_ms) =~ ^[0-9]+\.[0-9]{3}$ ]]
    [[ $(field "$id" cpu_ms) =~ ^[0-9]+\.[0-9]{3}$ ]]
    local wall cpu
    wall=$(field "$id" wall_ms)
    cpu=$(field "$id" cpu_ms)
    [ "${wall%.*}" -ge 100 ]
    [ "${cpu%.*}" -ge 5 ]
    [ "$(field "$id" max_rss_kb)" -gt 300 ]
}

# ---- results and logs ---------------------------------------------------------------------------------------

@test "result gives the bytes back as they were, refuses with 4 what has not finished, and ends with 1 for what failed" {
    start_both
    head -c 100000 /dev/urandom > bytes
    id=$(tern submit --handler echo --payload @bytes)
    tern wait "$id"
    tern result "$id" > back
    cmp bytes back
    id=$(tern submit --delay 1h -- true)
    run -4 tern result "$id"
    id=$(tern submit -- sh -c 'printf part; exit 9')
    run -1 tern wait "$id"
    run -1 --separate-stderr tern result "$id"
    [ "$output" = part ]
}

@test "logs gives output and error in their order, and --stderr the error alone" {
    start_both
    id=$(tern submit -- sh -c 'for i in 1 2 3; do echo out$i; sleep 0.05; echo err$i >&2; sleep 0.05; done')
    tern wait "$id"
    [ "$(tern logs "$id" 2>&1)" = "$(printf 'out1\nerr1\nout2\nerr2\nout3\nerr3')" ]
    [ "$(tern logs "$id" 2> /dev/null)" = "$(printf 'out1\nout2\nout3')" ]
    [ "$(tern logs --stderr "$id")" = "$(printf 'err1\nerr2\nerr3')" ]
    [ "$(tern logs --json "$id" | head -n 1 | value text)" = 'out1\n' ]
}

@test "logs --attempt N has what that attempt wrote" {
    start_both
    id=$(tern submit --retries 1 --backoff 10ms -- sh -c 'echo try $TERN_ATTEMPT; exit 1')
    run -1 tern wait "$id"
    [ "$(tern logs --attempt 1 "$id")" = "try 1" ]
    [ "$(tern logs --attempt 2 "$id")" = "try 2" ]
    [ "$(tern logs "$id")" = "try 2" ]
    run -3 tern logs --attempt 3 "$id"
}

@test "output over the limit keeps its head and its tail, and says what was cut" {
    start_both
    id=$(tern submit -- sh -c 'echo first; head -c 5000000 /dev/zero | tr "\0" x; echo; echo last')
    tern wait "$id"
    tern logs "$id" > log 2> said
    [ "$(head -n 1 log)" = first ]
    [ "$(tail -n 1 log)" = last ]
    [ "$(wc -c < log)" -le 1100000 ]
    grep -q 'bytes of output are left out' said
}

# ---- what a command gets ------------------------------------------------------------------------------------

@test "a command runs where it was submitted, or in --cwd, with --env and what tern tells it" {
    start_both
    [ "$(tern run -- pwd)" = "$dir" ]
    mkdir sub
    [ "$(tern run --cwd sub -- pwd)" = "$dir/sub" ]
    [ "$(tern run --cwd / -- pwd)" = / ]
    [ "$(tern run --env A=1 --env B=two=2 -- sh -c 'echo $A $B')" = "1 two=2" ]
    [ "$(C=mine tern run --env C -- sh -c 'echo $C')" = mine ]
    [ "$(tern run --queue line -- sh -c 'echo $TERN_ATTEMPT $TERN_QUEUE')" = "1 line" ]
    [ "$(tern run -- sh -c 'echo $TERN_JOB_ID')" = 7 ]
    [ -z "$(tern run -- sh -c 'echo $TERN_BROKER$NOTIFY_SOCKET')" ]
}

@test "a directory that cannot be entered fails the attempt and is named" {
    start_both
    run -1 tern submit --wait --cwd "$dir/nowhere" -- true
    field 1 error | grep -q nowhere
}

@test "--stdin is what the command reads, and without it there is nothing to read" {
    start_both
    head -c 300000 /dev/urandom > in
    tern run --stdin in -- cat > out
    cmp in out
    [ "$(echo from here | tern run --stdin - -- cat)" = "from here" ]
    [ -z "$(tern run -- cat)" ]
}

@test "words of a command arrive as they are, with no shell in between" {
    start_both
    [ "$(tern run -- printf '[%s]' 'a b' '' '*' '$HOME' "it's" --json)" = "[a b][][*][\$HOME][it's][--json]" ]
}

# ---- when ---------------------------------------------------------------------------------------------------

@test "--delay and --at start a job later, not sooner" {
    start_both
    local before
    before=$(now_ms)
    id=$(tern submit --delay 600ms -- date +%s%3N)
    field_is "$id" state scheduled
    tern why "$id" | grep -q 'due in'
    tern wait "$id"
    [ "$(tern result "$id")" -ge $((before + 600)) ]
    before=$(now_ms)
    id=$(tern submit --at "$(date -u -d '+1 second' +%Y-%m-%dT%H:%M:%SZ)" -- date +%s%3N)
    tern wait "$id"
    [ "$(tern result "$id")" -ge $((before / 1000 * 1000 + 1000)) ]
}

@test "--retries tries again, later each time, and then the job is dead" {
    start_both
    id=$(tern submit --retries 2 --backoff 100ms..1s -- sh -c 'date +%s%3N >> times; exit 7')
    ended_as "$id" dead exit
    field_is "$id" attempt 3
    lines_of times 3
    local t
    mapfile -t t < "times"
    [ $((t[1] - t[0])) -ge 50 ]
    [ $((t[2] - t[1])) -ge 100 ]
    [ "$(tern history --json "$id" | grep -c '"event":"failed"')" = 3 ]
}

@test "a job that fails once and then not is done" {
    start_both
    id=$(tern submit --retries 3 --backoff 10ms -- sh -c 'test -e there || { touch there; exit 1; }')
    tern wait "$id"
    field_is "$id" attempt 2
    field_is "$id" state 'done'
}

@test "--expire: not started by then, a job expires" {
    start_both
    tern submit --queue slow --wait -- true
    tern pause slow
    id=$(tern submit --queue slow --expire 100ms -- touch ran)
    run -1 --separate-stderr tern wait "$id"
    [[ $stderr == *expired* ]]
    ended_as "$id" expired expired
    tern resume slow
    tern submit --queue slow --wait -- true
    [ ! -e ran ]
}

@test "higher priority starts first, and within one the older" {
    start_broker
    start_worker w1 --process 1
    tern submit --queue q --wait -- true
    tern pause q
    local p i=0
    for p in 0 5 -5 5 0 10; do
        tern submit --queue q --tag cpu --priority "$p" -- sh -c 'echo $0 >> order' "$p/$((i += 1))"
    done
    tern resume q
    tern wait all
    [ "$(tr '\n' ' ' < order)" = "10/6 5/2 5/4 0/1 0/5 -5/3 " ]
}

@test "a paused queue starts nothing, the others go on, and what waits starts on resume" {
    start_both
    tern submit --queue held --wait -- true
    tern pause held
    id=$(tern submit --queue held -- true)
    tern submit --queue free --wait -- true
    field_is "$id" state queued
    tern why "$id" | grep -q 'the queue held is paused'
    tern queues --json | grep -q '"name":"held","paused":true.*"queued":1'
    tern resume held
    tern wait "$id"
}

# ---- cancel, retry, rm --------------------------------------------------------------------------------------

@test "cancel ends a waiting job at once and a running one with all its processes; a finished one is refused with 4" {
    start_both
    waiting=$(tern submit --delay 1h -- true)
    local tag running
    running=()
    for tag in cpu io slow-io; do
        running+=("$(tern submit --tag $tag -- sh -c "sleep 1000.$$1 & echo > up-$tag; wait")")
    done
    eventually 20 eval 'test -e up-cpu -a -e up-io -a -e up-slow-io'
    tern cancel "$waiting" "${running[@]}"
    run -1 tern wait all
    for id in "$waiting" "${running[@]}"; do
        ended_as "$id" cancelled cancelled
    done
    nobody_with "1000.$$1"
    run -4 tern cancel "$waiting"
}

@test "a command that ignores TERM is killed after its grace" {
    start_both
    id=$(tern submit --kill-grace 200ms -- sh -c 'trap "" TERM; touch up; while :; do sleep 0.1; done')
    eventually 20 test -e up
    tern cancel "$id"
    ended_as "$id" cancelled cancelled
}

@test "retry runs a dead or cancelled job again under its id, and refuses a done one" {
    start_both
    id=$(tern submit -- sh -c 'test -e there')
    run -1 tern wait "$id"
    touch there
    tern retry "$id"
    tern wait "$id"
    field_is "$id" attempt 2
    run -4 tern retry "$id"
}

@test "rm deletes finished jobs and refuses others" {
    start_both
    tern submit --wait -- true
    waiting=$(tern submit --delay 1h -- true)
    tern rm 1
    run -3 tern show 1
    run -3 tern rm 1
    run -4 tern rm "$waiting"
    field_is "$waiting" state scheduled
}

# ---- looking ------------------------------------------------------------------------------------------------

@test "show --json has every promised key, its version, and null where there is nothing" {
    start_both
    tern submit --delay 1h --name 'a "name"' -- true
    tern show --json 1 > line
    local key
    for key in id state queue handler command owner name tag pool priority attempt retries crashes worker \
        submitted_at due_at started_at finished_at timeout_ms exit_code signal reason wall_ms cpu_ms max_rss_kb \
        progress error; do
        grep -q "[{,]\"$key\":" line || { echo "no $key"; false; }
    done
    grep -q '^{"v":1,' line
    field_is 1 started_at null
    field_is 1 exit_code null
    field_is 1 state scheduled
    field_is 1 owner "uid:$(id -u)"
    [[ $(field 1 submitted_at) =~ ^20[0-9-]{8}T[0-9:]{8}\.[0-9]{3}Z$ ]]
    grep -qF '"name":"a \"name\""' line
}

@test "every command that prints data prints one JSON object a line, with its version" {
    start_both
    tern submit --wait -- echo out
    tern submit --delay 1h -- true
    local command
    for command in 'show all' list queues workers stats ping version 'history 1' 'why 2' 'result 1' 'logs 1' 'wait 1' \
        'submit -- true' 'cancel 2'; do
        # shellcheck disable=SC2086
        tern ${command%% *} --json ${command#"${command%% *}"} > lines
        test -s lines
        not grep -v '^{"v":1,.*}$' lines
        if command -v jq > /dev/null; then
            jq -e .v lines > /dev/null
        fi
    done
}

@test "list shows the newest first, and --state, --queue and --limit choose" {
    start_both
    tern submit --wait -- true
    run -1 tern submit --wait --queue other -- false
    tern submit --delay 1h --queue other -- true
    [ "$(tern list --json | value id | tr '\n' ' ')" = "3 2 1 " ]
    [ "$(tern list --json --state dead,done | value id | tr '\n' ' ')" = "2 1 " ]
    [ "$(tern list --json --queue other | value id | tr '\n' ' ')" = "3 2 " ]
    run -0 --separate-stderr tern list --json --limit 1
    [ "$(value id <<< "$output")" = 3 ]
    [[ $stderr == *"there are more"* ]]
    [ "$(tern list | wc -l)" = 4 ]
}

@test "queues, workers and stats count what there is" {
    start_both
    tern submit --wait -- true
    run -1 tern submit --wait -- false
    tern submit --delay 1h -- true
    tern queues --json | grep -q '"name":"default","paused":false.*"scheduled":1.*"done":1,"dead":1'
    [ "$(count_of submitted)" = 3 ]
    [ "$(count_of finished)" = 2 ]
    tern workers --json | grep -q '"name":"w1".*"thread":{"slots":16,"used":0,"free":16,"stuck":0'
    tern workers | grep -q w1
}

@test "history tells every transition in order, with its time" {
    start_both
    id=$(tern submit --retries 1 --backoff 10ms -- sh -c 'exit 5')
    run -1 tern wait "$id"
    [ "$(tern history --json "$id" | value event | grep -v scheduled | tr '\n' ' ')" = "submitted running failed queued running failed dead " ]
    tern history "$id" | grep -q 'exit'
    tern history --json "$id" | value at | sort -c
}

@test "why says what stands in the way: a handler that nobody has, a time, a full pool, the job's end" {
    start_broker
    start_worker w1 --process 1
    run -0 --separate-stderr tern submit --handler nobody-has-it
    [ "$output" = 1 ]
    [[ $stderr == *"no connected worker has the handler nobody-has-it"* ]]
    tern why 1 | grep -q 'no connected worker has the handler nobody-has-it'
    tern submit --delay 1h -- true
    tern why 2 | grep -q 'due in'
    long=$(tern submit --tag cpu -- sh -c 'touch up; exec sleep 1000')
    eventually 20 test -e up
    tern why "$long" | grep -q 'in the process pool'
    next=$(tern submit --tag cpu -- true)
    tern why "$next" | grep -q 'process pool.* w1.*full\|w1.*process pool'
    tern cancel "$long"
    tern wait "$next"
    tern why "$next" | grep -q 'it has finished: done'
    tern why --json "$next" | grep -q '"code":"finished"'
}

@test "selectors: an id, a range, a list, last, all; options before or after them" {
    start_both
    repeat 9 '{"command":["true"]}' | tern submit --batch - > ids
    tern wait all
    [ "$(tern show --json 3-5 | value id | tr '\n' ' ')" = "3 4 5 " ]
    [ "$(tern show 2,4,7-8 --json | value id | tr '\n' ' ')" = "2 4 7 8 " ]
    [ "$(tern show --json last | value id)" = 9 ]
    [ "$(tern show --json all | wc -l)" = 9 ]
    [ "$(tern show --json 8-99 | wc -l)" = 2 ]
    run -3 tern show 50-99
    run -3 tern wait 50-99
    run -2 tern show 9-1
    run -2 tern show 1.2
}

# ---- batch --------------------------------------------------------------------------------------------------

@test "--batch submits 10,000 lines and prints their ids in order" {
    start_both
    local i
    for ((i = 1; i <= 10000; i++)); do
        printf '{"handler":"echo","tag":"io","payload":"n%d","priority":%d}\n' "$i" $((i % 3))
    done > lines
    tern submit --batch lines > ids
    lines_of ids 10000
    sort -nc ids
    tern wait all
    [ "$(count_of 'done')" = 10000 ]
    [ "$(tern result 1)" = n1 ]
    [ "$(tern result 7777)" = n7777 ]
    [ "$(tern result 10000)" = n10000 ]
}

@test "--batch takes every option by its long name, skips blank lines, and reads payloads as base64" {
    start_both
    cat > lines <<-'END'

	{"command":["sh","-c","echo $A; exit 3"],"env":{"A":"x"},"tag":"cpu","queue":"q","retries":0,"name":"one"}
	   
	{"handler":"echo","payload_base64":"AAEC","tag":"io","timeout":"10s","memory":null}
	END
    sed -i 's/,"memory":null//' lines
    [ "$(tern submit --batch lines | tr '\n' ' ')" = "1 2 " ]
    run -1 tern wait all
    field_is 1 exit_code 3
    field_is 1 queue q
    field_is 1 name one
    [ "$(tern result 1 2> /dev/null)" = x ]
    [ "$(tern result 2 | od -An -tx1)" = " 00 01 02" ]
    field_is 2 timeout_ms 10000.000
}

@test "--batch stops at a bad line, names it, and what stood before it is submitted" {
    start_both
    printf '%s\n' '{"command":["true"]}' '' '{"command":["true"]}' '{"command":["true"],"tga":"cpu"}' \
        '{"command":["true"]}' > lines
    run -2 --separate-stderr tern submit --batch lines
    [ "$output" = "1
2" ]
    [[ $stderr == *"line 4: unknown key \"tga\""*tag* ]]
    tern wait all
    [ "$(count_of submitted)" = 2 ]
}

@test "--batch from a pipe gives each id back before the next line comes" {
    start_both
    mkfifo to from
    tern submit --batch - < to > from 3>&- &
    started+=("$!")
    exec 7> to 8< from
    local id
    echo '{"command":["true"]}' >&7
    read -rt 30 id <&8
    [ "$id" = 1 ]
    echo '{"command":["true"]}' >&7
    read -rt 30 id <&8
    [ "$id" = 2 ]
    exec 7>&- 8<&-
    wait "${started[-1]}"
}

# What the flows share. Every case has a directory of its own, with its own broker, worker, home and job files in it;
# what it starts by hand is ended by process id when it ends, however it ends.
# Nothing here sleeps for a time and hopes: eventually() looks until what it waits for is there, or fails.
# shellcheck shell=bash disable=SC2034,SC2119,SC2120  # the flows use what is unused here
bats_require_minimum_version 1.5.0

# Programs of a sanitizer build are some times slower, and their memory says nothing.
if grep -qs 'fsanitize=' "$TERN_BUILD/Makefile"; then
    sanitized=yes slower=3
else
    sanitized='' slower=1
fi

setup() {
    dir=$(mktemp -d "${TMPDIR:-/tmp}/tern-flow.XXXXXX")
    cd "$dir" || return
    mkdir run
    export HOME=$dir XDG_STATE_HOME=$dir/state XDG_RUNTIME_DIR=$dir/run XDG_CONFIG_HOME=$dir/config
    export TERN_BROKER=ipc://$dir/broker.sock TZ=UTC LC_ALL=C
    unset NOTIFY_SOCKET
    started=()
}

teardown() {
    local pid i reports=''
    if [ -z "${BATS_TEST_COMPLETED:-}" ]; then
        tail -n 30 "$dir"/*.log 2> /dev/null
    fi
    [ ! -e "$dir/broker.pid" ] || tern down --dir "$dir" > /dev/null 2>&1 3>&- || true
    [ ! -d "$dir/state" ] || tern down > /dev/null 2>&1 3>&- || true
    for ((i = ${#started[@]} - 1; i >= 0; i--)); do
        pid=${started[i]}
        kill -KILL "$pid" 2> /dev/null || continue
        wait "$pid" 2> /dev/null || true
    done
    if [ -n "$sanitized" ] && grep -hE -A 20 'ERROR: (Address|Leak)Sanitizer|runtime error:' "$dir"/*.log; then
        reports=yes
    fi
    # A worker that was killed takes its zygote and their trees with it, a moment later.
    cd / || return
    if ! eventually 20 nothing_in "$dir"; then
        pids_in "$dir" | xargs -r -I N cat /proc/N/cmdline | tr '\0' ' '
        reports=yes
        # shellcheck disable=SC2046
        kill -KILL $(pids_in "$dir") 2> /dev/null || true
    fi
    rm -rf "$dir"
    [ -z "$reports" ]
}

# eventually SECONDS COMMAND...: until the command succeeds.
eventually() {
    local until=$((SECONDS + $1 * slower + 1))
    shift
    until "$@" > /dev/null 2>&1; do
        if [ "$SECONDS" -ge "$until" ]; then
            echo "in vain: $*" >&2
            return 1
        fi
        read -rt 0.02 <> <(:) || true
    done
}

# not COMMAND...: bats lets a plain `! command` pass.
not() {
    if "$@"; then
        echo "but: $*" >&2
        return 1
    fi
}

# ---- processes ----------------------------------------------------------------------------------------------

# Exited, and no zombie either.
gone() {
    local state
    state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" 2> /dev/null) || true
    [ -z "$state" ] || [ "$state" = Z ] || [ "$state" = X ]
}

# pids_with WORD: whoever has the word in its command line. The pattern comes from a file, so that grep is not found.
pids_with() {
    printf '%s\n' "$1" > "$dir/.word"
    grep -alFf "$dir/.word" /proc/[0-9]*/cmdline 2> /dev/null | sed 's|/proc/\([0-9]*\)/.*|\1|' || true
}

nobody_with() {
    [ -z "$(pids_with "$1")" ]
}

somebody_with() {
    [ -n "$(pids_with "$1")" ]
}

# Whoever works in the directory.
pids_in() {
    find /proc/[0-9]*/cwd -maxdepth 0 -lname "$1*" 2> /dev/null | cut -d/ -f3
}

nothing_in() {
    [ -z "$(pids_in "$1")" ]
}

children_of() {
    local file
    for file in "/proc/$1/task"/*/children; do
        tr ' ' '\n' < "$file"
    done | grep .
}

# The worker's own program anew: what forks its processes and commands.
zygote_of() {
    children_of "$1" | head -n 1
}

peak_kb() {
    sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\).*/\1/p' "/proc/$1/status"
}

rss_kb() {
    sed -n 's/^VmRSS:[[:space:]]*\([0-9]*\).*/\1/p' "/proc/$1/status"
}

# ---- daemons ------------------------------------------------------------------------------------------------

# start_broker [OPTION...]: sets $broker.
start_broker() {
    tern-broker --listen "$TERN_BROKER" --db "$dir/tern.db" --ballast 1M "$@" < /dev/null >> "$dir/broker.log" 2>&1 3>&- &
    broker=$!
    started+=("$broker")
    eventually 30 answers_or_ended "$broker"
    not gone "$broker"
}

answers_or_ended() {
    gone "$1" || tern ping
}

# start_worker [NAME [OPTION...]]: sets $worker; NAME is w1 unless given.
start_worker() {
    local name=${1:-w1}
    shift || true
    tern-worker --broker "$TERN_BROKER" --name "$name" "$@" < /dev/null >> "$dir/worker-$name.log" 2>&1 3>&- &
    worker=$!
    started+=("$worker")
    eventually 30 connected_or_ended "$name" "$worker"
    not gone "$worker"
}

connected_or_ended() {
    gone "$2" || connected "$1" "$2"
}

# connected NAME PID
connected() {
    tern workers --json | grep '"name":"'"$1"'".*"pid":'"$2"',' | grep -v '"heard_ago_ms":null'
}

start_both() {
    start_broker
    start_worker w1
}

# kill_and_wait SIGNAL PID: the status that it ended with in $ended.
kill_and_wait() {
    ended=0
    kill "-$1" "$2"
    wait "$2" || ended=$?
}

# ---- jobs ---------------------------------------------------------------------------------------------------

# value KEY: of the one line of JSON on standard input; texts without their quotes.
value() {
    sed -nE 's/.*[{,]"'"$1"'":("([^"\\]|\\.)*"|\[[^]]*\]|[^,}]*).*/\1/; T; s/^"(.*)"$/\1/; p'
}

# field JOB KEY
field() {
    tern show --json "$1" | value "$2"
}

# field_is JOB KEY VALUE [KEY VALUE...]: all of them, at one look.
field_is() {
    local job=$1 json is
    shift
    json=$(tern show --json "$job")
    while [ $# -gt 0 ]; do
        is=$(value "$1" <<< "$json")
        [ "$is" = "$2" ] || {
            echo "job $job: $1 is $is, not $2" >&2
            return 1
        }
        shift 2
    done
}

# ended_as JOB STATE REASON [KEY VALUE...]: waits for it, and tells what it was otherwise.
ended_as() {
    local job=$1 state=$2 reason=$3
    shift 3
    tern wait --timeout $((60 * slower))s "$job" > "$dir/.wait" 2>&1 || [ $? -eq 1 ] || cat "$dir/.wait"
    if ! field_is "$job" state "$state" reason "$reason" "$@"; then
        tern show --json "$job"
        tern history "$job"
        return 1
    fi
}

# count_of STATE: how many jobs the broker counts there.
count_of() {
    tern stats --json | value "$1"
}

count_is() {
    [ "$(count_of "$1")" = "$2" ]
}

at_least() {
    [ "$(count_of "$1")" -ge "$2" ]
}

# lines_of FILE N: has it so many?
lines_of() {
    [ "$(wc -l < "$1")" -eq "$2" ]
}

# Answers GET /N after 0.2 to 1 s; sets $port, and ends with descriptor 7.
start_slow_server() {
    [ -x "$TERN_BUILD/contrib/slow-server" ] || skip "contrib/slow-server is not built"
    mkfifo end
    exec 7<> end
    (
        ulimit -n "$(ulimit -Hn)"
        exec "$TERN_BUILD/contrib/slow-server" < end > port 2> server.log 3>&- 7>&-
    ) &
    started+=("$!")
    eventually 20 test -s port
    port=$(< port)
}

# repeat N LINE: a batch.
repeat() {
    yes "$2" | head -n "$1"
}

now_ms() {
    echo $(($(date +%s%N) / 1000000))
}

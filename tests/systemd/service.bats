#!/usr/bin/env bats
# Broker and workers as services: inside the machine that flows.sh makes.
# shellcheck shell=bash
bats_require_minimum_version 1.5.0
load helpers

setup_file() {
    make -s -C "$TERN_BUILD" install > "$BATS_FILE_TMPDIR/install.log" 2>&1
    ldconfig
    systemd-sysusers
    systemd-tmpfiles --create
    journalctl --update-catalog
    systemctl daemon-reload
}

setup() {
    conf=$(sed -n "s/^prefix = //p" "$TERN_BUILD/Makefile")/etc/tern
    systemctl start tern-broker.service
}

# Every case begins with what was installed, and an empty database.
teardown() {
    if [ -z "${BATS_TEST_COMPLETED:-}" ]; then
        journalctl --no-pager -n 60 -u 'tern-*'
        systemctl --no-pager status 'tern-*'
    fi
    systemctl stop 'tern-worker@*.service' tern-broker.service
    systemctl reset-failed
    rm -rf "${conf:?}"/*.conf "$conf/peers.d" /etc/credstore /etc/systemd/system/tern-* /var/lib/tern/*
    systemctl daemon-reload
}

# property UNIT NAME
property() { systemctl show --value -p "$2" "$1"; }

is() { [ "$(property "$1" "$2")" = "$3" ]; }

status_says() { property "$1" StatusText | grep -qE -- "$2"; }

# drop_in UNIT LINE...: below [Service]
drop_in() {
    local unit=$1
    shift
    mkdir -p "/etc/systemd/system/$unit.d"
    printf '%s\n' '[Service]' "$@" > "/etc/systemd/system/$unit.d/test.conf"
    systemctl daemon-reload
}

value() { sed -n 's/.*[{,]"'"$1"'":"\{0,1\}\([^",}]*\).*/\1/p'; }

field_is() { [ "$(tern show --json "$1" | value "$2")" = "$3" ]; }

start_worker() {
    systemctl start tern-worker@1.service
    eventually 20 status_says tern-worker@1 '^connected'
}

@test "what was installed starts, and runs a command as another user than the broker's" {
    start_worker
    [ "$(stat -c '%U:%G %a' /run/tern/broker.sock)" = tern:tern\ 660 ]
    [ "$(stat -c '%U %a' /var/lib/tern)" = "tern 700" ]
    [ "$(tern run --cwd / -- id -un)" = tern-worker ]
    run ! tern run --cwd / -- cat /var/lib/tern/tern.db
    tern workers --json | grep -q '"name":"tern-test-1"'
}

# scores UNIT FIGURE: no worse than its manual page and doc/security.md say.
scores() {
    systemd-analyze security --no-pager --threshold="${2/./}" "$1" > security.log || { cat security.log; return 1; }
    grep -q "^gives it $2" "$TERN_SOURCE/doc/${1%%[@.]*}.8"
    grep -q "systemd-analyze security $1\` says $2" "$TERN_SOURCE/doc/security.md"
}

@test "the units are as closed as they are said to be" {
    cd "$BATS_TEST_TMPDIR"
    scores tern-broker.service 1.4
    systemctl start tern-worker@1.service
    scores tern-worker@1.service 2.3
    # SQLite, ZeroMQ and the commands live within the filter of system calls.
    run -1 journalctl --no-pager -q --grep 'SECCOMP|audit'
}

@test "the status tells numbers" {
    eventually 10 status_says tern-broker '^0 workers, 0 jobs running, 0 queued'
    start_worker
    id=$(tern submit --cwd / -- sleep 1000)
    eventually 10 status_says tern-broker '^1 workers, 1 jobs running'
    eventually 10 status_says tern-worker@1 'connected to ipc:///run/tern/broker.sock; 1 jobs held, process 1/'
    tern cancel "$id"
}

@test "a worker is ready without a broker, says so, and connects when there is one" {
    systemctl stop tern-broker.service
    systemctl start tern-worker@1.service
    is tern-worker@1 ActiveState active
    eventually 10 status_says tern-worker@1 '^waiting for the broker at ipc:'
    systemctl start tern-broker.service
    eventually 10 status_says tern-worker@1 '^connected'
}

@test "an instance reads its own configuration, or that of all" {
    printf '[worker]\nname = common\n' > "$conf/worker.conf"
    printf '[worker]\nname = special\nprocess = 3\n' > "$conf/worker-b.conf"
    systemctl start tern-worker@a.service tern-worker@b.service
    eventually 10 status_says tern-worker@b 'process 0/3'
    eventually 10 eval 'tern workers --json | grep -q "\"name\":\"common\"" && tern workers --json | grep -q "\"name\":\"special\""'
}

@test "keys are credentials: the broker listens on TCP with its own, and the worker joins with its own" {
    cd "$BATS_TEST_TMPDIR"
    install -d -m 700 /etc/credstore
    tern-broker keygen --dir .
    tern keygen w1 --role worker
    tern-broker authorize w1.pub
    mv broker.key /etc/credstore/tern-broker.key
    mv w1.key /etc/credstore/tern-worker.key
    cp broker.pub /etc/credstore/tern-broker.pub
    printf '[broker]\nlisten = ipc:///run/tern/broker.sock,tcp://127.0.0.1:7711\n' > "$conf/broker.conf"
    printf '[worker]\nbroker = tcp://127.0.0.1:7711\n' > "$conf/worker.conf"
    systemctl restart tern-broker.service
    systemctl start tern-worker@1.service
    eventually 20 status_says tern-worker@1 '^connected to tcp://127.0.0.1:7711'
    [ "$(tern run --cwd / -- id -un)" = tern-worker ]
    # As doc/security.md says: its jobs can read its key.
    tern run --cwd / -- cat /run/credentials/tern-worker@1.service/worker.key | grep -q '^secret = '
    tern-broker revoke w1
    eventually 20 status_says tern-worker@1 '^waiting for the broker'
    tern-broker authorize w1.pub
    eventually 20 status_says tern-worker@1 '^connected to'
}

@test "a reload takes over what can change, and refuses a wrong configuration" {
    start_worker
    pid=$(property tern-broker MainPID)
    printf '[broker]\nretention = 1h\n' > "$conf/broker.conf"
    printf '[worker]\nqueues = other\n' > "$conf/worker.conf"
    systemctl reload tern-broker.service tern-worker@1.service
    eventually 10 eval 'journalctl -q --no-pager -o cat -u tern-broker | grep -q "^reloaded .*retention"'
    eventually 10 eval 'tern workers --json | grep -q "\"queues\":\[\"other\"\]"'
    printf '[broker]\nretention = a while\n' > "$conf/broker.conf"
    systemctl reload tern-broker.service
    eventually 10 eval 'journalctl -q --no-pager -o cat -u tern-broker | grep -q "^not reloaded"'
    eventually 10 is tern-broker ActiveState active
    [ "$(property tern-broker MainPID)" = "$pid" ]
}

@test "what only a person can mend is not tried again" {
    systemctl stop tern-broker.service
    printf '[broker]\nnonsense = 1\n' > "$conf/broker.conf"
    run ! systemctl start tern-broker.service
    is tern-broker ExecMainStatus 78
    is tern-broker NRestarts 0
    is tern-broker ActiveState failed
    rm "$conf/broker.conf"
    printf '[worker]\nprocess = many\n' > "$conf/worker.conf"
    run ! systemctl start tern-worker@1.service
    is tern-worker@1 NRestarts 0
    rm "$conf/worker.conf"
    systemctl start tern-broker.service
}

@test "a broker that hangs is killed by the watchdog and comes back, and nothing is lost" {
    drop_in tern-broker.service WatchdogSec=2s
    systemctl restart tern-broker.service
    start_worker
    id=$(tern submit --cwd / -- sh -c 'sleep 4; echo survived')
    eventually 10 field_is "$id" state running
    pid=$(property tern-broker MainPID)
    kill -STOP "$pid"
    eventually 15 is tern-broker NRestarts 1
    eventually 15 tern ping
    journalctl -q --no-pager -u tern-broker | grep -q 'Watchdog timeout'
    tern wait --timeout 30s "$id"
    [ "$(tern result "$id")" = survived ]
    field_is "$id" attempt 1
}

@test "a worker that hangs is killed by the watchdog, also when only its loop does; one whose zygote hangs, too" {
    drop_in tern-worker@.service WatchdogSec=2s
    start_worker
    kill -STOP "$(property tern-worker@1 MainPID)"
    eventually 15 is tern-worker@1 NRestarts 1
    eventually 15 status_says tern-worker@1 '^connected'
    zygote=$(pgrep -f 'tern-worker --zygote')
    kill -STOP "$zygote"
    eventually 15 is tern-worker@1 NRestarts 2
    eventually 15 status_says tern-worker@1 '^connected'
    [ "$(tern run --cwd / -- echo again)" = again ]
}

@test "an idle worker and an idle broker live on under a short watchdog" {
    drop_in tern-broker.service WatchdogSec=1s
    drop_in tern-worker@.service WatchdogSec=1s
    systemctl restart tern-broker.service
    start_worker
    [ "$(tern run --cwd / -- sh -c 'sleep 5; echo quiet')" = quiet ]
    is tern-broker NRestarts 0
    is tern-worker@1 NRestarts 0
}

@test "stopping a worker waits for its jobs, longer than the unit allows by itself" {
    drop_in tern-worker@.service TimeoutStopSec=3s
    start_worker
    id=$(tern submit --cwd / -- sh -c 'sleep 8; echo drained')
    eventually 10 field_is "$id" state running
    systemctl stop tern-worker@1.service
    is tern-worker@1 Result success
    field_is "$id" state 'done'
    [ "$(tern result "$id")" = drained ]
}

@test "what cannot end in time is handed back when a worker stops, without burning an attempt" {
    printf '[worker]\ndrain = 1s\n' > "$conf/worker.conf"
    start_worker
    id=$(tern submit --cwd / --kill-grace 500ms -- sleep 1000)
    eventually 10 field_is "$id" state running
    systemctl stop tern-worker@1.service
    is tern-worker@1 Result success
    field_is "$id" state queued
    field_is "$id" crashes 0
    run ! pgrep -f 'sleep 1000'
    tern cancel "$id"
}

@test "workers of a machine stop with their target" {
    systemctl start tern-workers.target
    systemctl start tern-worker@1.service tern-worker@2.service
    systemctl stop tern-workers.target
    # It waits for the target alone.
    eventually 20 is tern-worker@1 ActiveState inactive
    eventually 20 is tern-worker@2 ActiveState inactive
}

@test "a job that takes too much memory is ended alone" {
    start_worker
    for tag in cpu io; do
        id=$(tern submit --cwd / --tag "$tag" --memory 64M -- sh -c 'head -c 400M /dev/zero | tail -c 300M | sleep 1000')
        run -1 tern wait --timeout 60s "$id"
        field_is "$id" state dead
        field_is "$id" reason memory-limit
    done
    is tern-worker@1 NRestarts 0
    is tern-worker@1 ActiveState active
    eventually 10 eval 'journalctl -q --no-pager -o json TERN_JOB_ID='"$id"' -u tern-worker@1 | grep -q memory-limit'
}

groups() { find "/sys/fs/cgroup$(property tern-worker@1 ControlGroup)" -mindepth 1 -maxdepth 1 -type d -name "$1*"; }

none() { [ -z "$("$@")" ]; }

@test "each process of the pool has a control group of its own, which goes with it" {
    printf '[worker]\njobs-per-child = 1\n' > "$conf/worker.conf"
    start_worker
    isolation=$(tern workers --json | value isolation)
    if grep -qw memory "/sys/fs/cgroup$(property tern-worker@1 ControlGroup)/cgroup.controllers"; then
        [ "$isolation" = cgroup ]
    else
        [ "$isolation" = cgroup-no-memory ]
    fi
    tern submit --cwd / --tag cpu -- sleep 1001
    eventually 10 pgrep -x sleep
    grep -q '/tern-worker@1.service/child\.[0-9]*$' "/proc/$(pgrep -x sleep)/cgroup"
    grep -q '/tern-worker@1.service/worker$' "/proc/$(property tern-worker@1 MainPID)/cgroup"
    for _ in 1 2 3 4 5; do
        tern submit --cwd / --tag cpu -- sh -c 'env -i setsid sleep 1002 & exit 0'
    done
    tern wait 2-6
    run ! pgrep -f 'sleep 1002'
    tern cancel 1
    eventually 10 none groups child.
}

@test "what a killed worker leaves is gone when the next one starts" {
    start_worker
    tern submit --cwd / --tag cpu -- sleep 1003
    eventually 10 pgrep -x sleep
    old=$(groups child.)
    mkdir "$old/made-by-a-job"
    kill -KILL "$(property tern-worker@1 MainPID)"
    eventually 15 is tern-worker@1 NRestarts 1
    eventually 15 status_says tern-worker@1 '^connected'
    [ ! -e "$old/made-by-a-job" ]
    tern cancel 1
}

@test "the backup's unit copies the database, whether a broker serves it or not, and to another place by a drop-in" {
    tern submit -- true
    systemctl start tern-backup.service
    systemctl stop tern-broker.service
    sleep 1 # a copy is named by its second
    systemctl start tern-backup.service
    [ "$(find /var/lib/tern/backup -name 'tern-*Z.db' -size +0 | wc -l)" -eq 2 ]
    [ "$(stat -c %U /var/lib/tern/tern.db /var/lib/tern/backup | uniq)" = tern ]
    install -d -o tern -m 700 /mnt/backup
    drop_in tern-backup.service Environment=TO=/mnt/backup ReadWritePaths=/mnt/backup
    systemctl start tern-backup.service
    ls /mnt/backup/tern-*Z.db
}

@test "the journal has the fields of an event, and explains it" {
    start_worker
    id=$(tern submit --cwd / --tag cpu -- sh -c 'exit 3')
    run -1 tern wait --timeout 30s "$id"
    eventually 10 eval 'journalctl -q --no-pager -o json TERN_JOB_ID='"$id"' | grep -q job-dead'
    entry=$(journalctl -q --no-pager -o json TERN_JOB_ID="$id" | grep job-dead | tail -n 1)
    [ "$(value TERN_ATTEMPT <<< "$entry")" = 1 ]
    [ "$(value TERN_WORKER <<< "$entry")" = tern-test-1 ]
    [ "$(value PRIORITY <<< "$entry")" = 6 ]
    [ "$(value SYSLOG_IDENTIFIER <<< "$entry")" = tern-broker ]
    [ "$(value MESSAGE_ID <<< "$entry")" = "$(sed -n 's/.*"job-dead", "\([0-9a-f]*\)".*/\1/p' "$TERN_SOURCE/proto/base/log.c")" ]
    journalctl -q --no-pager -x TERN_JOB_ID="$id" | grep -q "tern retry $id"
}

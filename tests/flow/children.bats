#!/usr/bin/env bats
# Jobs that submit jobs and wait for them, with real daemons: a pool full of parents, and what is killed in the midst of it.
# shellcheck disable=SC2013,SC2154,SC2016
load helpers

# build FILE.c NAME
build() {
    mkdir -p mods include
    ln -sfn "$TERN_SOURCE/worker" include/tern
    ${CC:-cc} -shared -fPIC -O1 -Wall -Wextra -Werror -Iinclude "$1" -o "mods/$2.so"
}

# A family: `head` spawns as many `limb` as its payload says, with its own payload's tag, awaits them, and answers with their ids.
# A limb writes its id to the file `ran` when it has seen the file `go`; one with an even id, when it has seen `go2` as well.
family() {
    cat > family.c << END
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tern/handler.h>
#include <unistd.h>
static int limb(struct tern_job *job)
{
    bool even = tern_job_id(job) % 2 == 0;
    while (access("$dir/go", F_OK) < 0 || (even && access("$dir/go2", F_OK) < 0)) {
        if (tern_should_stop(job))
            return tern_fail(job, "stopped");
        if (tern_await_ms(job, 10) < 0)
            usleep(10000);
    }
    char text[32];
    int fd = open("$dir/ran", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    int n = snprintf(text, sizeof text, "%d\n", (int)tern_job_id(job));
    int r = write(fd, text, (size_t)n) == n ? 0 : tern_fail(job, "cannot write");
    close(fd);
    return r;
}
static int head(struct tern_job *job)
{
    size_t bytes;
    const char *p = tern_payload(job, &bytes);
    char tag[16] = "", text[400] = "";
    int n = p[0] - '0', r = 0;
    memcpy(tag, p + 2, bytes - 2);
    uint64_t ids[9];
    for (int i = 0; i < n && r >= 0; i++)
        r = tern_spawn(job, &(struct tern_child){ .handler = "limb", .tag = tag, .detached = i == 8 }, &ids[i]);
    if (r >= 0)
        r = tern_await_children(job, ids, (size_t)n, NULL);
    for (int i = 0; i < n; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%d", i ? " " : "", (int)ids[i]);
    return r < 0 ? r : tern_result(job, text, strlen(text));
}
static const struct tern_handler handlers[] = {
    { .name = "head", .blocking = head, .async = head },
    { .name = "limb", .blocking = limb, .async = limb },
};
TERN_MODULE(handlers);
END
    build family.c family
}

start_all() {
    start_broker
    start_worker w1 --modules "$dir/mods" --process 2 --thread 2 --loop 2
}

# field ID NAME
field() { tern show --json "$1" | jq -r ".$2"; }

is() { [ "$(field "$1" "$2")" = "$3" ]; }

# How many jobs there are.
jobs() { tern list --json | wc -l; }
are() { [ "$(jobs)" -eq "$1" ]; }
one_is_done() { tern list --json --state 'done' | grep -q .; }

@test "a pool full of parents whose children need that pool does not lock itself up, whichever it is" {
    family
    start_all
    touch go go2
    for tag in cpu io slow-io; do
        ids=()
        for _ in 1 2 3 4 5; do
            ids+=("$(tern submit --handler head --tag $tag --payload "3 $tag")")
        done
        tern wait --timeout $((30 * slower))s "${ids[@]}"
        is "$(tern result "${ids[0]}" | cut -d ' ' -f 1)" pool "$(field "${ids[0]}" pool)"
    done
    are $((3 * (5 + 15)))
    [ "$(sort -u ran | wc -l)" = "$(wc -l < ran)" ]
    tern show "$(head -n 1 ran)" | grep -E "^parent"
}

@test "list --parent has the children of one job, with the other filters too" {
    family
    start_all
    touch go go2
    local parent other children
    other=$(tern submit --handler head --payload "3 io")
    parent=$(tern submit --handler head --payload "3 io")
    tern wait "$other" "$parent"
    children=$(tern result "$parent" | tr ' ' '\n' | sort -n)
    [ "$(tern list --parent "$parent" --json | jq .id | sort -n)" = "$children" ]
    [ "$(tern list --parent "$parent" --json | jq .id | sort -rn)" = "$(tern list --parent "$parent" --json | jq .id)" ]
    [ "$(tern list --parent "$parent" --json --limit 1 | jq .id)" = "$(tail -n 1 <<< "$children")" ]
    [ "$(tern list --parent "$parent" --json "1-$(head -n 1 <<< "$children")" | jq .id)" = "$(head -n 1 <<< "$children")" ]
    [ "$(tern list --parent "$parent" --state 'done' --json | wc -l)" -eq 3 ]
    [ -z "$(tern list --parent "$parent" --state dead --json)" ]
    run -0 tern list --parent "$(head -n 1 <<< "$children")"
    [[ $output == *"no jobs like that"* ]]
    for wrong in 1-3 all last x; do
        run -2 tern list --parent $wrong
        [[ $output == *"--parent"* ]]
    done
}

@test "a worker that has runners as well answers each parent in the process that asked" {
    family
    start_broker
    start_worker w1 --modules "$dir/mods" --process 2 --runner false --runner true
    touch go go2
    ids=()
    for _ in 1 2 3 4 5; do
        ids+=("$(tern submit --handler head --tag cpu --payload "3 cpu")")
    done
    tern wait --timeout $((30 * slower))s "${ids[@]}"
    are 20
    [ "$(wc -l < ran)" = 15 ]
    for id in $(cat ran); do
        is "$id" attempt 1
    done
}

@test "the worker is killed under a parent: it finds its children again, and those that were done do not run again" {
    family
    start_all
    id=$(tern submit --handler head --tag io --payload "4 cpu")
    eventually 10 are 5
    touch go
    eventually 10 one_is_done
    kill_and_wait KILL "$worker"
    start_worker w2 --modules "$dir/mods" --process 2 --thread 2 --loop 2
    touch go2
    tern wait --timeout $((60 * slower))s "$id"
    is "$id" attempt 2
    are 5
    [ "$(sort -u ran | wc -l)" -eq 4 ]
    [ "$(wc -l < ran)" -eq 4 ]
}

# parked_in POOL N: says the table, and JSON.
parked_in() {
    [ "$(tern workers --json | jq ".pools.$1.parked")" = "$2" ] && tern workers | grep -E " $1 +[0-9]+ +[0-9]+ +[0-9]+ +[0-9]+ +[0-9]+ +$2 "
}

@test "the broker is killed while parents wait: they hear of their children's ends from the next one" {
    family
    start_all
    ids=()
    for tag in cpu io slow-io; do
        ids+=("$(tern submit --handler head --tag $tag --payload "2 $tag")")
    done
    eventually 10 are 9
    for pool in process thread loop; do
        eventually 10 parked_in $pool 1
    done
    kill_and_wait KILL "$broker"
    start_broker
    touch go go2
    tern wait --timeout $((30 * slower))s "${ids[@]}"
    are 9
    for id in "${ids[@]}"; do
        is "$id" attempt 1
    done
    [ "$(sort -u ran | wc -l)" = 6 ]
    [ "$(wc -l < ran)" = 6 ]
}

@test "a cancel reaches a parent that waits, and its children, but for one that is detached" {
    family
    start_all
    id=$(tern submit --handler head --tag io --payload "9 slow-io")
    eventually 10 are 10
    tern cancel "$id"
    eventually 10 is "$id" state cancelled
    detached=$((id + 9))
    for child in $(seq $((id + 1)) $((id + 8))); do
        eventually 10 is "$child" state cancelled
    done
    touch go go2
    tern wait --timeout $((20 * slower))s "$detached"
}

@test "the example counts the words of each line in a child" {
    build "$TERN_SOURCE/contrib/examples/fanout.c" fanout
    start_all
    printf 'tell all the truth\nbut tell it slant\n\nsuccess in circuit lies\n' > poem.txt
    for tag in cpu io slow-io; do
        id=$(tern submit --handler words --tag $tag --payload @poem.txt)
        tern wait --timeout $((20 * slower))s "$id"
        [ "$(tern result "$id")" = 12 ]
    done
}

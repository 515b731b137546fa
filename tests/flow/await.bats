#!/usr/bin/env bats
# Async handlers from modules: the examples, built outside the tree against the installed headers alone, and what a handler
# does to the loop that it shares.
# shellcheck disable=SC2154,SC2016
load helpers

# example NAME: into $dir/mods.
example() {
    [ -d root ] || make -s -C "$TERN_BUILD" install-pkgincludeHEADERS DESTDIR="$dir/root" > install.log
    local include
    include=$(dirname "$(dirname "$(find root -name handler.h)")")
    mkdir -p mods
    cp "$TERN_SOURCE/contrib/examples/$1.c" .
    ${CC:-cc} -Wall -Wextra -Werror -shared -fPIC -O1 -I"$include" -o "mods/$1.so" "$1.c"
}

start_all() {
    start_broker "$@"
    start_worker w1 --modules "$dir/mods" --process 2 --thread 4 --http-allow loopback
}

@test "fetch: a thousand pages of one job are awaited at once" {
    example fetch
    start_slow_server
    start_all
    local before
    before=$(now_ms)
    seq -f "http://127.0.0.1:$port/%.0f" 1000 | tern submit --handler fetch --payload - --wait > /dev/null
    [ $(($(now_ms) - before)) -le $((8000 * slower)) ]
    tern result last > pages
    [ "$(wc -l < pages)" = 1000 ]
    [ "$(grep -c '^200 ' pages)" = 1000 ]
    grep -Fx "200 10 http://127.0.0.1:$port/1000" pages
    field_is last pool loop
    exec 7>&-
}

@test "fetch: a page that is not there costs that page alone, and the log says why" {
    example fetch
    start_slow_server
    start_all
    printf '%s\n' "http://127.0.0.1:$port/1" http://127.0.0.1:1/ http://169.254.0.1/ file:///etc/passwd |
        tern submit --handler fetch --payload - --wait > /dev/null
    [ "$(tern result last | cut -d' ' -f1 | tr '\n' ' ')" = '200 0 0 0 ' ]
    tern logs --stderr last > log
    grep -F '169.254.0.1 is not to be connected to' log
    grep -F 'file:///etc/passwd` is no URL' log
    exec 7>&-
}

@test "pipeline: a thousand items are fetched on the loop, packed in processes and written in threads" {
    example pipeline
    start_slow_server
    start_all
    mkdir out
    { echo "$dir/out"; seq -f "http://127.0.0.1:$port/%.0f" 1000; } |
        tern submit --handler pipeline --payload - --wait > /dev/null
    [ "$(tern result last)" = "1000 items, 8893 bytes, packed $(cat out/*.packed | wc -c)" ]
    [ "$(find out -name '*.packed' | wc -l)" = 1000 ]
    [ "$(find out -name '.*.new' | wc -l)" = 0 ]
    # Each byte counted; the three sevens are one.
    printf '\1i\1t\1e\1m\1 \0037\1\n' | cmp - out/777.packed
    exec 7>&-
}

@test "pipeline: cancelled, all of it ends, and the pools have their slots back" {
    example pipeline
    start_slow_server
    start_all
    mkdir out
    { echo "$dir/out"; seq -f "http://127.0.0.1:$port/%.0f" 2000; } > payload
    tern submit --handler pipeline --payload @payload > /dev/null
    eventually 20 test -e out/1.packed
    tern cancel last
    run -1 tern wait last
    field_is last state cancelled
    eventually 20 idle_workers
    [ "$(tern run -- echo after)" = after ]
    exec 7>&-
}

idle_workers() {
    tern workers --json | jq -e 'all(.pools[]; .used == 0 and .stuck == 0 and .waiting == 0)'
}

# What blocks the loop: a module of its own.
hog() {
    mkdir -p mods include
    ln -sfn "$TERN_SOURCE/worker" include/tern
    cat > hog.c << 'END'
#include <tern/handler.h>
#include <string.h>
#include <time.h>
static int overflow(struct tern_job *job, int depth)
{
    volatile char large[1000];
    memset((char *)large, depth, sizeof large);
    return depth > 1000000 ? large[5] : overflow(job, depth + 1) + large[7];
}
static int hog(struct tern_job *job)
{
    size_t n;
    if (*(const char *)tern_payload(job, &n) == 'o')
        return overflow(job, 0);
    nanosleep(&(struct timespec){ .tv_sec = 4 }, NULL);
    return 0;
}
static const struct tern_handler handlers[] = { { .name = "hog", .async = hog, .tag = TERN_TAG_SLOW_IO } };
TERN_MODULE(handlers);
END
    ${CC:-cc} -shared -fPIC -O0 -Iinclude -o mods/hog.so hog.c
}

@test "a handler that blocks the loop is named while it does, delays no heartbeat and loses no lease" {
    hog
    start_all --heartbeat 300ms --lost-after 2s
    local id
    id=$(tern submit --handler hog)
    eventually 3 grep -E "event=loop-is-blocked job=$id handler=hog ms=1[0-9][0-9]" worker-w1.log
    field_is "$id" state running
    tern wait --timeout $((20 * slower))s "$id"
    grep -E "event=loop-blocked job=$id handler=hog ms=4[0-9]{3}" worker-w1.log
    field_is "$id" attempt 1
    not grep -F 'event=worker-lost' broker.log
    eventually 10 told_blocked 1
    kill -USR1 "$worker"
    eventually 10 grep -E 'event=loop stack_peak_kb=[1-9][0-9]* stack_kb=64 blocked=1 blocked_ms=4[0-9]{3}' worker-w1.log
}

told_blocked() {
    [ "$(tern workers --json | jq .pools.loop.blocked)" = "$1" ] &&
        [ "$(tern workers --json | jq '.pools.loop.blocked_ms >= 4000 and .pools.loop.blocked_ms < 5000')" = true ] &&
        tern workers | grep -E " loop .* $1x 4\.[0-9]{2} s "
}

@test "a handler that overflows its stack on the loop is named before it takes the worker with it" {
    [ -z "$sanitized" ] || skip "the sanitizer names it"
    hog
    start_all
    local id
    id=$(tern submit --crash-limit 1 --handler hog --payload overflow)
    eventually 20 gone "$worker"
    grep -F "event=handler-crashed job=$id attempt=1 handler=hog signal=11: its stack has overflowed" worker-w1.log
}

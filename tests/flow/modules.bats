#!/usr/bin/env bats
# Handlers from shared objects: what is used, what is refused and why, and what a new version changes.
# shellcheck disable=SC2154,SC2016
load helpers

# module FILE VERSION NAME FIELDS [MORE]: a module with one handler that answers with VERSION and its payload.
module() {
    mkdir -p mods include
    ln -sfn "$TERN_SOURCE/worker" include/tern
    cat > "$1.c" << END
#include <tern/handler.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int work(struct tern_job *job)
{
    size_t n;
    const char *text = tern_payload(job, &n);
    char result[100];
    (void)text;
    snprintf(result, sizeof result, "%s %.*s", "$2", (int)n, text);
    ${5:-}
    return tern_result(job, result, strlen(result));
}
static const struct tern_handler handlers[] = { { .name = "$3", .blocking = work, $4 } };
${6:-TERN_MODULE(handlers);}
END
    build "$1"
}

# Beside, and then in its place, as install(1) does it.
build() {
    ${CC:-cc} -shared -fPIC -O1 -w -Iinclude "$1.c" -o "$1.new"
    mv "$1.new" "mods/$1.so"
}

# answer HANDLER [OPTION...]: what a job of it answers.
answer() {
    local id
    id=$(tern submit --handler "$@" --payload hello)
    tern wait --timeout $((20 * slower))s "$id" && tern result "$id"
}

start_all() {
    start_broker
    start_worker w1 --modules "$dir/mods" --process 2
}

answers() {
    [ "$(answer "$1" --tag cpu)" = "$2" ] && [ "$(answer "$1" --tag io)" = "$2" ]
}

noticed() {
    tern workers --json | grep -F "$1"
}

@test "a module's handler runs in processes and in threads, and in processes alone where it says so" {
    module a one a '.tag = TERN_TAG_IO, .retries = 2'
    module b one b '.tag = TERN_TAG_IO, .not_thread_safe = true'
    start_all
    answers a 'one hello'
    [ "$(answer b)" = 'one hello' ]
    field_is last pool process
    [ "$(answer a)" = 'one hello' ]
    field_is last pool thread
    grep -F 'event=module-loaded module=a.so handlers=a' worker-w1.log
    # What no thread of the worker may run is never loaded into it.
    not grep -q 'memfd:b.so' "/proc/$worker/maps"
    grep -q 'memfd:a.so' "/proc/$worker/maps"
}

@test "each module that cannot be used is refused with its reason, and the others are used" {
    module a one a '.tag = TERN_TAG_CPU'
    module twice one a '.tag = TERN_TAG_CPU'
    module echo one echo '.tag = TERN_TAG_CPU'
    module badname one 'b/d' '.tag = TERN_TAG_CPU'
    module formless one f '.blocking = NULL'
    module lacks one l '.tag = TERN_TAG_CPU' 'extern void nobody(void); nobody();'
    module abi one i '.tag = TERN_TAG_CPU' '' 'const struct tern_module tern_module = { .abi = 99 };'
    module crash one c '' '' 'TERN_MODULE(handlers); __attribute__((constructor)) static void f(void) { abort(); }'
    module leaves one c '' '' 'TERN_MODULE(handlers); __attribute__((constructor)) static void f(void) { _exit(7); }'
    module quits one c '' '' 'TERN_MODULE(handlers); __attribute__((constructor)) static void f(void) { _exit(0); }'
    module hangs one h '' '' 'TERN_MODULE(handlers); __attribute__((constructor)) static void f(void) { if (!fork()) setsid(); for (;;) pause(); }'
    module empty one h '' '' ''
    printf 'int x;' > empty.c && build empty
    echo junk > mods/junk.so
    chmod o+w mods/junk.so
    start_all
    [ "$(answer a)" = 'one hello' ]
    noticed 'module twice.so refused: its handler a is that of the module a.so'
    noticed 'module echo.so refused: its handler echo has the name of one that is built in'
    noticed 'module badname.so refused: the name of a handler may have only [A-Za-z0-9._:-]; byte 2 is 0x2f'
    noticed 'module formless.so refused: its handler f has no form'
    noticed 'module lacks.so refused: it cannot be loaded: undefined symbol: nobody'
    noticed 'module abi.so refused: it is built for ABI 99'
    noticed 'module crash.so refused: it ends the process that loads it by signal 6 (ABRT)'
    noticed 'module leaves.so refused: it ends the process that loads it with status 7'
    noticed 'module quits.so refused: it does not say what it declares'
    noticed 'module hangs.so refused: it was not loaded within 5 s'
    noticed 'module empty.so refused: it has no symbol tern_module'
    noticed 'module junk.so refused: it can be written by everybody'
    tern workers 2>&1 | grep -F 'worker w1: module crash.so refused'
    [ "$(tern workers --json | grep -o '"handlers":\[[^]]*\]')" = '"handlers":["echo","exec","http","sha256","sleep","a"]' ]
    eventually 10 nothing_beside_zygote
}

nothing_beside_zygote() {
    [ "$(children_of "$worker" | wc -l)" -eq 1 ]
}

@test "after HUP new attempts use the new version, and running ones end with the old" {
    module a one a '.tag = TERN_TAG_CPU' 'while (access("go", F_OK)) usleep(1000);'
    start_all
    old_cpu=$(tern submit --handler a --tag cpu --payload x)
    old_io=$(tern submit --handler a --tag io --payload x)
    eventually 10 field_is "$old_cpu" state running
    eventually 10 field_is "$old_io" state running
    module a two a '.tag = TERN_TAG_CPU'
    module b two b '.tag = TERN_TAG_CPU'
    kill -HUP "$worker"
    eventually 10 grep -F 'event=module-loaded module=b.so' worker-w1.log # one of the old version would wait for `go`
    answers a 'two hello'
    answers b 'two hello'
    field_is "$old_cpu" state running
    field_is "$old_cpu" attempt 1
    touch go
    tern wait --timeout 20s "$old_cpu,$old_io"
    [ "$(tern result "$old_cpu") $(tern result "$old_io")" = 'one x one x' ]
    field_is "$old_io" attempt 1
    answers a 'two hello'

    # A version that cannot be used leaves the one before it; a file that is gone takes its handlers along.
    module a three a '.tag = TERN_TAG_CPU' '' 'TERN_MODULE(handlers); __attribute__((constructor)) static void f(void) { abort(); }'
    rm mods/b.so
    kill -HUP "$worker"
    eventually 10 noticed 'module a.so refused: it ends the process'
    answers a 'two hello'
    grep -F 'event=module-kept module=a.so' worker-w1.log
    eventually 10 not noticed '"b"'
    id=$(tern submit --handler b --payload x)
    tern why "$id" | grep -F b
    field_is "$id" state queued
}

@test "a module may call all that the header declares" {
    mkdir -p mods include
    ln -sfn "$TERN_SOURCE/worker" include/tern
    names=$(grep -oE '\btern_[a-z_]+\(' include/tern/handler.h | tr -d '(' | sort -u)
    [ "$(wc -l <<< "$names")" -gt 20 ]
    {
        echo '#include <tern/handler.h>'
        for name in $names; do echo "void *volatile use_$name = (void *)$name;"; done
        echo 'static int work(struct tern_job *job) { return tern_result(job, "all", 3); }'
        echo 'static const struct tern_handler handlers[] = { { .name = "all", .blocking = work } };'
        echo 'TERN_MODULE(handlers);'
    } > all.c
    build all
    start_all
    [ "$(answer all)" = all ]
}

@test "the choice of handlers takes modules in, and an unknown one is named" {
    module a one a '.tag = TERN_TAG_CPU'
    module b one b '.tag = TERN_TAG_CPU'
    start_broker
    start_worker w1 --modules "$dir/mods" --handlers b,echo
    [ "$(answer b)" = 'one hello' ]
    [ "$(tern workers --json | grep -o '"handlers":\[[^]]*\]')" = '"handlers":["echo","b"]' ]
    run -2 --separate-stderr tern-worker --broker "$TERN_BROKER" --name w2 --modules "$dir/mods" --handlers c
    grep -F 'there is no handler `c`' <<< "$stderr"
    run -2 --separate-stderr tern-worker --broker "$TERN_BROKER" --name w2 --modules "$dir/nowhere" --handlers c
    grep -F 'No such file' <<< "$stderr"
}

# Its job runs until there is the file `go`.
@test "how far a job is is shown while it runs, in a process, a thread and on the loop" {
    module a one a '.async = work' 'for (int i = 1; access("go", F_OK) != 0; i++) {
        tern_progress(job, i < 42 ? i : 42);
        if (tern_await_ms(job, 5) < 0) usleep(5000);
    }'
    start_all
    ids=$(for tag in cpu io slow-io; do tern submit --handler a --tag "$tag" --payload x; done)
    for id in $ids; do
        eventually 10 field_is "$id" progress 42
        tern show "$id" | grep -E 'progress +42 %'
        tern list --json | grep -F "\"id\":$id," | grep -F '"progress":42'
    done
    [ "$(for id in $ids; do field "$id" pool; done | xargs)" = 'process thread loop' ]
    touch go
    for id in $ids; do
        tern wait --timeout 20s "$id"
        field_is "$id" progress null
    done
}

#!/usr/bin/env bats
# Handlers of a module that do what they must not: the attempt says what it was, and the next job finds all as it was.
# shellcheck disable=SC2154
load helpers

start_all() {
    mkdir -p mods include elsewhere
    ln -sfn "$TERN_SOURCE/worker" include/tern
    cat > bad.c << END
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tern/handler.h>
#include <unistd.h>
static int nothing(struct tern_job *job) { (void)job; return 0; }
static int twice(struct tern_job *job) { tern_result(job, "first", 5); return tern_result(job, "second", 6); }
static int positive(struct tern_job *job) { (void)job; return 5; }
static int deep(volatile char *above) { volatile char here[4096]; here[0] = above[0]; return deep(here) + here[0]; }
static int overflow(struct tern_job *job) { (void)job; return deep("x"); }
static int leave(struct tern_job *job) { tern_log(job, "leaving"); exit(3); }
static int closes(struct tern_job *job) { (void)job; for (int fd = 3; fd < 1000; fd++) close(fd); return 0; }
static int closes_files(struct tern_job *job)
{
    struct stat st;
    for (int fd = 3; fd < 1000; fd++)
        if (fstat(fd, &st) == 0 && !S_ISSOCK(st.st_mode)) close(fd);
    return 0;
}
static int deafens(struct tern_job *job)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    signal(SIGTERM, SIG_IGN);
    return 0;
}
static int changes(struct tern_job *job)
{
    umask(0777);
    return chdir("$dir/elsewhere") < 0 ? tern_fail(job, "%m") : 0;
}
static int where(struct tern_job *job)
{
    char text[4200];
    struct sigaction term;
    sigset_t blocked;
    mode_t mask = umask(0);
    umask(mask);
    sigaction(SIGTERM, NULL, &term);
    sigprocmask(SIG_SETMASK, NULL, &blocked);
    snprintf(text, 4096, "%03o %d%d ", (unsigned)mask, term.sa_handler == SIG_IGN, sigismember(&blocked, SIGUSR2));
    return getcwd(text + strlen(text), 4096) ? tern_result(job, text, strlen(text)) : tern_fail(job, "%m");
}
static int pid(struct tern_job *job)
{
    char text[24];
    return tern_result(job, text, (size_t)snprintf(text, sizeof text, "%d", (int)getpid()));
}
#define H(f) { .name = "bad." #f, .blocking = f, .async = f }
static const struct tern_handler handlers[] = { H(nothing), H(twice), H(positive), H(overflow), H(leave), H(closes), H(closes_files),
                                                H(deafens), H(changes), H(where), H(pid) };
TERN_MODULE(handlers);
END
    printf '%s\n' '#include <tern/handler.h>' 'static int late(struct tern_job *job) { return tern_result(job, "late", 4); }' \
        'static const struct tern_handler handlers[] = { { .name = "late", .blocking = late } };' 'TERN_MODULE(handlers);' > late.c
    for name in bad late; do
        ${CC:-cc} -shared -fPIC -O1 -w -Iinclude $name.c -o mods/$name.so
    done
    start_broker --heartbeat 200ms --lost-after 1s
    start_worker w1 --modules "$dir/mods" --process 1 --thread 1
}

# run_as HANDLER TAG STATE REASON: its id is $id.
run_as() {
    id=$(tern submit --handler "$1" --tag "$2")
    ended_as "$id" "$3" "$4"
}

result_of() {
    run_as "$1" "$2" 'done' null
    tern result "$id"
}

@test "one that returns without a result has none, one that sets two has the second, and a number that is none is a failure" {
    start_all
    for tag in cpu io slow-io; do
        [ "$(result_of bad.nothing "$tag")" = '' ]
        [ "$(result_of bad.twice "$tag")" = second ]
        run_as bad.positive "$tag" dead handler-error
        field "$id" error | grep 'returned a number that is no errno'
    done
}

@test "in a process, one that overflows its stack, exits or closes foreign descriptors harms its own attempt" {
    start_all
    if [ -z "$sanitized" ]; then
        run_as bad.overflow cpu dead signal
        field_is "$id" signal 11
    fi
    run_as bad.leave cpu dead exit
    field_is "$id" exit_code 3
    # Nor is the next one harmed, whose module is yet to be loaded there. Without its socket a process is killed, soon.
    run_as bad.closes_files cpu 'done' null
    [ "$(result_of late cpu)" = late ]
    tern submit --handler bad.closes --tag cpu --wait || field_is last reason signal
    [ "$(result_of late cpu)" = late ]
    not gone "$worker"
}

@test "working directory, umask and signals are for the next one as they were" {
    start_all
    process=$(result_of bad.pid cpu)
    for tag in cpu io; do
        before=$(result_of bad.where "$tag")
        [[ $before == *" $dir" ]]
        run_as bad.changes "$tag" 'done' null
        [ "$tag" != cpu ] || run_as bad.deafens cpu 'done' null
        [ "$(result_of bad.where "$tag")" = "$before" ]
    done
    [ "$(result_of bad.pid cpu)" = "$process" ]
    [ "$(readlink "/proc/$worker/cwd")" = "$(readlink -f "$dir")" ]
}

# ends_worker HANDLER TAG EVENT TEXT: and the log says so. Its id is $id.
ends_worker() {
    id=$(tern submit --handler "$1" --tag "$2")
    eventually 20 gone "$worker"
    grep -F "event=$3 job=$id attempt=1 handler=$1$4" worker-w1.log
    start_worker w1 --modules "$dir/mods" --process 1 --thread 1
}

@test "in a thread and on the loop, one that exits or crashes is named before the worker ends of it, and then tried in a process" {
    start_all
    for tag in io slow-io; do
        ends_worker bad.leave "$tag" handler-exited ': it called exit, and ends the worker'
        ended_as "$id" dead exit
        field_is "$id" exit_code 3
        field_is "$id" pool process
        field_is "$id" attempt 2
    done
    [ -z "$sanitized" ] || return 0 # which names it
    for tag in io slow-io; do
        ends_worker bad.overflow "$tag" handler-crashed ' signal=11: its stack has overflowed'
        ended_as "$id" dead signal
    done
}

#!/bin/bash
# The rules of the house that a grep can prove (doc/style.md): each dangerous thing in one place, folders that
# never include sideways, no function that cannot be used safely, every file in its local.mk.
# Usage: house.sh [TREE]. First proves on a tree of its own that every rule can fail.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
tree=$(cd "${1:-$here/..}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A C file without its comments and without what its strings say, one line for each line.
# Includes keep their names.
blank() {
    awk '
    {
        out = ""; n = length($0)
        keep = !comment && $0 ~ /^[ \t]*#[ \t]*include/
        for (i = 1; i <= n; i++) {
            c = substr($0, i, 1); two = substr($0, i, 2)
            if (comment) {
                if (two == "*/") { comment = 0; i++ }
            } else if (quote != "") {
                if (c == "\\") i++
                else if (c == quote) { quote = ""; out = out c }
                else if (keep) out = out c
            } else if (two == "/*") {
                comment = 1; i++; out = out " "
            } else if (two == "//") {
                break
            } else if (c == "\"" || c == "\047") {
                quote = c; out = out c
            } else out = out c
        }
        if (substr($0, n, 1) != "\\") quote = ""
        print out
    }' "$1"
}

# rule NAME PATTERN ALLOWED: lines that match PATTERN (extended) are for files that match ALLOWED alone.
# An include's name stands in the text as it was written, <...> or "...".
rule() {
    local name=$1 pattern=$2 allowed=$3 hits
    cd "$text"
    hits=$(grep -rnE "$pattern" . | sed 's|^\./||' | grep -vE "^($allowed):") || return 0
    broken+=("$name")
    while IFS= read -r hit; do
        echo "$name: $hit"
    done <<< "$hits"
}

include_of() {
    printf '^[ \t]*#[ \t]*include[ \t]*[<"]%s[>"]' "$1"
}

call_of() {
    printf '(^|[^A-Za-z0-9_])(%s)[ \t]*\\(' "$1"
}

listed() {
    local file folder name
    while IFS= read -r file; do
        folder=${file%%/*}
        name=${file#*/}
        # A test of one file stands there as a program: without its .c.
        [ "$folder" != tests ] || name=${name%.c}
        grep -qE "%D%/$name(\.c)?([[:space:]]|\$)" "$1/$folder/local.mk" 2> /dev/null && continue
        broken+=(listed)
        echo "listed: $file stands in no list of $folder/local.mk"
    done < <(cd "$text" && find . -name '*.[ch]' | sed 's|^\./||' | sort)
}

from_top() {
    local hit name
    while IFS= read -r hit; do
        name=${hit#*\"}
        name=${name%%\"*}
        [ "$name" = config.h ] && continue
        [ -f "$1/$name" ] && [ "${name#*..}" = "$name" ] && continue
        broken+=(from-top)
        echo "from-top: $hit"
    done < <(cd "$text" && grep -rnE '^[ \t]*#[ \t]*include[ \t]*"' . | sed 's|^\./||')
}

# check TREE: prints what is wrong and leaves the names of the broken rules in $broken.
check() {
    local top=$1 file
    text=$work/text
    broken=()
    rm -rf "$text"
    mkdir -p "$text"
    while IFS= read -r file; do
        mkdir -p "$text/${file%/*}"
        blank "$top/$file" > "$text/$file"
    done < <(cd "$top" && for d in proto broker worker client tests; do
        [ ! -d "$d" ] || find "$d" -type f -name '*.[ch]'
    done)

    rule zmq "$(include_of 'zmq[a-z_]*\.h')" 'proto/(key|socket|zap)\.c'
    rule sqlite "$(include_of 'sqlite3\.h')" 'broker/store[a-z_]*\.[ch]|tests/.*'
    rule pthread "$(include_of '(pthread|threads)\.h')" \
        'worker/(threads|pool_loop|coroutine)\.c|broker/reader\.c|tests/.*'
    rule dlopen "$(include_of 'dlfcn\.h')" 'worker/module\.c|proto/guard_box\.c|tests/.*'
    rule fork "$(call_of 'v?fork|_Fork')" 'worker/zygote\.c|tests/.*'
    rule systemd "$(include_of 'systemd/.*')" 'proto/base/(log|service)\.c'
    rule unsafe "$(call_of 'strcpy|strcat|v?sprintf|strtok|gets|ato[ifl]|atoll|system')" '-'
    rule sideways-proto "$(include_of '(broker|worker|client|tests)/.*')" '(broker|worker|client|tests)/.*'
    rule sideways-base "$(include_of 'proto/[^b/][^/]*|proto/b[^/]*')" \
        'proto/[^/]*|(broker|worker|client|tests)/.*'
    rule sideways-broker "$(include_of 'broker/.*')" '(broker|tests)/.*'
    rule sideways-worker "$(include_of 'worker/.*')" '(worker|tests)/.*'
    rule sideways-client "$(include_of 'client/.*')" '(client|tests)/.*'
    rule up "$(include_of 'tests/.*')" 'tests/.*'
    from_top "$top"
    listed "$top"
}

# plant RULE FILE TEXT: a tree that holds this alone breaks this rule.
# With RULE empty, it breaks none.
plant() {
    local want=$1 file=$2 body=$3 bad=$work/bad out
    rm -rf "$bad"
    mkdir -p "$bad/${file%/*}" "$bad/${file%%/*}" "$bad/proto/base" "$bad/worker"
    touch "$bad/proto/message.h" "$bad/worker/slot.h"
    printf '%%D%%/message.h \\\n' > "$bad/proto/local.mk"
    printf '%%D%%/slot.h \\\n' > "$bad/worker/local.mk"
    printf '%s\n' "$body" > "$bad/$file"
    [ "$want" = listed ] || printf '%%D%%/%s\n' "${file#*/}" >> "$bad/${file%%/*}/local.mk"
    out=$work/out
    check "$bad" > "$out"
    case " ${broken[*]-} " in
        "  ") [ -z "$want" ] && return 0 ;;
        *" $want "*) [ -n "$want" ] && return 0 ;;
    esac
    echo "house.sh itself is wrong: $file with '$body' should break '${want:-nothing}', broke '${broken[*]-}'"
    cat "$out"
    exit 1
}

plant zmq broker/loop.c '#include <zmq.h>'
plant '' proto/socket.c '#include <zmq.h>'
plant zmq proto/message.c '#include <zmq.h>'
plant sqlite broker/dispatch.c '#include <sqlite3.h>'
plant '' broker/store_read.c '#include <sqlite3.h>'
plant pthread client/libtern.c '#  include <pthread.h>'
plant pthread worker/zygote.c '#include <pthread.h>'
plant pthread worker/pool_thread.c '#include <pthread.h>'
plant '' worker/pool_loop.c '#include <pthread.h>'
plant dlopen worker/handlers.c '#include <dlfcn.h>'
plant fork worker/slot.c 'int x = fork();'
plant fork client/cmd_up.c 'int x = vfork ();'
plant '' worker/slot.c '/* fork() is the zygote'"'"'s */ const char *s = "fork()"; int fork_count(void);'
plant '' worker/zygote.c 'int x = fork();'
plant systemd broker/loop.c '#include <systemd/sd-daemon.h>'
plant '' proto/base/service.c '#include <systemd/sd-daemon.h>'
for f in strcpy strcat sprintf strtok gets atoi system; do
    plant unsafe tests/test_slot.c "int x = $f(y);"
done
plant '' tests/test_slot.c 'snprintf(a, n, "system(%d)", strtok_r(b)); fgets(c); job_system(d);'
plant sideways-worker broker/loop.c '#include "worker/slot.h"'
plant sideways-worker client/main.c '#include "worker/slot.h"'
plant sideways-broker worker/loop.c '#include "broker/job.h"'
plant sideways-client broker/loop.c '#include "client/tern.h"'
plant sideways-proto proto/frame.c '#include "worker/slot.h"'
plant sideways-base proto/base/time.c '#include "proto/message.h"'
plant up worker/loop.c '#include "tests/fixture.h"'
plant from-top worker/loop.c '#include "slot.h"'
plant from-top worker/loop.c '#include "../worker/slot.h"'
plant '' worker/loop.c $'#include "config.h"\n#include "proto/message.h"\n#include "worker/slot.h"'
plant listed worker/forgotten.c 'int x;'

check "$tree"
if [ "${#broken[@]}" -gt 0 ]; then
    exit 1
fi
echo "the house is in order"

#!/bin/bash
# proto/PROTOCOL.md says what proto/message.h, words.h and limits.h say: every message, record and field in order with its
# number and type, every enum, every limit; proto/RUNNER.md what proto/runner_records.h says; and it knows every code that the broker explains itself with.
set -eu

top=${TERN_SOURCE:-$(cd "$(dirname "$0")/.." && pwd)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# One definition a line, without comments.
flat() {
    sed -e ':a; /\\$/ { N; s/\\\n/ /; b a }' "$1" | sed -E -e 's|/\*([^*]\|\*[^/])*\*/||g' | grep '^#define'
}

messages_in_code() {
    flat "$1" | awk '
        function fields_of(text,   out, part) {
            while (match(text, /F\([A-Z0-9]+, *[a-z0-9_]+, *[a-z_]*\)/)) {
                split(substr(text, RSTART + 2, RLENGTH - 3), part, /, */)
                out = out part[2] " " part[1] (part[3] != "" ? " of " part[3] : "") "\n"
                text = substr(text, RSTART + RLENGTH)
            }
            return out
        }
        /^#define [A-Z_]+_FIELDS\(F\)/ { name = $2; sub(/\(.*/, "", name); fields[name] = fields_of($0) }
        /^#define (RUNNER_)?RECORDS\(R\)/ {
            for (text = $0; match(text, /R\([a-z_]+, *[A-Z_]+\)/); text = substr(text, RSTART + RLENGTH)) {
                split(substr(text, RSTART + 2, RLENGTH - 3), part, /, */)
                records = records "record " part[1] "\n" fields[part[2]]
            }
        }
        /^#define MESSAGES\(M\)/ {
            for (text = $0; match(text, /M\([A-Z_]+, *[0-9]+, *[a-z_]+, *[A-Z_]+\)/); text = substr(text, RSTART + RLENGTH)) {
                split(substr(text, RSTART + 2, RLENGTH - 3), part, /, */)
                messages = messages part[1] " = " part[2] "\n" fields[part[4]]
            }
        }
        END { printf "%s%s", messages, records }'
}

messages_in_text() {
    awk '
        function end(   i) {
            for (i = 1; i <= n; i++) printf "%s\n%s", heading[i], rows
            n = 0; rows = ""
        }
        /^#/ { end() }
        /^### record / { n = 1; heading[1] = "record " $3 }
        /^### [A-Z_]+ = [0-9]+/ { text = $0; sub(/^### /, "", text); n = split(text, heading, /, */) }
        n && /^\| `[a-z0-9_]+` \|/ {
            split($0, cell, / *\| */)
            gsub(/`/, "", cell[2])
            rows = rows cell[2] " " cell[3] "\n"
        }
        END { end() }' "$1"
}

# Of a runner's messages: `NAME number`.
numbers_in_code() { flat "$1" | grep -oE 'X\(RUNNER_[A-Z]+, *[0-9]+' | sed -E 's/X\(RUNNER_([A-Z]+), */\1 /'; }

numbers_in_text() { sed -nE 's/^([A-Z]+), number ([0-9]+)[.:].*/\1 \2/p' "$1"; }

words_in_code() {
    flat "$1" | awk '
        BEGIN { split("TAGS Tags POOLS Pools CHOOSERS Choosers STATES States ENDINGS Endings REASONS Reasons ERROR_CODES Error_codes", pair)
                for (i = 1; i in pair; i += 2) title[pair[i]] = pair[i + 1] }
        /^#define [A-Z_]+\(X\)/ {
            list = $2; sub(/\(.*/, "", list)
            text = $0
            while (match(text, /X\([A-Z_]+, *[0-9]+, *"[a-z-]*"\)/)) {
                split(substr(text, RSTART + 2, RLENGTH - 3), part, /, */)
                gsub(/"/, "", part[3])
                print (list in title ? title[list] : list) " " part[2] " " part[3]
                text = substr(text, RSTART + RLENGTH)
            }
        }' | LC_ALL=C sort
}

words_in_text() {
    awk '
        /^#/ { heading = $0; sub(/^#+ /, "", heading); gsub(/ /, "_", heading) }
        heading ~ /^(Tags|Pools|Choosers|States|Endings|Reasons|Error_codes)$/ && /^\| [0-9]+ \|/ {
            split($0, cell, / *\| */)
            print heading " " cell[2] " " cell[3]
        }' "$1" | LC_ALL=C sort
}

limits_in_code() {
    flat "$1" | awk '
        /^#define LIMIT_/ {
            text = $0; gsub(/[()u]/, "", text); split(text, part, " ")
            print part[2] " " (part[4] == "<<" ? part[3] * 2 ^ part[5] : part[3])
        }'
}

limits_in_text() { awk '/^\| LIMIT_/ { print $2 " " $4 }' "$1"; }

# Every word that the broker says in one of these ways stands in the text as a table's first cell, or in backquotes.
said() { grep -ohE -- "$@" | grep -oE '"[a-z_-]+"' | tr -d '"' | LC_ALL=C sort -u; }

missing_words() {
    local text=$1 word
    while IFS= read -r word; do
        grep -qE "^\| $word \|" "$text" || grep -qF "\`$word\`" "$text" || echo "not told of: $word"
    done
}

# check TREE: prints every difference.
check() {
    local t=$1
    messages_in_code "$t/proto/message.h" > "$work/a"
    messages_in_text "$t/proto/PROTOCOL.md" > "$work/b"
    diff --label proto/message.h --label proto/PROTOCOL.md -U 3 "$work/a" "$work/b" || true
    messages_in_code "$t/proto/runner_records.h" > "$work/a"
    messages_in_text "$t/proto/RUNNER.md" > "$work/b"
    diff --label proto/runner_records.h --label proto/RUNNER.md -U 3 "$work/a" "$work/b" || true
    numbers_in_code "$t/proto/runner_records.h" > "$work/a"
    numbers_in_text "$t/proto/RUNNER.md" > "$work/b"
    diff --label proto/runner_records.h --label proto/RUNNER.md -U 0 "$work/a" "$work/b" || true
    words_in_code "$t/proto/words.h" > "$work/a"
    words_in_text "$t/proto/PROTOCOL.md" > "$work/b"
    diff --label proto/words.h --label proto/PROTOCOL.md -U 0 "$work/a" "$work/b" || true
    limits_in_code "$t/proto/limits.h" > "$work/a"
    limits_in_text "$t/proto/PROTOCOL.md" > "$work/b"
    diff --label proto/limits.h --label proto/PROTOCOL.md -U 0 "$work/a" "$work/b" || true
    {
        [ ! -f "$t/broker/recv_why.c" ] || said 'say\(y, .*' "$t/broker/recv_why.c"
        [ ! -f "$t/broker/recv_query.c" ] || said 'str_of\("[a-z_]+"\), ' "$t/broker/recv_query.c"
        cat "$t"/broker/store_*.c 2> /dev/null | said '(store_event\(|[^a-z_]add\(h, ).*'
    } | missing_words "$t/proto/PROTOCOL.md"
}

# The test itself: each of these changes must be seen.
spoil() {
    local file=$1 change=$2 bad=$work/bad
    rm -rf "$bad"
    mkdir -p "$bad/proto" "$bad/broker"
    cp "$top/proto/"{message.h,runner_records.h,words.h,limits.h,PROTOCOL.md,RUNNER.md} "$bad/proto/"
    cp "$top/broker/recv_why.c" "$top/broker/recv_query.c" "$bad/broker/"
    sed -i -E "$change" "$bad/$file"
    ! cmp -s "$bad/$file" "$top/$file" || { echo "protocol_doc.sh itself is wrong: '$change' changes nothing"; exit 1; }
    [ -n "$(check "$bad")" ] || { echo "protocol_doc.sh itself is wrong: '$change' in $file was not seen"; exit 1; }
}

check "$top" > "$work/found"
if [ -s "$work/found" ]; then
    cat "$work/found"
    exit 1
fi
spoil proto/PROTOCOL.md '/^\| .kill_grace_ms. \|/d'
spoil proto/PROTOCOL.md 's/^### WHY = 27/### WHY = 37/'
spoil proto/PROTOCOL.md 's/^(\| .first. \| )U64/\1I64/'
spoil proto/PROTOCOL.md 's/^\| 5 \| dead/| 5 | failed/'
spoil proto/message.h 's/F\(STR, cwd, \)/F(STR, cwd, ) F(U64, nice, )/'
spoil proto/message.h 's/M\(STOP, 46/M(STOP, 47/'
spoil proto/RUNNER.md '/^\| .cpu_us. \|/d'
spoil proto/RUNNER.md 's/^DONE, number 17/DONE, number 18/'
spoil proto/runner_records.h 's/F\(BIN, payload, \)/F(STR, payload, )/'
spoil proto/limits.h 's/^(#define LIMIT_SLOTS )10000u/\120000u/'
spoil broker/recv_why.c 's/"pool-off"/"pool-shut"/'
echo "proto/PROTOCOL.md says what the code says"

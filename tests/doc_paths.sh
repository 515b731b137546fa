#!/bin/bash
# Every file that README.md, doc/style.md and proto/PROTOCOL.md name is there: links, and paths in backquotes or at the beginning
# of a line of the tour through the tree.
set -eu

top=${TERN_SOURCE:-$(cd "$(dirname "$0")/.." && pwd)}

# Paths that begin with a folder of the tree; FOLDER/*.c and the like may match anything.
named() {
    sed -E 's/\]\(([^)#]*)[^)]*\)/] \1 /g' "$1" |
        grep -oE '(^|[` (])(proto|broker|worker|client|tests|contrib|doc)/[A-Za-z0-9_.*/-]+' |
        sed -E 's/^[` (]//; s/[.]$//' | LC_ALL=C sort -u
    grep -oE '\]\([A-Z]+(\.md)?\)' "$1" | sed -E 's/^\]\(|\)$//g'
}

missing() {
    local page=$1 path
    while IFS= read -r path; do
        compgen -G "$top/$path" > /dev/null || compgen -G "$top/$path*" > /dev/null || echo "${page##*/} names $path"
    done < <(named "$page")
}

found=$(for page in README.md doc/style.md proto/PROTOCOL.md; do missing "$top/$page"; done)
if [ -n "$found" ]; then
    echo "$found"
    exit 1
fi

# The test itself: a page that names nothing real.
lie=$(mktemp)
trap 'rm -f "$lie"' EXIT
cat > "$lie" << 'END'
see [that](doc/none.md) and `broker/none.c`
 3 client/none.c
[x](NONE.md)
END
[ "$(missing "$lie" | wc -l)" -eq 4 ] || { echo "doc_paths.sh itself is wrong:"; missing "$lie"; exit 1; }
echo "every file that is named is there"

#!/bin/bash
# The credentials that the units load are those that the programs look for, and the man pages say the same names, and the files that
# they come from. First proves, on copies, that it can fail.
set -eu

top=${TERN_SOURCE:-$(cd "$(dirname "$0")/.." && pwd)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# wanted TREE PROGRAM: what it looks for in CREDENTIALS_DIRECTORY.
wanted() { cat "$1/$2"/*.c | tr '\n' ' ' | grep -oE 'key_find_file\([^;]*;' | grep -oE '"[a-z]+\.(key|pub)"' | tr -d '"' | sort; }

# loaded TREE UNIT: NAME:FILE a line, as the unit loads them. A name without a slash is a file of /etc/credstore, and may be missing.
loaded() { sed -n 's/^LoadCredential=//p' "$1/contrib/systemd/$2.service.in" | sort; }

# check TREE PROGRAM UNIT
check() {
    local names pair status=0
    names=$(loaded "$1" "$3" | sed 's/:.*//')
    if [ -z "$names" ] || [ "$names" != "$(wanted "$1" "$2")" ]; then
        echo "$3.service.in loads the credentials: $names; tern-$2 looks for: $(wanted "$1" "$2")" | tr '\n' ' '
        return 1
    fi
    for pair in $(loaded "$1" "$3"); do
        grep -qF "${pair%%:*}" "$1/doc/tern-$2.8" && grep -qF "/etc/credstore/${pair#*:}" "$1/doc/tern-$2.8" && continue
        echo "doc/tern-$2.8 does not tell of the credential ${pair%%:*}, or of its file /etc/credstore/${pair#*:}"
        status=1
    done
    return "$status"
}

all() { check "$1" broker tern-broker && check "$1" worker tern-worker@; }

# differs FILE EXPRESSION: a tree in which sed has changed this file is found to be wrong.
differs() {
    rm -rf "$work/tree"
    mkdir -p "$work/tree/contrib"
    cp -r "$top/contrib/systemd" "$work/tree/contrib/"
    cp -r "$top/doc" "$work/tree/"
    cp -r "$top/broker" "$top/worker" "$work/tree/"
    chmod -R u+w "$work/tree"
    sed -i "$2" "$work/tree/$1"
    ! all "$work/tree" > /dev/null || { echo "credentials.sh itself is wrong: $1 with '$2' should fail"; exit 1; }
}

differs contrib/systemd/tern-broker.service.in 's/=broker\.key:/=tern-broker.key:/'
differs contrib/systemd/tern-worker@.service.in '/^LoadCredential=broker/d'
differs worker/broker_list.c 's/"worker\.key"/"own.key"/'
differs doc/tern-worker.8 's/credstore\/tern-broker/credstore\/broker/'
all "$top"

#!/bin/bash
# Every command, option and configuration key stands in its man page with its default, and none stands there that does not
# exist. The programs themselves are asked. The example configurations name every key.
set -eu

top=${TERN_SOURCE:-$(cd "$(dirname "$0")/.." && pwd)}
build=${TERN_BUILD:-$top}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# ---- what there is --------------------------------------------------------------------------------

# COMMAND --OPTION a line, and COMMAND alone for each command.
commands() { awk '{ print $1; for (i = 2; i <= NF; i++) print $1 " " $i }' "$work/names"; }

# Of a program's --help: OPTION DEFAULT a line, the default - where it is no plain value.
options() {
    awk '/^ *--[a-z]/ {
             name = $1; sub(/^--/, "", name)
             value = "-"
             if (match($0, /\([0-9A-Za-z]+\)$/)) value = substr($0, RSTART + 1, RLENGTH - 2)
             print name, value
         }' "$1"
}

# ---- what is told ---------------------------------------------------------------------------------

# The text of one item: from its .It to the next, or the end of the list.
item() {
    awk -v want="$2" '
        /^\.It / || /^\.El/ { inside = 0 }
        /^\.It / && index($0 " ", want " ") == 5 { inside = 1 }
        inside' "$1"
}

# What begins with .It WORD NAME: the names.
items() { awk -v word="$2" '$1 == ".It" && $2 == word { print $3 }' "$1" | LC_ALL=C sort -u; }

section() { awk -v want=".Ss $2" '/^\.S[sh] / { inside = $0 == want } inside' "$1"; }

has_default() {
    local default=$2
    case $default in
        - | all | no | yes) return 0 ;;
    esac
    grep -qwF -- "$default" <<< "$1"
}

check_tern() {
    local page=$1 command option text
    while read -r command option; do
        text=$(item "$page" "Ic $command")
        if [ -z "$text" ]; then
            echo "tern.1: no command $command"
        elif [ -n "$option" ] && ! grep -qE -- "Fl -${option#--}( |$)" <<< "$text" &&
            [ -z "$(item "$page" "Fl -${option#--}")" ]; then
            echo "tern.1: $command has no option $option"
        fi
    done < <(commands)
    while read -r command; do
        commands | grep -qx -- "$command" || echo "tern.1: there is no command $command"
    done < <(items "$page" Ic)
    while read -r option; do
        commands | grep -qE -- " -$option\$" || echo "tern.1: there is no option -$option"
    done < <(items "$page" Fl)
}

check_daemon() {
    local page=$1 help=$2 name default text
    while read -r name default; do
        text=$(item "$page" "Fl -$name")
        if [ -z "$text" ]; then
            echo "${page##*/}: no option --$name"
        elif ! has_default "$text" "$default"; then
            echo "${page##*/}: --$name: the default is $default"
        fi
    done < <(options "$help")
    while read -r name; do
        options "$help" | grep -q -- "^${name#-} " || echo "${page##*/}: there is no option -$name"
    done < <(items "$page" Fl)
}

check_keys() {
    local file=$1 help=$2 name default text
    section "$docs/tern.conf.5" "Keys of $file" > "$work/section"
    while read -r name default; do
        case $name in
            config | help | version) continue ;;
        esac
        text=$(item "$work/section" "Cm $name")
        if [ -z "$text" ]; then
            echo "tern.conf.5: $file has no key $name"
        elif ! has_default "$text" "$default"; then
            echo "tern.conf.5: $file: $name: the default is $default"
        fi
        grep -q -- "^;$name = " "$examples/$file" || echo "contrib/$file: no example of $name"
    done < <(options "$help")
    while read -r name; do
        options "$help" | grep -q -- "^$name " || echo "tern.conf.5: $file: there is no key $name"
    done < <(items "$work/section" Cm; sed -nE 's/^;([a-z-]+) = .*/\1/p' "$examples/$file")
}

check() {
    docs=$1 examples=$2
    check_tern "$docs/tern.1"
    check_daemon "$docs/tern-broker.8" "$work/broker"
    check_daemon "$docs/tern-worker.8" "$work/worker"
    check_keys broker.conf "$work/broker"
    check_keys worker.conf "$work/worker"
    if command -v mandoc > /dev/null; then
        for page in "$docs"/*.[1-9]; do
            mandoc -T lint -W warning "$page" || true
        done
    fi
}

# Each of these mistakes must be seen.
spoil() {
    local file=$1 change=$2 bad=$work/bad
    rm -rf "$bad"
    mkdir "$bad"
    cp "$top"/doc/*.[1-9] "$top/contrib/broker.conf" "$top/contrib/worker.conf" "$bad/"
    chmod u+w "$bad"/*
    sed -i -E "$change" "$bad/$file"
    [ -n "$(check "$bad" "$bad")" ] || { echo "manpages.sh itself is wrong: '$change' in $file was not seen"; exit 1; }
}

"$build/tern" help --names > "$work/names"
"$build/tern-broker" --help > "$work/broker"
"$build/tern-worker" --help > "$work/worker"
for file in names broker worker; do
    [ "$(wc -l < "$work/$file")" -gt 10 ] || { echo "no list of names: $file"; exit 1; }
done
check "$top/doc" "$top/contrib" > "$work/found"
if [ -s "$work/found" ]; then
    cat "$work/found"
    exit 1
fi
spoil tern.1 's/^\.It Ic pause/.It Ic halt/'
spoil tern.1 '/^\.It Fl -crash-limit/d'
spoil tern.1 's/Fl -names/Fl -words/'
spoil tern-broker.8 '/^\.It Fl -ballast/d'
spoil tern-broker.8 's/^\.Li 7d/.Li 8d/'
spoil tern-worker.8 's/^\.It Fl -drain/.It Fl -drains/'
spoil tern.conf.5 's/^\.It Cm max-payload/.It Cm payload/'
spoil worker.conf '/^;thread/d'
echo "the man pages say what there is"

# What is in tests/runner, for the flows of runners: the cases in C and in Python, and the runner that does wrong.
# shellcheck shell=bash disable=SC2154,SC2034

python=/usr/bin/python3

# Once for the whole file: the cases in C.
setup_file() {
    : "${TERN_SOURCE:=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)}"
    export TERN_SOURCE PYTHONPATH=$TERN_SOURCE/contrib/python PYTHONDONTWRITEBYTECODE=1 cases=$BATS_FILE_TMPDIR
    "$python" -c 'import msgpack, zmq' 2> /dev/null && touch "$cases/python"
    mkdir -p "$cases/mods" "$cases/include"
    ln -sfn "$TERN_SOURCE/worker" "$cases/include/tern"
    ${CC:-cc} -shared -fPIC -O1 -w -I"$cases/include" "$TERN_SOURCE/tests/runner/cases.c" -o "$cases/mods/cases.so"
}

need_python() {
    [ -e "$cases/python" ] || skip "needs python3-zmq and python3-msgpack"
}

# start_cases [OPTION...]: a worker that has all cases in both languages.
start_cases() {
    need_python
    start_broker
    start_worker w1 --process 2 --thread 4 --loop 100 --modules "$cases/mods" \
        --runner "py=$python -m tern.runner '$TERN_SOURCE/tests/runner/cases.py'" "$@"
}

# start_bad HOW [FLAG]: a worker with the runner that does wrong.
start_bad() {
    need_python
    start_broker
    start_worker w1 --process 2 --thread 4 --loop 10 --runner "bad=$python '$TERN_SOURCE/tests/runner/bad.py' $*"
}

pool_of() {
    case $1 in cpu) echo process ;; io) echo thread ;; *) echo loop ;; esac
}

# name_of LANGUAGE TAG NAME: of a case; in Python a function, but on the loop and as `coroutine` an `async def`.
name_of() {
    case "$1 $2" in "py slow-io" | coroutine*) echo "py.$3.async" ;; *) echo "$1.$3" ;; esac
}

# case_of LANGUAGE TAG NAME STATE REASON [OPTION...]: runs it; its id is $id.
case_of() {
    local language=$1 tag=$2 name state=$4 reason=$5
    name=$(name_of "$1" "$2" "$3")
    shift 5
    id=$(tern submit --handler "$name" --tag "$tag" "$@")
    ended_as "$id" "$state" "$reason" pool "$(pool_of "$tag")"
}

says() {
    field "$1" error | grep -F -- "$2"
}

log_has() {
    tern logs "$1" 2>&1 | grep -F -- "$2"
}

# all STATE REASON NAME [OPTION...]: in both languages and all pools, at the same time; then $check of each.
all() {
    local state=$1 reason=$2 name=$3 language tag submitted=()
    shift 3
    for language in c py; do
        for tag in cpu io slow-io; do
            submitted+=("$(pool_of "$tag") $(tern submit --handler "$(name_of "$language" "$tag" "$name")" --tag "$tag" "$@")")
        done
    done
    for id in "${submitted[@]}"; do
        ended_as "${id#* }" "$state" "$reason" pool "${id% *}"
        id=${id#* }
        "$check"
    done
}

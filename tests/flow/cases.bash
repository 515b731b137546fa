# What is in tests/runner, for the flows of runners: the cases in C and in Python, and the runner that does wrong.
# shellcheck shell=bash disable=SC2154,SC2034

python=/usr/bin/python3

need_python() {
    "$python" -c 'import msgpack, zmq' 2> /dev/null || skip "needs python3-zmq and python3-msgpack"
    : "${TERN_SOURCE:=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)}"
    export PYTHONPATH=$TERN_SOURCE/contrib/python PYTHONDONTWRITEBYTECODE=1
}

# start_cases [OPTION...]: a worker that has all cases in both languages.
start_cases() {
    need_python
    mkdir -p mods include
    ln -sfn "$TERN_SOURCE/worker" include/tern
    ${CC:-cc} -shared -fPIC -O1 -w -Iinclude "$TERN_SOURCE/tests/runner/cases.c" -o mods/cases.so
    start_broker
    start_worker w1 --process 2 --thread 4 --loop 100 --modules "$dir/mods" \
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

# case LANGUAGE TAG NAME STATE REASON [OPTION...]: runs it; its id is $id.
case_of() {
    local language=$1 tag=$2 name state=$4 reason=$5
    name=$(name_of "$1" "$2" "$3")
    shift 5
    id=$(tern submit --handler "$name" --tag "$tag" "$@")
    ended_as "$id" "$state" "$reason"
    field_is "$id" pool "$(pool_of "$tag")"
}

says() {
    field "$1" error | grep -F -- "$2"
}

log_has() {
    tern logs "$1" 2>&1 | grep -F -- "$2"
}

# all STATE REASON NAME [OPTION...]: in both languages and all pools, each time then $check.
all() {
    local state=$1 reason=$2 name=$3 language tag
    shift 3
    for language in c py; do
        for tag in cpu io slow-io; do
            case_of "$language" "$tag" "$name" "$state" "$reason" "$@"
            "$check"
        done
    done
}

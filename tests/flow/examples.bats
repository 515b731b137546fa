#!/usr/bin/env bats
# The examples, built outside of the tree from what make install installs, and run.
# shellcheck disable=SC2154
load helpers

# What a user has: the header and tern.pc, under a prefix of their own.
install_headers() {
    make -s -C "$TERN_BUILD" install-pkgincludeHEADERS install-pkgconfigDATA prefix="$dir/prefix" \
        includedir="$dir/prefix/include" libdir="$dir/prefix/lib" > make.log 2>&1
    sed "s|^includedir=.*|includedir=$dir/prefix/include|" "$TERN_BUILD/client/tern.pc" > "$dir/prefix/tern.pc"
    export PKG_CONFIG_PATH=$dir/prefix
}

# example NAME [FILE]: as its first comment says.
example() {
    mkdir -p src mods
    cp "${2:-$TERN_SOURCE/contrib/examples/$1.c}" "src/$1.c"
    # shellcheck disable=SC2046
    ${CC:-cc} -shared -fPIC -Wall -Wextra -Werror -O2 $(pkg-config --cflags tern) "src/$1.c" -o "mods/$1.so"
}

@test "hash.c: a blocking handler of the tag cpu" {
    install_headers
    example hash
    start_broker
    start_worker w1 --modules "$dir/mods"
    id=$(tern submit --handler fnv --payload foobar)
    tern wait --timeout 20s "$id"
    [ "$(tern result "$id")" = 85944171f73967e8 ]
    field_is "$id" pool process
    printf foobar > file
    id=$(printf '@%s' "$dir/file" | tern submit --handler fnv --tag io --payload -)
    tern wait --timeout 20s "$id"
    [ "$(tern result "$id")" = 85944171f73967e8 ]
    field_is "$id" pool thread
    tern logs --stderr "$id" | grep -F "read $dir/file"
    id=$(printf @/nowhere | tern submit --handler fnv --payload -)
    ended_as "$id" dead handler-error
    field_is "$id" attempt 1
}

@test "README's handler in C" {
    install_headers
    awk '/^```c$/ { inside = !n++; next } /^```$/ { inside = 0 } inside' "$TERN_SOURCE/README.md" > shout.c
    grep -F shout.c shout.c
    example shout "$dir/shout.c"
    start_broker
    start_worker w1 --modules "$dir/mods"
    [ "$(tern result "$(tern submit --handler shout --payload hello --wait)")" = HELLO ]
}

@test "resume.c: an attempt goes on where the one before it was" {
    install_headers
    example resume
    start_broker
    start_worker w1 --modules "$dir/mods"
    id=$(tern submit --handler primes --payload 100000)
    tern wait --timeout 60s "$id"
    [ "$(tern result "$id")" = 9592 ]

    # Killed with its worker once it has left something.
    id=$(tern submit --handler primes --payload 6000000)
    eventually 20 left_something
    kill_and_wait KILL "$worker"
    start_worker w2 --modules "$dir/mods"
    tern wait --timeout 90s "$id"
    [ "$(tern result "$id")" = 412849 ]
    field_is "$id" attempt 2
    tern logs --stderr "$id" | grep -E 'attempt 2 goes on at [1-9][0-9]*0000$'
    [ "$(sqlite3 tern.db 'SELECT count(*) FROM checkpoint')" = 0 ]
}

# Its first one says 0, where it began.
left_something() {
    [ "$(sqlite3 tern.db 'SELECT count(*) FROM checkpoint WHERE substr(body, 1, 8) <> zeroblob(8)')" = 1 ]
}

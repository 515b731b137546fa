#!/usr/bin/env bats
# contrib/python: its own tests, against a real broker that is killed in between; and the examples.
# shellcheck disable=SC2016,SC2154
load helpers

python=/usr/bin/python3

need_python() {
    "$python" -c 'import msgpack, zmq' 2> /dev/null || skip "needs python3-zmq and python3-msgpack"
    : "${TERN_SOURCE:=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)}"
    export PYTHONPATH=$TERN_SOURCE/contrib/python PYTHONDONTWRITEBYTECODE=1
}

@test "the package's own tests pass" {
    need_python
    start_broker
    start_worker w1 --process 2 --runner "py=$python -m tern.runner '$TERN_SOURCE/tests/runner/cases.py'"
    cat > again << END
kill -KILL \$(cat '$dir/pid')
while grep -qs '^State:.[^ZX]' /proc/\$(cat '$dir/pid')/task/*/status; do :; done # its lock goes with its last thread
setsid tern-broker --listen '$TERN_BROKER' --db '$dir/tern.db' --ballast 1M < /dev/null >> '$dir/broker.log' 2>&1 &
echo \$! > '$dir/pid'
END
    echo "$broker" > pid
    TERN_BROKER_PID=$broker TERN_BROKER_AGAIN="sh $dir/again" \
        "$python" -m unittest discover -s "$TERN_SOURCE/contrib/python/tests" > unittest.log 2>&1 || {
        cat unittest.log
        false
    }
    tail -n 3 unittest.log
    grep -E '^OK$' unittest.log
    started+=("$(cat pid)")
}

@test "examples/thumbs.py shrinks its pictures, in processes" {
    need_python
    start_broker
    start_worker w1 --process 2 --runner "thumbs=$python -m tern.runner '$TERN_SOURCE/contrib/examples/thumbs.py'"
    "$python" "$TERN_SOURCE/contrib/examples/thumbs.py" 10 > said
    lines_of said 10
    [ "$(grep -c ': 7693 bytes$' said)" -eq 10 ] # 64 x 40 pixels and a head
    field_is 1 pool process
    [ "$(tern result 1 | head -c 12)" = 'P6 64 40 255' ]
    tern logs 1 2>&1 | grep '320 x 200 -> 64 x 40'
    id=$(tern submit --handler thumb --payload 'no picture')
    ended_as "$id" dead handler-error
    field "$id" error | grep 'the payload is no PPM picture'
}

# A site of 60 pages: each links to the next two and to one that is missing.
make_site() {
    local n
    mkdir site
    for n in $(seq 60); do
        echo "<a href=page$((n % 60 + 1)).html>next</a> <a href='/page$(((n + 1) % 60 + 1)).html#top'>more</a>" \
            "<a href=missing$((n % 3)).html>?</a> <a href=http://elsewhere.invalid/>away</a>" > "site/page$n.html"
    done
    echo '<a href="page1.html">in</a>' > site/index.html
}

start_site() {
    make_site
    "$python" -u -m http.server --bind 127.0.0.1 --directory site 0 > site.log 2>&1 3>&- < /dev/null &
    started+=("$!")
    eventually 20 grep -q 'Serving HTTP' site.log
    site=$(sed -n 's/.*(\(http:[^)]*\)).*/\1/p' site.log)
}

@test "examples/crawl.py finds the pages and the broken links of a site, many crawls at once in one process" {
    need_python
    start_site
    start_broker
    start_worker w1 --runner "crawl=$python -m tern.runner '$TERN_SOURCE/contrib/examples/crawl.py'"
    timeout 60 "$python" "$TERN_SOURCE/contrib/examples/crawl.py" "$site" "$site" "$site" > said
    lines_of said 3
    [ "$(grep -c '"pages": 61,' said)" -eq 3 ]
    [ "$(grep -o "missing[0-9].html\", 404" said | sort -u | wc -l)" -eq 3 ]
    field_is 1 pool loop
    tern logs 1 2>&1 | grep '61 pages, 3 broken links'
    id=$(tern submit --handler crawl --payload ftp://x)
    ended_as "$id" dead handler-error
    field "$id" error | grep 'is no http:// address'
}

@test "the handlers of README.md do what it says" {
    need_python
    sed -n '/^```python$/,/^```$/p' "$TERN_SOURCE/README.md" | grep -v '^```' | sed -n '/^# words.py/,$p' > words.py
    start_broker
    start_worker w1 --process 2 --runner "words=$python -m tern.runner words.py"
    [ "$("$python" -c 'import tern; print(tern.Client().run("count", "one two three"))')" = "b'3'" ]
    printf 'tell all the truth\nbut tell it slant\n' > poem.txt
    tern submit --handler totals --payload @poem.txt --wait
    [ "$(tern result 2)" = 8 ]
    [ "$(tern show --json 3 | jq -r .parent)" = 2 ]
    id=$(tern submit --handler first --payload 'any of these')
    tern wait --timeout 20s "$id"
    tern result "$id" | grep -E '^(any|of|these)$'
}

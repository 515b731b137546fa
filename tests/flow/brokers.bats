#!/usr/bin/env bats
# Several brokers side by side: where a queue lives, looking at all of them, and what the loss of one means.
# shellcheck disable=SC2154,SC2016
load helpers

# two_brokers: $first and $second are their addresses, $b1 and $b2 their processes; `one` and `two` are queues that live there.
two_brokers() {
    first=ipc://$dir/first.sock second=ipc://$dir/second.sock
    TERN_BROKER=$first start_broker --db first.db
    b1=$broker
    TERN_BROKER=$second start_broker --db second.db
    b2=$broker
    mkdir -p config
    printf '[client]\nbroker = %s, %s\nhome = one=%s\nhome = two=%s\n' "$first" "$second" "$first" "$second" > tern.conf
    unset TERN_BROKER
}

both() {
    tern --config "$dir/tern.conf" "$@"
}

two_workers() {
    TERN_BROKER=$first start_worker w1
    TERN_BROKER=$second start_worker w2
}

@test "queues are spread over two brokers, and list, queues, workers, stats and ping look at both" {
    two_brokers
    two_workers
    for i in {1..40}; do
        printf '{"handler":"echo","payload":"%s","queue":"q%s"}\n' "$i" "$i"
    done > jobs.txt
    both submit --batch jobs.txt > ids
    lines_of ids 40
    both wait --timeout 60s all
    # An id for each line, in the order of the lines.
    i=0
    while read -r id; do
        i=$((i + 1))
        [ "$(both result "$id")" = "$i" ]
    done < ids
    [ "$(grep -c '^1:' ids)" -ge 8 ]
    [ "$(grep -c '^2:' ids)" -ge 8 ]
    # Whoever knows the same addresses agrees, in whatever order.
    [ "$(tern --broker "$second,$first" submit --queue q1 --handler echo)" != "$(both submit --queue q1 --handler echo)" ]
    both wait --timeout 60s all
    [ "$(tern --broker "$first" list --queue q1 --json | wc -l)" -eq 3 ] || [ "$(tern --broker "$second" list --queue q1 --json | wc -l)" -eq 3 ]
    [ "$(both list --json | wc -l)" -eq 42 ]
    both list | grep -q '^ *1:[0-9]* *done'
    both list | grep -q '^ *2:[0-9]* *done'
    [ "$(both queues --json | wc -l)" -eq 40 ]
    both queues | head -n 1 | grep -q '^BROKER'
    [ "$(both workers --json | sed -n 's/.*"broker_number":\([0-9]\).*/\1/p' | tr '\n' ' ')" = "1 2 " ]
    [ "$(both stats --json | value 'done' | awk '{ n += $1 } END { print n }')" -eq 42 ]
    both stats | grep -q "^broker 2, $second"
    [ "$(both ping | wc -l)" -eq 2 ]
}

@test "with several brokers a job is named by broker and id; a bare id is refused" {
    two_brokers
    two_workers
    [ "$(both submit --queue one -- echo a)" = 1:1 ]
    [ "$(both submit --queue two -- echo b)" = 2:1 ]
    both wait --timeout 60s 1:1 2:1
    [ "$(both result 2:1)" = b ]
    [ "$(both logs 1:1)" = a ]
    [ "$(both show --json last | value broker_number)" = 2 ]
    both show 2:1 | grep -q '2:1'
    both history 1:1 | grep -q 'done'
    [ "$(both wait --any 1:all 2:1 | wc -l)" -eq 1 ]
    run -2 both show 1
    [[ $output == *"of which broker?"* ]]
    run -2 both show 3:1
    [[ $output == *"the brokers 1 to 2"* ]]
    run -3 both show 2:9
    [[ $output == *"no such job: 2:9"* ]]
    both pause two
    id=$(both submit --queue two -- false)
    both why "$id" | grep -q paused
    both cancel "$id"
    both resume two
    both retry "$id"
    run -1 both wait --timeout 60s "$id"
    [[ $output == *"job $id is dead"* ]]
    both rm "$id" 1:1
    [ "$(both list --json | wc -l)" -eq 1 ]
    [ "$(both run --queue two -- echo hello)" = hello ]
    run -7 both run --queue one -- sh -c 'exit 7'
    both rm all
    run -3 both show all
    both drain w2
    run -3 both drain nobody
}

@test "at the loss of one broker its queues wait for it, the others go on, and nothing moves" {
    two_brokers
    TERN_BROKER=$first start_worker w1
    id=$(both submit --queue two -- touch "$dir/ran")
    kill_and_wait KILL "$b2"
    both run --queue one -- true
    run -69 both submit --queue two -- true
    [[ $output == *"$second"* ]]
    [[ $output == *"the queue two lives on broker 2, and nowhere else"* ]]
    # Those that look at all print what the other says, and say that it is not all.
    run -69 --separate-stderr both list
    [[ $output == *1:1* ]]
    [[ $stderr == *"broker 2: no broker at $second"* ]]
    for look in queues workers stats ping; do
        run -69 --separate-stderr both $look --json
        [[ $output == *'"broker_number":1'* ]]
        [[ $stderr == *"broker 2: "* ]]
    done
    run -69 both wait --timeout 1s "$id"
    run -69 both cancel last
    # A batch stops at the first line that cannot be taken.
    printf '{"command":["true"],"queue":"one"}\n{"command":["true"],"queue":"two"}\n{"command":["true"],"queue":"one"}\n' > jobs.txt
    run -69 --separate-stderr both submit --batch jobs.txt
    [ "$output" = 1:2 ]
    [[ $stderr == *"line 2: "* ]]
    TERN_BROKER=$second start_broker --db second.db
    TERN_BROKER=$second start_worker w2
    both wait --timeout 60s "$id" all
    [ -e ran ]
    kill_and_wait TERM "$b1"
    kill_and_wait TERM "$broker"
    run -69 both list
}

@test "a wrong list is refused: a broker twice, a home that is none of them" {
    two_brokers
    run -2 tern --broker "$first,$first" ping
    [[ $output == *"named twice"* ]]
    tern --broker "$first" submit -- true
    run -2 tern --broker "$first,$first" list
    [ "${#lines[@]}" -eq 1 ] # and no broker was asked
    printf '[client]\nbroker = %s, %s\nhome = mail=tcp://elsewhere:1\n' "$first" "$second" > wrong.conf
    run -2 tern --config wrong.conf submit --queue mail -- true
    [[ $output == *"none of the brokers"* ]]
}

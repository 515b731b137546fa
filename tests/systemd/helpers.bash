# What the flows inside the machine share.
# shellcheck shell=bash

# eventually SECONDS COMMAND...: until the command succeeds.
eventually() {
    local until=$((SECONDS + $1 + 1))
    shift
    until "$@" > /dev/null 2>&1; do
        if [ "$SECONDS" -ge "$until" ]; then
            echo "in vain: $*" >&2
            return 1
        fi
        read -rt 0.05 <> <(:) || true
    done
}

#!/bin/bash
# A short form of the chaos: twenty rounds, or TERN_ROUNDS, half of them over TCP between hosts, half over a Unix socket.
set -eu

if [ "${TERN_FLOWS:-}" = skip ]; then
    echo "skipped: TERN_FLOWS=skip"
    exit 77
fi
rounds=${TERN_ROUNDS:-20}
exec "$(dirname "$0")/run" "$rounds" --seconds 3 --generation "$((rounds / 2))"

#!/bin/bash
# A short form of the chaos: twenty rounds, half of them over TCP between hosts, half over a Unix socket.
set -eu

if [ "${TERN_FLOWS:-}" = skip ]; then
    echo "skipped: TERN_FLOWS=skip"
    exit 77
fi
exec "$(dirname "$0")/run" 20 --seconds 3 --generation 10

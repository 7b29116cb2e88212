#!/usr/bin/env bash
# The compiler as packaging/program.sh has cargo call it: with the flags that take this machine's paths out of the program. Cargo names
# files after the flags that it knows, and link-time optimisation orders the program by those names, so it must not know these.
set -euo pipefail
IFS=$'\x1f' read -ra flags <<<"$REMAP_FLAGS"
exec "$@" "${flags[@]}"

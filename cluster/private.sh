#!/usr/bin/env bash
# Refuses an environment file that is absent, or that others may read: it may hold keys.
set -euo pipefail
file="${FLEETGEN_ENVIRONMENT:-$HOME/.config/fleetgen/environment}"
if [ ! -f "$file" ]; then
  echo "$file is not there: copy cluster/environment.example there, and edit it" >&2
  exit 2
fi
case $(stat -L -c %a -- "$file") in
  *00) ;;
  *)
    echo "$file may be read by others: chmod 600 $file" >&2
    exit 2
    ;;
esac

#!/usr/bin/env bash
# One run on workers that this host starts on others by ssh; they end with it.
#
#   run.sh HOSTS ADDRESS [flags of `fleetgen generate`]
#
# HOSTS is a file with a host and a number of workers on each line. ADDRESS is this host's, as the
# others reach it. The scheduler's port is FLEETGEN_PORT (8786); FLEETGEN_SSH may hold another ssh
# command. Host keys are checked: who is not in known_hosts gets nothing.
set -euo pipefail
if [ $# -lt 2 ]; then
  echo "usage: run.sh HOSTS ADDRESS [flags of fleetgen generate]" >&2
  exit 2
fi
hosts=$(realpath -- "$1")
address=$2
shift 2
cluster=$(realpath -- "$(dirname -- "$0")/..")
"$cluster/private.sh"
. "${FLEETGEN_ENVIRONMENT:-$HOME/.config/fleetgen/environment}"
umask 077
scratch=$(mktemp -d)
children=()
stop() {
  trap '' TERM INT
  # The scheduler, which is the first, tells its workers to end; then nothing is left to speak to.
  [ ${#children[@]} -eq 0 ] || kill "${children[0]}" 2>/dev/null || true
  [ ${#children[@]} -eq 0 ] || wait "${children[0]}" || true
  for child in "${children[@]:1}"; do
    kill "$child" 2>/dev/null || true
  done
  wait
  rm -rf -- "$scratch"
}
trap stop EXIT

read -ra ssh <<<"${FLEETGEN_SSH:-ssh}"
ssh+=(-n -o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=10)
ssh+=(-o ServerAliveInterval=15 -o ServerAliveCountMax=4)

dask scheduler --protocol tls --host "$address" --port "${FLEETGEN_PORT:-8786}" \
  --dashboard-address 127.0.0.1:0 --scheduler-file "$scratch/scheduler.json" \
  --idle-timeout 15minutes &
children+=($!)
until [ -s "$scratch/scheduler.json" ]; do
  kill -0 "${children[0]}" # ends the script when the scheduler has ended
  sleep 0.2
done
scheduler=$(python -c 'import json, sys; print(json.load(open(sys.argv[1]))["address"])' \
  "$scratch/scheduler.json")

# The environment is the host's own: ssh forwards none.
# shellcheck disable=SC2016 # expanded there
remote='. "${FLEETGEN_ENVIRONMENT:-$HOME/.config/fleetgen/environment}" && exec dask worker'
remote+=" $scheduler --protocol tls --nthreads 2 --memory-limit 1GiB --death-timeout 60"
remote+=' --dashboard-address 127.0.0.1:0 --preload fleetgen.warmed --nworkers'
total=0
while read -r host workers _ || [ -n "$host" ]; do # the last line may lack its end
  case "$host" in '' | '#'*) continue ;; esac
  "${ssh[@]}" "$host" "$remote ${workers:?a line of HOSTS has no number}" &
  children+=($!)
  total=$((total + workers))
done <"$hosts"

python "$cluster/wait.py" "$scheduler" "$total" 300 &
waiting=$!
wait -n "$waiting" "${children[@]}" || {
  echo "run.sh: no cluster: ssh to a host failed, or its worker did; see above" >&2
  kill "$waiting" 2>/dev/null || true
  exit 5
}
fleetgen generate "$@" --scheduler "$scheduler" &
client=$!
trap 'kill -TERM "$client"' TERM INT # what a script starts beside itself is deaf to INT
code=0
wait "$client" || code=$?
while kill -0 "$client" 2>/dev/null; do # the wait was cut short by the signal
  code=0
  wait "$client" || code=$?
done
exit "$code"

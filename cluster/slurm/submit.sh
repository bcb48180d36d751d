#!/usr/bin/env bash
# Submits an array job that makes a data set in shares, and a job after it that closes the set.
#
#   submit.sh SHARES URL [flags of `fleetgen generate`]
#
# SHARES is a number, or 100%20: a hundred, of which at most twenty at a time. URL is a directory
# that all nodes see, or s3://bucket/prefix. The same again resumes: finished parts are kept.
set -euo pipefail
here=$(dirname -- "$(realpath -- "$0")")
if [ $# -lt 2 ]; then
  echo "usage: submit.sh SHARES URL [flags of fleetgen generate]" >&2
  exit 2
fi
shares=${1%%%*}
array="1-$1"
url=$2
shift 2
"$here/../private.sh"
made=$(sbatch --parsable --array="$array" "$here/array.sbatch" "$shares" --output-dir "$url" "$@")
closed=$(sbatch --parsable --dependency="afterok:$made" --kill-on-invalid-dep=yes \
  "$here/finish.sbatch" "$url")
echo "shares: job $made; then finish: job $closed"
echo "stop both: scancel $made $closed"

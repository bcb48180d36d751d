#!/usr/bin/env bash
# Makes what compose.yaml mounts beside itself: certificates (tls/), keys of the store (keys/), and
# the directory of its data (data/). Run once; all is readable by you alone.
set -euo pipefail
umask 077
cd -- "$(dirname -- "$(realpath -- "$0")")"
../tls/make.sh tls /etc/fleetgen/tls
mkdir -p keys data
access=$(openssl rand -hex 10)
secret=$(openssl rand -hex 20)
printf '[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n' "$access" "$secret" \
  >keys/credentials
cat >keys/identities.json <<END
{"identities": [{"name": "fleet",
  "credentials": [{"accessKey": "$access", "secretKey": "$secret"}],
  "actions": ["Read:fleet", "Write:fleet", "List:fleet"]}]}
END

#!/usr/bin/env bash
# Certificates for one Dask cluster: an authority of its own, and one certificate that all of its
# processes share. Whoever has cert.pem and key.pem belongs to the cluster; nobody else gets in.
#
#   make.sh DIRECTORY [WHERE] [DAYS]
#
# WHERE is the directory in which the processes will see the files (default: DIRECTORY), for
# containers; DAYS is how long they hold (default: 30). Beside the keys lies dask.yaml: a process
# with DASK_CONFIG=.../dask.yaml speaks TLS and nothing else.
set -euo pipefail
umask 077 # all files 0600
directory=$(realpath -m -- "${1:?usage: make.sh DIRECTORY [WHERE] [DAYS]}")
where=${2:-$directory}
days=${3:-30}
if [ -e "$directory/key.pem" ]; then
  echo "make.sh: $directory/key.pem is there; give a new directory, or remove this one" >&2
  exit 2
fi
mkdir -p -- "$directory"
cd -- "$directory"
curve=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
openssl req -x509 "${curve[@]}" -keyout ca-key.pem -out ca.pem -days "$days" \
  -subj "/CN=fleetgen cluster" -addext keyUsage=critical,keyCertSign 2>/dev/null
openssl req -new "${curve[@]}" -keyout key.pem -out request.pem -subj "/CN=fleetgen" 2>/dev/null
openssl x509 -req -in request.pem -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days "$days" \
  -out cert.pem -extfile <(
    echo basicConstraints=critical,CA:FALSE
    echo keyUsage=critical,digitalSignature
    echo extendedKeyUsage=serverAuth,clientAuth
    echo subjectKeyIdentifier=hash
    echo authorityKeyIdentifier=keyid
  ) 2>/dev/null
# Without its key the authority signs nobody else: another cluster makes another set.
rm -f -- ca-key.pem ca.srl request.pem
cat >dask.yaml <<END
distributed:
  comm:
    default-scheme: tls
    require-encryption: true
    tls:
      ca-file: "$where/ca.pem"
      scheduler: {cert: "$where/cert.pem", key: "$where/key.pem"}
      worker: {cert: "$where/cert.pem", key: "$where/key.pem"}
      client: {cert: "$where/cert.pem", key: "$where/key.pem"}
END
echo "made ca.pem, cert.pem, key.pem and dask.yaml in $directory, good for $days days"
echo "on each host, for scheduler, workers and client: export DASK_CONFIG=$where/dask.yaml"

#!/bin/sh
# A night on a cluster of its own, from a machine that has the project, the token and the rights: ray up, one job, ray down.
#   sh jobs/cluster-night.sh CONFIG.toml [CLUSTER.yaml]
# As a line of a crontab; flock keeps two nights apart:
#   0 1 * * *  cd /srv/ig-worker && flock -n .night sh jobs/cluster-night.sh CONFIG.toml >> /var/log/ig-worker.log 2>&1
# CONFIG.toml has to lie in this folder, which goes along with the job; what it names has to be in reach of the cluster.
# Exits with 0, or with 1 where the night failed: RUN/summary.json has the exit code and the reason.
set -u
cd "$(dirname "$0")/.." || exit 1
config=${1:?CONFIG.toml is missing}
cluster=${2:-cluster.yaml}
PATH="$PWD/.venv/bin:$PATH"
RAY_AUTH_MODE=token
RAY_ADDRESS=http://127.0.0.1:8265
export PATH RAY_AUTH_MODE RAY_ADDRESS

tunnel=
end() {
    [ -z "$tunnel" ] || kill "$tunnel"
    env -u RAY_ADDRESS ray down --yes "$cluster" # whatever happened: what runs costs money
}
trap end EXIT
trap 'exit 1' INT TERM

env -u RAY_ADDRESS ray up --yes "$cluster" || exit 1
env -u RAY_ADDRESS ray dashboard "$cluster" &
tunnel=$!
tries=0
until ray job list > /dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 60 ] || exit 1
    sleep "${POLL_S:-5}"
done
ray job submit --working-dir . -- sh jobs/nightly.sh "$config" || exit 1

#!/bin/sh
# Submits a night and waits for its end; exits with 1 where it failed. A night that runs already is waited for.
set -u
folder=$(dirname "$0")
night=rayjob/ig-worker-night

state() {
    kubectl get --namespace ig-worker "$night" --output 'jsonpath={.status.jobDeploymentStatus}'
}

if found=$(state); then
    case $found in
    Complete | Failed)
        kubectl delete --namespace ig-worker "$night" --wait || exit 1
        kubectl create --filename "$folder/rayjob.yaml" || exit 1
        ;;
    esac
else
    kubectl create --filename "$folder/rayjob.yaml" || exit 1
fi

while true; do
    case $(state) in # where the API server is away for a while, this is empty
    Complete) exit 0 ;;
    Failed)
        kubectl get --namespace ig-worker "$night" --output 'jsonpath={.status.reason}: {.status.message}'
        exit 1
        ;;
    esac
    sleep "${POLL_S:-30}"
done

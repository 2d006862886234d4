#!/bin/bash
# parallel.sh PHOTOS OUT SHARDS JOBS: shards as processes of this machine, so many at a time, by xargs.
# With GNU parallel, on several machines: seq SHARDS | parallel --sshlogin a,b yolocli detect PHOTOS --shard {}/SHARDS -o OUT/shard-{}
set -uo pipefail
photos=$1 out=$2 shards=$3 jobs=$4
seq "$shards" | xargs -P "$jobs" -I '{}' \
    yolocli detect "$photos" --shard "{}/$shards" --output "$out/shard-{}" --workers 1 --threads-per-worker 1 --quiet
# 123: of one of them the exit code was not 0, as with an image that failed
code=$?
((code == 0 || code == 123)) || exit "$code"
yolocli merge "$out"/shard-* --output "$out/all"

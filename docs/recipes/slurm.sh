#!/bin/bash
#SBATCH --job-name=yolocli
#SBATCH --array=0-15
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --requeue
# sbatch slurm.sh PHOTOS MODEL OUT, all on storage that every node sees. Afterwards: yolocli merge OUT/shard-* -o OUT/all
# A task that was requeued goes on where it stopped. To submit one task alone again: --shard 3/16 in place of auto.
set -euo pipefail
photos=$1 model=$2 out=$3
exec yolocli detect "$photos" --model "$model" --shard auto --output "$out/shard-$SLURM_ARRAY_TASK_ID" --no-progress

#!/bin/bash
# A sweep as an array of jobs: sbatch sweeps/slurm_array.sh SWEEP_FILE RESULTS. See clusters.md beside this file.
#SBATCH --job-name=sweep
#SBATCH --array=1-8                # jobs; each takes what nobody has, so any number does
#SBATCH --nodes=1
#SBATCH --ntasks=1                 # one launching process; it starts a worker for each GPU
#SBATCH --gres=gpu:4
#SBATCH --cpus-per-task=16
#SBATCH --mem=64G
#SBATCH --time=08:00:00
#SBATCH --signal=B:TERM@180        # three minutes before the end: running cells save and stop
#SBATCH --requeue                  # a preempted job starts again, and its cells go on
#SBATCH --output=%x-%A-%a.log
set -euo pipefail

sweep=${1:?usage: sbatch $0 SWEEP_FILE RESULTS}
results=${2:?usage: sbatch $0 SWEEP_FILE RESULTS}

# B:TERM reaches this shell, which has to pass it on; `wait` returns when the signal comes, so it is asked twice.
python -m workbench.sweep "$sweep" --results "$results" &
trap 'kill -TERM $! 2>/dev/null || true' TERM
status=0
wait $! || status=$?
if kill -0 $! 2>/dev/null; then
  status=0
  wait $! || status=$?
fi
[ "$status" -eq 130 ] && echo "Stopped before the time limit; the next job of the array goes on."
exit "$status"

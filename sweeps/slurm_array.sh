#!/bin/bash
# A sweep as an array of jobs: sbatch sweeps/slurm_array.sh SWEEP_FILE RESULTS [OPTION ...]. See clusters.md beside it.
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
shift 2                            # what follows goes to the sweep: --trust-launch, --quarantine, --storage URL

# B:TERM reaches this shell, which has to pass it on; the signal ends `wait` too (status 143), so it is asked again.
sweep_pid=
trap '[ -z "$sweep_pid" ] || kill -TERM "$sweep_pid"' TERM
python -m workbench.sweep "$sweep" --results "$results" "$@" &
sweep_pid=$!
status=0
wait "$sweep_pid" || status=$?
if [ "$status" -eq 143 ]; then
  status=0
  wait "$sweep_pid" || status=$?
fi
[ "$status" -ne 130 ] || echo "Stopped before the time limit; the next job of the array goes on."
exit "$status"

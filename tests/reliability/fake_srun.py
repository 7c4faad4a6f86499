"""`python fake_srun.py NTASKS COMMAND...`: starts the tasks of a step as srun does, each on a "node" of its own.

Like srun it ends its tasks when it gets SIGTERM, and leaves them running when it is killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys


def main() -> None:
    count = int(sys.argv[1])
    step = {
        "SLURM_JOB_ID": "4711", "SLURM_STEP_ID": str(os.getpid() % 1000), "SLURM_STEP_NUM_TASKS": str(count),
        "SLURM_NTASKS": str(count), "SLURM_NNODES": str(count), "SLURM_NTASKS_PER_NODE": "1",
        "SLURM_STEP_NODELIST": "127.0.0.1,127.0.0.2", "SLURM_LOCALID": "0", "SLURM_JOB_NAME": "sweep",
    }  # fmt: skip
    tasks = [
        subprocess.Popen(
            sys.argv[2:], env={**os.environ, **step, "SLURM_PROCID": str(i), "SLURM_NODEID": str(i)},
            start_new_session=True,  # as on another node: no signal to srun's own group reaches it
        )
        for i in range(count)
    ]  # fmt: skip

    def end(*_: object) -> None:
        for task in tasks:
            task.kill()

    signal.signal(signal.SIGTERM, end)
    sys.exit(max(abs(task.wait()) for task in tasks))


if __name__ == "__main__":
    main()

"""A real SLURM of one node runs the files as shipped; the data are those of a serial run."""

import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.cluster.conftest import CLUSTER, LONG, SECRET, TINY, until_parts
from tests.cluster.daemons import Slurm
from tests.properties.plan import ROOT, DataSet, differing

pytestmark = pytest.mark.cluster

DONE_S = 240
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "DEADLINE"}


class Queue:
    """Commands of SLURM, run in a directory with the environment of a user."""

    def __init__(self, system: Slurm, given: dict[str, str], place: Path) -> None:
        self.environment = {**given, **system.environment}
        self.environment["FLEETGEN_ENVIRONMENT"] = given["FLEETGEN_ENVIRONMENT"]
        self.place = place

    def run(self, *command: str | Path, code: int = 0) -> str:
        done = subprocess.run(
            [str(word) for word in command],
            cwd=self.place,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=DONE_S,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr + self.logs()
        return done.stdout + done.stderr

    def wait(self, *jobs: str) -> dict[str, str]:
        """Final states by job, those of an array by task."""
        deadline = time.monotonic() + DONE_S
        while True:
            told = self.run("scontrol", "show", "job", "--oneliner")
            states = {
                found["id"]: found["state"]
                for line in told.splitlines()
                if (found := re.search(r"JobId=(?P<id>\d+).*? JobState=(?P<state>\w+)", line))
                and any(re.search(rf"\b(?:Array)?JobId={job}\b", line) for job in jobs)
            }
            if states and set(states.values()) <= ENDED:
                return states
            assert time.monotonic() < deadline, told + self.logs()
            time.sleep(0.2)

    def logs(self) -> str:
        return "".join(f"\n{log}:\n{log.read_text()}" for log in self.place.glob("*.log"))


@pytest.fixture
def user(queue: Slurm, given: dict[str, str], tmp_path: Path) -> Queue:
    return Queue(queue, given, tmp_path)


def test_an_array_job_and_a_finish_make_the_data_of_a_serial_run(
    user: Queue, undisturbed: DataSet
) -> None:
    said = user.run(CLUSTER / "slurm" / "submit.sh", "3%2", "set", *TINY)
    shares, finish = re.findall(r"job (\d+)", said)
    states = user.wait(shares, finish)
    assert set(states.values()) == {"COMPLETED"}, user.logs()
    assert len(states) == 4
    assert differing(DataSet(user.place / "set").digests, undisturbed.digests) == []

    # The same again finds nothing to do; a share that fails ends the job that would close the set.
    user.wait(
        *re.findall(r"job (\d+)", user.run(CLUSTER / "slurm" / "submit.sh", "2", "set", *TINY))
    )
    said = user.run(CLUSTER / "slurm" / "submit.sh", "1", "set", *TINY, "--seed=7")
    states = user.wait(*re.findall(r"job (\d+)", said))
    assert sorted(states.values()) == ["CANCELLED", "FAILED"]
    assert "seed" in user.logs()


def test_srun_starts_the_workers_of_a_scheduler_file(user: Queue, undisturbed: DataSet) -> None:
    place = user.place / "set"
    user.place = ROOT  # where `cluster` lies
    log = f"--output={place.parent}/fleetgen-%j.log"
    script = CLUSTER / "slurm" / "cluster.sbatch"
    command = ("sbatch", "--parsable", "--ntasks=2", log, script, f"--output-dir={place}", *TINY)
    job = user.run(*command).strip()
    user.place = place.parent
    (state,) = user.wait(job).values()
    assert state == "COMPLETED", user.logs()
    assert differing(DataSet(place).digests, undisturbed.digests) == []
    assert "tls://" in user.logs()
    assert not list(Path.home().glob(f".fleetgen-job-{job}-*"))


def test_a_job_whose_time_is_over_says_what_is_safe(user: Queue) -> None:
    """SLURM's own signal before the end, sent by hand."""
    place = user.place / "set"
    log = f"--output={user.place}/fleetgen-%j.log"
    script = CLUSTER / "slurm" / "cluster.sbatch"
    user.place = ROOT
    command = ("sbatch", "--parsable", "--ntasks=2", log, script, f"--output-dir={place}", *LONG)
    job = user.run(*command).strip()
    user.place = place.parent
    try:
        until_parts(place)
    finally:
        user.run("scancel", "--batch", "--signal=TERM", job)
    assert user.wait(job) == {job: "FAILED"}, user.logs()
    assert re.search(r"interrupted; \d+ of 180 parts safe", user.logs())
    assert not list(Path.home().glob(f".fleetgen-job-{job}-*"))


def test_jobs_of_dask_jobqueue_are_workers(user: Queue, queue: Slurm, undisturbed: DataSet) -> None:
    pytest.importorskip("dask_jobqueue", reason="pip install fleetgen[slurm]")
    script = CLUSTER / "slurm" / "jobqueue.py"
    shell = '. "$FLEETGEN_ENVIRONMENT"; exec python "$@"'
    said = user.run("bash", "-c", shell, "bash", script, "2", "--output-dir=set", *TINY)
    assert differing(DataSet(user.place / "set").digests, undisturbed.digests) == []
    assert "Traceback" not in said
    left = user.run("squeue", "--noheader", "--states=PENDING,RUNNING")
    deadline = time.monotonic() + 30
    while left and time.monotonic() < deadline:
        time.sleep(0.2)
        left = user.run("squeue", "--noheader", "--states=PENDING,RUNNING")
    assert left == ""
    assert_untold(user, queue)  # the process that submitted the jobs held the secret


def test_slurm_is_told_no_secret(user: Queue, queue: Slurm) -> None:
    """Neither what it stores of a job nor what it shows, even if the submitter holds keys."""
    user.environment["AWS_SECRET_ACCESS_KEY"] = f"{SECRET}-of-the-shell"
    holding = ["--hold", "--parsable"]
    jobs = [
        user.run("sbatch", *holding, CLUSTER / "slurm" / name, *arguments).strip()
        for name, arguments in (
            ("array.sbatch", ("2", "--output-dir=s3://fleet/set")),
            ("cluster.sbatch", ("--output-dir=s3://fleet/set",)),
            ("finish.sbatch", ("s3://fleet/set",)),
        )
    ]
    assert_untold(user, queue)
    user.run("scancel", *jobs)


def assert_untold(user: Queue, queue: Slurm) -> None:
    stored = [path for path in (queue.directory / "state").rglob("*") if path.is_file()]
    assert {"environment", "script"} <= {path.name for path in stored}
    for path in stored:
        assert SECRET.encode() not in path.read_bytes(), path
    assert SECRET not in user.run("scontrol", "show", "job", "--details")


def test_an_environment_that_others_may_read_is_refused(user: Queue, tmp_path: Path) -> None:
    loose = tmp_path / "environment"
    loose.write_text("")
    loose.chmod(0o644)
    user.environment["FLEETGEN_ENVIRONMENT"] = str(loose)
    said = user.run(CLUSTER / "slurm" / "submit.sh", "2", "set", code=2)
    assert "may be read by others" in said

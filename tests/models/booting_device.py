"""A device whose machine boots: a new boot id, and a new agent, each time that its reboot command says so.

A boot is: the agent ends, what the test has happen does, the kernel has another boot id (a file that a mount namespace of
the agent's own shows in its place, which needs root), the agent starts.
"""

import hashlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path

AGENT = Path(sys.executable).parent / "outfitter-agent"
BUCKET = "images-of-booting-devices"
counter = itertools.count(1)
IN_A_BOOT = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"'


class BootingDevice:
    """A thing with a certificate of its own, whose agent is started by each boot of the machine.

    ``settings`` find in ``{power}`` what a reboot command writes a line into; ``boot`` is what else happens in a boot.
    """

    def __init__(self, server, folder, settings, *, boot=lambda: None, environment=None):
        self.server, self.folder, self.boot = server, folder, boot
        self.environment = environment
        self.name = f"boots-{os.getpid()}-{next(counter)}"
        self.boots = 0
        self.log = folder / "log"
        subprocess.run(
            [
                *(AGENT.parent / "outfitter", "device", "add", self.name, "--type", "pump", "--out", folder),
                *("--mqtt", f"localhost:{server.port('mqtts')}"),
            ],
            env=server.environment(),
            check=True,
            capture_output=True,
        )
        (folder / "agent.toml.d").mkdir()
        self.power = folder / "power"
        if "trial_timeout_seconds" not in settings:
            settings += (
                "\ntrial_timeout_seconds = 86400\n"  # all of its boots have the clock of the one kernel
            )
        (folder / "agent.toml.d" / "10-test.toml").write_text(settings.format(power=self.power))
        self.log.touch()
        os.mkfifo(self.power)
        self.process = None
        self.thread = threading.Thread(target=self._live, daemon=True)

    def start(self):
        """The first boot."""
        self._start()
        self.thread.start()

    def _live(self):
        while "off" not in self.power.read_text():
            self._stop()
            self.boot()
            self._start()
        self._stop()

    def _start(self):
        self.boots += 1
        (self.folder / "boot_id").write_text(f"{uuid.uuid4()}\n")
        self.start_agent()

    def start_agent(self):
        """In the boot that is."""
        identity = self.folder / "boot_id"
        run = [AGENT, "--verbose", "run", "--config", self.folder / "agent.toml"]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", IN_A_BOOT, identity, *run],
                stderr=log,
                env=self.environment,
            )

    def _stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)

    def close(self):
        self.power.write_text("off")
        self.thread.join()

    def job(self, content, version):
        """A job for an image that is put into the store; its id."""
        s3, iot = self.server.client("s3"), self.server.client("iot")
        job_id = f"{self.name}-{next(counter)}"
        s3.create_bucket(Bucket=BUCKET)
        s3.put_object(Bucket=BUCKET, Key=job_id, Body=content)
        url = f"https://s3.us-east-1.amazonaws.com/{BUCKET}/{job_id}"
        document = {
            "operation": "install",
            "url": f"${{aws:iot:s3-presigned-url:{url}}}",
            "version": version,
            "sha256": hashlib.sha256(content).hexdigest(),
            "size": len(content),
        }
        iot.create_job(
            jobId=job_id,
            targets=[iot.describe_thing(thingName=self.name)["thingArn"]],
            document=json.dumps(document),
            presignedUrlConfig={"roleArn": "arn:aws:iam::000000000000:role/updates", "expiresInSec": 300},
        )
        return job_id

    def ends(self, job_id, eventually):
        """The status and details that the job ends with."""

        def ended():
            found = self.execution(job_id)
            return found[0] not in ("QUEUED", "IN_PROGRESS") and found

        try:
            return eventually(ended, 60)
        except AssertionError:
            raise AssertionError(self.log.read_text()) from None

    def execution(self, job_id):
        iot = self.server.client("iot")
        found = iot.describe_job_execution(jobId=job_id, thingName=self.name)["execution"]
        return found["status"], found.get("statusDetails", {}).get("detailsMap", {})

    def command(self, *arguments):
        done = subprocess.run(
            [AGENT, *arguments, "--config", self.folder / "agent.toml", "--json"],
            check=False,
            capture_output=True,
        )
        return json.loads(done.stdout)

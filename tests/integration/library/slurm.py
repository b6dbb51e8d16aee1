"""A real Slurm on test hosts: slurmctld on the first one, slurmd on the others, each with a munged of its own.

Programs, their output and their image sets are on storage that all nodes share: `slurm.shared`.
"""
import os
import re

from crxtest import BIN, Ring, read_text, until
from hosts import Host

CONF = """ClusterName=crx
SlurmctldHost=h1(10.77.0.1)
AuthType=auth/munge
SlurmUser=root
SlurmdUser=root
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
StateSaveLocation=/var/spool/slurmctld
SlurmdSpoolDir=/var/spool/slurmd
SlurmctldLogFile=/var/log/slurmctld.log
SlurmdLogFile=/var/log/slurmd.log
ReturnToService=2
SlurmdTimeout=60
KillWait=10
{nodes}
PartitionName=all Nodes={names} Default=YES MaxTime=INFINITE State=UP
"""
# Prepares a host: what Slurm and munge keep is its own, and they read the files of its folder ($0).
PREPARE = r"""
set -e
for at in /run /var/spool /var/log; do mount -t tmpfs none $at; done
mkdir -p /run/munge /run/lock /run/slurm /var/spool/slurmctld /var/spool/slurmd /etc/slurm
mount --bind "$0/slurm" /etc/slurm
mount --bind "$0/hosts" /etc/hosts
munged --force --key-file "$1" --socket /run/munge/munge.socket.2 --pid-file /run/munge/munged.pid --seed-file /run/munge/seed \
  --log-file /var/log/munged.log
"""


class SlurmHost(Host):
    def prepare(self, ring):
        folder = f"{self.dir}/node"
        os.makedirs(f"{folder}/slurm")
        self.environment = {"PATH": f"{BIN}:{os.environ['PATH']}", "SLURM_CONF": "/etc/slurm/slurm.conf"}
        nodes = ring.hosts[1:]
        with open(f"{folder}/slurm/slurm.conf", "w") as file:
            file.write(CONF.format(nodes="\n".join(f"NodeName={node.name} NodeAddr={node.address} CPUs=1 State=UNKNOWN" for node in nodes),
                                   names=",".join(node.name for node in nodes)))
        with open(f"{folder}/hosts", "w") as file:
            file.write("127.0.0.1 localhost\n" + "".join(f"{host.address} {host.name}\n" for host in ring.hosts))
        self.run(["sh", "-c", PREPARE, folder, ring.key], env=self.environment)

    def log_of(self, name):
        return read_text(f"/proc/{self.init}/root/var/log/{name}", "")


class Slurm(Ring):
    def __init__(self):
        super().__init__(3)
        self.shared = self.path("shared")
        os.mkdir(self.shared)
        self.key = self.path("munge.key")
        with open(self.key, "wb") as file:
            file.write(os.urandom(128))
        os.chmod(self.key, 0o600)
        for host in self.hosts:
            host.__class__ = SlurmHost
            host.prepare(self)
        self.start("slurmctld", self.hosts[0])
        for host in self.hosts[1:]:
            self.start("slurmd", host)
        until(lambda: self.states().count("idle") == 2, self.explain, 60)

    @staticmethod
    def start(name, host):
        host.spawn([name, "-D"], stdout=f"{host.dir}/{name}.out", env=host.environment)

    def tell(self, *words, check=True):
        return self.hosts[0].run(words, env=self.hosts[0].environment, check=check)[1]

    def states(self):
        return self.tell("sinfo", "-h", "-N", "-o", "%T", check=False).split()

    def submit(self, script, *options):
        """Returns the number of the job."""
        path = f"{self.shared}/batch.sh"
        with open(path, "w") as file:
            file.write(script)
        text = self.tell("sbatch", "--parsable", *options, path)
        return re.match(r"[0-9]+", text)[0]

    def job(self, number):
        """{key: value} of what Slurm says about the job."""
        return dict(word.split("=", 1) for word in self.tell("scontrol", "show", "job", number, check=False).split() if "=" in word)

    def explain(self):
        return (self.tell("sinfo", "-R", check=False) + self.tell("squeue", check=False) + self.hosts[0].log_of("slurmctld.log")[-3000:]
                + "".join(host.log_of("slurmd.log")[-2000:] + read_text(f"{host.dir}/slurmd.out", "") for host in self.hosts[1:])
                + read_text(f"{self.hosts[0].dir}/slurmctld.out", ""))

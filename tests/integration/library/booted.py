"""Hosts that really boot: Debian 12 with systemd in systemd-nspawn, with packages, units and a bus. The root is made once
(by debootstrap, from the archive that this machine's apt uses) and kept; a host writes to a layer of its own."""
import contextlib
import fcntl
import os
import shlex
import shutil
import signal
import subprocess
import tempfile

from hosts import BUILD, read_text, until

BASE = os.environ.get("CRX_DEBIAN_ROOT", f"{BUILD}/debian-root")
INCLUDE = "systemd,systemd-sysv,dbus,python3-minimal,iproute2,openssl,init-system-helpers"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
# Hierarchies of control groups that systemd uses: its own, and version 2.
HIERARCHIES = [path for path in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd") if os.path.exists(f"{path}/cgroup.procs")]


def run(*words, timeout=900, check=True, **options):
    result = subprocess.run(words, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            check=False, timeout=timeout, **options)
    if check and result.returncode != 0:
        raise AssertionError(f"{shlex.join(words)}: exit {result.returncode}\n{result.stdout}")
    return result.stdout


def archive():
    """The archive of bookworm that this machine's apt uses."""
    for line in run("apt-get", "indextargets", "--format", "$(SITE) $(CODENAME) $(COMPONENT)").splitlines():
        site, codename, component = line.split()
        if (codename, component) == ("bookworm", "main"):
            return site
    raise AssertionError("this machine's apt has no source of bookworm")


def make_base(packages):
    """Makes the root if it is missing, and installs in it what the packages depend on."""
    with open(f"{BASE}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(f"{BASE}/made"):
            shutil.rmtree(BASE, ignore_errors=True)
            run("debootstrap", "--variant=minbase", f"--include={INCLUDE}", "bookworm", BASE, archive(), timeout=1800)
            with open(f"{BASE}/made", "w"):
                pass
        wanted = {item.split()[0] for package in packages for item in run("dpkg-deb", "-f", package, "Depends").strip().split(", ")}
        names = sorted(name for name in wanted if not name.startswith("crx"))
        here = run("chroot", BASE, "dpkg-query", "-W", "-f", "${db:Status-Status}\n", *names, check=False)
        if here.split() != ["installed"] * len(names):
            env = dict(os.environ, DEBIAN_FRONTEND="noninteractive", PATH=PATH)
            run("cp", "/etc/resolv.conf", f"{BASE}/etc/resolv.conf")
            run("chroot", BASE, "apt-get", "update", "-q", env=env)
            run("chroot", BASE, "apt-get", "install", "-q", "-y", "--no-install-recommends", *names, env=env)


class BootedHost:
    """A host with the name and an address. link: the end of a pair of virtual network cards that goes into it. hosts: {name:
    address} of all. shared: a directory of this machine, which all hosts have as /srv."""

    def __init__(self, name, address, link, hosts, shared):
        self.name, self.address = name, address
        self.console = self.nspawn = self.leader = None
        self.undo = contextlib.ExitStack()
        try:
            self.make_network(link)
            self.make_root(hosts)
            self.boot(shared)
        except BaseException:
            self.stop()
            raise

    def make_network(self, link):
        self.netns = f"crx-{os.getpid()}-{self.name}"
        run("ip", "netns", "add", self.netns)
        self.undo.callback(run, "ip", "netns", "del", self.netns, check=False)
        run("ip", "link", "set", link, "netns", self.netns)
        for words in (["link", "set", "lo", "up"], ["addr", "add", f"{self.address}/24", "dev", link], ["link", "set", link, "up"]):
            run("ip", "-n", self.netns, *words)

    def make_root(self, hosts):
        self.dir = tempfile.mkdtemp(prefix=f"crx-booted-{self.name}-")
        self.undo.callback(os.rmdir, self.dir)
        # This machine's own root may be an overlay, and that cannot be the upper layer of another one; a tmpfs can.
        run("mount", "-t", "tmpfs", "-o", "mode=755,size=2G", "crx-booted", self.dir)
        self.undo.callback(run, "umount", "-l", self.dir, check=False)
        for part in ("upper", "work", "root"):
            os.mkdir(f"{self.dir}/{part}")
        self.root = f"{self.dir}/root"
        layers = f"lowerdir={BASE},upperdir={self.dir}/upper,workdir={self.dir}/work"
        run("mount", "-t", "overlay", "-o", layers, "crx-booted", self.root)
        self.undo.callback(run, "umount", "-l", self.root, check=False)
        self.write("/etc/hostname", f"{self.name}\n")
        self.write("/etc/hosts", "127.0.0.1 localhost\n" + "".join(f"{where} {who}\n" for who, where in hosts.items()))

    def boot(self, shared):
        groups = [f"{hierarchy}/{self.netns}" for hierarchy in HIERARCHIES]
        for group in groups:
            os.mkdir(group)
            self.undo.callback(self.remove_groups, group)
        self.console = open(f"{self.dir}/console", "w")  # pylint: disable=consider-using-with
        # All that a container may not do by default, crx needs: also to write below /proc/sys (ns_last_pid), and that it has no
        # seccomp filter itself (PTRACE_O_SUSPEND_SECCOMP).
        env = dict(os.environ, SYSTEMD_NSPAWN_API_VFS_WRITABLE="yes", SYSTEMD_NSPAWN_LOCK="0", SYSTEMD_SECCOMP="0")
        nspawn = ["systemd-nspawn", "--register=no", "--keep-unit", "-q", "-b", "-D", self.root, f"--machine={self.name}",
                  f"--network-namespace-path=/run/netns/{self.netns}", "--capability=all",
                  "--resolv-conf=off", "--timezone=off", "--console=pipe", f"--bind={shared}:/srv"]
        enter = "".join(f"echo $$ >{group}/cgroup.procs && " for group in groups)
        self.nspawn = subprocess.Popen(["sh", "-c", f"{enter}exec {shlex.join(nspawn)}"],  # pylint: disable=consider-using-with
                                       env=env, stdin=subprocess.DEVNULL, stdout=self.console, stderr=subprocess.STDOUT,
                                       start_new_session=True)
        self.leader = until(self.find_leader, lambda: f"{self.name} starts: {self.said()}", timeout=60)
        until(lambda: self.sh("systemctl is-system-running", check=False).strip() in ("running", "degraded"),
              lambda: f"{self.name} boots: {self.said()}", timeout=120)

    @staticmethod
    def remove_groups(top):
        for folder, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)

    def said(self):
        self.console.flush()
        return read_text(f"{self.dir}/console")[-2000:]

    def find_leader(self):
        """The first process of the host, by its PID of this machine."""
        if self.nspawn.poll() is not None:
            raise AssertionError(f"systemd-nspawn ended: {self.said()}")
        for pid in read_text(f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children", "").split():
            if read_text(f"/proc/{pid}/comm", "").strip() == "systemd":
                return int(pid)
        return None

    def sh(self, text, check=True, timeout=120):
        """Runs a shell command in the host, in the control group of its first process; returns what it prints."""
        enter = ""
        for line in read_text(f"/proc/{self.leader}/cgroup").splitlines():
            number, controllers, path = line.split(":", 2)
            for top in HIERARCHIES:
                if (number == "0") != top.endswith("systemd") and (number == "0" or controllers == "name=systemd"):
                    if os.path.exists(f"{top}{path}/cgroup.procs"):
                        enter += f"echo $$ >{top}{path}/cgroup.procs; "
        inside = ["nsenter", "-t", str(self.leader), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "/usr/bin/env", "-i",
                  f"PATH={PATH}", "LC_ALL=C.UTF-8", "sh", "-c", text]
        return run("sh", "-c", f"{enter}exec {shlex.join(inside)}", check=check, timeout=timeout)

    def write(self, path, text):
        with open(self.root + path, "w") as file:
            file.write(text)

    def put(self, path, to):
        """Copies a file of this machine into the host."""
        shutil.copy(path, self.root + to)

    def stop(self):
        if self.nspawn is not None and self.nspawn.poll() is None:
            if self.leader is not None:
                os.kill(self.leader, signal.SIGRTMIN + 4)  # systemd(1): power off
            try:
                self.nspawn.wait(timeout=20 if self.leader is not None else 0.1)
            except subprocess.TimeoutExpired:
                os.kill(self.leader or self.nspawn.pid, signal.SIGKILL)
                self.nspawn.wait(timeout=20)
        if self.console is not None:
            self.console.close()
        self.undo.close()

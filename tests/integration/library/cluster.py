"""A real cluster of corosync and Pacemaker on test hosts, with ocf:crx:process and agents of crx.

A node is a host of the ring (crxtest.py) with directories of its own for what the cluster engine keeps. Programs, their output
and their image sets are on storage that all nodes share: `cluster.shared`.
"""
import os
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree

from crxtest import BIN, ROOT, Ring, read_text, until
from hosts import Host

AGENT = f"{ROOT}/deploy/pacemaker/process"
PORT = 7077

COROSYNC = """totem {{
  version: 2
  cluster_name: crx
  transport: knet
  crypto_cipher: none
  crypto_hash: none
  token: 1000
}}
system {{
  sched_rr: no
  move_to_root_cgroup: no
  allow_knet_handle_fallback: yes
}}
quorum {{
  provider: corosync_votequorum
}}
logging {{
  to_stderr: no
  to_syslog: no
  to_logfile: yes
  logfile: /var/log/corosync/corosync.log
}}
nodelist {{
{nodes}}}
"""
NODE = """  node {{
    name: {name}
    nodeid: {id}
    ring0_addr: {address}
  }}
"""
CIB = """<cib crm_feature_set="3.0.14" validate-with="pacemaker-3.0" epoch="1" num_updates="0" admin_epoch="0">
<configuration><crm_config><cluster_property_set id="cib-bootstrap-options">
<nvpair id="o1" name="stonith-enabled" value="false"/>
<nvpair id="o2" name="dc-deadtime" value="1s"/>
<nvpair id="o3" name="placement-strategy" value="balanced"/>
</cluster_property_set></crm_config><nodes/><resources/><constraints/></configuration><status/></cib>
"""
# Prepares a node: what corosync and Pacemaker keep is its own, and they read the files of its folder ($0).
PREPARE = r"""
set -e
for at in /run /dev/shm /var/lib/corosync /var/log /var/lib/pacemaker /usr/lib/ocf/resource.d; do mount -t tmpfs none $at; done
mkdir -p /run/lock /run/tls /var/log/corosync /var/log/pacemaker /var/log/crmsh /usr/lib/ocf/resource.d/crx
install -d -o hacluster -g haclient -m 750 /var/lib/pacemaker /var/lib/pacemaker/blackbox /var/lib/pacemaker/cib \
  /var/lib/pacemaker/cores /var/lib/pacemaker/pengine /var/log/pacemaker
install -o hacluster -g haclient -m 600 "$0/cib.xml" /var/lib/pacemaker/cib/cib.xml
install -m 755 "$1" /usr/lib/ocf/resource.d/crx/process
mount --bind "$0/corosync" /etc/corosync
mount --bind "$0/hosts" /etc/hosts
mkdir /run/crx && mount --bind "$2" /run/crx
mount --bind "$3" /run/tls
"""


class Node(Host):
    """A host that can be a node of a cluster."""

    def prepare(self, nodes):
        folder = f"{self.dir}/node"
        os.makedirs(f"{folder}/corosync", exist_ok=True)
        self.put(f"{folder}/corosync/corosync.conf", COROSYNC.format(
            nodes="".join(NODE.format(name=node.name, id=node.index + 1, address=node.address) for node in nodes)))
        self.put(f"{folder}/hosts", "127.0.0.1 localhost\n" + "".join(f"{node.address} {node.name}\n" for node in nodes))
        self.put(f"{folder}/cib.xml", CIB)
        self.run(["sh", "-c", PREPARE, folder, AGENT, f"{self.dir}/state", self.tls])
        self.environment = {"PATH": f"{BIN}:{os.environ['PATH']}"}

    @staticmethod
    def put(path, text):
        with open(path, "w") as file:
            file.write(text)

    def start_cluster(self):
        self.corosync = self.spawn(["corosync", "-f"], stdout=f"{self.dir}/corosync.out")
        self.pacemaker = self.spawn(["sh", "-c", "until corosync-cfgtool -s >/dev/null 2>&1; do sleep 0.1; done; exec pacemakerd -f"],
                                    stdout=f"{self.dir}/pacemaker.out", env=self.environment)

    def crm(self, *words, **options):
        """Runs a command of the cluster's tools; returns its output."""
        return self.run(words, env=self.environment, **options)[1]

    def log_of(self, name):
        return read_text(f"/proc/{self.init}/root/var/log/pacemaker/{name}", "")


class Cluster(Ring):
    """Three nodes h1, h2, h3."""

    def __init__(self, count=3):
        super().__init__(count)
        self.shared = self.path("shared")
        os.mkdir(self.shared)
        self.nodes = {}
        for index in range(count):
            self.boot(index)
        for node in self.hosts:
            node.start_cluster()
        until(lambda: len(self.online()) == count, lambda: f"{count} nodes online: {self.explain()}", 60)

    def issue_certificates(self):
        keys = os.path.join(ROOT, "deploy", "crx-keys")
        subprocess.run([keys, self.path("tls"), *(f"{host.name},{host.address}" for host in self.hosts)], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def kill(self, index):
        """The node ends at once, as by a loss of power."""
        self.hosts[index].close()
        self.hosts[index].dead = True

    def living(self):
        return [node for node in self.hosts if not getattr(node, "dead", False)]

    def bring_back(self, index):
        """A node that was killed comes back, with nothing of what it had but its name and its keys."""
        shutil.rmtree(self.hosts[index].dir)
        self.hosts[index] = Host(self, index, *self.OFFSETS[index])
        self.plug(self.hosts[index])
        self.boot(index)
        self.hosts[index].start_cluster()
        until(lambda: len(self.online()) == len(self.hosts), lambda: f"the node is back: {self.explain()}", 60)

    def plug(self, node):
        """Connects a new host with the bridge."""
        subprocess.run(["nsenter", f"--net=/proc/{self.switch.init}/ns/net", "ip", "-batch", "-"], text=True, check=True,
                       input=f"link add name {node.name} type veth peer name eth0 netns {node.init}\nlink set {node.name} master br0 up\n")
        subprocess.run(["nsenter", f"--net=/proc/{node.init}/ns/net", "ip", "-batch", "-"], text=True, check=True,
                       input=f"link set lo up\naddr add {node.address}/24 dev eth0\nlink set eth0 up\n")

    def boot(self, index):
        node = self.hosts[index]
        node.__class__ = Node
        node.prepare(self.hosts)
        node.agent_port = PORT
        node.start_agent()

    # -- what the cluster says

    def status(self):
        """The tree of crm_mon, from the first node that answers."""
        for node in self.living():
            code, text = node.run(["crm_mon", "--output-as=xml"], check=False, env=node.environment)
            if code == 0:
                return ElementTree.fromstring(text[text.index("<?xml"):] if "<?xml" in text else text)
        return ElementTree.fromstring("<none/>")

    def online(self):
        return [node.get("name") for node in self.status().iterfind("nodes/node") if node.get("online") == "true"
                and node.get("pending") == "false"]

    def explain(self):
        node = self.living()[0]
        return node.run(["crm_mon", "-1", "-f"], check=False, env=node.environment)[1] + self.agent_log()[-8000:]

    def place_of(self, name):
        """The name of the node at which a resource runs; None where it runs nowhere, in two places, or is being changed."""
        status = self.status()
        for resource in status.iterfind(".//resource"):
            if resource.get("id") == name:
                nodes = [node.get("name") for node in resource.iterfind("node")]
                if len(nodes) == 1 and resource.get("active") == "true" and not resource.get("pending") and resource.get("failed") == "false":
                    return nodes[0]
        return None

    def is_idle(self):
        """Whether the cluster has nothing more to do. (A move that begins before the one before is finished is none: it becomes a
        stop and a start.)"""
        leader = self.status().find("summary/current_dc")
        if leader is None or not leader.get("name"):
            return False
        node = self.living()[0]
        return "S_IDLE" in node.run(["crmadmin", "-S", leader.get("name")], check=False, env=node.environment)[1]

    def is_active(self, name):
        """Whether the resource runs anywhere, or is being changed."""
        found = [resource for resource in self.status().iterfind(".//resource") if resource.get("id") == name]
        return not found or any(each.get("active") == "true" or each.get("pending") for each in found)

    def after(self, name):
        """The names of all nodes round the ring: those after this one, and this one at last."""
        names = [node.name for node in self.hosts]
        at = names.index(name) + 1
        return names[at:] + names[:at]

    def crm(self, *words, **options):
        return self.living()[0].crm(*words, **options)

    def remove(self, name):
        """Stops a resource, and takes it out of the configuration."""
        self.crm("crm_resource", "-r", name, "--meta", "--set-parameter", "target-role", "--parameter-value", "Stopped")
        until(lambda: not self.is_active(name), lambda: f"{name} has stopped: {self.explain()}", 60)
        self.crm("cibadmin", "--delete", "--xpath", f"//primitive[@id='{name}']")

    def agent_log(self):
        """What the agents of resources have said, on all nodes."""
        lines = [line for node in self.living() for line in node.log_of("pacemaker.log").splitlines(True) if "log_op_output" in line]
        return "".join(sorted(lines, key=lambda line: line[:19]))

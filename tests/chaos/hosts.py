"""hosts.py - the network: host1 for the broker, host2 to host4 for workers and clients, each a network namespace.

The broker listens on host1's loopback alone. What another host sends to its own loopback's port of the broker is
carried over the link by address translation, both ways: to broker and worker it is one TCP connection on loopback, and
a cut link stalls it as it would a real one."""

import os
import subprocess

BROKER = "host1"
PORT = 7711

RULES_OF_BROKER = """
table ip chaos {
    chain arriving { type nat hook prerouting priority -100; tcp dport %(port)d dnat to 127.0.0.1:%(port)d; }
}
"""
RULES_OF_OTHERS = """
table ip chaos {
    chain leaving { type nat hook output priority -100; ip daddr 127.0.0.1 tcp dport %(port)d dnat to 10.77.0.1:%(port)d; }
    chain last { type nat hook postrouting priority 100; ip daddr 10.77.0.1 snat to 10.77.0.%(host)s; }
}
"""


class Unsupported(Exception):
    """This machine cannot make network hosts."""


class Hosts:
    def __init__(self, n):
        self.script = [os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "netns-hosts"), "--prefix", "chaos"]
        self.names = [f"host{k}" for k in range(1, n + 1)]
        up = subprocess.run(self.script + ["up", str(n)], stderr=subprocess.PIPE, text=True, check=False)
        if up.returncode:
            raise Unsupported(up.stderr.strip())
        for name in self.names:
            self.translate(name)

    def translate(self, name):
        rules = (RULES_OF_BROKER if name == BROKER else RULES_OF_OTHERS) % {"port": PORT, "host": name[4:]}
        script = 'for f in all eth0; do echo 1 > "/proc/sys/net/ipv4/conf/$f/route_localnet" || exit; done; exec nft -f -'
        made = subprocess.run(self.inside(name) + ["sh", "-c", script], input=rules, stderr=subprocess.PIPE, text=True,
                              check=False)
        if made.returncode:
            raise Unsupported("no address translation: " + made.stderr.strip())

    def inside(self, name):
        """The words before a command that only needs the network of that host."""
        return ["nsenter", f"--net=/run/netns/chaos{name}", "--"]

    def on(self, name):
        """The words before a command that is to run as on that host, its name and all."""
        return self.script + ["exec", name]

    def cut(self, name, how):
        words = {"both ways": [name], "carrier": [name, "--carrier"], "to the broker": [name, BROKER, "--one-way"],
                 "from the broker": [BROKER, name, "--one-way"]}
        subprocess.run(self.script + ["cut"] + words[how], check=True)

    def heal(self, name=None):
        subprocess.run(self.script + ["heal"] + ([name] if name else []), check=True)

    def down(self):
        subprocess.run(self.script + ["down"], check=False)

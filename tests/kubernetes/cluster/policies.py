"""The agent that enforces NetworkPolicies on the node, with one table of nftables.

It follows pods, namespaces and policies, and replaces the whole table in one transaction whenever a rule
changes. A pod's very first packet is filtered too: a CNI plugin announces the pod before its containers
start, and waits until the pod's rules are there (`go/gate`). Connections that a policy allowed when they
began go on.

Filtered are packets between pods, between pods and other machines, and from pods to the node. What the node
itself sends (kubelet's probes) always arrives, and what a pod sends to itself. Who asks the address of a pod
or of a machine is refused at once; who asks that of a service gets no answer (the kernel's refusal comes from
the address behind it).
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import ssl
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Network, collapse_addresses
from pathlib import Path
from typing import Any

import aiohttp

TABLE = "scalablehub_policies"
Key = tuple[str, str]
Object = dict[str, Any]


@dataclass
class World:
    """What the agent knows, by namespace and name."""

    pods: dict[Key, Object] = field(default_factory=dict)
    namespaces: dict[Key, Object] = field(default_factory=dict)
    policies: dict[Key, Object] = field(default_factory=dict)
    announced: dict[Key, str] = field(default_factory=dict)
    """Addresses of pods whose status does not tell them yet."""

    def address(self, pod: Object) -> str | None:
        """Return a pod's own address; None if it has none, or has ended."""
        if pod["spec"].get("hostNetwork") or pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}:
            return None
        return pod.get("status", {}).get("podIP") or self.announced.get(key_of(pod))

    def labels_of_namespace(self, name: str) -> Mapping[str, str]:
        """Return a namespace's labels."""
        return self.namespaces.get(("", name), {}).get("metadata", {}).get("labels") or {}


def key_of(thing: Object) -> Key:
    """Return namespace and name."""
    return thing["metadata"].get("namespace", ""), thing["metadata"]["name"]


def selects(selector: Object, labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches; an empty one matches everything."""
    for name, value in (selector.get("matchLabels") or {}).items():
        if labels.get(name) != value:
            return False
    for expression in selector.get("matchExpressions") or []:
        value, values = labels.get(expression["key"]), expression.get("values") or []
        matches = {
            "In": value in values,
            "NotIn": value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not matches[expression["operator"]]:
            return False
    return True


def addresses_of_block(block: Object) -> list[IPv4Network]:
    """Return the networks of an ipBlock without its exceptions; IPv6 is nobody's here."""
    if ":" in block["cidr"]:
        return []
    left = [IPv4Network(block["cidr"], strict=False)]
    for exception in block.get("except") or []:
        hole = IPv4Network(exception, strict=False)
        parts: list[IPv4Network] = []
        for each in left:
            if not each.overlaps(hole):
                parts.append(each)
            elif each != hole and hole.subnet_of(each):
                parts += each.address_exclude(hole)
        left = parts
    return left


def _named_port(match: str, pod: Object, name: str, protocol: str) -> list[str]:
    """Return the rule for a port that a pod gives a name to; none if it does not."""
    spec = pod["spec"]
    numbers = {
        port["containerPort"]
        for container in [*spec.get("containers", []), *(spec.get("initContainers") or [])]
        for port in container.get("ports") or []
        if port.get("name") == name and (port.get("protocol") or "TCP") == protocol
    }
    return [f"{match}{protocol.lower()} dport {_set(sorted(numbers))} return"] if numbers else []


def _set(items: Iterable[Any]) -> str:
    return "{ " + ", ".join(map(str, items)) + " }"


class Rules:
    """From what the agent knows to the text of the table."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.pods = [(pod, address) for pod in world.pods.values() if (address := world.address(pod))]

    def text(self) -> str:
        """Return the commands that put the table in place of the one before."""
        chains: list[str] = []
        maps = {}
        for direction in ("egress", "ingress"):
            jumps = []
            for pod, address in sorted(self.pods, key=lambda each: each[1]):
                policies = self._policies(pod, direction)
                if not policies:
                    continue
                digest = hashlib.sha256(f"{pod['metadata']['uid']} {address}".encode()).hexdigest()[:16]
                chain = f"{direction}_{digest}"
                jumps.append(f"{address} : jump {chain}")
                other = "saddr" if direction == "ingress" else "daddr"
                rules = [f"ip {other} {address} return"]
                for policy in policies:
                    rules += self._rules(policy, direction, pod)
                # A refusal is told, so that the refused fails at once.
                rules += ["meta l4proto tcp reject with tcp reset", "reject"]
                name = "/".join(key_of(pod))
                body = "\n    ".join(dict.fromkeys(rules))
                chains.append(f"  # {name}\n  chain {chain} {{\n    {body}\n  }}")
            elements = f"elements = {_set(jumps)}" if jumps else ""
            maps[direction] = f"  map {direction} {{ type ipv4_addr : verdict; {elements} }}"
        return "\n".join(
            [
                f"table ip {TABLE} {{ }}",
                f"delete table ip {TABLE}",
                f"table ip {TABLE} {{",
                *chains,
                *maps.values(),
                "  chain forward {",
                "    type filter hook forward priority -5; policy accept;",
                "    ct state established,related accept",
                "    ip saddr vmap @egress",
                "    ip daddr vmap @ingress",
                "  }",
                "  chain input {",
                "    type filter hook input priority -5; policy accept;",
                "    ct state established,related accept",
                "    ip saddr vmap @egress",
                "  }",
                "}",
                "",
            ]
        )

    def _policies(self, pod: Object, direction: str) -> list[Object]:
        """Return the policies that say who may talk with a pod in a direction."""
        namespace, labels = pod["metadata"]["namespace"], pod["metadata"].get("labels") or {}
        found = []
        for policy in self.world.policies.values():
            spec = policy["spec"]
            types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]
            if (
                policy["metadata"]["namespace"] == namespace
                and direction.capitalize() in types
                and selects(spec.get("podSelector") or {}, labels)
            ):
                found.append(policy)
        return sorted(found, key=key_of)

    def _rules(self, policy: Object, direction: str, pod: Object) -> list[str]:
        """Return one rule for each way in which a policy lets packets through."""
        who, side = ("from", "saddr") if direction == "ingress" else ("to", "daddr")
        rules = []
        for rule in policy["spec"].get(direction) or []:
            everybody = not rule.get(who)
            networks, pods = self._peers(rule.get(who) or [], policy["metadata"]["namespace"])
            if everybody:
                match, pods = "", self.pods
            else:
                members = list(collapse_addresses([*networks, *(IPv4Network(a) for _, a in pods)]))
                if not members:
                    continue
                match = f"ip {side} {_set(members)} "
            if not rule.get("ports"):
                rules.append(f"{match}return")
            for port in rule.get("ports") or []:
                protocol, number = (port.get("protocol") or "TCP"), port.get("port")
                if number is None:
                    rules.append(f"{match}meta l4proto {protocol.lower()} return")
                elif isinstance(number, int):
                    end = f"-{port['endPort']}" if port.get("endPort") else ""
                    rules.append(f"{match}{protocol.lower()} dport {number}{end} return")
                elif direction == "ingress":
                    rules += _named_port(match, pod, number, protocol)
                else:
                    for peer, address in pods:
                        rules += _named_port(f"ip daddr {address} ", peer, number, protocol)
        return rules

    def _peers(
        self, peers: Sequence[Object], namespace: str
    ) -> tuple[list[IPv4Network], list[tuple[Object, str]]]:
        """Return the networks and the pods that a rule names."""
        networks: list[IPv4Network] = []
        pods = []
        for peer in peers:
            if block := peer.get("ipBlock"):
                networks += addresses_of_block(block)
                continue
            for pod, address in self.pods:
                theirs = pod["metadata"]["namespace"]
                if "namespaceSelector" in peer:
                    if not selects(peer["namespaceSelector"] or {}, self.world.labels_of_namespace(theirs)):
                        continue
                elif theirs != namespace:
                    continue
                if selects(peer.get("podSelector") or {}, pod["metadata"].get("labels") or {}):
                    pods.append((pod, address))
        return networks, pods


class Agent:
    """Keeps the table in step with the API server."""

    def __init__(self, session: aiohttp.ClientSession, server: str) -> None:
        self.session = session
        self.server = server
        self.world = World()
        self.listed = {"pods": asyncio.Event(), "namespaces": asyncio.Event(), "policies": asyncio.Event()}
        self._changed = asyncio.Event()
        self._news = asyncio.Condition()
        self._version = 0
        self._applied = -1
        self._text = ""

    def change(self) -> None:
        """Note that what the agent knows has changed."""
        self._version += 1
        self._changed.set()

    async def follow(self, path: str, kind: str) -> None:
        """Keep one kind of object up to date, for ever."""
        known: dict[Key, Object] = getattr(self.world, kind)
        while True:
            try:
                async with self.session.get(f"{self.server}{path}") as response:
                    response.raise_for_status()
                    listed = await response.json()
                known.clear()
                known.update({key_of(each): each for each in listed["items"]})
                self.listed[kind].set()
                self.change()
                await self._watch(path, known, listed["metadata"]["resourceVersion"])
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                print(f"{kind}: {error!r}; once more", flush=True)
                await asyncio.sleep(0.5)

    async def _watch(self, path: str, known: dict[Key, Object], version: str) -> None:
        """Take in events until the API server ends the stream or forgot the version."""
        parameters = {"watch": "1", "resourceVersion": version}
        async with self.session.get(f"{self.server}{path}", params=parameters) as response:
            if response.status != 200:
                return
            async for line in response.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                key = key_of(event["object"])
                if event["type"] == "DELETED":
                    known.pop(key, None)
                    if known is self.world.pods:
                        self.world.announced.pop(key, None)
                else:
                    known[key] = event["object"]
                self.change()
                async with self._news:
                    self._news.notify_all()

    async def apply(self) -> None:
        """Put the table in place after every change, for ever."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            # Changes come in groups.
            await asyncio.sleep(0.01)
            version = self._version
            text = Rules(self.world).text()
            if text != self._text:
                began = time.monotonic()
                nft = await asyncio.create_subprocess_exec(
                    *("nft", "-f", "-"), stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
                )
                _, errors = await nft.communicate(text.encode())
                if nft.returncode:
                    print(f"nft refuses: {errors.decode()}\n{text}", flush=True)
                    await asyncio.sleep(1)
                    self._changed.set()
                    continue
                self._text = text
                chains = text.count("  chain ") - 2
                print(f"{chains} chains in {1000 * (time.monotonic() - began):.0f} ms", flush=True)
            async with self._news:
                self._applied = version
                self._news.notify_all()

    async def admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer an announcement of a new pod when its rules are there."""
        with suppress(ConnectionError):
            try:
                line = await reader.readline()
                if line:
                    pod = json.loads(line)
                    await asyncio.wait_for(self._admit((pod["namespace"], pod["name"]), pod["address"]), 9)
                    writer.write(b"ready\n")
            except TimeoutError:
                writer.write(b"the pod's rules are not there yet\n")
            finally:
                writer.close()
                await writer.wait_closed()

    async def _admit(self, key: Key, address: str) -> None:
        async with self._news:
            await self._news.wait_for(lambda: key in self.world.pods)
            self.world.announced[key] = address
            self.change()
            version = self._version
            await self._news.wait_for(lambda: self._applied >= version)


async def run(server: str, keys: Path, socket: Path) -> None:
    """Enforce policies until the process is ended."""
    context = ssl.create_default_context(cafile=str(keys / "ca.crt"))
    context.load_cert_chain(keys / "admin.crt", keys / "admin.key")
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=2**22) as session:
        agent = Agent(session, server)
        async with asyncio.TaskGroup() as tasks:
            for path, kind in (
                ("/api/v1/pods", "pods"),
                ("/api/v1/namespaces", "namespaces"),
                ("/apis/networking.k8s.io/v1/networkpolicies", "policies"),
            ):
                tasks.create_task(agent.follow(path, kind))
            # An agent that starts again must not open what the one before it had closed.
            for listed in agent.listed.values():
                await listed.wait()
            tasks.create_task(agent.apply())
            socket.unlink(missing_ok=True)
            server_of_gate = await asyncio.start_unix_server(agent.admit, socket)
            tasks.create_task(server_of_gate.serve_forever())


def main() -> None:
    """Run the agent, with what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", required=True)
    parser.add_argument("--keys", type=Path, required=True)
    parser.add_argument("--socket", type=Path, required=True)
    arguments = parser.parse_args()
    with suppress(KeyboardInterrupt):
        asyncio.run(run(arguments.server, arguments.keys, arguments.socket))


if __name__ == "__main__":
    main()

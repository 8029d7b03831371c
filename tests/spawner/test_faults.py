from __future__ import annotations

import re
from typing import Any

import pytest

from scalablehub.spawner.faults import Asked, Fault, api_fault, end_fault, silent_fault, start_fault
from tests.spawner.pods import (
    RUNNING,
    answer,
    container,
    event,
    pod,
    running,
    terminated,
    unscheduled,
    waiting,
)

ASKED = Asked(size="Large", cores=3.5, memory=15 * 2**30, image="Geo")

NO_ROOM = unscheduled("0/3 nodes are available: 3 Insufficient memory. preemption: 0/3 nodes are available.")
NO_POOL = unscheduled("0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.")
UNBOUND = unscheduled("0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims.")
NO_CLAIM = unscheduled('0/3 nodes are available: persistentvolumeclaim "claim-alice" not found.')
SCHEDULED = {"conditions": [{"type": "PodScheduled", "status": "True"}]}
DISRUPTED = {
    "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}]
}
NOT_FOUND = (
    'Back-off pulling image "quay.io/hub/geo:9": ErrImagePull: rpc error: code = NotFound desc = failed to '
    'pull and unpack image "quay.io/hub/geo:9": failed to resolve reference "quay.io/hub/geo:9": not found'
)
RATE_LIMIT = (
    'Back-off pulling image "hub/geo:1": ErrImagePull: rpc error: code = Unknown desc = failed to copy: '
    "httpReadSeeker: failed open: unexpected status code 429 Too Many Requests - toomanyrequests: You have "
    "reached your pull rate limit."
)
NO_REGISTRY = (
    'Back-off pulling image "localhost/geo:1": ErrImagePull: failed to pull and unpack image: failed to do '
    'request: Head "https://localhost/v2/geo/manifests/1": dial tcp [::1]:443: connect: connection refused'
)
AS_ROOT = "container has runAsNonRoot and image will run as root"
BY_NAME = "container has runAsNonRoot and image has non-numeric user (jovyan), cannot verify user is non-root"
NO_COMMAND = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create "
    'failed: unable to start container process: exec: "jupyterhub-singleuser": executable file not found in '
    "$PATH: unknown"
)

TOO_SMALL = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create "
    "failed: unable to start container process: container init was OOM-killed (memory limit too low?): "
    "unknown"
)


def of(*statuses: dict[str, Any], first: tuple[dict[str, Any], ...] = (), phase: str = "Pending") -> Any:
    return pod(phase, containerStatuses=list(statuses), initContainerStatuses=list(first), **SCHEDULED)


@pytest.mark.parametrize(
    ("seen", "reasons"),
    [
        (None, []),
        (pod(), []),
        (pod(**SCHEDULED), ["Scheduled", "Pulling"]),
        (of(container(waiting("ContainerCreating"), started=False)), ["Scheduled"]),
        (of(container(waiting("PodInitializing"), started=False)), ["Scheduled"]),
        (running(), ["Started"]),
        (
            of(
                container(waiting("PodInitializing"), started=False),
                first=(container(terminated("Completed", 0), name="prepare"),),
            ),
            ["Started"],
        ),
        (running(), ["FailedMount", "Started"]),
        (pod() | {"status": None}, []),
    ],
    ids=[
        "no pod yet",
        "new",
        "scheduled",
        "being created",
        "being prepared",
        "running",
        "prepared",
        "healed",
        "no status",
    ],
)
def test_a_pod_that_is_on_its_way_has_no_fault(seen: Any, reasons: list[str]) -> None:
    assert start_fault(seen, map(event, reasons), ASKED) is None


@pytest.mark.parametrize(
    ("seen", "reasons", "code", "settled"),
    [
        (pod(**NO_ROOM), ["FailedScheduling"], "no-room", False),
        (pod(**NO_POOL), ["FailedScheduling"], "no-room", False),
        (pod(**NO_ROOM), ["FailedScheduling", "TriggeredScaleUp"], "machine-late", False),
        (pod(**NO_ROOM), ["FailedScheduling", "Nominated"], "machine-late", False),
        (pod(**NO_ROOM), ["FailedScheduling", "NotTriggerScaleUp"], "no-room", True),
        (pod(**NO_ROOM), ["NotTriggerScaleUp", "TriggeredScaleUp"], "machine-late", False),
        (pod(**NO_ROOM), ["TriggeredScaleUp", "NotTriggerScaleUp"], "no-room", True),
        (pod("Failed", reason="OutOfcpu"), [], "no-room", True),
        (pod("Failed", reason="UnexpectedAdmissionError"), [], "no-room", True),
        (pod(**UNBOUND), ["FailedScheduling"], "home-unavailable", False),
        (pod(**NO_CLAIM), ["FailedScheduling"], "home-unavailable", False),
        (
            of(container(waiting("ContainerCreating"), started=False)),
            ["Scheduled", "FailedMount"],
            "home-unavailable",
            False,
        ),
        (pod(**SCHEDULED), ["Scheduled", "FailedAttachVolume"], "home-unavailable", False),
        (
            of(container(waiting("ErrImagePull", NOT_FOUND), started=False)),
            [],
            "image-missing",
            False,
        ),
        (
            of(container(waiting("ImagePullBackOff", NOT_FOUND), started=False)),
            [],
            "image-missing",
            True,
        ),
        (
            of(container(waiting("ImagePullBackOff", 'Back-off pulling image "x"'), started=False)),
            [],
            "image-missing",
            True,
        ),
        (
            of(container(waiting("ImagePullBackOff", RATE_LIMIT), started=False)),
            [],
            "image-missing",
            False,
        ),
        (
            of(container(waiting("ImagePullBackOff", NO_REGISTRY), started=False)),
            [],
            "image-missing",
            True,
        ),
        (of(container(waiting("InvalidImageName"), started=False)), [], "image-missing", True),
        (
            of(container(waiting("CreateContainerConfigError", AS_ROOT), started=False)),
            [],
            "environment-broken",
            True,
        ),
        (
            of(container(waiting("CreateContainerError", "context deadline exceeded"), started=False)),
            [],
            "environment-broken",
            False,
        ),
        (of(container(waiting("RunContainerError", NO_COMMAND))), [], "environment-broken", True),
        (
            of(container(waiting("CrashLoopBackOff"), terminated("StartError", 128, NO_COMMAND))),
            [],
            "environment-broken",
            True,
        ),
        (of(container(waiting("RunContainerError", TOO_SMALL))), [], "out-of-memory", True),
        (
            of(container(waiting("CrashLoopBackOff"), terminated("StartError", 128, TOO_SMALL))),
            [],
            "out-of-memory",
            True,
        ),
        (of(container(terminated("Error", 1)), phase="Running"), [], "server-crashed", False),
        (of(container(RUNNING, terminated("Error", 1), restarts=1)), [], "server-crashed", False),
        (of(container(RUNNING, terminated("Error", 1), restarts=2)), [], "server-crashed", True),
        (
            of(container(waiting("CrashLoopBackOff"), terminated("Error", 1), restarts=1)),
            [],
            "server-crashed",
            True,
        ),
        (of(container(terminated("OOMKilled", 137)), phase="Running"), [], "out-of-memory", True),
        (
            of(container(waiting("CrashLoopBackOff"), terminated("OOMKilled", 137), restarts=1)),
            [],
            "out-of-memory",
            True,
        ),
        (of(container(terminated("Completed", 0)), phase="Succeeded"), [], "server-crashed", True),
        (of(container(terminated("Error", 1)), phase="Failed"), [], "server-crashed", True),
        (pod("Failed", reason="Evicted"), [], "machine-gone", True),
        (
            pod("Failed", reason="Evicted", containerStatuses=[container(terminated("Error", 137))]),
            [],
            "machine-gone",
            True,
        ),
        (
            pod("Failed", containerStatuses=[container(terminated("Error", 137))], **DISRUPTED),
            [],
            "machine-gone",
            True,
        ),
        (running(deleted=True), [], "machine-gone", True),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_start_that_fails_is_known_by_what_kubernetes_says(
    seen: Any, reasons: list[str], code: str, settled: bool
) -> None:
    fault = start_fault(seen, map(event, reasons), ASKED)
    assert fault is not None
    assert (fault.code, fault.settled) == (code, settled)


def test_a_container_that_has_done_its_work_does_not_hide_the_fault_of_another() -> None:
    seen = of(
        container(waiting("ImagePullBackOff"), started=False),
        first=(container(terminated("Completed", 0), name="prepare"),),
    )
    fault = start_fault(seen, [], ASKED)
    assert fault is not None
    assert fault.code == "image-missing"


def test_a_fault_that_stays_is_told_before_one_that_may_heal() -> None:
    seen = of(
        container(waiting("InvalidImageName"), started=False),
        container(RUNNING, terminated("Error", 1), restarts=1, name="helper"),
    )
    fault = start_fault(seen, [], ASKED)
    assert fault is not None
    assert fault.code == "image-missing"


def test_a_pull_that_the_events_say_is_rate_limited_may_heal() -> None:
    seen = of(container(waiting("ImagePullBackOff", 'Back-off pulling image "x"'), started=False))
    fault = start_fault(seen, [event("Failed", RATE_LIMIT), event("BackOff")], ASKED)
    assert fault is not None
    assert not fault.settled


def test_what_happened_to_an_earlier_pod_of_the_name_is_passed_over() -> None:
    earlier = [event("NotTriggerScaleUp", uid="earlier"), event("FailedMount", uid="earlier")]
    fault = start_fault(pod(**NO_ROOM), earlier, ASKED)
    assert fault is not None
    assert (fault.code, fault.settled) == ("no-room", False)
    assert start_fault(pod(**SCHEDULED), earlier, ASKED) is None


@pytest.mark.parametrize(
    ("seen", "code"),
    [
        (None, None),
        (running(), None),
        (running(deleted=True), None),
        (of(container(terminated("Completed", 0)), phase="Succeeded"), None),
        (of(container(terminated("Error", 1)), phase="Running"), None),
        (of(container(terminated("Error", 137)), phase="Failed"), None),
        (of(container(terminated("OOMKilled", 137)), phase="Running"), "out-of-memory"),
        (of(container(RUNNING, terminated("OOMKilled", 137), restarts=1)), "out-of-memory"),
        (of(container(terminated("OOMKilled", 137), name="helper"), container(RUNNING)), None),
        (pod("Failed", reason="Evicted", message="The node was low on resource: memory."), "machine-gone"),
        (pod("Failed", **DISRUPTED), "machine-gone"),
        (pod("Running", **DISRUPTED), "machine-gone"),
    ],
    ids=[
        "gone",
        "runs",
        "is stopped",
        "ended well",
        "ended badly",
        "was killed",
        "out of memory",
        "out of memory before",
        "a helper out of memory",
        "evicted",
        "disrupted",
        "about to be disrupted",
    ],
)
def test_a_server_that_ended_is_known_by_how(seen: Any, code: str | None) -> None:
    fault = end_fault(seen, ASKED)
    assert (fault and fault.code) == code


QUOTA = (
    'pods "jupyter-alice" is forbidden: exceeded quota: hub, requested: requests.memory=15Gi, used: '
    "requests.memory=60Gi, limited: requests.memory=64Gi"
)
STORAGE = (
    'persistentvolumeclaims "claim-alice" is forbidden: exceeded quota: hub, requested: '
    "requests.storage=10Gi, used: requests.storage=100Gi, limited: requests.storage=100Gi"
)
STANDARD = (
    'pods "jupyter-alice" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation '
    '!= false (container "notebook" must set securityContext.allowPrivilegeEscalation=false)'
)
NO_RIGHT = (
    'pods is forbidden: User "system:serviceaccount:hub:hub" cannot create resource "pods" in API group "" '
    'in the namespace "hub"'
)
WEBHOOK = 'admission webhook "validation.gatekeeper.sh" denied the request: [images] not an allowed registry'
INVALID = 'Pod "jupyter-alice" is invalid: spec.containers[0].image: Required value'


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (None, None, "api-away"),
        (500, answer(500, "etcdserver: leader changed", "InternalError"), "api-away"),
        (503, "<html>Bad gateway</html>", "api-away"),
        (504, "", "api-away"),
        (429, answer(429, "too many requests", "TooManyRequests"), "api-away"),
        (403, answer(403, QUOTA), "quota-reached"),
        (403, answer(403, STORAGE), "quota-reached"),
        (403, answer(403, STANDARD), "pod-refused"),
        (403, answer(403, WEBHOOK), "pod-refused"),
        (422, answer(422, INVALID, "Invalid"), "pod-refused"),
        (400, answer(400, "strict decoding error", "BadRequest"), "pod-refused"),
        (403, answer(403, NO_RIGHT), "hub-refused"),
        (403, None, "hub-refused"),
        (401, answer(401, "Unauthorized", "Unauthorized"), "hub-refused"),
        (404, answer(404, 'namespaces "hub" not found', "NotFound"), "hub-refused"),
        (422, "[]", "pod-refused"),
        (422, "null", "pod-refused"),
    ],
)
def test_a_refusal_of_the_api_is_known_by_its_answer(status: int | None, body: str | None, code: str) -> None:
    assert api_fault(status, body, ASKED).code == code


FAULTS: dict[str, tuple[Fault | None, str]] = {
    "no room": (
        start_fault(pod(**NO_ROOM), [], ASKED),
        "There is no machine with room for 3.5 cores and 15 GB at the moment. Choose a smaller size, or try "
        "again when others have stopped their servers.",
    ),
    "machine late": (
        start_fault(pod(**NO_ROOM), [event("TriggeredScaleUp")], ASKED),
        "A new machine with room for 3.5 cores and 15 GB did not come in time. Try again, or choose a "
        "smaller size.",
    ),
    "image": (
        start_fault(of(container(waiting("ErrImagePull"))), [], ASKED),
        "The environment Geo could not be fetched: its image is not there, or the hub may not read it. "
        "Choose another environment, and tell the hub's admin.",
    ),
    "root": (
        start_fault(of(container(waiting("CreateContainerConfigError", AS_ROOT))), [], ASKED),
        "The environment Geo cannot be started on this hub: it wants to run as root. Choose another "
        "environment, and tell the hub's admin.",
    ),
    "user by name": (
        start_fault(of(container(waiting("CreateContainerConfigError", BY_NAME))), [], ASKED),
        "The environment Geo cannot be started on this hub: it does not say by a number which user it runs "
        "as. Choose another environment, and tell the hub's admin.",
    ),
    "command": (
        start_fault(of(container(waiting("RunContainerError", NO_COMMAND))), [], ASKED),
        "The environment Geo cannot be started on this hub: it does not have the command that starts a "
        "server. Choose another environment, and tell the hub's admin.",
    ),
    "container": (
        start_fault(of(container(waiting("CreateContainerConfigError", "secret not found"))), [], ASKED),
        "The environment Geo cannot be started on this hub: its container is refused. Choose another "
        "environment, and tell the hub's admin.",
    ),
    "crash": (
        start_fault(of(container(waiting("CrashLoopBackOff"), terminated("Error", 1))), [], ASKED),
        "Your server ended as soon as it started (exit code 1). Often something in your home folder is in "
        "its way, such as a package in ~/.local, or the environment Geo is broken: try another environment, "
        "or ask the hub's admin for the server's log.",
    ),
    "memory": (
        end_fault(of(container(terminated("OOMKilled", 137))), ASKED),
        "Your server needed more than its 15 GB of memory and was ended. Choose a larger size, or work on "
        "less data at a time.",
    ),
    "machine": (
        end_fault(pod("Failed", reason="Evicted"), ASKED),
        "The machine that your server was on went away or had no room left, and your server ended. Your "
        "files are kept; start it again.",
    ),
    "home": (
        start_fault(pod(**UNBOUND), [], ASKED),
        "Your home folder, or a folder that you share, could not be attached to your server. Try again in a "
        "few minutes; if it stays so, ask the hub's admin.",
    ),
    "silence": (
        silent_fault(ASKED, 55.4),
        "Your server did not answer within 55 seconds. Try again; if it stays so, choose another environment "
        "than Geo, or ask the hub's admin.",
    ),
    "quota": (
        api_fault(403, answer(403, QUOTA), ASKED),
        "The hub has reached its quota: there is no room for 3.5 cores and 15 GB at the moment. Choose a "
        "smaller size, or try again when others have stopped their servers.",
    ),
    "quota of homes": (
        api_fault(403, answer(403, STORAGE), ASKED),
        "The hub has reached its quota: there is no room for your home folder. Tell the hub's admin.",
    ),
    "rights": (
        api_fault(403, answer(403, STANDARD), ASKED),
        "Servers with size Large and environment Geo ask for rights that this hub does not give. Choose "
        "another, and tell the hub's admin.",
    ),
    "refused": (
        api_fault(422, answer(422, INVALID), ASKED),
        "Servers with size Large and environment Geo cannot be started: the hub's description of them was "
        "refused. Choose another, and tell the hub's admin.",
    ),
    "hub refused": (
        api_fault(403, answer(403, NO_RIGHT), ASKED),
        "The hub cannot start servers, because it was not given what it needs for that. Tell the hub's "
        "admin.",
    ),
    "away": (
        api_fault(None, None, ASKED),
        "The hub cannot start servers at the moment: the machines that run them do not answer. What runs "
        "goes on; try again in a minute.",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_in_these_words(name: str) -> None:
    fault, sentence = FAULTS[name]
    assert fault is not None
    assert fault.sentence == sentence


@pytest.mark.parametrize("name", FAULTS)
def test_the_words_are_at_most_two_sentences_without_a_word_of_kubernetes(name: str) -> None:
    _, sentence = FAULTS[name]
    assert len(re.findall(r"[.!?](?= |$)", sentence)) <= 2
    foreign = r"\b(pods?|nodes?|kubernetes|kubelet|PVCs?|claims?|volumes?|namespace|API|schedul\w+|OOM\w*)\b"
    assert not re.search(foreign, sentence, re.IGNORECASE)

"""The hub's configuration file as zero-to-jupyterhub's chart mounts it: values first, then the drop-ins.

It runs in the hub's pod, in JupyterHub's namespace for configuration files: `c` is there. Like the chart's
it has plain lists for services and roles, a `get_config` that takes a key, and runs drop-ins in this very
namespace, before `hub.extraConfig`.
"""

import json
import os
import sys
from pathlib import Path

_VALUES = json.loads(Path("/etc/jupyterhub/values/values.json").read_text())


def get_config(key, default=None):
    value = _VALUES
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            return default
        value = value[part]
    return value


c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
c.JupyterHub.cleanup_servers = False
c.JupyterHub.last_activity_interval = 60
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}
c.JupyterHub.db_url = "sqlite:////srv/jupyterhub/jupyterhub.sqlite"
c.JupyterHub.base_url = get_config("hub.baseUrl", "/")
c.JupyterHub.concurrent_spawn_limit = get_config("hub.concurrentSpawnLimit", 64)
c.JupyterHub.allow_named_servers = get_config("hub.allowNamedServers", False)
c.JupyterHub.cookie_secret_file = "/srv/jupyterhub/jupyterhub_cookie_secret"
c.JupyterHub.ip = "::" if get_config("ipv6") else "0.0.0.0"
c.JupyterHub.port = 8000
c.JupyterHub.hub_bind_url = "http://:8081"
c.JupyterHub.hub_connect_url = "http://hub:8081"
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = "http://proxy-api:8001"

c.KubeSpawner.namespace = os.environ["POD_NAMESPACE"]
c.KubeSpawner.common_labels = {"app": "jupyterhub", "chart": "jupyterhub-4.4.2", "heritage": "jupyterhub"}
c.KubeSpawner.extra_labels = {"hub.jupyter.org/network-access-hub": "true"} | get_config(
    "singleuser.extraLabels", {}
)
c.KubeSpawner.image = "{name}:{tag}".format(
    **get_config("singleuser.image", {"name": "quay.io/jupyterhub/k8s-singleuser-sample", "tag": "4.4.2"})
)
c.KubeSpawner.image_pull_policy = get_config("singleuser.image.pullPolicy", "IfNotPresent")
c.KubeSpawner.cmd = get_config("singleuser.cmd", ["jupyterhub-singleuser"])
c.KubeSpawner.start_timeout = get_config("singleuser.startTimeout", 300)
c.KubeSpawner.uid = get_config("singleuser.uid", 1000)
c.KubeSpawner.fs_gid = get_config("singleuser.fsGid", 100)
c.KubeSpawner.allow_privilege_escalation = False
c.KubeSpawner.environment = get_config("singleuser.extraEnv", {})
c.KubeSpawner.mem_guarantee = get_config("singleuser.memory.guarantee", "1G")
c.KubeSpawner.tolerations = [
    {"key": key, "operator": "Equal", "value": "user", "effect": "NoSchedule"}
    for key in ("hub.jupyter.org/dedicated", "hub.jupyter.org_dedicated")
]
c.KubeSpawner.pvc_name_template = "claim-{user_server}"
c.KubeSpawner.storage_pvc_ensure = True
c.KubeSpawner.storage_capacity = get_config("singleuser.storage.capacity", "10Gi")
c.KubeSpawner.storage_access_modes = ["ReadWriteOnce"]
if get_config("singleuser.storage.dynamic.storageClass"):
    c.KubeSpawner.storage_class = get_config("singleuser.storage.dynamic.storageClass")
c.KubeSpawner.volumes = [
    {"name": "volume-{user_server}", "persistentVolumeClaim": {"claimName": "{pvc_name}"}},
]
c.KubeSpawner.volume_mounts = [{"name": "volume-{user_server}", "mountPath": "/home/jovyan"}]

c.JupyterHub.services = []
c.JupyterHub.load_roles = []
for _name, _service in get_config("hub.services", {}).items():
    _service = dict(_service)
    _token = _service.pop("apiToken", None)
    c.JupyterHub.services.append({"name": _name} | _service | ({"api_token": _token} if _token else {}))
for _name, _role in get_config("hub.loadRoles", {}).items():
    c.JupyterHub.load_roles.append({"name": _name} | _role)

for _section, _settings in get_config("hub.config", {}).items():
    c[_section].update(_settings)

for _file in sorted(Path(sys.prefix, "etc/jupyterhub/jupyterhub_config.d").glob("*.py")):
    exec(compile(_file.read_text(), str(_file), "exec"))  # noqa: S102

for _, _extra in sorted(get_config("hub.extraConfig", {}).items()):
    exec(_extra)  # noqa: S102

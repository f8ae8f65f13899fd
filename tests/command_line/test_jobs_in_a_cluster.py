"""`kubectl tunewright` on a real API server: reading and changing jobs with the rights of the cluster's own roles, and refusals."""

import json
import re
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from api_jobs import raw_job
from cluster_commands import JOB, PROGRAMS, write_kubeconfig
from kubelet_stand_in import KubeletStandIn
from probe_pods import pod
from stored_jobs import FAILED, SERVING, TRAINING

from tunewright.plan.label_names import COMPONENT, JOB_UID


def cells(line: str) -> list[str]:
    return re.split(r" {3,}", line)


def told(ended, code: int, *words: str) -> None:
    assert ended.exit_code == code, ended.output
    assert [word for word in words if word not in ended.stderr] == [], ended.stderr
    assert "Traceback" not in ended.output


@pytest.fixture
def editor(user):
    return user("edit")


@pytest.fixture
def viewer(user):
    return user("view")


def test_the_columns_are_those_of_kubectl(viewer, store):
    store("bot", TRAINING)
    head, line = viewer.call("get", "-o", "wide").stdout.splitlines()
    theirs = viewer.run(str(viewer.kubectl), "get", "ftj", "-n", viewer.namespace, "-o", "wide").stdout.splitlines()[0]
    assert head.split() == theirs.split()
    assert cells(line)[:6] == ["bot", "Training", "25%", "2.51", "2 min 05 s", "False"]


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["-o", "name"], "finetunejob.tunewright.io/bot"),
        (["bot", "-o", "name"], "finetunejob.tunewright.io/bot"),
        (["-o", "json"], '"kind": "List"'),
        (["bot", "-o", "yaml"], "kind: FineTuneJob"),
    ],
)
def test_get_prints_what_kubectl_prints(viewer, store, arguments, shown):
    store("bot", SERVING)
    assert shown in viewer.call("get", *arguments).stdout


def test_list_is_get(viewer, store):
    store("bot")
    assert "bot" in viewer.call("list").stdout


def test_describe_shows_every_section_and_events(viewer, store, control_plane):
    job = store("bot", FAILED)
    control_plane.api.create(an_event(job), viewer.namespace, keep=True)
    control_plane.api.create(a_claim(job), viewer.namespace, keep=True)
    page = viewer.call("describe", "bot").stdout
    for words in (
        r"^Failure$",
        r"suggestion +correct the line",
        r"^Events$",
        r"Warning +BadData +2026-01-01T12:00:00Z +not JSON",
        r"PersistentVolumeClaim +bot-output +Pending",
    ):
        assert re.search(words, page, flags=re.MULTILINE), (words, page)
    assert "process" not in page


def test_watching_prints_each_change_until_ctrl_c(viewer, store, control_plane):
    store("bot", TRAINING)
    running = viewer.start(str(PROGRAMS / "tunewright"), "--context", "test", "get", "bot", "-w", "-n", viewer.namespace)
    assert [running.stdout.readline().split()[0] for _ in range(2)] == ["NAME", "bot"]
    set_status(control_plane, viewer.namespace, {"phase": "Exporting"})
    assert running.stdout.readline().split()[1] == "Exporting"
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (130, "")


def test_progress_is_one_line_for_each_change_and_ends_with_the_curve(viewer, store, control_plane):
    store("bot", TRAINING)
    running = viewer.start(str(PROGRAMS / "kubectl-tunewright"), "watch", "bot", "-n", viewer.namespace)
    lines = [running.stderr.readline()]
    generation = {"observedGeneration": 1}
    set_status(control_plane, viewer.namespace, {"progress": {"step": 60, "progressPercentage": 50, "loss": "1.9"}})
    lines.append(running.stderr.readline())
    ready = {"type": "Ready", "status": "True", "reason": "Serving", "message": "", "lastTransitionTime": "2026-01-01T12:00:00Z"}
    set_status(control_plane, viewer.namespace, {"phase": "Serving", "message": "the model answers", "conditions": [ready], **generation})
    out, err = running.communicate(timeout=60)
    assert running.returncode == 0
    assert "step 30/120" in lines[0]
    assert "step 60/120" in lines[1]
    assert "serving · the model answers" in err
    assert "training loss" in out


def test_a_failed_job_ends_the_watch_with_the_way_out(viewer, store):
    store("bot", {**FAILED, "observedGeneration": 1})
    told(viewer.call("watch", "bot"), 1, "bot failed in check: BadData", "→ correct the line")


def test_suspend_and_resume_set_the_field_under_their_own_name(editor, store, stored):
    store("bot", TRAINING)
    assert "suspended" in editor.call("suspend", "bot").stdout
    assert stored("bot")["spec"]["suspend"] is True
    assert "is suspended already" in editor.call("suspend", "bot").stdout
    assert "resumed" in editor.call("resume", "bot").stdout
    assert stored("bot")["spec"]["suspend"] is False
    assert {entry["manager"] for entry in stored("bot")["metadata"]["managedFields"]} >= {"tunewright-cli"}


def test_retry_annotates_the_job_each_time_with_another_text(editor, store, stored):
    store("bot", FAILED)
    texts = []
    for _ in range(2):
        assert "again" in editor.call("retry", "bot").stdout
        texts.append(stored("bot")["metadata"]["annotations"]["tunewright.io/retry"])
    assert texts[0] != texts[1]


def test_retry_of_a_job_that_has_not_failed_is_refused(editor, store, stored):
    store("bot", TRAINING)
    told(editor.call("retry", "bot"), 1, "bot has not failed (phase Training)")
    assert "annotations" not in stored("bot")["metadata"]


def test_a_change_that_gitops_would_revert_is_named(editor, store, control_plane):
    store("bot", TRAINING, metadata={"labels": {"kustomize.toolkit.fluxcd.io/name": "team"}})
    told(editor.call("suspend", "bot"), 0, "note: Flux applies this job, and will revert")


def test_delete_names_the_claims_that_stay(editor, store, stored, control_plane):
    job = store("bot", SERVING, **{"output.destinations": [{"pvc": {"claimName": "models"}}]})
    assert control_plane.api.create(a_claim(job, name="bot-kept"), editor.namespace, keep=True).accepted
    ended = editor.call("delete", "bot")
    assert ended.exit_code == 0, ended.output
    assert ended.stdout.splitlines()[0] == f"FineTuneJob {editor.namespace}/bot deleted"
    assert "kept: claim bot-kept (output.storage.retain; delete it by hand: kubectl delete pvc bot-kept" in ended.stdout
    assert "kept: claim models (this job did not create it)" in ended.stdout
    assert stored("bot") is None


def test_models_that_are_deleted_with_the_job_are_not_kept_silently(editor, store, stored, control_plane):
    job = store("bot", SERVING)
    owner = {"apiVersion": JOB[0], "kind": JOB[1], "name": "bot", "uid": job["metadata"]["uid"]}
    claim = a_claim(job, name="bot-owned", ownerReferences=[owner])
    assert control_plane.api.create(claim, editor.namespace, keep=True).accepted
    told(editor.call("delete", "bot", "--keep-models"), 1, "claim bot-owned belongs to bot and is deleted with it")
    assert stored("bot") is not None


@pytest.mark.parametrize(
    "command", [["suspend", "bot"], ["resume", "bot"], ["retry", "bot"], ["delete", "bot"]], ids=lambda command: command[0]
)
def test_a_viewer_may_not_write_and_is_told_which_role_is_missing(viewer, store, stored, command):
    status = {**FAILED, "phase": "Failed"}
    store("bot", status, **({"suspend": True} if command[0] == "resume" else {}))
    before = stored("bot")
    told(
        viewer.call(*command),
        1,
        f"you lack a right (context test, namespace {viewer.namespace})",
        f"Ask an administrator for the role edit: kubectl create rolebinding NAME --clusterrole=edit --user=view-{viewer.namespace}",
        f"kubectl --context test auth can-i {'delete' if command[0] == 'delete' else 'patch'} finetunejobs.tunewright.io -n {viewer.namespace}",
    )
    assert stored("bot") == before


@pytest.mark.parametrize("command", [["get"], ["describe", "bot"], ["logs", "bot"], ["watch", "bot"]], ids=lambda command: command[0])
def test_a_user_without_rights_is_told_which_role_is_missing(user, command):
    told(user().call(*command), 1, "you lack a right", "cannot", "for the role view")


def test_all_namespaces_need_a_right_in_the_whole_cluster(viewer):
    told(viewer.call("get", "-A", "-n", ""), 1, "you lack a right (context test, all namespaces)", "Name one namespace with -n")


@pytest.mark.parametrize(
    ("name", "hint"),
    [("bott", "Did you mean bot?"), ("xyz", "There are: bot")],
)
def test_an_unknown_name_gets_a_hint(viewer, store, name, hint):
    store("bot")
    told(viewer.call("describe", name), 1, f"no FineTuneJob {name} in namespace {viewer.namespace} of context test", hint)


def test_what_the_api_server_refuses_is_printed_beside_our_own_problems(editor, manifest):
    raw = raw_job({"training.maxSteps": 0})
    raw["spec"]["training"]["max_steps"] = 5
    told(
        editor.call("plan", str(manifest(raw))),
        64,
        "spec.training.max_steps",
        "context test refuses it: spec.training.max_steps: unknown field",
    )


def test_a_plan_asks_the_api_server_and_stores_nothing(editor, manifest, stored):
    ended = editor.call("plan", str(manifest(raw_job())), "-o", "explain")
    assert ended.exit_code == 0, ended.output
    assert stored("support-bot") is None


def test_what_only_the_api_server_refuses_is_found_by_the_plan(editor, manifest):
    raw = raw_job()
    raw["metadata"]["annotations"] = {"no key/at/all": "x"}
    told(editor.call("plan", str(manifest(raw))), 64, "context test refuses it: metadata.annotations: ")


@pytest.fixture
def pod_of(control_plane, editor):
    """Create a pod of a stage with a status, as a kubelet would leave it. No kubelet answers for it."""
    api, made = control_plane.api, []

    def create(job: dict, component: str, *, node: str = "", **status) -> str:
        manifest = pod("pause", labels={JOB_UID: job["metadata"]["uid"], COMPONENT: component})
        manifest["spec"]["containers"][0]["name"] = component
        manifest["spec"] |= {"nodeName": node} if node else {}
        created = api.create(manifest, editor.namespace, keep=True)
        assert created.accepted, created.message
        name = manifest["metadata"]["name"]
        made.append(name)
        resource = api.dynamic.resources.get(api_version="v1", kind="Pod")
        resource.status.patch(name=name, namespace=editor.namespace, body={"status": status}, content_type="application/merge-patch+json")
        return name

    yield create
    for name in made:
        api.delete("v1", "Pod", name, editor.namespace)


READY = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T12:00:00Z"}]}


def test_chat_without_the_right_to_forward_ports_names_the_role(viewer, store, pod_of):
    pod_of(store("bot", SERVING, serving={"replicas": 1}), "server", **READY)
    told(viewer.call("chat", "bot", "hello"), 1, "you lack a right", 'resource "pods/portforward"', "for the role edit")


def test_chat_with_a_pod_that_cannot_be_reached_names_the_reason(editor, store, pod_of):
    name = pod_of(store("bot", SERVING, serving={"replicas": 1}), "server", **READY)
    told(editor.call("chat", "bot", "hello"), 1, f"pod {name} does not have a host assigned")


def test_chat_without_a_ready_server_names_the_phase(editor, store, pod_of):
    pod_of(store("bot", TRAINING, serving={"replicas": 1}), "server", phase="Pending")
    told(editor.call("chat", "bot", "hello"), 1, "no server of bot is ready (phase Training)", "describe bot")


def test_a_pod_whose_container_waits_has_no_log(editor, store, pod_of):
    job = store("bot", TRAINING)
    waiting = {
        "name": "trainer",
        "image": "i",
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "state": {"waiting": {"reason": "Creating"}},
    }
    pod_of(job, "trainer", phase="Pending", containerStatuses=[waiting])
    told(editor.call("logs", "bot", "--stage", "train"), 1, "bot has printed nothing in train yet", "kubectl tunewright describe bot")


class OpenAI(BaseHTTPRequestHandler):
    """A server that answers each conversation with its key and its last message."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        said = f"{self.headers['Authorization']}: {asked['messages'][-1]['content'].upper()}"
        events = [json.dumps({"choices": [{"delta": {"content": said}}]}), "[DONE]"]
        self.send_response(200)
        self.end_headers()
        self.wfile.write("".join(f"data: {event}\n\n" for event in events).encode())

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def kubelet(control_plane, team):
    """A node whose kubelet is a stand-in; pods of this node forward their ports to an OpenAI server."""
    api, folder = control_plane.api, control_plane.plane.folder
    with ThreadingHTTPServer(("127.0.0.1", 0), OpenAI) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with KubeletStandIn(folder / "apiserver.crt", folder / "apiserver.key", target=server.server_port) as kubelet:
            api.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "stand-in"}}, keep=True)
            endpoints = {"kubeletEndpoint": {"Port": kubelet.port}}
            status = {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}], "daemonEndpoints": endpoints}
            nodes = api.dynamic.resources.get(api_version="v1", kind="Node")
            nodes.status.patch(name="stand-in", body={"status": status}, content_type="application/merge-patch+json")
            yield kubelet
            api.delete("v1", "Node", "stand-in")
        server.shutdown()


def test_logs_come_from_the_container_of_the_stage(editor, store, pod_of, kubelet):
    job = store("bot", TRAINING)
    running = {"name": "trainer", "image": "i", "imageID": "i", "ready": True, "restartCount": 0, "state": {"running": {}}}
    name = pod_of(job, "trainer", node="stand-in", phase="Running", containerStatuses=[running])
    assert editor.call("logs", "bot").stdout.splitlines() == [f"{name} in trainer", "café", "end"]
    assert editor.call("logs", "bot", "--stage", "train", "--tail", "1").stdout == "end\n"
    editor.call("logs", "bot", "--previous")
    assert "previous=true" in kubelet.requests[-1]


def test_chat_forwards_a_port_and_sends_the_key_that_it_never_prints(editor, store, pod_of, kubelet):
    pod_of(store("bot", SERVING, serving={"replicas": 1}), "server", node="stand-in", **READY)
    ended = editor.call("chat", "bot", "hello", "--api-key", "k3y")
    assert (ended.exit_code, ended.stdout) == (0, "Bearer k3y: HELLO\n"), ended.output
    assert re.search(r"forwarding 127\.0\.0\.1:\d+ to pod probe-", ended.stderr)
    assert "k3y" not in ended.stderr


KUBECONFIGS = {
    "no file": ("missing", {}, 1, ["there is no kubeconfig", "--kubeconfig FILE"]),
    "no process listens": (
        "cluster",
        {"server": "https://127.0.0.1:9"},
        1,
        ["no answer from https://127.0.0.1:9 (context test)", "refused", "get --raw /readyz"],
    ),
    "another authority": (
        "cluster",
        {"certificate-authority": "client.crt"},
        1,
        ["certificate verify failed", "Correct certificate-authority"],
    ),
    "no credentials": ("user", {"client-certificate": None, "client-key": None}, 1, ["does not accept your credentials", "auth whoami"]),
    "an expired token": (
        "user",
        {"client-certificate": None, "client-key": None, "token": "old"},
        1,
        ["does not accept your credentials", "log in again"],
    ),
    "a plugin that fails": (
        "user",
        {"client-certificate": None, "client-key": None, "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "false"}},
        1,
        ["the credential plugin of", "exec: process returned 1", "Log in"],
    ),
    "a plugin that is missing": (
        "user",
        {
            "client-certificate": None,
            "client-key": None,
            "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-plugin"},
        },
        1,
        ["the credential plugin of", "no-such-plugin"],
    ),
}


@pytest.mark.parametrize(("part", "changes", "code", "words"), KUBECONFIGS.values(), ids=KUBECONFIGS)
def test_a_cluster_that_cannot_be_used_is_named_with_the_way_out(viewer, tmp_path, *, part, changes, code, words):
    if changes.get("certificate-authority"):
        changes = {"certificate-authority": str(viewer.kubeconfig.with_suffix(".crt"))}
    path = tmp_path / "config"
    if part != "missing":
        write_kubeconfig(path, viewer.kubeconfig, **{part: changes})
    told(viewer.call("get", "--kubeconfig", str(path)), code, *words)


def test_a_plugin_that_issues_a_token_is_used(viewer, store, control_plane, tmp_path):
    store("bot")
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}}
    assert control_plane.api.apply(account, viewer.namespace, keep=True).accepted
    grant = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "robot"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": viewer.namespace}],
    }
    assert control_plane.api.apply(grant, viewer.namespace, keep=True).accepted
    token = control_plane.kubectl("create", "token", "robot", "-n", viewer.namespace).stdout.strip()
    said = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": token}}
    plugin = {"apiVersion": said["apiVersion"], "command": "echo", "args": [json.dumps(said)], "interactiveMode": "Never"}
    user = {"client-certificate": None, "client-key": None, "exec": plugin}
    path = write_kubeconfig(tmp_path / "config", viewer.kubeconfig, user=user)
    assert "bot" in viewer.call("get", "--kubeconfig", str(path)).stdout


def test_an_unknown_context_gets_the_known_ones(viewer):
    told(viewer.call("get", "--context", "prod"), 1, "there is no context prod", "There are: test")


def test_a_home_folder_contradicts_a_cluster(viewer):
    told(viewer.call("get", "--home", "/tmp"), 2, "--home is a folder of this machine")


def test_kubectl_finds_the_plugin_and_uses_its_context_and_namespace(viewer, store, tmp_path):
    store("bot", TRAINING)
    path = write_kubeconfig(tmp_path / "config", viewer.kubeconfig, context={"namespace": viewer.namespace})
    ended = viewer.run(str(viewer.kubectl), "tunewright", "get", KUBECONFIG=str(path))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "bot" in ended.stdout


def test_the_same_command_line_selects_a_cluster_before_and_after_the_command(viewer, store):
    store("bot")
    for arguments in (["--context", "test", "-n", viewer.namespace, "get"], ["get", "--context", "test", "-n", viewer.namespace]):
        assert "bot" in viewer.call(*arguments, plugin=False).stdout
    assert "no FineTuneJobs in" in viewer.call("get", plugin=False).stderr  # on this machine


def set_status(control_plane, namespace: str, status: dict, name: str = "bot") -> None:
    resource = control_plane.api.dynamic.resources.get(api_version=JOB[0], kind=JOB[1])
    resource.status.patch(name=name, namespace=namespace, body={"status": status}, content_type="application/merge-patch+json")


def an_event(job: dict) -> dict:
    meta = job["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{meta['name']}.1"},
        "involvedObject": {"apiVersion": JOB[0], "kind": JOB[1], "name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]},
        "type": "Warning",
        "reason": "BadData",
        "message": "not JSON",
        "lastTimestamp": "2026-01-01T12:00:00Z",
    }


def a_claim(job: dict, name: str = "bot-output", **metadata) -> dict:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "labels": {JOB_UID: job["metadata"]["uid"]}, **metadata},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }

"""What render promises, one rule at a time."""

import json
import re
from dataclasses import replace

import pytest
from plan_builders import GANG, REVISION, UID, every_stage, exporting, hub_plan, quickstart_plan, serving

from tunewright.api.rules.pod_volumes import OF_CLAIMS, OWN_NAMES, OWN_PATHS
from tunewright.plan.ending import Ending, StageRecord
from tunewright.plan.names import volume_name
from tunewright.plan.plan_types import ClaimSource, FolderSource, NewClaim, Placement, PodPlan, Scheduling, SecretKey, Storage, VolumeOption
from tunewright.plan.rollout import Refusal, Rollout, ServingRevision, Terms
from tunewright.render import render
from tunewright_contract.reports import Failure
from tunewright_contract.smoke_test import SmokeTest
from tunewright_contract.trainer_config import TrainerConfig


def find(plan, kind, name):
    (found,) = [item for item in render(plan).children if item["kind"] == kind and item["metadata"]["name"] == name]
    return found


def names(plan, kind):
    return [item["metadata"]["name"] for item in render(plan).children if item["kind"] == kind]


def revision_of_pods(plan):
    template = find(plan, "Deployment", "support-bot-serve")["spec"]["template"]
    return template["metadata"]["annotations"]["tunewright.io/serving-revision"]


def container(manifest):
    (only,) = manifest["spec"]["template"]["spec"]["containers"]
    return only


def env(manifest):
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container(manifest)["env"]}


def mounts(manifest):
    return {mount["mountPath"]: mount for mount in container(manifest)["volumeMounts"]}


class TestStages:
    def test_a_stage_that_is_not_planned_renders_nothing(self):
        idle = quickstart_plan(check=None, train=None)
        assert [item["kind"] for item in render(idle).children] == ["ConfigMap", "PersistentVolumeClaim"]

    def test_planned_stages_are_rendered_in_order(self):
        everything = serving(quickstart_plan(), replicas=2)
        workloads = [item["metadata"]["name"] for item in render(everything).children if item["kind"] in {"Job", "Deployment"}]
        assert workloads == ["support-bot-check", "support-bot-train-0", "support-bot-export", "support-bot-serve"]

    def test_objects_that_a_pod_needs_come_before_it(self):
        kinds = [item["kind"] for item in render(serving(quickstart_plan(), replicas=2)).children]
        first_workload = kinds.index("Job")
        assert {"ConfigMap", "PersistentVolumeClaim", "NetworkPolicy", "PodDisruptionBudget", "Service"} == set(kinds[:first_workload])

    def test_the_config_map_has_the_configuration(self):
        plan = hub_plan()
        (config,) = [item for item in render(plan).children if item["kind"] == "ConfigMap"]
        assert TrainerConfig.model_validate_json(config["data"]["config.json"]) == plan.config

    def test_another_configuration_is_another_config_map_and_none_can_be_changed(self):
        plan = exporting(quickstart_plan())
        later = replace(plan, config=plan.config.model_copy(update={"world_size": 4}))
        (before,), (after,) = ([item for item in render(each).children if item["kind"] == "ConfigMap"] for each in (plan, later))
        assert before["metadata"]["name"] != after["metadata"]["name"]
        assert before["immutable"] is True
        for job in (item for item in render(later).children if item["kind"] == "Job"):
            mounted = {volume["name"]: volume for volume in job["spec"]["template"]["spec"]["volumes"]}
            assert mounted["config"] == {"name": "config", "configMap": {"name": after["metadata"]["name"]}}

    def test_stages_run_the_trainer_and_keep_its_exit_codes(self):
        plan = exporting(quickstart_plan())
        commands = {name: container(find(plan, "Job", name))["command"][-1] for name in names(plan, "Job")}
        assert commands == {"support-bot-check": "check", "support-bot-train-0": "launch", "support-bot-export": "export"}


class TestGang:
    def test_every_attempt_is_a_job_and_only_the_newest_may_run(self):
        plan = quickstart_plan(train=replace(GANG, attempt=2))
        suspended = {name: find(plan, "Job", name)["spec"]["suspend"] for name in names(plan, "Job") if "train" in name}
        assert suspended == {"support-bot-train-0": True, "support-bot-train-1": True, "support-bot-train-2": False}

    def test_an_attempt_never_retries_a_single_pod(self):
        spec = find(quickstart_plan(), "Job", "support-bot-train-0")["spec"]
        assert (spec["backoffLimit"], spec["completions"], spec["parallelism"]) == (0, 2, 2)
        assert {"Ignore"}.isdisjoint(rule["action"] for rule in spec["podFailurePolicy"]["rules"])

    def test_permanent_exit_codes_fail_the_job_and_a_drain_costs_no_retry(self):
        rules = find(quickstart_plan(), "Job", "support-bot-check")["spec"]["podFailurePolicy"]["rules"]
        assert rules[0] == {"action": "FailJob", "onExitCodes": {"containerName": "checker", "operator": "In", "values": [64, 65, 70]}}
        assert rules[1]["action"] == "Ignore"

    @pytest.mark.parametrize(("suspends", "expected"), [(True, {"suspend": True}), (False, {"suspend": False, "activeDeadlineSeconds": 1})])
    def test_a_job_that_an_injected_container_keeps_is_ended_with_a_record(self, suspends, expected):
        ending = Ending(record=StageRecord(report="{}", pod="p", kept_by=("proxy",)), suspend=suspends)
        plan = quickstart_plan(check=PodPlan(ending=ending), train=replace(GANG, ending=(0, ending)))
        for job in (find(plan, "Job", name) for name in ("support-bot-check", "support-bot-train-0")):
            assert {"suspend": False} | {name: job["spec"][name] for name in expected if name in job["spec"]} == expected
            assert "proxy" in job["metadata"]["annotations"]["tunewright.io/ended"]

    def test_ranks_connect_to_the_master_of_their_attempt(self):
        found = env(find(quickstart_plan(train=replace(GANG, attempt=3)), "Job", "support-bot-train-3"))
        assert found["PET_MASTER_ADDR"] == "support-bot-train-3-0.support-bot-train"
        assert found["PET_NODE_RANK"] == {"fieldRef": {"fieldPath": "metadata.annotations['batch.kubernetes.io/job-completion-index']"}}

    @pytest.mark.parametrize(("grace", "expected"), [(300, "285"), (60, "57"), (1, "1")])
    def test_ranks_have_most_of_the_grace_period_to_save(self, grace, expected):
        job = find(quickstart_plan(train=replace(GANG, termination_grace_seconds=grace)), "Job", "support-bot-train-0")
        assert env(job)["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"] == expected
        assert job["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == grace

    @pytest.mark.parametrize(
        ("limits", "processes", "expected"),
        [
            ({"cpu": "8"}, 4, "2"),
            ({"cpu": "7500m"}, 2, "3"),
            ({"cpu": "500m"}, 1, "1"),
            ({"cpu": "2"}, 4, "1"),
            ({"memory": "4Gi"}, 1, None),
        ],
    )
    def test_threads_share_the_cpu_limit(self, limits, processes, expected):
        plan = quickstart_plan(train=replace(GANG, resources={"limits": limits}, processes_per_replica=processes))
        assert env(find(plan, "Job", "support-bot-train-0")).get("OMP_NUM_THREADS") == expected

    def test_deepspeed_uses_the_cpu_only_without_a_device(self):
        assert env(find(quickstart_plan(), "Job", "support-bot-train-0"))["DS_ACCELERATOR"] == "cpu"
        assert "DS_ACCELERATOR" not in env(find(hub_plan(), "Job", "phi3-train-0"))

    def test_without_an_endpoint_there_is_no_progress_and_no_token(self):
        plan = quickstart_plan(progress_url="")
        job = find(plan, "Job", "support-bot-train-0")
        assert not [name for name in env(job) if name.startswith("KUBEFLOW_")]
        assert "/var/run/secrets/kubeflow/trainer" not in mounts(job)


class TestSuspensionAndQueues:
    def test_suspending_holds_train_and_export_but_not_check(self):
        plan = exporting(quickstart_plan(suspend=True))
        held = {name: find(plan, "Job", name)["spec"].get("suspend") for name in names(plan, "Job")}
        assert held == {"support-bot-check": None, "support-bot-train-0": True, "support-bot-export": True}

    def test_a_queue_decides_for_itself_when_a_job_starts(self):
        assert "suspend" not in find(hub_plan(), "Job", "phi3-train-0")["spec"]
        assert find(hub_plan(suspend=True), "Job", "phi3-train-0")["spec"]["suspend"] is True
        elsewhere = hub_plan(pass_labels={"kai.scheduler/queue": "team-a"})
        assert find(elsewhere, "Job", "phi3-train-0")["spec"]["suspend"] is False

    def test_queue_labels_reach_the_job_and_kueues_stay_off_the_pod(self):
        job = find(hub_plan(), "Job", "phi3-train-0")
        assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"
        pod = job["spec"]["template"]["metadata"]["labels"]
        assert pod["kai.scheduler/queue"] == "team-a"
        assert "kueue.x-k8s.io/queue-name" not in pod

    def test_topology_requests_are_on_the_gang_only(self):
        plan = hub_plan()
        wish = "kueue.x-k8s.io/podset-required-topology"
        assert find(plan, "Job", "phi3-train-0")["spec"]["template"]["metadata"]["annotations"][wish] == "rack"
        assert "annotations" not in find(plan, "Job", "phi3-check")["spec"]["template"]["metadata"]

    def test_the_deadline_is_each_stages_own(self):
        plan = exporting(hub_plan(active_deadline_seconds=60))
        assert {find(plan, "Job", name)["spec"]["activeDeadlineSeconds"] for name in names(plan, "Job")} == {60}


class TestFolders:
    def test_a_base_model_within_a_claim_is_named_by_the_environment(self):
        plan = quickstart_plan(model_source=ClaimSource(claim="bases", path="phi/3-mini/"))
        job = find(plan, "Job", "support-bot-train-0")
        assert env(job)["TUNEWRIGHT_MODEL_DIR"] == "/workspace/model/phi/3-mini"
        assert "subPath" not in mounts(job)["/workspace/model"]

    def test_a_base_model_folder_is_mounted_as_it_is(self):
        job = find(quickstart_plan(model_source=FolderSource(path="/srv/base")), "Job", "support-bot-train-0")
        assert env(job)["TUNEWRIGHT_MODEL_DIR"] == "/workspace/model"
        assert mounts(job)["/workspace/model"]["readOnly"] is True

    def test_a_hub_model_needs_no_folder(self):
        assert "TUNEWRIGHT_MODEL_DIR" not in env(find(hub_plan(), "Job", "phi3-train-0"))

    def test_one_claim_for_checkpoints_and_models_is_one_volume_and_two_folders(self):
        job = find(exporting(quickstart_plan()), "Job", "support-bot-export")
        output, models = mounts(job)["/workspace/output"], mounts(job)["/workspace/models"]
        assert output["name"] == models["name"]
        assert (output.get("subPath"), models.get("subPath")) == ("runs", None)

    def test_models_are_published_to_the_requested_folder(self):
        job = find(exporting(hub_plan()), "Job", "phi3-export")
        assert mounts(job)["/workspace/models"]["subPath"] == "tuned"
        assert env(job)["TUNEWRIGHT_PUBLISH_DIR"] == f"/workspace/models/phi3/{REVISION}"

    def test_check_does_not_mount_the_output_claim(self):
        job = find(quickstart_plan(), "Job", "support-bot-check")
        (output,) = [volume for volume in job["spec"]["template"]["spec"]["volumes"] if volume["name"] == "output"]
        assert output == {"name": "output", "emptyDir": {}}

    def test_a_server_mounts_read_only(self):
        deployment = find(serving(quickstart_plan()), "Deployment", "support-bot-serve")
        assert mounts(deployment)["/workspace/models"]["readOnly"] is True
        assert "/workspace/output" not in mounts(deployment)


class TestEnvironment:
    def test_a_token_is_always_a_reference(self):
        plan = hub_plan(hub_token=SecretKey(name="hugging-face", key="token"))
        assert env(find(plan, "Job", "phi3-train-0"))["HF_TOKEN"] == {"secretKeyRef": {"name": "hugging-face", "key": "token"}}
        assert "HF_TOKEN" not in env(find(hub_plan(hub_token=None), "Job", "phi3-train-0"))

    def test_without_access_to_the_hub_libraries_are_offline(self):
        assert env(find(quickstart_plan(), "Job", "support-bot-check"))["HF_HUB_OFFLINE"] == "1"
        assert "HF_HUB_OFFLINE" not in env(find(hub_plan(), "Job", "phi3-check"))

    def test_user_variables_never_replace_the_contracts(self):
        variables = {"OMP_NUM_THREADS": "3", "NCCL_DEBUG": "INFO", "TUNEWRIGHT_OUTPUT_DIR": "/elsewhere", "PET_NNODES": "9"}
        plan = quickstart_plan(pods=every_stage(env=variables))
        found = env(find(plan, "Job", "support-bot-train-0"))
        assert (found["OMP_NUM_THREADS"], found["NCCL_DEBUG"]) == ("3", "INFO")
        assert (found["TUNEWRIGHT_OUTPUT_DIR"], found["PET_NNODES"]) == (f"/workspace/output/support-bot/{REVISION}", "2")

    def test_the_server_gets_its_limits(self):
        found = env(find(serving(quickstart_plan(), max_length=2048, max_slots=4, drain_seconds=7), "Deployment", "support-bot-serve"))
        assert found["TUNEWRIGHT_MAX_LENGTH"] == "2048"
        assert found["TUNEWRIGHT_MAX_SLOTS"] == "4"
        assert found["TUNEWRIGHT_DRAIN_SECONDS"] == "7"
        assert found["TUNEWRIGHT_MODEL_DIR"] == f"/workspace/models/support-bot/{REVISION}"
        assert "TUNEWRIGHT_MAX_LENGTH" not in env(find(serving(quickstart_plan()), "Deployment", "support-bot-serve"))

    def test_the_server_s_key_is_a_reference(self):
        found = env(find(serving(quickstart_plan(), api_key=SecretKey(name="clients", key="key")), "Deployment", "support-bot-serve"))
        assert found["TUNEWRIGHT_API_KEY"] == {"secretKeyRef": {"name": "clients", "key": "key"}}
        assert "TUNEWRIGHT_API_KEY" not in env(find(serving(quickstart_plan()), "Deployment", "support-bot-serve"))


def test_scratch_volumes_have_the_containers_limit():
    plan = quickstart_plan(check=PodPlan(resources={"limits": {"ephemeral-storage": "50Gi"}}))
    found = find(plan, "Job", "support-bot-check")["spec"]["template"]["spec"]["volumes"]
    assert {volume["name"]: volume["emptyDir"] for volume in found if "emptyDir" in volume} == {
        name: {"sizeLimit": "50Gi"} for name in ("cache", "output", "tmp")
    }


class TestServer:
    def test_the_deployment_starts_new_servers_before_draining_old_ones(self):
        spec = find(serving(quickstart_plan()), "Deployment", "support-bot-serve")["spec"]
        assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}

    def test_the_grace_period_is_longer_than_the_drain(self):
        pod = find(serving(quickstart_plan(), drain_seconds=45), "Deployment", "support-bot-serve")["spec"]["template"]["spec"]
        before_stop = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert pod["terminationGracePeriodSeconds"] > 45 + before_stop

    def test_the_revision_is_on_the_deployment_and_its_pods_and_never_in_a_selector(self):
        deployment = find(serving(quickstart_plan()), "Deployment", "support-bot-serve")
        assert deployment["metadata"]["labels"]["tunewright.io/revision"] == REVISION
        assert deployment["spec"]["template"]["metadata"]["labels"]["tunewright.io/revision"] == REVISION
        assert "tunewright.io/revision" not in deployment["spec"]["selector"]["matchLabels"]

    def test_the_revision_changes_exactly_with_the_pod_template(self):
        plan = quickstart_plan()
        first = revision_of_pods(serving(plan))
        assert first.startswith(f"{REVISION}-")
        assert revision_of_pods(serving(plan, replicas=7, progress_deadline_seconds=60)) == first
        others = [serving(plan, max_slots=3), serving(replace(plan, server_image="other:1")), serving(replace(plan, revision="abc"))]
        assert len({first, *map(revision_of_pods, others)}) == 4

    def test_after_a_rollback_both_revisions_are_recorded(self):
        good = ServingRevision(name="older-000000", template={"metadata": {"annotations": {}}, "spec": {"containers": []}})
        why = Failure(reason="SmokeTestFailed", message="the model answered nothing")
        wanted = ServingRevision(name=revision_of_pods(serving(quickstart_plan())), template={})
        failed = serving(quickstart_plan(), replicas=3, rollout=Rollout(live=wanted, current=True, previous=good, failure=why))
        deployment = find(failed, "Deployment", "support-bot-serve")
        assert deployment["spec"]["template"] == good.template
        assert deployment["spec"]["replicas"] == 3  # how many there are was not what failed
        notes = deployment["metadata"]["annotations"]
        assert ServingRevision.model_validate_json(notes["tunewright.io/previous"]) == good
        assert Refusal.model_validate_json(notes["tunewright.io/refused"]) == Refusal(
            revision=wanted.name, failure=why, terms=Terms(progress_deadline_seconds=900)
        )

    def test_the_smoke_test_reaches_the_server_unchanged(self):
        asked = SmokeTest(prompt="How much is $(2) in $$?", contains="$2")
        found = env(find(serving(quickstart_plan(), smoke_test=asked), "Deployment", "support-bot-serve"))["TUNEWRIGHT_SMOKE_TEST"]
        assert SmokeTest.model_validate_json(found.replace("$$", "$")) == asked  # as Kubernetes reads it: $$ is a $
        assert "TUNEWRIGHT_SMOKE_TEST" not in env(find(serving(quickstart_plan()), "Deployment", "support-bot-serve"))

    def test_a_new_server_starts_before_the_old_one_drains(self):
        spec = find(serving(quickstart_plan(), progress_deadline_seconds=60), "Deployment", "support-bot-serve")["spec"]
        assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        assert spec["progressDeadlineSeconds"] == 60 > spec["minReadySeconds"]

    def test_selectors_match_their_pods(self):
        plan = serving(quickstart_plan())
        for service, workload in (("support-bot-train", "Job"), ("support-bot-serve", "Deployment")):
            wanted = find(plan, "Service", service)["spec"]["selector"].items()
            pods = [item["spec"]["template"]["metadata"]["labels"].items() for item in render(plan).children if item["kind"] == workload]
            assert any(wanted <= labels for labels in pods)


class TestProtection:
    @pytest.mark.parametrize(
        ("plan", "expected"),
        [
            (quickstart_plan(), {"support-bot-train": {"minAvailable": 2}}),
            (quickstart_plan(train=replace(GANG, replicas=1)), {}),
            (quickstart_plan(suspend=True), {}),
            (quickstart_plan(train=None), {}),
            (exporting(quickstart_plan()), {}),
            (serving(quickstart_plan(), replicas=1), {}),
            (serving(quickstart_plan(), replicas=3), {"support-bot-serve": {"maxUnavailable": 1}}),
        ],
        ids=["a gang that trains", "a single worker", "a suspended one", "none yet", "none any more", "one server", "several servers"],
    )
    def test_budgets_exist_only_with_pods_to_protect(self, plan, expected):
        budgets = {item["metadata"]["name"]: item["spec"] for item in render(plan).children if item["kind"] == "PodDisruptionBudget"}
        limits = {name: {key: value for key, value in spec.items() if key.endswith("vailable")} for name, spec in budgets.items()}
        assert limits == expected

    @pytest.mark.parametrize("plan", [quickstart_plan(), hub_plan()], ids=["offline", "hub"])
    def test_only_a_job_with_a_hub_model_can_reach_the_internet(self, plan):
        for policy in [item for item in render(exporting(plan)).children if item["kind"] == "NetworkPolicy"]:
            leaves = [rule for rule in policy["spec"]["egress"] if any("ipBlock" in peer for peer in rule.get("to", ()))]
            assert bool(leaves) == plan.hub_access

    def test_only_the_gang_can_reach_the_pods_that_make_the_model(self):
        plan = serving(quickstart_plan())
        ingress = {name: find(plan, "NetworkPolicy", name)["spec"].get("ingress") for name in names(plan, "NetworkPolicy")}
        gang = {"podSelector": {"matchLabels": {"tunewright.io/job-name": "support-bot", "tunewright.io/component": "trainer"}}}
        assert ingress == {
            "support-bot-check": [{"from": [gang]}],
            "support-bot-serve": [{"ports": [{"port": "http", "protocol": "TCP"}]}],
        }

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("", None),
            ("http://127.0.0.1:20001/x", {"ports": [{"port": 20001, "protocol": "TCP"}]}),
            ("https://10.0.0.1/x", {"ports": [{"port": 443, "protocol": "TCP"}]}),
            (
                "http://tunewright.ops.svc/x",
                {
                    "ports": [{"port": 80, "protocol": "TCP"}],
                    "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ops"}}}],
                },
            ),
        ],
    )
    def test_the_gang_may_report_its_progress(self, url, expected):
        egress = find(quickstart_plan(progress_url=url), "NetworkPolicy", "support-bot-check")["spec"]["egress"]
        assert egress[2:] == ([] if expected is None else [expected])


class TestOwnership:
    def test_every_child_but_a_retained_claim_has_an_owner(self):
        plan = serving(quickstart_plan(), replicas=2)
        ownerless = [item["kind"] for item in render(plan).children if "ownerReferences" not in item["metadata"]]
        assert ownerless == ["PersistentVolumeClaim"]
        assert "tunewright.io/retain" in find(plan, "PersistentVolumeClaim", "support-bot-output")["metadata"]["annotations"]

    def test_a_claim_that_is_not_retained_has_an_owner(self):
        storage = Storage(output_claim="mine", models_claim="mine", create=NewClaim(size="1Gi"), retain=False)
        claim = find(quickstart_plan(storage=storage), "PersistentVolumeClaim", "mine")
        assert claim["metadata"]["ownerReferences"][0]["uid"] == UID
        assert "annotations" not in claim["metadata"]

    def test_an_existing_claim_is_used_and_not_rendered(self):
        plan = quickstart_plan(storage=Storage(output_claim="mine", models_claim="mine"))
        assert names(plan, "PersistentVolumeClaim") == []

    def test_scheduling_fields_are_copied_unchanged(self):
        wishes = Scheduling(
            node_selector={"pool": "a"},
            tolerations=({"key": "gpu", "operator": "Exists"},),
            affinity={"nodeAffinity": {}},
            priority_class_name="high",
            runtime_class_name="nvidia",
            scheduler_name="kai-scheduler",
            service_account_name="trainer",
            image_pull_secrets=("registry",),
        )
        pod = find(quickstart_plan(pods=every_stage(scheduling=wishes)), "Job", "support-bot-train-0")["spec"]["template"]["spec"]
        assert pod["nodeSelector"] == {"pool": "a"}
        assert pod["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
        assert pod["affinity"] == {"nodeAffinity": {}}
        assert pod["imagePullSecrets"] == [{"name": "registry"}]
        assert (pod["priorityClassName"], pod["runtimeClassName"], pod["schedulerName"], pod["serviceAccountName"]) == (
            "high",
            "nvidia",
            "kai-scheduler",
            "trainer",
        )

    @pytest.mark.parametrize("name", ["support-bot-check", "support-bot-train-0", "support-bot-export", "support-bot-serve"])
    def test_labels_and_annotations_of_the_job_reach_the_pods_of_every_stage_and_replace_none_of_ours(self, name):
        labels = {"example.com/cost-center": "42", "tunewright.io/job-name": "other", "kai.scheduler/queue": "own"}
        notes = {"sidecar.istio.io/inject": "false", "tunewright.io/serving-revision": "other"}
        options = every_stage(labels=labels, annotations=notes, env={"A": "1", "TUNEWRIGHT_TERMINATION_LOG": "x"})
        plan = serving(quickstart_plan(pods=options, pass_labels={"kai.scheduler/queue": "of-the-job"}))
        template = find_any(plan, name)["spec"]["template"]
        found = template["metadata"]["labels"]
        assert (found["example.com/cost-center"], found["tunewright.io/job-name"]) == ("42", "support-bot")
        assert found["kai.scheduler/queue"] == "own"
        assert template["metadata"]["annotations"]["sidecar.istio.io/inject"] == "false"
        variables = {item["name"]: item.get("value") for item in template["spec"]["containers"][0]["env"]}
        assert (variables["A"], variables["TUNEWRIGHT_TERMINATION_LOG"]) == ("1", "/dev/termination-log")

    @pytest.mark.parametrize("name", ["support-bot-check", "support-bot-train-0", "support-bot-export", "support-bot-serve"])
    def test_volumes_of_the_job_are_mounted_in_every_stage_and_a_claim_is_one_volume(self, name):
        own = VolumeOption(name="ca", source={"configMap": {"name": "company-ca"}}, path="/etc/ssl/company")
        shared = VolumeOption(
            name="shelf", source={"persistentVolumeClaim": {"claimName": "support-bot-output"}}, path="/mnt/x", sub_path="y"
        )
        free = VolumeOption(name="scratch", source={"emptyDir": {}}, path="/mnt/scratch", read_only=False)
        spec = pod_spec(find_any(serving(quickstart_plan(pods=every_stage(volumes=(own, shared, free)))), name))
        mounts = {mount["mountPath"]: mount for mount in spec["containers"][0]["volumeMounts"]}
        assert mounts["/etc/ssl/company"] == {"name": "ca", "mountPath": "/etc/ssl/company", "readOnly": True}
        assert mounts["/mnt/x"] == {"name": volume_name("support-bot-output"), "mountPath": "/mnt/x", "subPath": "y", "readOnly": True}
        assert mounts["/mnt/scratch"] == {"name": "scratch", "mountPath": "/mnt/scratch"}
        assert len([volume for volume in spec["volumes"] if "persistentVolumeClaim" in volume]) == 1

    def test_the_rules_keep_volumes_of_a_job_from_our_names_and_paths(self):
        for item in render(serving(quickstart_plan())).children:
            for mount in pod_spec(item)["containers"][0]["volumeMounts"] if item["kind"] in {"Job", "Deployment"} else ():
                assert mount["name"] in OWN_NAMES or re.fullmatch(OF_CLAIMS, mount["name"])
                assert any(f"{mount['mountPath']}/".startswith(f"{path}/") for path in OWN_PATHS)

    def test_constraints_of_the_job_replace_the_servers_and_count_its_own_pods(self):
        own = ({"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"},)
        plan = serving(quickstart_plan(pods=every_stage(scheduling=Scheduling(topology_spread_constraints=own))))
        for name, component in (("support-bot-check", "checker"), ("support-bot-serve", "server")):
            labels = {"tunewright.io/job-name": "support-bot", "tunewright.io/component": component}
            assert pod_spec(find_any(plan, name))["topologySpreadConstraints"] == [{"labelSelector": {"matchLabels": labels}, **own[0]}]
        other = ({**own[0], "labelSelector": {"matchLabels": {"a": "b"}}},)
        plan = quickstart_plan(pods=every_stage(scheduling=Scheduling(topology_spread_constraints=other)))
        assert pod_spec(find_any(plan, "support-bot-check"))["topologySpreadConstraints"] == list(other)

    def test_a_manifest_never_contains_a_secret(self):
        assert "secretKeyRef" in json.dumps(render(hub_plan()).children)
        assert '"kind": "Secret"' not in json.dumps(render(hub_plan()).children)


class TestPlacement:
    def test_pods_have_an_affinity_only_for_a_shared_volume(self):
        plan = serving(quickstart_plan())
        assert all("affinity" not in pod_spec(item) for item in render(plan).children if item["kind"] in {"Job", "Deployment"})

    def test_pods_that_share_a_read_write_once_volume_have_an_affinity(self):
        plan = serving(quickstart_plan(placement=Placement(gang="why", servers="why")))
        for name, component in (("support-bot-train-0", "trainer"), ("support-bot-serve", "server")):
            (term,) = pod_spec(find_any(plan, name))["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
            assert term["topologyKey"] == "kubernetes.io/hostname"
            assert term["labelSelector"]["matchLabels"] == {
                "tunewright.io/job-name": "support-bot", "tunewright.io/component": component,
            }  # fmt: skip
        assert "affinity" not in pod_spec(find_any(plan, "support-bot-export"))

    def test_a_jobs_own_affinity_is_kept(self):
        asked = {"nodeAffinity": {"a": "b"}, "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "rack"}]}}
        plan = quickstart_plan(placement=Placement(gang="why"), pods=every_stage(scheduling=Scheduling(affinity=asked)))
        affinity = pod_spec(find_any(plan, "support-bot-train-0"))["affinity"]
        terms = affinity["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert [term["topologyKey"] for term in terms] == ["rack", "kubernetes.io/hostname"]
        assert affinity["nodeAffinity"] == {"a": "b"}
        assert len(asked["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]) == 1


def pod_spec(manifest):
    return manifest["spec"]["template"]["spec"]


def find_any(plan, name):
    return next(item for item in render(plan).children if item["metadata"]["name"] == name and item["kind"] in {"Job", "Deployment"})


@pytest.mark.parametrize(("expected", "scaled_by_others"), [(5, False), (None, True)], ids=["the operator", "an autoscaler"])
def test_the_number_of_servers_is_not_written_where_an_autoscaler_manages_it(expected, scaled_by_others):
    plan = serving(quickstart_plan(), replicas=5, scaled_by_others=scaled_by_others)
    assert find(plan, "Deployment", "support-bot-serve")["spec"].get("replicas") == expected
    assert "support-bot-serve" in names(plan, "PodDisruptionBudget")  # which follows the number all the same

"""What an object owns, and which of it is pruned."""

from tunewright.observe.volumes import mounted_config_maps
from tunewright_runtime.objects import descendants, to_prune

RETAINED = {"annotations": {"tunewright.io/retain": "why"}, "labels": {"app.kubernetes.io/managed-by": "tunewright"}}


def item(kind, name, uid, owner=None, *, by="FineTuneJob", of="bot", controller=True, **meta):
    reference = [{"kind": by, "name": of, "uid": owner, "controller": controller}] if owner else []
    return {"kind": kind, "metadata": {"name": name, "namespace": "demo", "uid": uid, "ownerReferences": reference, **meta}}


def names(items):
    return [found["metadata"]["name"] for found in items]


def test_descendants_are_found_at_any_depth_and_in_any_order():
    pod = item("Pod", "p", "4", "3", by="ReplicaSet")
    replicas = item("ReplicaSet", "r", "3", "2", by="Deployment")
    family = [pod, replicas, item("Deployment", "d", "2", "1"), item("Job", "foreign", "9", "8"), item("Pod", "orphan", "7")]
    assert names(descendants(family, "1")) == ["p", "r", "d"]


def test_only_controller_references_own():
    assert names(descendants([item("Pod", "p", "2", "1", controller=False)], "1")) == []


def test_only_own_children_are_pruned_and_only_once():
    kept, dropped = item("Service", "bot-train", "2", "1"), item("Service", "bot-serve", "3", "1")
    going = item("Service", "bot-old", "4", "1", deletionTimestamp="now")
    others = [item("Service", "bot-x", "5", "0"), item("PersistentVolumeClaim", "bot-output", "6", **RETAINED)]
    assert to_prune([kept, dropped, going, *others], [kept], uid="1", mounted_config_maps=mounted_config_maps) == [dropped]


def test_a_child_of_another_kind_with_the_same_name_is_pruned():
    assert names(
        to_prune(
            [item("Job", "bot-serve", "3", "1")], [item("Service", "bot-serve", "", "1")], uid="1", mounted_config_maps=mounted_config_maps
        )
    ) == ["bot-serve"]


def test_a_config_map_is_kept_while_a_job_mounts_it():
    attempt = item("Job", "bot-train-0", "2", "1") | {
        "spec": {"template": {"spec": {"volumes": [{"name": "config", "configMap": {"name": "bot-config-1"}}, {"name": "tmp"}]}}}
    }
    older, newer, nobodys = (item("ConfigMap", f"bot-config-{number}", f"c{number}", "1") for number in (1, 2, 3))
    live = [attempt, older, newer, nobodys]
    assert to_prune(live, [attempt, newer], uid="1", mounted_config_maps=mounted_config_maps) == [nobodys]
    assert to_prune(live, [newer], uid="1", mounted_config_maps=mounted_config_maps) == [attempt, older, nobodys]

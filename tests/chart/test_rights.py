"""Rights on a real API server: those of the operator in both modes, and those of people with the cluster's own roles."""

import pytest
from chart_values import EVERYTHING, VALUE_SETS
from cluster_commands import binding
from granted import granted
from helm import RELEASE, kind_of
from namespaces import new_namespace
from waiting import until

from tunewright.kube.kinds import CHILDREN, FINE_TUNE_JOB, RENDERED, RESOURCES

UNKNOWN = {"ServiceMonitor", "PrometheusRule"}  # their definitions are the Prometheus operator's
GROUPS = {kind: place.api_version.rpartition("/")[0] for kind, place in RESOURCES.items()}


@pytest.fixture(scope="module")
def other_namespace(control_plane):
    yield from new_namespace(control_plane.api)


@pytest.fixture(scope="module")
def api(control_plane):
    return control_plane.api


@pytest.fixture(scope="module")
def cluster_mode(api, helm, shared_namespace):
    """The rights of an operator that watches all namespaces, and of people."""
    with granted(api, helm, shared_namespace):
        yield shared_namespace


@pytest.fixture(scope="module")
def namespaced_mode(api, helm, shared_namespace, other_namespace):
    """The rights of an operator in one namespace that watches another."""
    rbac = {"aggregate": False}
    with granted(api, helm, shared_namespace, watchNamespaces=[other_namespace], fullnameOverride="narrow", rbac=rbac):
        yield other_namespace


def may(api, user, verb, resource, namespace, *, group="", name=""):
    """Check as an administrator whether a subject may do something."""
    resource, _, subresource = resource.partition("/")
    groups = ["system:authenticated"]
    if user.startswith("system:serviceaccount:"):
        groups += ["system:serviceaccounts", f"system:serviceaccounts:{user.split(':')[2]}"]
    attributes = {"verb": verb, "group": group, "resource": resource, "subresource": subresource, "namespace": namespace, "name": name}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview"}
    answer = api.create({**review, "spec": {"user": user, "groups": groups, "resourceAttributes": attributes}}, keep=True)
    assert answer.accepted, answer.message
    return answer.object["status"]["allowed"]


READ, WRITE = ("get", "list", "watch"), ("create", "patch", "delete")
ALLOWED = [
    *[(verb, "tunewright.io", "finetunejobs") for verb in READ],
    ("patch", "tunewright.io", "finetunejobs/status"),
    ("update", "tunewright.io", "finetunejobs/finalizers"),
    *[(verb, GROUPS[kind], RESOURCES[kind].plural) for kind in RENDERED for verb in (*READ, *WRITE)],
    *[(verb, GROUPS[kind], RESOURCES[kind].plural) for kind in ("Pod", "ReplicaSet") for verb in READ],
    *[(verb, "", "events") for verb in ("get", "list", "create", "patch")],
    ("get", "", "serviceaccounts"),
]
REFUSED = [
    ("get", "", "secrets"),
    ("list", "", "secrets"),
    ("create", "", "secrets"),
    *[(verb, "tunewright.io", "finetunejobs") for verb in ("create", "update", "patch", "delete")],
    ("update", "tunewright.io", "finetunejobs/status"),
    *[(verb, "", "pods") for verb in ("create", "patch", "delete")],
    ("create", "", "pods/exec"),
    ("get", "", "pods/log"),
    ("create", "", "serviceaccounts"),
    ("create", "", "serviceaccounts/token"),
    ("impersonate", "", "serviceaccounts"),
    ("create", "rbac.authorization.k8s.io", "roles"),
    ("bind", "rbac.authorization.k8s.io", "clusterroles"),
    ("deletecollection", "batch", "jobs"),
    ("update", "apps", "deployments"),
]
CLUSTER_REFUSED = [
    ("list", "", "namespaces"),
    ("list", "", "nodes"),
    ("get", "apiextensions.k8s.io", "customresourcedefinitions"),
    ("patch", "apiextensions.k8s.io", "customresourcedefinitions"),
]


@pytest.mark.parametrize("mode", ["cluster_mode", "namespaced_mode"])
def test_rights_of_the_operator_in_watched_namespaces(api, request, shared_namespace, mode):
    where = request.getfixturevalue(mode)
    operator = f"system:serviceaccount:{shared_namespace}:{RELEASE if mode == 'cluster_mode' else 'narrow'}"
    until(lambda: may(api, operator, "delete", "jobs", where, group="batch"), "the rights are known to the API server")

    assert [ask for ask in ALLOWED if not may(api, operator, ask[0], ask[2], where, group=ask[1])] == []
    assert [ask for ask in REFUSED if may(api, operator, ask[0], ask[2], where, group=ask[1])] == []
    assert [ask for ask in CLUSTER_REFUSED if may(api, operator, ask[0], ask[2], "", group=ask[1])] == []
    assert may(api, operator, "create", "tokenreviews", "", group="authentication.k8s.io")


def test_the_operator_may_use_a_lease_in_its_own_namespace_only(api, namespaced_mode, cluster_mode):
    for operator in (RELEASE, "narrow"):
        user = f"system:serviceaccount:{cluster_mode}:{operator}"
        own = {
            verb: may(api, user, verb, "leases", cluster_mode, group="coordination.k8s.io") for verb in ("get", "create", "patch", "delete")
        }

        assert own == {"get": True, "create": True, "patch": True, "delete": False}
        assert not may(api, user, "get", "leases", namespaced_mode, group="coordination.k8s.io")


def test_in_namespaced_mode_the_operator_has_no_rights_elsewhere(api, namespaced_mode, shared_namespace):
    operator = f"system:serviceaccount:{shared_namespace}:narrow"
    others = (shared_namespace, "kube-system", "")  # its own, another, all of them

    assert [(where, ask) for where in others for ask in ALLOWED if may(api, operator, ask[0], ask[2], where, group=ask[1])] == []


def test_with_rbac_secrets_the_operator_may_get_secrets_but_not_list_them(api, helm, shared_namespace, other_namespace):
    operator = f"system:serviceaccount:{shared_namespace}:reader"
    rbac = {"secrets": True, "aggregate": False}
    with granted(api, helm, shared_namespace, watchNamespaces=[other_namespace], fullnameOverride="reader", rbac=rbac):
        until(lambda: may(api, operator, "get", "secrets", other_namespace), "the right is known to the API server")
        assert not may(api, operator, "list", "secrets", other_namespace)
        assert not may(api, operator, "get", "secrets", shared_namespace)


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("view", {"get", "list", "watch"}),
        ("edit", {"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}),
        ("admin", {"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}),
    ],
)
def test_rights_of_users_with_view_edit_and_admin(api, cluster_mode, role, allowed):
    user = f"{role}-er"
    assert api.apply(binding(user, role, cluster_mode), cluster_mode, keep=True).accepted
    until(
        lambda: all(may(api, user, verb, "finetunejobs", cluster_mode, group="tunewright.io") for verb in allowed), "roles are aggregated"
    )

    verbs = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
    assert {verb for verb in verbs if may(api, user, verb, "finetunejobs", cluster_mode, group="tunewright.io")} == allowed
    assert not may(api, user, "patch", "finetunejobs/status", cluster_mode, group="tunewright.io")
    assert not may(api, user, "get", "finetunejobs", "kube-system", group="tunewright.io")


def test_a_user_without_a_role_has_no_rights(api, cluster_mode):
    assert not may(api, "nobody", "get", "finetunejobs", cluster_mode, group="tunewright.io")


def test_the_rules_cover_exactly_the_operators_kinds(helm):
    manifests = helm.template({"rbac": {"secrets": True, "aggregate": False}})
    rules = [rule for kind in ("ClusterRole", "Role") for role in kind_of(manifests, kind) for rule in role["rules"]]
    given = {(group, resource): set(rule["verbs"]) for rule in rules for group in rule["apiGroups"] for resource in rule["resources"]}
    known = {(GROUPS[kind], place.plural) for kind, place in RESOURCES.items()}

    assert len(given) == len(rules), "one rule for each resource"
    assert {resource for resource in given if "/" not in resource[1]} == known, "templates/_rules.tpl grants what kinds.py names"
    for kind in (FINE_TUNE_JOB, *CHILDREN):
        assert given[GROUPS[kind], RESOURCES[kind].plural] >= {"get", "list", "watch"}, f"{kind} is watched"
    assert not any("*" in (*key, *verbs) for key, verbs in given.items())


def settled(api, manifest):
    """Return the verdict on an object. A conflict with a controller, or an overloaded API server, is no verdict: clients try again."""
    return until(
        lambda: (found := api.apply(manifest, manifest["metadata"].get("namespace"))).code in (200, 400, 403, 422) and found, "a verdict"
    )


@pytest.mark.parametrize("name", VALUE_SETS)
def test_the_api_server_accepts_every_rendered_object(api, helm, shared_namespace, name):
    values = dict(VALUE_SETS[name])
    if "watchNamespaces" in values:
        values["watchNamespaces"] = [shared_namespace]
    manifests = helm.template(values, namespace=shared_namespace)
    known = [manifest for manifest in manifests if manifest["kind"] not in UNKNOWN]
    verdicts = {manifest["kind"]: settled(api, manifest) for manifest in known}

    assert {kind: verdict.message for kind, verdict in verdicts.items() if not verdict.accepted} == {}
    assert {manifest["kind"] for manifest in manifests} - verdicts.keys() == (UNKNOWN if VALUE_SETS[name] is EVERYTHING else set())

"""When an object is as rendered: defaults beside it are, changed and left-over fields are not."""

import pytest

from tunewright_runtime.differences import is_as_rendered

POD = {"containers": [{"name": "server", "image": "i", "resources": {"limits": {"cpu": "1000m", "memory": "4Gi"}}}]}


def deployment(spec, *, fields=None):
    applied = {"manager": "tunewright", "operation": "Apply", "fieldsV1": {"f:spec": fields or {}}}
    return {"metadata": {"managedFields": [applied]}, "spec": spec}


@pytest.mark.parametrize(
    ("expected", "live", "rendered"),
    [
        pytest.param(True, {"replicas": 1}, {"replicas": 1}, id="equal"),
        pytest.param(True, {"replicas": 1, "paused": False}, {"replicas": 1}, id="a default beside it"),
        pytest.param(False, {"replicas": 3}, {"replicas": 1}, id="another value"),
        pytest.param(False, {}, {"replicas": 1}, id="a value that is missing"),
        pytest.param(True, {}, {"paused": False, "env": [], "map": {}, "text": ""}, id="empty values are left out"),
        pytest.param(False, {"replicas": 1}, {"replicas": 0}, id="zero is not one"),
        pytest.param(False, {"n": 1}, {"n": True}, id="true is not one"),
        pytest.param(False, {"n": "1"}, {"n": 1}, id="a text is not a number"),
        pytest.param(True, {"cpu": "1"}, {"cpu": "1000m"}, id="one quantity in two spellings"),
        pytest.param(False, {"cpu": "2"}, {"cpu": "1000m"}, id="two quantities"),
        pytest.param(False, {"value": "2"}, {"value": ""}, id="a text where none shall be"),
        pytest.param(True, {"command": ["a", "b"]}, {"command": ["a", "b"]}, id="a list"),
        pytest.param(False, {"command": ["b", "a"]}, {"command": ["a", "b"]}, id="a list in another order"),
        pytest.param(False, {"command": ["a"]}, {"command": ["a", "b"]}, id="a shorter list"),
        pytest.param(True, {"c": [{"name": "proxy"}, {"name": "x", "v": 1, "w": 2}]}, {"c": [{"name": "x", "v": 1}]}, id="a sidecar"),
        pytest.param(False, {"c": [{"name": "proxy"}, {"name": "x", "v": 2}]}, {"c": [{"name": "x", "v": 1}]}, id="a change and a sidecar"),
        pytest.param(False, {"selector": {"a": "b", "c": "d"}}, {"selector": {"a": "b"}}, id="a selector that finds fewer"),
        pytest.param(True, {"podSelector": None}, {"podSelector": {}}, id="a selector of everything"),
        pytest.param(True, {"labels": {"a": "b", "c": "d"}}, {"labels": {"a": "b"}}, id="a label beside ours"),
        pytest.param(False, {"m": None}, {"m": {"a": 1}}, id="a part that is missing"),
        pytest.param(False, {"ingress": [{}], "n": 1}, {"n": 1}, id="a way in where there is none"),
        pytest.param(True, {"ingress": [], "n": 1}, {"n": 1}, id="no way in where there is none"),
        pytest.param(
            False, {"egress": [{"ports": [{"port": 53}, {"port": 22}]}]}, {"egress": [{"ports": [{"port": 53}]}]}, id="a wider way"
        ),
        pytest.param(True, {"m": {"labels": {"ingress": "public"}}}, {"m": {"labels": {}}}, id="a label of that name opens nothing"),
        pytest.param(
            False,
            {"c": [{"name": "x", "securityContext": {"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}}}]},
            {"c": [{"name": "x", "securityContext": {"capabilities": {"drop": ["ALL"]}}}]},
            id="a capability more",
        ),
    ],
)
def test_an_object_is_compared_with_the_rendered_one(expected, live, rendered):
    assert is_as_rendered(deployment(live), {"spec": rendered}, manager="tunewright") is expected


@pytest.mark.parametrize(
    ("expected", "fields", "rendered"),
    [
        pytest.param(True, {"f:replicas": {}}, {"replicas": 1}, id="what we applied is still rendered"),
        pytest.param(False, {"f:replicas": {}, "f:paused": {}}, {"replicas": 1}, id="a field that we gave up"),
        pytest.param(True, {"f:env": {'k:{"name":"A"}': {".": {}, "f:name": {}}}}, {"env": [{"name": "A"}]}, id="an item by its key"),
        pytest.param(False, {"f:env": {'k:{"name":"B"}': {".": {}, "f:name": {}}}}, {"env": [{"name": "A"}]}, id="an item that we gave up"),
        pytest.param(
            True, {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {"f:port": {}}}}, {"ports": [{"port": 80}]}, id="a key with a default"
        ),
        pytest.param(False, {"f:finalizers": {'v:"b"': {}}}, {"finalizers": ["a"]}, id="a value that we gave up"),
    ],
)
def test_a_field_that_is_no_longer_rendered_is_removed(expected, fields, rendered):
    assert is_as_rendered(deployment(rendered, fields=fields), {"spec": rendered}, manager="tunewright") is expected

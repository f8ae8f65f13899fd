"""Which ConfigMaps are in use, told from Jobs of any shape."""

from tunewright.observe.mounts import mounted_config_maps


def a_job(*volumes):
    return {"kind": "Job", "spec": {"template": {"spec": {"volumes": list(volumes)}}}}


def test_the_config_maps_of_jobs_are_in_use_and_no_others():
    mounting = a_job({"configMap": {"name": "one"}}, {"emptyDir": {}}, {"configMap": {}}, {"configMap": {"name": "two"}})
    deployment = a_job({"configMap": {"name": "three"}}) | {"kind": "Deployment"}
    assert mounted_config_maps([mounting, deployment, {"kind": "Job"}, {"kind": "ConfigMap"}]) == {"one", "two"}

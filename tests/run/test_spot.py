"""Spot instances first: the provider of cluster.yaml in a simulated AWS."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from ray.autoscaler._private import providers
from ray.autoscaler._private.util import prepare_config
from ray.autoscaler.node_launch_exception import NodeLaunchException

from ig_worker.run.dispatch.aws_spot import SpotFirst
from tests.jobs.cluster_config import Config, is_spot, read


@pytest.fixture
def provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[SpotFirst, Config]]:
    """The provider of cluster.yaml and its bootstrapped configuration, in a simulated AWS."""
    import boto3
    from moto import mock_aws

    monkeypatch.setenv("HOME", str(tmp_path))  # Ray writes its new SSH key there
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "simulated")
    with mock_aws():
        for profile in ("ig-worker-head", "ig-worker-node"):
            boto3.client("iam", region_name="us-west-2").create_instance_profile(InstanceProfileName=profile)
        config = prepare_config(read("cluster.yaml"))
        kind = providers._get_node_provider_cls(config["provider"])
        config = kind.bootstrap_config(config)
        yield kind(config["provider"], config["cluster_name"]), config


TAGS = {"ray-node-type": "worker", "ray-node-name": "w", "ray-launch-config": "", "ray-user-node-type": "gpu"}


def launch(provider: SpotFirst, config: Config, node_type: str = "gpu") -> list[Config]:
    """The instances that EC2 has after Ray has asked for one."""
    provider.create_node(copy.deepcopy(config["available_node_types"][node_type]["node_config"]), TAGS, 1)
    found = provider.ec2.meta.client.describe_instances()["Reservations"]
    return [instance for reservation in found for instance in reservation["Instances"]]


def test_simulated_aws_lets_in_nothing_but_ssh(provider: tuple[SpotFirst, Config]) -> None:
    client = provider[0].ec2.meta.client
    (group,) = client.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["ray-*"]}])["SecurityGroups"]
    from_outside = [rule for rule in group["IpPermissions"] if rule["IpRanges"] or rule["Ipv6Ranges"]]
    assert [(rule["FromPort"], rule["ToPort"]) for rule in from_outside] == [(22, 22)]


def test_simulated_aws_starts_a_spot_instance(provider: tuple[SpotFirst, Config]) -> None:
    (instance,) = launch(*provider)
    assert (instance["InstanceLifecycle"], instance["InstanceType"]) == ("spot", "g5.xlarge")
    assert instance["MetadataOptions"]["HttpTokens"] == "required"
    assert instance["IamInstanceProfile"]["Arn"].endswith("/ig-worker-node")


def refuse(provider: SpotFirst, monkeypatch: pytest.MonkeyPatch, kind: Callable[[Config], bool]) -> None:
    """Let EC2 refuse requests of a kind."""
    create = provider.ec2_fail_fast.create_instances

    def create_instances(**request: Any) -> Any:
        if kind(request):
            error = {"Code": "InsufficientInstanceCapacity", "Message": "none of these"}
            raise ClientError({"Error": error}, "RunInstances")  # type: ignore[typeddict-item]
        return create(**request)

    monkeypatch.setattr(provider.ec2_fail_fast, "create_instances", create_instances)


def test_where_there_is_no_spot_an_instance_starts_on_demand(
    provider: tuple[SpotFirst, Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(provider[0], monkeypatch, is_spot)
    (instance,) = launch(*provider)
    assert instance.get("InstanceLifecycle") is None
    assert instance["InstanceType"] == "g5.xlarge"


def test_where_there_is_neither_the_autoscaler_is_told(
    provider: tuple[SpotFirst, Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(provider[0], monkeypatch, lambda request: True)
    for node_type in ("gpu", "head"):
        with pytest.raises(NodeLaunchException, match="InsufficientInstanceCapacity"):
            launch(*provider, node_type)

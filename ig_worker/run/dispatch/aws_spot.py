"""EC2 nodes for `ray up`: spot instances and, while there are none to be had, on-demand ones.

Ray 2.60 does not fall back by itself. Its autoscaler prefers the node type with the higher `priority` and turns to
another one only after an instance came and never joined; a request that EC2 refuses, which is how a lack of spot
capacity shows, is repeated every five seconds for ever.
"""

from __future__ import annotations

import logging
from typing import Any

from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler.node_launch_exception import NodeLaunchException

log = logging.getLogger(__name__)

SPOT = "InstanceMarketOptions"


class SpotFirst(AWSNodeProvider):
    """Ray's provider for EC2, which starts a node that should be a spot instance on demand where EC2 refuses spot."""

    def create_node(self, node_config: dict[str, Any], tags: dict[str, str], count: int) -> Any:
        """Start up to `count` instances.

        Raises:
            NodeLaunchException: neither kind is to be had, or a setting is wrong.
        """
        try:
            return super().create_node(node_config, tags, count)
        except NodeLaunchException as error:
            if SPOT not in node_config:
                raise
            log.warning("no spot instance (%s: %s); starting one on demand", error.category, error.description)
            on_demand = {key: value for key, value in node_config.items() if key != SPOT}
            return super().create_node(on_demand, tags, count)

"""The files for `ray up`, as they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
Config = dict[str, Any]


def read(name: str) -> Config:
    return yaml.safe_load((ROOT / name).read_text())


def is_spot(node: Config) -> bool:
    aws, gcp = node.get("InstanceMarketOptions", {}), node.get("scheduling", {})
    return aws.get("MarketType") == "spot" or gcp.get("provisioningModel") == "SPOT"

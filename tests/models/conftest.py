"""One folder of each pretrained network, for all tests of a file."""

import json

import pytest
import torch

from tests.models.folders import MAKERS


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """One folder per maker, with the network written there."""
    root = tmp_path_factory.mktemp("pretrained")
    written = {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for name, make in MAKERS.items():
            network = make().eval()
            network.save_pretrained(root / name)
            written[name] = (root / name, network)
    pixels = {"do_normalize": True, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.5, 0.25, 0.2]}
    (root / "vit" / "preprocessor_config.json").write_text(json.dumps(pixels))
    return written

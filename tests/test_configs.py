"""Every config that ships: it resolves, its network is built, and a step of training changes its weights."""

from dataclasses import replace

import pytest
import torch

from ndg import config, data, models
from ndg.activations.batches import forward
from ndg.data.inputs import TEXT, Form
from ndg.data.samples import SAMPLES, with_data
from ndg.locations import Locations
from ndg.workflows.train import load

PAPERS = (
    "mnist_cnn", "mnist_even_cnn", "fashion_cnn", "sst2_distilbert", "sst2_small", "allnli_roberta", "snli_minilm",
    "mqnli_minilm", "sick_small", "cub200_transfg", "cub200_vit", "devign_codebert", "cifar10_resnet18",
    "cifar100_resnet18", "cifar10_vit",
)  # fmt: skip


@pytest.fixture(scope="module")
def where(tmp_path_factory):
    """No data at hand: everything is generated once for this module."""
    folder = tmp_path_factory.mktemp("smoke")
    return Locations(None, folder, str(folder / "ndg.db"))


def test_the_experiments_of_the_papers_ship():
    assert set(PAPERS) <= set(config.configs())


@pytest.mark.parametrize("name", config.configs())
def test_a_config_names_what_its_paper_reports_and_how_to_try_it_quickly(name):
    one = config.load(config.find(name))
    assert one.smoke
    quick = config.load(config.find(name), smoke=True)
    assert quick.name == f"{name}-smoke"
    assert quick.smoke == {}
    assert quick.train.epochs < one.train.epochs
    assert quick.training_digest != one.training_digest
    if name in PAPERS:
        assert one.paper.source
        assert one.data.name in SAMPLES
        assert getattr(quick.model, "pretrained", None) is None


@pytest.mark.parametrize("name", PAPERS)
def test_every_config_builds_its_network_and_runs_one_step(name, where):
    quick = with_data(config.load(config.find(name), ["data.limit=100"], smoke=True), where)
    splits = load(where.place(quick))
    network = models.build(quick.model, splits.form, splits.classes, quick.seed)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    batch = splits.train[:16]
    how, generator = quick.train, torch.Generator().manual_seed(0)
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    logits = forward(network, batch.inputs.varied(how, generator))
    torch.nn.functional.cross_entropy(logits, batch.labels).backward()
    optimizer.step()
    assert logits.shape == (16, splits.classes)
    changed = [key for key, tensor in network.state_dict().items() if not torch.equal(tensor, before[key])]
    assert len(changed) > len(before) / 2


FORMS = {"cub": (3, 448, 448), "mnist": (1, 28, 28), "cifar": (3, 32, 32)}


@pytest.mark.parametrize("name", PAPERS)
def test_the_whole_network_of_every_config_can_be_built(name):
    one = config.load(
        config.find(name), ["model.pretrained=null"] if "pretrained" in config.find(name).read_text() else []
    )
    kind = next((form for key, form in FORMS.items() if key in one.data.name), None)
    form = Form.of(kind) if kind else Form(TEXT, (one.data.length,), 30_000)
    with torch.device("meta"):  # shapes without memory
        network = models.build(one.model, form, 10, 0)
    layers = dict(network.named_modules())
    assert network.latent_layer in layers
    assert network.second_layer in layers


def test_generated_data_are_announced_and_are_not_the_publishers(where, caplog):
    quick = with_data(config.load(config.find("mnist_cnn"), smoke=True), where)
    assert quick.data.dir
    assert "not the publisher's files" in data.load(quick.data).source
    at_hand = replace(quick, data=replace(quick.data, dir=quick.data.dir))
    assert with_data(at_hand, where) is at_hand

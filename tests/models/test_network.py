"""The four methods are one network: sizes, who shares with whom, exactness."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle.nn import functional

from lungdx_paddle.config import load_config
from lungdx_paddle.models.network import LEAST_DEVIATION, TwoTaskNetwork, build_network
from lungdx_paddle.settings import STAGES, ModelConfig, SharingConfig

PARAMETERS = {
    "single_task": 8_441_803,
    "hard": 4_226_539,
    "soft": 8_446_667,
    "partial_soft": 8_446_283,
    "partial_soft_dense": 348_180_427,
    "best": 2_139_207,
    "quick": 536_619,
    "testing": 8_465,
}
"""Every shipped config's number of trained weights; a silent change of the network shows."""

SMALL = ModelConfig(conv1=4, conv2=6, fc=10)
CLASSES = {"malignancy": 5, "pathology": 6}


def network_of(*sites: str, floor: float = 0.0, unit: str = "channel") -> TwoTaskNetwork:
    paddle.seed(0)
    return TwoTaskNetwork(SMALL, SharingConfig(tuple(sites), unit, floor), CLASSES)


def images(count: int = 6, seed: int = 0) -> paddle.Tensor:
    random = np.random.default_rng(seed)
    return paddle.to_tensor(random.uniform(0, 255, (count, 1, 32, 32)).astype(np.float32))


def test_the_table_of_parameters_covers_every_config(configs: Path) -> None:
    assert {path.stem for path in configs.glob("*.yaml")} == set(PARAMETERS)


@pytest.mark.parametrize("name", sorted(set(PARAMETERS) - {"partial_soft_dense"}))
def test_number_of_parameters(configs: Path, name: str) -> None:
    network = build_network(load_config(configs / f"{name}.yaml"))
    count = sum(int(np.prod(p.shape)) for p in network.parameters() if not p.stop_gradient)
    assert count == PARAMETERS[name]


def test_the_dense_configs_count_follows_from_its_sites(configs: Path) -> None:
    """Building it takes 1.4 GB, so its count is the single-task one plus three squares."""
    config = load_config(configs / "partial_soft_dense.yaml")
    model = config.model
    sites = {"pool1": model.conv1 * 16 * 16, "pool2": model.conv2 * 8 * 8, "fc": model.fc}
    squares = sum((2 * sites[site]) ** 2 for site in config.sharing.sites)
    assert PARAMETERS["single_task"] + squares == PARAMETERS["partial_soft_dense"]
    small = network_of("pool1", "pool2", "fc", unit="dense")
    none = network_of()
    extra = sum(p.size for p in small.parameters()) - sum(p.size for p in none.parameters())
    assert extra == (2 * 4 * 256) ** 2 + (2 * 6 * 64) ** 2 + 20**2


@pytest.mark.parametrize("sites", [(), ("trunk",), ("pool1", "pool2", "fc"), STAGES])
def test_logits_of_both_tasks(sites: tuple) -> None:
    logits = network_of(*sites)(images(3))
    assert {task: tuple(x.shape) for task, x in logits.items()} == {
        "malignancy": (3, 5),
        "pathology": (3, 6),
    }


def test_a_network_of_one_task_is_a_trunk_with_one_head_whatever_the_sites(configs: Path) -> None:
    found = []
    for name in ("single_task", "hard", "soft", "partial_soft"):
        paddle.seed(0)
        network = build_network(load_config(configs / f"{name}.yaml", ["data.label_set=none"]))
        network.eval()
        found.append({task: x.numpy() for task, x in network(images(3)).items()})
        assert (len(network.towers), len(network.units), network.shares()) == (1, 0, {})
    for logits in found:
        assert list(logits) == ["malignancy"] and logits["malignancy"].shape == (3, 5)
        np.testing.assert_array_equal(logits["malignancy"], found[0]["malignancy"])


def reached(network: TwoTaskNetwork, task: str) -> dict[str, bool]:
    """Whether the other task's loss reaches this task's conv1."""
    other = next(t for t in network.tasks if t != task)
    network.train()
    network(images())[other].sum().backward()
    towers = network.towers
    weight = towers[task if task in towers else "trunk"].conv1.weight
    return {"reached": weight.grad is not None and bool(weight.grad.abs().sum() > 0)}


@pytest.mark.parametrize(
    ("sites", "floor", "shares"),
    [
        ((), 0.0, False),
        (("trunk",), 0.0, True),
        (STAGES, 0.0, False),  # free weights start as the identity
        (("pool1", "pool2", "fc"), 0.05, True),
        (("fc",), 0.05, True),
    ],
)
def test_a_tasks_loss_reaches_the_other_tower_only_through_sharing(
    sites: tuple, floor: float, shares: bool
) -> None:
    network = network_of(*sites, floor=floor)
    assert reached(network, "malignancy")["reached"] is shares


def plain_forward(network: TwoTaskNetwork, x: paddle.Tensor) -> dict[str, paddle.Tensor]:
    """The network as the paper writes it: ReLU before the max-pool, towers in turn."""
    x = (x - network.pixel_mean) / network.pixel_deviation
    a, b = (network.towers[task] for task in network.tasks)
    states = [x, x]
    for number in ("1", "2"):
        for site in (f"conv{number}", f"pool{number}"):
            for k, tower in enumerate((a, b)):
                if site.startswith("conv"):
                    convolved = getattr(tower, site)(states[k])
                    states[k] = functional.relu(getattr(tower, f"bn{number}")(convolved))
                else:
                    states[k] = functional.max_pool2d(states[k], 2, 2)
            if site in network.units:
                states = list(network.units[site](*states))
    states = [functional.relu(t.bn3(t.fc(s.flatten(1)))) for t, s in zip((a, b), states)]
    if "fc" in network.units:
        states = list(network.units["fc"](*states))
    return {task: network.heads[task](s) for task, s in zip(network.tasks, states)}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("sites", [(), ("pool1", "pool2", "fc"), STAGES])
def test_the_faster_order_of_operations_changes_no_result(sites: tuple, training: bool) -> None:
    network = network_of(*sites, floor=0.05)
    network.drop.p = 0.0
    seen = images(20, seed=1).numpy()[:, 0]
    network.set_normalisation(seen.mean(axis=0), seen.std(axis=0))
    network.train() if training else network.eval()
    x = images()
    fast, plain = network(x), plain_forward(network, x)
    for task in network.tasks:
        np.testing.assert_allclose(fast[task].numpy(), plain[task].numpy(), atol=1e-5)
    gradients = []
    for logits in (fast, plain):
        network.clear_gradients()
        sum((logits[task] ** 2).mean() for task in network.tasks).backward()
        trained = [(n, p) for n, p in network.named_parameters() if not p.stop_gradient]
        gradients.append({name: p.grad.numpy() for name, p in trained})
    for name, gradient in gradients[0].items():
        np.testing.assert_allclose(gradient, gradients[1][name], rtol=1e-3, atol=1e-5)


def test_normalisation_is_per_pixel_and_safe_where_nothing_varies() -> None:
    network = network_of()
    stack = np.zeros((10, 32, 32), np.uint8)
    stack[:, 16, 16] = np.arange(10) * 20
    network.set_normalisation(stack.mean(axis=0), stack.std(axis=0))
    mean, deviation = network.pixel_mean.numpy()[0, 0], network.pixel_deviation.numpy()[0, 0]
    assert mean[16, 16] == pytest.approx(90) and mean[0, 0] == 0
    assert deviation[16, 16] == pytest.approx(stack[:, 16, 16].std())
    assert deviation[0, 0] == LEAST_DEVIATION


def test_shares_are_given_for_each_site_and_task() -> None:
    shares = network_of("pool1", "fc", floor=0.05).shares()
    assert list(shares) == ["pool1", "fc"]
    assert shares["fc"] == pytest.approx({"malignancy": 0.05, "pathology": 0.05}, abs=1e-5)
    assert network_of().shares() == {}


def test_with_flips_an_answer_does_not_depend_on_the_orientation() -> None:
    classes = {"malignancy": 5, "pathology": 2}
    network = TwoTaskNetwork(ModelConfig(4, 6, 10, flips=True), SharingConfig(), classes)
    network.eval()
    image = np.random.default_rng(0).uniform(0, 255, (3, 1, 32, 32)).astype(np.float32)
    turned = np.ascontiguousarray(np.rot90(image, axes=(2, 3))[..., ::-1])
    found, again = (network.probabilities(paddle.to_tensor(x)) for x in (image, turned))
    once = paddle.nn.functional.softmax(network(paddle.to_tensor(image))["malignancy"])
    assert np.allclose(found["malignancy"], again["malignancy"], atol=1e-6)
    assert found["malignancy"].shape == [3, 5]
    assert not np.allclose(found["malignancy"], once, atol=1e-6)

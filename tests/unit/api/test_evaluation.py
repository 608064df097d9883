"""Objects in memory: the numbers of a suite, stored by content, and every refusal."""

from __future__ import annotations

import math
from types import FunctionType

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import oodbench
from harness.compute.checkpoints import build_model, load_tensors
from harness.data.roles import permutation
from harness.metrics.roc import auroc
from harness.store.layout import CHECKPOINTS, STATISTICS, WEIGHTS
from harness.store.records import Store

PROTOCOL = {"n_in": 30, "n_fit": 30, "n_out": 30}


class Normal(torch.nn.Module):
    """Independent normal densities of grey levels, which declare neither domain nor likelihood."""

    def __init__(self, mean, scale=40.0):
        super().__init__()
        self.mean = torch.nn.Parameter(torch.full((16,), float(mean)))
        self.scale = scale  # not part of the state

    def log_prob(self, x):
        z = (x.flatten(1).float() - self.mean) / self.scale
        return (-z * z / 2 - math.log(self.scale) - math.log(2 * math.pi) / 2).sum(1)


def images(seed, low=0, high=200, count=80):
    shape = (count, 1, 4, 4)
    return np.random.default_rng(seed).integers(low, high, shape, dtype=np.uint8)


def total(x):
    return -x.double().flatten(1).sum(1)


@pytest.fixture
def evaluated(tmp_path):
    """Evaluate with small values in place of those that are not given."""

    def evaluate(**given):
        values = {
            "models": {"mine": Normal(100)},
            "id": images(0),
            "ood": {"bright": images(1, 100, 256)},
            "scorers": ["log-likelihood"],
            "protocol": PROTOCOL,
            "store": tmp_path / "store",
            "data": tmp_path / "data",
            "device": "cpu",
            "threads": 1,
            "display": "none",
        }
        return oodbench.evaluate(**values | given)

    return evaluate


def records(tmp_path, kind):
    return set(Store(tmp_path / "store").keys(kind))


def test_the_module_of_a_stored_checkpoint_has_the_numbers_of_the_suite(made, results, evaluated):
    plan = results.outcome.plan
    (chain,) = plan.chains.values()
    store = Store(made / "store")
    key = plan.checkpoint_key(chain.id, 2)
    module = build_model(chain.model, chain.domain, 7)
    module.load_state_dict(load_tensors(store.read(CHECKPOINTS, key, WEIGHTS)))
    noise = {"plugin": "noise", "options": {"n_train": 10, "n_test": 40}}
    scorers = ["log-likelihood", "typicality"]
    found = evaluated(models={"m": module}, id="digits", ood={"noise": noise}, scorers=scorers)
    asked = [row for row in results.to_dicts() if row["epoch"] == 2]
    for mine, its in zip(found.to_dicts(), asked, strict=True):
        changed = {"model": "m", "epoch": 0}
        assert mine == its | changed
        ours, theirs = found.scores(mine), results.scores(its)
        assert np.array_equal(ours.scores_in, theirs.scores_in)
        assert np.array_equal(ours.examples_out, theirs.examples_out)


def test_the_scores_of_a_function_are_those_of_its_values(evaluated):
    id_, ood = images(0), images(1, 100, 256)
    results = evaluated(models={"total": total}, id=id_, ood={"bright": ood}, group_sizes=(1, 5))
    for size in (1, 5):
        found = results.scores(group_size=size)
        for given, scores, examples in (
            (id_, found.scores_in, found.examples_in),
            (ood, found.scores_out, found.examples_out),
        ):
            sums = given.reshape(80, -1).astype(float).sum(1)
            assert np.allclose(scores, sums[examples].mean(1))
            assert np.array_equal(examples.ravel(), permutation(80, 0)[:30])
        assert results.to_dicts()[0]["auroc"] == auroc(
            results.scores(group_size=1).scores_in, results.scores(group_size=1).scores_out
        )


def test_results_say_that_a_suite_alone_cannot_reproduce_them(evaluated):
    results = evaluated()
    assert results.notes[:2] == [
        "mine was given in memory, so a suite alone cannot reproduce its results; they hold if it "
        "was trained on id",
        "id: given in memory, so a suite alone cannot reproduce the results",
    ]
    assert "bright: given in memory" in str(results)
    assert 'There is no bits/dim: mine does not declare likelihood = "exact"' in " ".join(
        str(results).split()
    )


def test_records_are_found_by_content(evaluated, tmp_path):
    evaluated(models={"first": Normal(100)})
    kept = records(tmp_path, STATISTICS)
    assert kept
    evaluated(models={"second": Normal(100)}, id={"other": images(0)})
    assert records(tmp_path, STATISTICS) == kept
    for changed in (Normal(101), Normal(100, scale=41.0), Normal(100).double()):
        evaluated(models={"first": changed})
        more = records(tmp_path, STATISTICS)
        assert more > kept
        kept = more
    evaluated(models={"f": total})
    of_total = records(tmp_path, STATISTICS)
    half = 0.5
    evaluated(models={"f": lambda x: half * total(x)})
    of_half = records(tmp_path, STATISTICS)
    half = 0.25
    evaluated(models={"f": lambda x: half * total(x)})  # the same source with another value
    assert kept < of_total < of_half < records(tmp_path, STATISTICS)


def test_a_class_of_the_same_name_with_another_source_is_another_model(evaluated, tmp_path):
    class Kind(Normal):
        def log_prob(self, x):
            return super().log_prob(x)

    evaluated(models={"m": Kind(100)})
    kept = records(tmp_path, STATISTICS)

    class Kind(Normal):
        def log_prob(self, x):
            return 1 * super().log_prob(x)

    evaluated(models={"m": Kind(100)})
    assert records(tmp_path, STATISTICS) > kept


class Summed(torch.nn.Module):
    """A model without any state."""

    def log_prob(self, x):
        return total(x)


def bits(results):
    (row,) = results.to_dicts()
    return row["likelihood"], math.isfinite(row["bits_per_dim_in"] or math.nan)


@pytest.mark.parametrize("kind", [Normal, Summed, lambda mean: lambda x: total(x)])
def test_a_likelihood_that_is_declared_later_counts(evaluated, kind):
    mine = kind(100) if kind is not Summed else kind()
    assert bits(evaluated(models={"m": mine})) == ("unnormalized", False)
    mine.likelihood = "exact"
    assert bits(evaluated(models={"m": mine})) == ("exact", True)
    mine.likelihood = "lower_bound"
    assert bits(evaluated(models={"m": mine})) == ("lower_bound", True)
    del mine.likelihood
    assert bits(evaluated(models={"m": mine})) == ("unnormalized", False)


def test_class_attributes_set_later_count(evaluated, tmp_path):
    class Base(Normal):
        pass

    class Kind(Base):
        pass

    mine = Kind(100)
    evaluated(models={"m": mine})
    Base.likelihood = "exact"
    assert bits(evaluated(models={"m": mine})) == ("exact", True)
    kept = records(tmp_path, STATISTICS)
    Base.log_prob_terms = lambda self, x: {"all": self.log_prob(x)}
    evaluated(models={"m": mine})
    of_base = records(tmp_path, STATISTICS)
    mine.log_prob_terms = lambda x: {"half": mine.log_prob(x) / 2}
    evaluated(models={"m": mine})
    assert kept < of_base < records(tmp_path, STATISTICS)


def of_one_channel(x):
    return total(x) if x.shape[1] in {1, 9} else None


def test_the_order_of_a_set_in_the_code_does_not_count(evaluated, tmp_path):
    """The order of a set of texts differs between processes, that of 1 and 9 by insertion."""
    code, order = of_one_channel.__code__, [frozenset([1, 9]), frozenset([9, 1])]
    assert repr(order[0]) != repr(order[1])
    found = []
    for values in order:
        constants = (values if isinstance(x, frozenset) else x for x in code.co_consts)
        changed = FunctionType(code.replace(co_consts=tuple(constants)), globals())
        evaluated(models={"m": changed})
        found.append(records(tmp_path, STATISTICS))
    assert found[0] == found[1]


def test_a_module_is_left_unchanged(evaluated):
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(), torch.nn.Linear(16, 1))

    class Wrapped(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = module

        def log_prob(self, x):
            return self.inner(x.float()).squeeze(1)

    mine = Wrapped().train()
    before = {name: value.clone() for name, value in mine.state_dict().items()}
    results = evaluated(models={"m": mine}, scorers=["log-likelihood", "gradient-gaussian"])
    assert {row["status"] for row in results.to_dicts()} == {"ok"}
    assert all(part.training for part in mine.modules())
    assert not hasattr(mine, "domain")
    assert all(torch.equal(value, before[name]) for name, value in mine.state_dict().items())
    assert all(parameter.grad is None for parameter in mine.parameters())


def test_gradients_do_not_apply_to_a_function(evaluated):
    (row,) = evaluated(models={"f": total}, scorers=["gradient-gaussian"]).to_dicts()
    assert row["status"] == "unsupported"
    assert "does not depend on any parameter" in row["message"]


class Stripes:
    """A data set of the user."""

    domain = oodbench.Images(channels=1, height=4, width=4)
    splits = ("train", "test")

    def load(self, split):
        return images(3 if split == "train" else 4)


def test_every_form_of_images_is_the_same_data(evaluated, tmp_path):
    array = images(0)
    np.save(tmp_path / "x.npy", array)
    tensor = torch.from_numpy(array)
    forms = [
        array,
        tensor,
        str(tmp_path / "x.npy"),
        tmp_path / "x.npy",
        DataLoader(TensorDataset(tensor, torch.zeros(80)), batch_size=32),
        DataLoader(TensorDataset(tensor.float().div(255)), batch_size=7),
        (images(5), array),
        {"named": array},
    ]
    expected = evaluated().to_dicts()[0]["auroc"]
    kept = records(tmp_path, STATISTICS)
    for form in forms:
        results = evaluated(id=form)
        assert results.to_dicts()[0]["auroc"] == expected
    assert records(tmp_path, STATISTICS) == kept
    assert results.cells[0].in_dataset == "named"
    assert (
        len(
            evaluated(
                id=Stripes(),
                ood={
                    "n": {"plugin": "noise", "options": {"height": 4, "width": 4}},
                    "s": Stripes(),
                },
            )
        )
        == 2
    )


@pytest.mark.parametrize(
    ("given", "mistake"),
    [
        (
            {"scorers": ["log-likelihod"]},
            "there is no scorer 'log-likelihod' (did you mean 'log-l",
        ),
        ({"id": "digts"}, "there is no data set 'digts' (did you mean 'digits'?)"),
        ({"ood": ["noize"]}, "there is no data set 'noize' (did you mean 'noise'?)"),
        ({"ood": "noise"}, "'noise' is 1x8x8, but 'id' is 1x4x4"),
        ({"ood": images(0)}, "ood: expected a mapping of names to images, or names of data sets"),
        ({"ood": {}}, "comparisons[0].out"),
        ({"protocol": {"n_inn": 3}}, "protocol.n_inn: unknown key (did you mean 'n_in'?)"),
        ({"group_sizes": (0,)}, "comparisons[0].group_sizes[0]: "),
        ({"models": Normal(0)}, "models: expected a mapping of names to modules or functions"),
        (
            {"models": {"m": type("Mine", (Normal,), {"likelihood": "exakt"})(0)}},
            "model 'm': there is no likelihood 'exakt' (did you mean 'exact'?)",
        ),
        ({"models": {"m": 3}}, "model 'm': expected a module with log_prob, or a function"),
        ({"models": {"m": torch.nn.Flatten()}}, "model 'm': expected a module with log_prob"),
        (
            {"models": {"m": lambda x: x.flatten(1)}},
            "model 'm': log_prob for 8 examples has shape (8, 16), not (8,)",
        ),
        (
            {"models": {"m": lambda x: x @ x.missing}},
            "model 'm': log_prob fails for torch.uint8 of shape (8, 1, 4, 4): Attrib",
        ),
        ({"id": images(0).astype(np.float32) / 255}, "id: images must be uint8, not float32; for"),
        ({"id": images(0).astype(np.int64)}, "id: images must be uint8, not int64"),
        ({"ood": {"o": images(0) > 9}}, "o: images must be uint8, not bool"),
        ({"id": images(0)[:, 0]}, "not (80, 4, 4); x[:, None] adds the channel"),
        ({"id": np.zeros((9, 8, 8, 3), np.uint8)}, "x.transpose(0, 3, 1, 2) moves the channels"),
        ({"id": images(0)[:0]}, "id: there are no images"),
        ({"id": 3}, "id: expected an array or tensor, a .npy file, a DataLoader, a pair"),
        ({"id": (images(0),) * 3}, "id: a pair (train, test) is expected, not 3 values"),
        (
            {"id": (images(0)[..., :3], images(1))},
            "id: train images have the shape (1, 4, 3), and test",
        ),
        ({"id": ("digits", images(0))}, "id, train: digits is not a .npy file"),
        ({"id": "none.npy"}, "id: none.npy cannot be read: No such file or directory"),
        ({"id": {"a": images(0), "b": images(1)}}, "id: expected one ID set, not 2"),
        (
            {"id": DataLoader(TensorDataset(torch.from_numpy(images(0))), shuffle=True)},
            "id: the DataLoader shuffles",
        ),
        (
            {"id": DataLoader(TensorDataset(torch.randn(9, 1, 4, 4)))},
            "id: the DataLoader gives numbers that are no multiples of 1/255",
        ),
        (
            {"id": (images(0), images(0))},
            "id: 30 of 30 scored examples are also train examples: scored examples must be new",
        ),
        (
            {"id": np.repeat(images(0)[:2], 40, axis=0)},
            "id: 30 of 30 scored examples are also fit examples: scored examples must be new",
        ),
        ({"protocol": {"n_in": 60, "n_fit": 30}}, "n_fit = 30, but the test split of 'id' has 20"),
        ({"protocol": {"n_out": 90}}, "n_out = 90, but the test split of 'bright' has 80"),
        (
            {"group_sizes": [31], "scorers": ["gradient-gaussian"]},
            "a group needs 31 examples, but role",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_mistakes_are_refused(evaluated, given, mistake):
    with pytest.raises(oodbench.BenchError) as caught:
        evaluated(**given)
    assert mistake in str(caught.value)


def test_a_model_for_another_domain_is_refused(evaluated):
    model = Normal(100)
    model.domain = oodbench.Images(channels=1, height=8, width=8)
    with pytest.raises(
        oodbench.BenchError, match="model 'm' is for 1x8x8, but the images are 1x4"
    ):
        evaluated(models={"m": model})


def test_a_file_that_is_no_array_is_refused(evaluated, tmp_path):
    (tmp_path / "x.npy").write_bytes(b"not an array")
    with pytest.raises(oodbench.BenchError, match=r"x\.npy is not an array of NumPy"):
        evaluated(id=tmp_path / "x.npy")
    np.save(tmp_path / "y.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(oodbench.BenchError, match=r"y\.npy is not an array of NumPy"):
        evaluated(id=tmp_path / "y.npy")


def test_missing_data_is_named(evaluated):
    with pytest.raises(oodbench.MissingDataError, match="mnist"):
        evaluated(
            id="mnist", ood={"n": {"plugin": "noise", "options": {"height": 28, "width": 28}}}
        )

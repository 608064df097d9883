"""Language models of transformers: its own losses, and the engine against the loop."""

import json

import numpy as np
import pytest
import torch

from harness.suite.option_files import keyed_files
from oodbench import DataError, DomainError, Tokens
from oodbench.testing import assert_conforms, check_model, check_model_placement
from plugins.models.causal_lm import causal_lm
from plugins.statistics.layer_gradients.engine import LayerGradientEngine
from plugins.statistics.layer_gradients.graph import ObjectiveModule
from plugins.statistics.layer_gradients.reference import looped_layer_gradients
from tests.oracle.layer_gradient_models import groups_of

transformers = pytest.importorskip("transformers")

VOCABULARY, BOS = 24, 3
COMMON = {"vocab_size": VOCABULARY, "bos_token_id": BOS, "eos_token_id": 4}
SIZES = {"hidden_size": 8, "num_hidden_layers": 1, "max_position_embeddings": 12}
CONFIGURATIONS = {
    "gpt-neox": lambda: transformers.GPTNeoXConfig(
        num_attention_heads=2, intermediate_size=12, hidden_dropout=0.5, **SIZES, **COMMON
    ),
    "llama": lambda: transformers.LlamaConfig(
        num_attention_heads=2, num_key_value_heads=1, intermediate_size=12, **SIZES, **COMMON
    ),
    "gpt2": lambda: transformers.GPT2Config(
        n_embd=8, n_layer=1, n_head=2, n_positions=12, **COMMON
    ),
}
DOMAIN = Tokens(10, vocabulary=VOCABULARY)


@pytest.fixture(params=CONFIGURATIONS)
def folder(request, tmp_path):
    """A tiny random model, saved by transformers in float16."""
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(CONFIGURATIONS[request.param]())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    model.half().save_pretrained(tmp_path / request.param)
    return tmp_path / request.param


def test_the_mean_loss_per_token_is_that_of_transformers(folder):
    own = causal_lm(DOMAIN, path=folder).eval()
    assert {parameter.dtype for parameter in own.parameters()} == {torch.float32}
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder).float().eval()
    x = groups_of(DOMAIN, 4, 1)[:, 0]
    for window, log_prob in zip(x, own.log_prob(x), strict=True):
        sequence = torch.cat((torch.tensor([BOS]), window)).unsqueeze(0)
        loss = theirs(input_ids=sequence, labels=sequence).loss
        assert -log_prob.item() / 10 == pytest.approx(loss.item(), rel=1e-6)
    other = causal_lm(DOMAIN, path=folder, bos=7).eval()
    assert not torch.allclose(other.log_prob_tokens(x)[:, 0], own.log_prob_tokens(x)[:, 0])


@pytest.mark.parametrize("size", [1, 3])
def test_layer_gradients_are_those_of_the_loop(folder, size):
    model, engine = causal_lm(DOMAIN, path=folder).double().eval(), LayerGradientEngine()
    groups = groups_of(DOMAIN, 4, size)
    expected = looped_layer_gradients(model, groups)
    np.testing.assert_allclose(engine(model, groups), expected, rtol=1e-9)
    assert (expected > 0).all()
    plan = engine.plan(model, groups)
    assert {unit.method for unit in plan.units(ObjectiveModule(model))} == {"rule"}


def test_the_state_has_the_names_of_transformers_and_loads(folder):
    own = causal_lm(DOMAIN, path=folder).eval()
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder)
    assert own.state_dict().keys() == theirs.state_dict().keys()
    random = causal_lm(DOMAIN, path=folder / "config.json").eval()
    x = groups_of(DOMAIN, 3, 1)[:, 0]
    assert not torch.allclose(random.log_prob(x), own.log_prob(x), rtol=1e-2)
    random.load_state_dict(own.state_dict())
    assert torch.equal(random.log_prob(x), own.log_prob(x))


def test_training_draws_no_random_numbers(folder):
    model, x = causal_lm(DOMAIN, path=folder).train(), groups_of(DOMAIN, 3, 1)[:, 0]
    assert torch.equal(model.log_prob(x), model.log_prob(x))


def test_conformance(tmp_path):
    file = tmp_path / "config.json"
    configuration = CONFIGURATIONS["llama"]().to_dict() | {"vocab_size": 260}
    file.write_text(json.dumps(configuration))

    def build(domain: Tokens):
        return causal_lm(domain, path=file)

    assert_conforms(check_model(build))
    assert_conforms(check_model_placement(build))


def test_files_are_keyed_by_content(tmp_path):
    (tmp_path / "model").mkdir()
    file = tmp_path / "model/config.json"
    file.write_text("{}")
    first = keyed_files(causal_lm, {"path": str(tmp_path / "model"), "bos": None})
    file.write_text("{ }")
    second = keyed_files(causal_lm, {"path": str(tmp_path / "model"), "bos": None})
    assert first["path"]["name"] == second["path"]["name"] == "model"
    assert first["path"]["sha256"] != second["path"]["sha256"]


def test_what_is_refused(tmp_path):
    file, lacking = tmp_path / "config.json", tmp_path / "lacking"
    configuration = CONFIGURATIONS["llama"]()
    file.write_text(json.dumps(configuration.to_dict()))
    with pytest.raises(DomainError, match="the model knows 24 tokens, and the text has 256"):
        causal_lm(Tokens(10), path=file)
    with pytest.raises(DomainError, match="the model reads at most 12 tokens, not 13"):
        causal_lm(Tokens(13, vocabulary=24), path=file)
    with pytest.raises(ValueError, match="bos must be below the 24 tokens, not 24"):
        causal_lm(DOMAIN, path=file, bos=24)
    with pytest.raises(DataError, match="lacking: no configuration of transformers"):
        causal_lm(DOMAIN, path=lacking)
    transformers.LlamaModel(configuration).save_pretrained(lacking)  # a network without a head
    with pytest.raises(
        DataError, match=r"lacking: 1 missing weights, the first is lm_head\.weight"
    ):
        causal_lm(DOMAIN, path=lacking)
    (lacking / "model.safetensors").unlink()
    with pytest.raises(DataError, match="lacking: no weights for the model"):
        causal_lm(DOMAIN, path=lacking)
    file.write_text(json.dumps(configuration.to_dict() | {"bos_token_id": None}))
    with pytest.raises(ValueError, match="has no bos_token_id: give the option bos"):
        causal_lm(DOMAIN, path=file)

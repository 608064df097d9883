"""The forms in which epochs are saved in practice, written as their packages write them."""

from __future__ import annotations

import json
from collections import OrderedDict

import torch
from safetensors.torch import save_file


def optimizer_of(state):
    """The state of Adam after a step, as `torch.optim.Adam.state_dict` has it."""
    moments = {
        number: {
            "step": torch.tensor(3.0),
            "exp_avg": torch.zeros_like(x),
            "exp_avg_sq": x.clone(),
        }
        for number, x in enumerate(state.values())
    }
    groups = [{"lr": 1e-3, "betas": (0.9, 0.999), "params": list(range(len(state)))}]
    return {"state": moments, "param_groups": groups}


def under(prefix, state):
    return OrderedDict((prefix + name, value) for name, value in state.items())


def contiguous(state):
    return {name: value.contiguous().clone() for name, value in state.items()}


def bare(path, state):
    torch.save(OrderedDict(state), path)


def plain(path, state):
    """As in the tutorial of PyTorch."""
    found = {"epoch": 3, "model_state_dict": state, "loss": 0.5}
    torch.save({**found, "optimizer_state_dict": optimizer_of(state)}, path)


def loss_as_tensor(path, state):
    torch.save({"epoch": 3, "model": state, "loss": torch.tensor(0.5), "rng": [1, (2, 3)]}, path)


def number_inside(path, state):
    torch.save({**state, "epoch": 3}, path)


def lightning(path, state):
    """`Trainer` of Lightning: the network is the attribute `net` of the LightningModule."""
    loops = {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 3}}}}
    found = {
        "epoch": 2,
        "global_step": 300,
        "pytorch-lightning_version": "2.6.0",
        "state_dict": under("net.", state),
        "loops": loops,
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_score": torch.tensor(1.0)}},
        "optimizer_states": [optimizer_of(state)],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": {"lr": 1e-3, "widths": [4, 4]},
    }
    torch.save(found, path)


def trainer_folder(path, state):
    """`Trainer` of transformers."""
    path.mkdir(parents=True)
    save_file(contiguous(state), path / "model.safetensors", metadata={"format": "pt"})
    (path / "trainer_state.json").write_text(json.dumps({"epoch": 3.0, "global_step": 300}))
    torch.save(optimizer_of(state), path / "optimizer.pt")
    (path / "training_args.bin").write_bytes(b"\x80\x04cos\nsystem\n.")  # is never opened


def in_parts(path, state, name="model", suffix=".safetensors", save=save_file):
    """A model of transformers with more than `max_shard_size`."""
    path.mkdir(parents=True)
    weight_map = {}
    for number, names in enumerate((list(state)[::2], list(state)[1::2]), 1):
        part = f"{name}-{number:05d}-of-00002{suffix}"
        save({key: state[key].contiguous().clone() for key in names}, path / part)
        weight_map |= dict.fromkeys(names, part)
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (path / f"{name}{suffix}.index.json").write_text(json.dumps(index))


def older_parts(path, state):
    """The same before safetensors."""
    in_parts(path, state, "pytorch_model", ".bin", torch.save)


def older_folder(path, state):
    path.mkdir(parents=True)
    torch.save(state, path / "pytorch_model.bin")


def diffusers(path, state):
    path.mkdir(parents=True)
    name = "diffusion_pytorch_model.safetensors"
    save_file(contiguous(state), path / name, metadata={"format": "pt"})
    (path / "config.json").write_text("{}")


def safetensors(path, state):
    save_file(contiguous(state), path)


def timm(path, state):
    """`CheckpointSaver` of timm with an exponential average, where `args` is a plain mapping."""
    average = {name: torch.zeros_like(value) for name, value in state.items()}
    found = {"epoch": 3, "arch": "flow", "state_dict": average, "state_dict_ema": state}
    torch.save({**found, "optimizer": optimizer_of(state), "version": 2, "metric": 0.5}, path)


def parallel(path, state):
    """The state dict of DistributedDataParallel."""
    torch.save(under("module.", state), path)


def compiled(path, state):
    """The state dict of `torch.compile(model)`."""
    torch.save(under("_orig_mod.", state), path)


def compiled_within(path, state):
    """DistributedDataParallel around a model with a part that was compiled."""
    names = {name: name.replace(".", "._orig_mod.", 1) for name in state}
    torch.save(under("module.", {names[name]: value for name, value in state.items()}), path)


def average(path, state):
    """The state dict of `ema_pytorch.EMA`."""
    online = under(
        "online_model.", {name: torch.zeros_like(value) for name, value in state.items()}
    )
    own = {"initted": torch.tensor(True), "step": torch.tensor(3)}
    torch.save({**own, **under("ema_model.", state), **online}, path)


def averaged_model(path, state):
    """The state dict of `torch.optim.swa_utils.AveragedModel`."""
    torch.save({"n_averaged": torch.tensor(3), **under("module.", state)}, path)


def inner(path, state):
    """The network alone, where the plugin holds it as an attribute; see `add`."""
    torch.save({name.removeprefix("flow."): value for name, value in state.items()}, path)


def older_zip(path, state):
    """A file of torch before 1.6."""
    torch.save(state, path, _use_new_zipfile_serialization=False)


FORMS = {
    "bare.pt": (bare, {}),
    "bare.pth": (bare, {}),
    "older.pt": (older_zip, {}),
    "plain.pt": (plain, {}),
    "loss.pt": (loss_as_tensor, {}),
    "number.pt": (number_inside, {}),
    "lightning.ckpt": (lightning, {"strip": "net."}),
    "trainer": (trainer_folder, {}),
    "parts": (in_parts, {}),
    "older-folder": (older_folder, {}),
    "older-parts": (older_parts, {}),
    "diffusers": (diffusers, {}),
    "plain.safetensors": (safetensors, {}),
    "timm.pth.tar": (timm, {"state": "state_dict_ema"}),
    "parallel.pt": (parallel, {}),
    "compiled.pt": (compiled, {}),
    "within.pt": (compiled_within, {}),
    "ema.pt": (average, {"strip": "ema_model."}),
    "averaged.pt": (averaged_model, {"strip": "module."}),
}
"""A way to save a state, and the keys of the suite that it needs, by name of a file."""

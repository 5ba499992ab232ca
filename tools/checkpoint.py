"""What both kinds of checkpoint share: weights on disk, what an archive holds, and what keeps a checkpoint from becoming one."""
import json
import re
from dataclasses import dataclass
from pathlib import Path

import torch

CLIP_VOCABULARY = 49408  # of the byte-pair encoding that the package brings
ACTIVATIONS = ("quick_gelu", "gelu")

CANNOT = {
    "resnet": "it is a ResNet; the method needs a vision transformer's attention",
    "timm": "its image tower is a timm model, whose blocks are not CLIP's; the method's gradients are written for CLIP's own blocks",
    "siglip": "it is a SigLIP: no class token, attention pooling in the image tower, and a text tower that is not causal",
    "text": "its text tower is not CLIP's: the engine runs a causal one that pools at the end of the text",
    "pooling": "it pools patches before its last LayerNorm, or by attention; the method scores the mean of the patches after it",
    "tokenizer": "it was trained with another tokenizer; the package brings CLIP's alone",
    "block": "its transformer blocks differ from CLIP's",
}


class Unfit(Exception):
    """This checkpoint cannot become an archive; the message says why."""


@dataclass
class Checkpoint:
    parameters: dict  # by OpenAI's names
    activation: str
    image_heads: int
    text_heads: int
    mean: list | None  # of the pixels, in [0, 1]; None where the checkpoint does not say it
    std: list | None
    notes: tuple = ()  # what was left out, to be printed


def read_json(path):
    try:
        content = json.loads(Path(path).read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise Unfit(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise Unfit(f"{path} is no JSON object")
    return content


def read_tensors(path):
    """The named tensors of a .safetensors, or of what torch.save wrote; no code of the file is run."""
    path = Path(path)
    if path.suffix == ".json":  # the index of several files
        shards = sorted(set(read_json(path)["weight_map"].values()))
        return {name: tensor for shard in shards for name, tensor in read_tensors(path.parent / shard).items()}
    if path.suffix == ".safetensors":
        try:
            from safetensors import SafetensorError
            from safetensors.torch import load_file
        except ImportError as error:
            raise Unfit(f"{path} needs a package that is missing: pip install safetensors") from error
        try:
            return load_file(path)
        except SafetensorError as error:
            raise Unfit(f"{path} is damaged: {error}") from error
    return unwrap(load_pickle(path), path)


def load_pickle(path):
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except RuntimeError as error:
        if "TorchScript" not in str(error):
            raise Unfit(f"{path} cannot be read: {error}") from error
    except Exception as error:  # pickle has errors of many kinds
        raise Unfit(f"{path} holds more than tensors, or is damaged: {error}") from error
    raise Unfit(f"{path} is a TorchScript archive: OpenAI's load as they are, without this tool")


def unwrap(content, path):
    """The state dict of a training checkpoint, without the prefixes of wrappers."""
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not any(isinstance(value, torch.Tensor) for value in content.values()):
        raise Unfit(f"{path} holds no state dict")
    return {re.sub(r"^(module\.|_orig_mod\.)+", "", name): value for name, value in content.items() if isinstance(value, torch.Tensor)}


def find_weights(folder, names):
    found = [folder / name for name in names if (folder / name).is_file()]
    if not found:
        raise Unfit(f"{folder} holds none of {', '.join(names)}")
    return found[0]


def head_count(width, count, tower):
    if not isinstance(count, int) or count < 1 or width % count:
        raise Unfit(f"the {tower} tower's width {width} does not divide into {count} heads")
    return count


def require_clip_vocabulary(parameters):
    rows = parameters["token_embedding.weight"].shape[0]
    if rows != CLIP_VOCABULARY:
        raise Unfit(f"{CANNOT['tokenizer']}: its vocabulary has {rows} entries, CLIP's {CLIP_VOCABULARY}")


def expected_names(parameters):
    """The names of an archive with as many blocks as these parameters have."""
    names = {"visual.conv1.weight", "visual.class_embedding", "visual.positional_embedding", "visual.proj", "token_embedding.weight",
             "positional_embedding", "text_projection", "logit_scale"}
    names |= {f"{norm}.{part}" for norm in ("visual.ln_pre", "visual.ln_post", "ln_final") for part in ("weight", "bias")}
    for tower in ("visual.transformer", "transformer"):
        blocks = {match[1] for match in (re.match(rf"{tower}\.resblocks\.(\d+)\.", name) for name in parameters) if match}
        for block in blocks or {"0"}:
            at = f"{tower}.resblocks.{block}"
            names |= {f"{at}.attn.in_proj_weight", f"{at}.attn.in_proj_bias"}
            layers = ("ln_1", "ln_2", "attn.out_proj", "mlp.c_fc", "mlp.c_proj")
            names |= {f"{at}.{layer}.{part}" for layer in layers for part in ("weight", "bias")}
    return names


def require_exactly_clip(parameters):
    """A tensor that CLIP lacks computes something that the engine does not; one that is missing, too."""
    expected = expected_names(parameters)
    missing, more = sorted(expected - parameters.keys()), sorted(parameters.keys() - expected)
    if missing or more:
        lists = (("without", missing), ("with", more))
        parts = [f"{what} {', '.join(names[:4])}{' …' if len(names) > 4 else ''}" for what, names in lists if names]
        raise Unfit(f"{CANNOT['block']}: it is {' and '.join(parts)}")
    for name, tensor in parameters.items():
        if not tensor.isfinite().all():
            raise Unfit(f"tensor {name} holds a value that is not finite: the checkpoint is damaged")

"""python twin_steps.py FOLDER: repeats two training steps of each case in FOLDER, which `clip_es_train_test --twin FOLDER` wrote, in plain
PyTorch: losses, gradients and weights. Exit status 1 if a loss differs by more than 1e-5, or a tensor by more than 1e-5 of its largest
value. Gradients of deep layers may be as small as the rounding errors of others, so the largest value counts as at least SMALLEST."""
import json
import sys
from pathlib import Path

import torch

import losses
import networks
import safetensors_file

LIMIT = 1e-5
SMALLEST = 1e-3


def part(tensors, prefix):
    return {name[len(prefix):]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def difference(ours, theirs):
    """The largest difference, relative to the largest value of its tensor, and the name of the tensor."""
    relative = lambda a, b: ((a - b).abs().max() / b.abs().max().clamp(min=SMALLEST)).item()
    return max((relative(ours[name], theirs[name]), name) for name in theirs)


def repeat(tensors, case):
    """-> losses, first gradients, network after two steps"""
    network = networks.make_network(case["network"], case["classes"], case["style"]).train()
    network.load_state_dict(part(tensors, "before."))
    optimiser = losses.make_optimiser(network, case["training"])
    values, gradients = [], {}
    for i in range(2):
        every = networks.training_logits(network, tensors["images"], case["msc"])
        loss = sum(losses.confidence_guided_loss(x, tensors["labels"], tensors["confidence"], case["training"]) for x in every)
        loss.backward()
        values.append(loss.item())
        if i == 0:
            gradients = {name: parameter.grad.clone() for name, parameter in network.named_parameters()}
        losses.step(network, optimiser, case["training"], case["rate"])
    return values, gradients, network


def check(path):
    tensors, metadata = safetensors_file.read(path)
    values, gradients, network = repeat(tensors, json.loads(metadata["case"]))
    after = {name: tensor for name, tensor in part(tensors, "after.").items() if tensor.is_floating_point()}
    found = {
        "loss": (max(abs(a - b) for a, b in zip(values, tensors["losses"].tolist())), ""),
        "gradient": difference(gradients, part(tensors, "gradient.")),
        "weights": difference(network.state_dict(), after),
    }
    print(path.stem + ": " + ", ".join(f"{kind} {value:.1e} {name}".strip() for kind, (value, name) in found.items()))
    return all(value <= LIMIT for value, _ in found.values())


def main():
    # As the program does: oneDNN chooses among algorithms that round differently.
    torch.backends.mkldnn.enabled = False
    torch.set_num_threads(1)
    paths = sorted(Path(sys.argv[1]).glob("*.safetensors"))
    if not paths:
        sys.exit(f"{sys.argv[1]} has no cases: clip_es_train_test --twin {sys.argv[1]}")
    results = [check(path) for path in paths]
    sys.exit(not all(results))


if __name__ == "__main__":
    main()

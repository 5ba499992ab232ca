"""The confidence-guided loss in plain PyTorch."""
import torch
import torch.nn.functional as F

IGNORED = 255


def pixel_weights(labels, confidence, mode, threshold):
    if mode == "hard":
        weights = (confidence >= threshold).float()
    elif mode == "soft":
        weights = ((2 * confidence - 1) / (2 * threshold - 1)).clamp(0, 1)
    else:
        weights = torch.ones_like(confidence)
    return torch.where(labels == IGNORED, torch.zeros_like(weights), weights)


def shrink(maps, size):
    return F.interpolate(maps[:, None].float(), size=tuple(size), mode="nearest-exact")[:, 0]


def confidence_guided_loss(logits, labels, confidence, settings):
    """settings: `training` of a job file. logits (batch, classes, h, w), labels and confidence (batch, H, W)."""
    labels = shrink(labels, logits.shape[2:]).long()
    confidence = shrink(confidence, logits.shape[2:])
    cgl = settings["confidence"]
    weights = pixel_weights(labels, confidence, cgl["mode"], cgl["threshold"])
    logs = F.log_softmax(logits, 1)
    entropy = -logs.gather(1, labels.clamp(max=logits.shape[1] - 1)[:, None])[:, 0]
    groups = [labels == 0, labels != 0] if settings["balanced"] else [torch.ones_like(labels, dtype=torch.bool)]
    means = []
    for group in groups:
        counted = weights * group
        if counted.sum() > 0:
            means.append((entropy * counted).sum() / counted.sum())
    return sum(means) / len(means) if means else (entropy * 0).sum()


def parameter_groups(network, settings):
    """For torch.optim.SGD. `factor` is the multiple of the learning rate."""
    groups = []
    for name, parameter in network.named_parameters():
        vector, factor = parameter.dim() == 1, 1
        if network.is_head(name):
            factor = settings["headBiasFactor"] if vector else settings["headFactor"]
        groups.append({"params": [parameter], "factor": factor, "weight_decay": 0 if vector else settings["weightDecay"]})
    return groups


def make_optimiser(network, settings):
    return torch.optim.SGD(parameter_groups(network, settings), lr=0.0, momentum=settings["momentum"])


def step(network, optimiser, settings, rate):
    for group in optimiser.param_groups:
        group["lr"] = rate * group["factor"]
    if settings["clip"] is not None:
        torch.nn.utils.clip_grad_norm_(network.parameters(), settings["clip"])
    optimiser.step()
    optimiser.zero_grad()

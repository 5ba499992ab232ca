"""python twin_run.py RUN [COUNT]: repeats the first COUNT iterations (default 20) of a training run in plain PyTorch, and compares the
losses with RUN/log.jsonl. RUN/checkpoints must still have the weights of iteration 0: --every-checkpoint of the run must be large, or
the run short. Exit status 1 if a loss differs by more than 1e-4."""
import json
import sys
from pathlib import Path

import torch

import data
import losses
import networks
import safetensors_file

LIMIT = 1e-4


def load(run, job):
    weights, metadata = safetensors_file.read(run / "checkpoints/000000.safetensors")
    network = networks.make_network(job["network"]["name"], len(job["classes"]), metadata["style"])
    network.load_state_dict(weights)
    return network.train(), metadata["style"]


def train(run, job, count):
    """Yields the loss of each iteration."""
    settings = job["training"]
    network, style = load(run, job)
    optimiser = losses.make_optimiser(network, settings)
    for iteration in range(count):
        total = 0.0
        for i in range(settings["accumulate"]):
            images, labels, confidence = data.batch(job, iteration * settings["accumulate"] + i, style)
            every = networks.training_logits(network, images, job["network"]["msc"])
            loss = sum(losses.confidence_guided_loss(x, labels, confidence, settings) for x in every)
            (loss / settings["accumulate"]).backward()
            total += loss.item() / settings["accumulate"]
        rate = settings["learningRate"] * (1 - iteration / settings["iterations"]) ** settings["power"]
        losses.step(network, optimiser, settings, rate)
        yield total


def main():
    run, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 20
    job = json.loads((run / "job.json").read_text())
    torch.set_num_threads(job["threads"])
    logged = [json.loads(line)["loss"] for line in (run / "log.jsonl").read_text().splitlines()][:count]
    if len(logged) < count:
        sys.exit(f"{run}/log.jsonl has {len(logged)} losses, expected at least {count}")
    worst = 0.0
    for i, (ours, theirs) in enumerate(zip(train(run, job, count), logged)):
        worst = max(worst, abs(ours - theirs))
        print(f"iteration {i + 1}: program {theirs:.7f}, twin {ours:.7f}")
    print(f"largest difference {worst:.2e}, limit {LIMIT:.0e}")
    sys.exit(worst > LIMIT)


if __name__ == "__main__":
    main()

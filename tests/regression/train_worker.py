"""What every process of `test_two_processes_train_as_one` runs."""

import json
import os
from pathlib import Path

import torch

from dormant.regression.functions import Linear
from dormant.regression.priors import Gaussian
from dormant.regression.streams import stream
from dormant.regression.training import TrainingSettings, train
from dormant.regression.transformer import Transformer, TransformerSettings

torch.set_num_threads(1)
out, rank = Path(os.environ["WORKER_OUT"]), int(os.environ["RANK"])
sizes = TransformerSettings(dim=3, positions=8, width=16, depth=2, heads=2, tokens="paired")
model = Transformer(sizes, stream(0, "weights"))
lines = []
train(
    model,
    Gaussian(Linear(dim=3), sigma=0.5),
    TrainingSettings(steps=20, batch=16, learning_rate=1e-3),
    positions=8,
    seed=3,
    phase="pretraining",
    checkpoint=out / "c.pt",
    on_log=lines.append,
)
torch.save(model.state_dict(), out / f"rank{rank}.pt")
if rank == 0:
    (out / "log.json").write_text(json.dumps([list(line) for line in lines]))

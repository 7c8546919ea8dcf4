"""Training of one network, with early stopping and exact resume.

    result = train(experiment, data.load(experiment.data), Path("runs/mine"))

The folder gets `model.safetensors` (the best epoch so far, or the last one), `resume.safetensors` (the last epoch:
weights, optimiser and history), `metrics.csv` and `log.txt`. All randomness of an epoch comes from the seed and the
epoch number, so a resumed training equals an uninterrupted one, to the last bit on a CPU (with `train.compile` up to
rounding, since torch compiles different code for the first batches).

Networks may have `pretrained_parts`, module paths of pretrained modules, and a method `extra_loss(output, labels)` that
returns a scalar to add to the cross entropy.
"""

from ndg.training.checkpoints import MODEL as MODEL
from ndg.training.checkpoints import STATE as STATE
from ndg.training.checkpoints import load_model as load_model
from ndg.training.device import device_of as device_of
from ndg.training.device import own_threads_and_randomness as own_threads_and_randomness
from ndg.training.journal import LOG as LOG
from ndg.training.journal import METRICS as METRICS
from ndg.training.journal import Row as Row
from ndg.training.loop import TrainResult as TrainResult
from ndg.training.loop import run_epoch as run_epoch
from ndg.training.loop import train as train
from ndg.training.removal import Lost as Lost
from ndg.training.schedules import schedule as schedule
from ndg.training.step import Learner as Learner
from ndg.training.step import evaluate as evaluate

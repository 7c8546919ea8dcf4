"""Training of one network: an optimiser, a schedule per step, early stopping, and a folder from which it can go on.

    result = train(experiment, data.load(experiment.data), Path("runs/mine"))

The folder gets `model.safetensors` (the best epoch so far, or the last one), `resume.safetensors` (the last epoch:
weights, optimiser and history), `metrics.csv` and `log.txt`. Everything random in an epoch comes from the seed and the
epoch's number, so a training that was stopped and resumed equals one that was not, to the last bit on a CPU (with
`train.compile` to rounding, since torch compiles other code for the first batches that it sees).

Networks may have `pretrained_parts`, the module paths of what comes from a pretrained network, and a method
`extra_loss(output, labels)`, a scalar that is added to the cross entropy.
"""

from ndg.training.checkpoints import MODEL as MODEL
from ndg.training.checkpoints import STATE as STATE
from ndg.training.checkpoints import load_model as load_model
from ndg.training.device import device_of as device_of
from ndg.training.device import own_threads_and_randomness as own_threads_and_randomness
from ndg.training.evaluation import evaluate as evaluate
from ndg.training.journal import LOG as LOG
from ndg.training.journal import METRICS as METRICS
from ndg.training.journal import Row as Row
from ndg.training.loop import TrainResult as TrainResult
from ndg.training.loop import augmentation as augmentation
from ndg.training.loop import train as train
from ndg.training.schedules import schedule as schedule
from ndg.training.step import Learner as Learner

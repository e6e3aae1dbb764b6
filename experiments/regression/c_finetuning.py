"""(c) Fine-tuning: both losses against steps.

dormant lab run quick --seeds 11,12,13 --out runs/lab-quick
python experiments/regression/c_finetuning.py runs/lab-quick
"""

from common import arguments

from dormant.regression.drawing import write_figure
from dormant.regression.figures import FIGURES
from dormant.regression.rundir import LabRun

read = arguments(__doc__, "runs/lab-quick")
tabulate, draw = FIGURES["finetuning"]
rows = tabulate(LabRun(read.run))
print(write_figure(read.out / "finetuning", rows, lambda: draw(rows)))

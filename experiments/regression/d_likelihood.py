"""(d) Change in loss against likelihood under D_disc, in bins.

dormant lab run quick --seeds 11,12,13 --out runs/lab-quick
python experiments/regression/d_likelihood.py runs/lab-quick
"""

from common import arguments

from dormant.regression.drawing import write_figure
from dormant.regression.figures import FIGURES
from dormant.regression.rundir import LabRun

read = arguments(__doc__, "runs/lab-quick")
tabulate, draw = FIGURES["likelihood"]
rows = tabulate(LabRun(read.run))
print(write_figure(read.out / "likelihood", rows, lambda: draw(rows)))

"""(e) Conjugate prompting: losses by exemplar count, and by γ.

dormant lab run quick --seeds 11,12,13 --out runs/lab-quick
python experiments/regression/e_conjugation.py runs/lab-quick
"""

from common import arguments

from dormant.regression.drawing import write_figure
from dormant.regression.figures import FIGURES
from dormant.regression.rundir import LabRun

read = arguments(__doc__, "runs/lab-quick")
tabulate, draw = FIGURES["conjugation"]
rows = tabulate(LabRun(read.run))
print(write_figure(read.out / "conjugation", rows, lambda: draw(rows)))

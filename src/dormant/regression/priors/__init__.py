"""Priors over tasks: each samples prompts **and** solves them exactly (paper §2.1–2.2).

====================  ===========================  =======================================
here                  paper                        solution
====================  ===========================  =======================================
`Gaussian`            D_cont, w ~ N(0, τ² I)       ridge, w_cont
`ScaleMixture`        (ours) τ uniform             ridges weighed by evidence, by quadrature
`Units`               (ours) labels in many units  ridge, in any unit
`Sparse`              (ours) few weights not zero  ridges of all supports, by evidence
`Discrete`            D_disc, w among n tasks      posterior mean, w_disc
`Mixture`             D_mix(α)                     g · w_disc + (1 − g) · w_cont
====================  ===========================  =======================================

Solutions are computed in float64 and returned in the labels' type.
"""

from __future__ import annotations

from dormant.regression.priors.discrete import Discrete as Discrete
from dormant.regression.priors.gaussian import Gaussian as Gaussian
from dormant.regression.priors.mixture import Mixture as Mixture
from dormant.regression.priors.prior import Prior as Prior
from dormant.regression.priors.scales import ScaleMixture as ScaleMixture
from dormant.regression.priors.scales import Units as Units
from dormant.regression.priors.sparse import Sparse as Sparse

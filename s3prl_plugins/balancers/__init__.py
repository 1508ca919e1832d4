"""How several losses become one update: of tasks in a joint run, of terms in pretraining."""

from s3prl_plugins.balancers.contract import Balancer, GradientBalancer, GradientOptions
from s3prl_plugins.balancers.fixed import FixedWeights
from s3prl_plugins.balancers.table import BALANCERS, LOSS_BALANCERS, build_balancer

__all__ = [
    "BALANCERS", "LOSS_BALANCERS", "Balancer", "FixedWeights", "GradientBalancer", "GradientOptions", "build_balancer",
]  # fmt: skip

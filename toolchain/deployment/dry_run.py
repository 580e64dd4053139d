"""Does it fit? A placement without deploying: of a recipe before training and without its data, or of a run.

Nothing heavy is imported here, nor by what a target does for a plan: the answer for a recipe takes less than a second.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from toolchain.deployment.plan import plan_network
from toolchain.deployment.request import PlacementRequest
from toolchain.deployment.target import Placement, Target
from toolchain.recipe import Recipe


@dataclass(frozen=True)
class DryRun:
    """A placement, and what it rests on besides facts, one line each."""

    network: str
    target: str
    placement: Placement
    assumptions: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON types."""
        return {
            "fits": True,
            "network": self.network,
            "target": self.target,
            "assumptions": list(self.assumptions),
            "resources": [asdict(r) for r in self.placement.resources],
            "cores": [{**asdict(c), "use": dict(c.use)} for c in self.placement.cores],
            "reasons": dict(self.placement.reasons),
        }


def dry_run_of_recipe(recipe: Recipe, target: Target, *, clip_delays: bool, request: PlacementRequest) -> DryRun:
    """Place the network of a recipe as training may leave it.

    Parameters
    ----------
    clip_delays : cut delays at the target's largest slot instead of refusing them
    request : what is asked of the placement

    Raises
    ------
    RecipeError
        If the recipe and its task do not say how large the network is, or contradict each other.
    InputError
        If what is asked of the placement cannot be.
    TargetLimitError
        If it does not fit; the message has the limit and the smallest changes with which it would.
    """
    plan = plan_network(recipe, target.largest_slot())
    request.check_names(p.name for p in plan.populations)
    placement = target.place_plan(plan, clip_delays=clip_delays, request=request)
    assumptions = list(plan.assumptions)
    if recipe.training.readout == "trace":
        assumptions.append("it could be deployed, which is refused for networks that follow target traces")
    return DryRun(recipe.name, target.name, placement, tuple(assumptions))

"""Mapping: how synapses are stored, how populations are split over cores, and where the slices sit."""

from hardware_targets.loihi.mapping.placement import place_network, place_plan

__all__ = ["place_network", "place_plan"]

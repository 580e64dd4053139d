"""Recipes that come with delayline, one YAML file each; `delayline train NAME` finds them."""

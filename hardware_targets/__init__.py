"""Chips that delayline deploys to, one folder a family; found through the entry points `delayline.targets`."""

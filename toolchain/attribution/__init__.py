"""Attribution: where an engine first spikes otherwise than another, why, and how far their spikes are apart."""

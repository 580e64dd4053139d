"""Synthetic spoken digits: zero to nine and null to neun by espeak-ng; nobody recorded them."""

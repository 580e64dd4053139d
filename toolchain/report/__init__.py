"""The report of a deployment: one JSON file for programs, one HTML file for people."""

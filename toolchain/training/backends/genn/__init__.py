"""The GPU backend: EventProp with delays as code that GeNN generates; design in docs/genn.md."""

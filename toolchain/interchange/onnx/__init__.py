"""A network as one ONNX graph of standard operators over time, and back: `writing`, `reading`, `running`."""

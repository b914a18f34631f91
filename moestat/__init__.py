"""moestat: statistical theory and simulation for mixture-of-experts gating."""

__version__ = "0.1.0"

"""Where mining is, where it is new, where it has gone, in hectares."""

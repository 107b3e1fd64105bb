//! Host side of the examples: what the programs share.

//! What happens between the two sides.

//! The second pair of eyes: checks every decision against the observation before it is carried out.

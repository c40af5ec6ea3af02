//! The brain: one pure function from what is seen to what is done, with its reasons.

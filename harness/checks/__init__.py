"""What is asked of every loss: one file a topic, each registering a pure function from a Context to an Outcome."""

"""What gives a suppressed ability back and keeps the new skill, and the proof of both."""

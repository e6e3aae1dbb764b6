"""What a user does about it: training interventions."""

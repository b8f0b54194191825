"""What the lane with real controllers is made of."""

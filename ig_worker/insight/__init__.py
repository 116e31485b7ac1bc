"""What the numbers say: aggregate and report."""

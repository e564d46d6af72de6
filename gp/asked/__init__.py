"""What notebooks and other libraries ask of a fitted model: no stage needs it all (gp.fitted.asked)."""

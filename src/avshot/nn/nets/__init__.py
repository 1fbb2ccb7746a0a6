"""Networks of the papers' encoders under their released parameter names; sizes are read from the weights."""

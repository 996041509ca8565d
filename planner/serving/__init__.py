"""An engine on top of step times: offline batches, steady states, simulation."""

"""The step debugger: `engine` runs a graph and stops anywhere, `session` speaks commands, `running` brings calls."""

"""Pure rules of jobs, executions and their notifications."""

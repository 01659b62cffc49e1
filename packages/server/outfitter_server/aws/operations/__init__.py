"""One module a noun: AWS-shaped parameters to service calls and back."""
